//! tcpdump, which writes to nowhere: the most that AF_PACKET brings to user space.

use std::ffi::OsStr;

use mirror_testkit::namespace::Namespace;
use mirror_testkit::veth::VethPair;

use super::process::Process;
use super::{Program, ProgramError};

/// Its buffer, in KiB.
const BUFFER: &str = "65536";

pub(super) struct Tcpdump;

impl Program for Tcpdump {
    fn name(&self) -> &'static str {
        "tcpdump"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["--version"]
    }

    fn start(&self, namespace: &Namespace, processor: usize) -> Result<Process, ProgramError> {
        let arguments =
            ["-n", "-i", VethPair::RECEIVING, "-B", BUFFER, "-w", "/dev/null", "udp", "port", "6081"];
        let directory = Process::directory()?;
        let arguments = arguments.map(OsStr::new);
        let is_ready = |output: &str| output.contains("listening on");
        Process::start(namespace, processor, self.name(), &arguments, directory, is_ready)
    }

    fn count_running(&self, _namespace: &Namespace) -> Result<Option<u64>, ProgramError> {
        Ok(None)
    }

    fn count_ended(&self, process: &Process) -> Option<u64> {
        captured(&process.printed())
    }
}

/// The number in the line `1234 packets captured`.
fn captured(output: &str) -> Option<u64> {
    output.lines().find_map(|line| line.trim().strip_suffix(" packets captured")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_in_the_output() {
        let output = "tcpdump: listening on far, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n\
                     29870 packets captured\n30000 packets received by filter\n130 packets dropped by kernel\n";
        assert_eq!(captured(output), Some(29870));
        assert_eq!(captured("tcpdump: far: No such device exists\n"), None);
    }
}

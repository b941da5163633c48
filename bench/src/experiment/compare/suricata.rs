//! Suricata in flow mode: it decodes GENEVE and writes its flow log, without rules.

use std::ffi::OsStr;
use std::fs;

use mirror_testkit::namespace::Namespace;
use mirror_testkit::veth::VethPair;
use serde_json::Value;

use super::process::Process;
use super::{Program, ProgramError};

/// Its configuration, with the interface in place of `INTERFACE`.
///
/// It would turn GRO off at its interface, and a veth without GRO takes none of the generator's frames.
/// Its flow table has room for a million flows, which the default of 128 MiB has not.
const CONFIGURATION: &str = "\
%YAML 1.1
---
stats: {enabled: yes, interval: 1}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: /dev/null, types: [flow]}
  - eve-log: {enabled: yes, filetype: regular, filename: stats.json, types: [stats: {totals: yes, threads: no}]}
capture: {disable-offloading: no}
af-packet:
  - interface: INTERFACE
    threads: 1
    cluster-id: 99
    cluster-type: cluster_flow
    use-mmap: yes
    tpacket-v3: yes
    ring-size: 65536
    block-size: 1048576
flow: {memcap: 1gb, hash-size: 262144}
decoder:
  geneve: {enabled: true, ports: 6081}
  vxlan: {enabled: true, ports: 4789}
app-layer: {protocols: {}}
unix-command: {enabled: no}
";

pub(super) struct Suricata;

impl Program for Suricata {
    fn name(&self) -> &'static str {
        "suricata"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["-V"]
    }

    fn start(&self, namespace: &Namespace, processor: usize) -> Result<Process, ProgramError> {
        let directory = Process::directory()?;
        let configuration = directory.path().join("suricata.yaml");
        fs::write(&configuration, CONFIGURATION.replace("INTERFACE", VethPair::RECEIVING))?;
        let interface = format!("--af-packet={}", VethPair::RECEIVING);
        let here = directory.path().to_owned();
        let arguments: [&OsStr; 8] = [
            "-c".as_ref(),
            configuration.as_os_str(),
            interface.as_ref(),
            "-S".as_ref(), // these rules only, which are none
            "/dev/null".as_ref(),
            "-l".as_ref(),
            here.as_os_str(),
            "--runmode=workers".as_ref(),
        ];
        let is_ready = |output: &str| output.contains("ngine started");
        Process::start(namespace, processor, self.name(), &arguments, directory, is_ready)
    }

    fn count_running(&self, _namespace: &Namespace) -> Result<Option<u64>, ProgramError> {
        Ok(None)
    }

    fn count_ended(&self, process: &Process) -> Option<u64> {
        delivered(&fs::read_to_string(process.path().join("stats.json")).ok()?)
    }
}

/// Packets that the kernel delivered to it, by its last statistics.
fn delivered(statistics: &str) -> Option<u64> {
    let last: Value = serde_json::from_str(statistics.lines().last()?).ok()?;
    let capture = last.get("stats")?.get("capture")?;
    let count = |key| capture.get(key).and_then(Value::as_u64);
    // From the socket's own statistics, in which packets include those that were dropped (packet(7)).
    Some(count("kernel_packets")?.saturating_sub(count("kernel_drops").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_statistics_count() {
        let line = |packets, drops| {
            format!(
                r#"{{"event_type":"stats","stats":{{"uptime":9,"capture":{{"kernel_packets":{packets},"kernel_drops":{drops}}}}}}}"#
            )
        };
        assert_eq!(delivered(&format!("{}\n{}\n", line(10, 0), line(1000, 30))), Some(970));
        assert_eq!(delivered(""), None);
        assert_eq!(delivered(r#"{"event_type":"stats","stats":{}}"#), None);
    }
}

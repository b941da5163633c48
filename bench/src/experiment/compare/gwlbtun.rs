//! gwlbtun, the sample appliance of AWS: it takes GENEVE off and puts the packets into a tun interface for each
//! endpoint.

use std::ffi::OsStr;

use mirror_testkit::namespace::Namespace;
use mirror_testkit::traffic::Addresses;
use mirror_testkit::veth::VethPair;
use serde::Deserialize;

use super::process::Process;
use super::{Program, ProgramError};

/// The interfaces that packets of an endpoint come out of begin with this.
const INTERFACES: &str = "gwi-";

pub(super) struct Gwlbtun;

impl Program for Gwlbtun {
    fn name(&self) -> &'static str {
        "gwlbtun"
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["-h"]
    }

    fn start(&self, namespace: &Namespace, processor: usize) -> Result<Process, ProgramError> {
        // It listens on a UDP socket: the address of the packets must be that of the interface.
        let address = Addresses::default().destination;
        namespace.ip(&format!("address add {address}/24 dev {}", VethPair::RECEIVING))?;
        let arguments = ["-c", "/bin/true", "-r", "/bin/true"].map(OsStr::new);
        let directory = Process::directory()?;
        // It says nothing that could be relied on, but its sockets are there when the kernel knows them.
        let is_ready = |_: &str| listens_on(namespace, 6081);
        Process::start(namespace, processor, self.name(), &arguments, directory, is_ready)
    }

    fn count_running(&self, namespace: &Namespace) -> Result<Option<u64>, ProgramError> {
        Ok(Some(received(&namespace.ip("-json -statistics link show")?)))
    }

    fn count_ended(&self, _process: &Process) -> Option<u64> {
        None
    }
}

/// True where a UDP socket over IPv4 is bound to `port` in `namespace`.
fn listens_on(namespace: &Namespace, port: u16) -> bool {
    let table = namespace.enter(|| std::fs::read_to_string("/proc/thread-self/net/udp"));
    table.is_ok_and(|table| table.is_ok_and(|table| is_bound(&table, port)))
}

/// True where a port is in the kernel's table of UDP sockets, where local addresses are `ADDRESS:PORT`, hexadecimal.
fn is_bound(table: &str, port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    table.lines().filter_map(|line| line.split_whitespace().nth(1)).any(|local| local.ends_with(&suffix))
}

/// Packets that came out of the interfaces of all endpoints, by what `ip` prints.
fn received(json: &str) -> u64 {
    #[derive(Deserialize)]
    struct Interface {
        ifname: String,
        stats64: Statistics,
    }
    #[derive(Deserialize)]
    struct Statistics {
        rx: Direction,
    }
    #[derive(Deserialize)]
    struct Direction {
        packets: u64,
    }
    let interfaces: Vec<Interface> = serde_json::from_str(json).unwrap_or_default();
    let endpoints = interfaces.iter().filter(|interface| interface.ifname.starts_with(INTERFACES));
    endpoints.map(|interface| interface.stats64.rx.packets).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interfaces_of_endpoints_are_summed_up() {
        let interface = |name, packets| {
            format!(
                r#"{{"ifname":"{name}","stats64":{{"rx":{{"bytes":1,"packets":{packets}}},"tx":{{"packets":9}}}}}}"#
            )
        };
        let json =
            format!("[{},{},{}]", interface("far", 1000), interface("gwi-a", 3), interface("gwi-b", 4));
        assert_eq!(received(&json), 7);
        assert_eq!(received("no json"), 0);
    }

    #[test]
    fn bound_ports_are_in_the_kernel_s_table() {
        let table = "  sl  local_address rem_address   st\n  12: 00000000:17C1 00000000:0000 07\n";
        assert!(is_bound(table, 6081));
        assert!(!is_bound(table, 4789));
    }
}

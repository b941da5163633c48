//! Records of flows add up to the records of the packets in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pcap_file::{DataLink, Endianness};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Replayed, replay};
use crate::{capture, crafted, golden};

/// Replays `capture` into `records`.
fn replay_into(records: &str, capture: &Path, configure: impl FnOnce(&mut Command)) -> Replayed {
    replay(&[capture], |command| {
        command.args(["--records", records]);
        configure(command);
    })
}

/// Replays `capture` into records of flows.
fn flows(capture: &Path) -> Replayed {
    replay_into("flow", capture, |_| {}).succeeded()
}

#[test]
fn flows_are_the_default() {
    let golden = golden::sizes();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-capture"));
    let output = command.arg("replay").arg(golden.capture()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), fs::read_to_string(golden.flows()).unwrap());
}

#[test]
fn packets_add_up_to_flows() {
    for golden in golden::all() {
        let capture = golden.capture();
        let replayed = flows(&capture);
        let packets = replay(&[&capture], |_| {}).succeeded();
        assert_eq!(sums_of_flows(&replayed.records), sums_of_packets(&packets.records));
        assert_eq!(replayed.ledger["recorded"], packets.ledger["recorded"]);
        assert_eq!(replayed.ledger["dropped"], packets.ledger["dropped"]);
    }
}

#[test]
fn packets_and_flows_at_once() {
    let golden = golden::mixed();
    let capture = golden.capture();
    let replayed = replay_into("packet,flow", &capture, |_| {}).succeeded();
    let of = |dataset: &str| {
        let mark = format!("\"dataset\":\"mirror.{dataset}\"");
        let lines = replayed.records.split_inclusive('\n').filter(|line| line.contains(&mark));
        lines.collect::<String>()
    };
    golden.check(&of("packet"));
    assert_eq!(of("flow"), flows(&capture).records);
    let queue = &replayed.ledger["queues"][0];
    assert_eq!(queue["packet_records"]["written"], replayed.ledger["recorded"], "each packet counts once");
    assert_eq!(queue["flow_records"]["written"], of("flow").lines().count());
}

#[test]
fn what_has_no_flow_is_counted() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("crafted.pcap");
    let packets = capture::packets(crafted::recorded().into_iter().map(|(_, frame)| frame));
    fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets)).unwrap();
    let ledger = flows(&path).ledger;
    assert_eq!(ledger["dropped"]["flow_not_ip"], 2, "ARP and MPLS: {ledger:#}");
    assert_eq!(ledger["dropped"]["flow_fragment"], 1, "a fragment of TCP without its first: {ledger:#}");
    assert_eq!(ledger["recorded"], packets.len() - 3);
}

#[test]
fn flows_beyond_the_table_end_early() {
    let capture = golden::mixed().capture();
    let all = flows(&capture);
    let few = replay_into("flow", &capture, |command| {
        command.args(["--max-flows", "4"]);
    });
    let few = few.succeeded();
    assert!(few.ledger["queues"][0]["flows_evicted"].as_u64().unwrap() > 0, "{:#}", few.ledger);
    assert_eq!(sums_of_flows(&few.records), sums_of_flows(&all.records));
}

#[test]
fn pcapng_holds_no_flows() {
    let replayed = replay_into("flow", Path::new("-"), |command| {
        command.args(["--format", "pcapng"]);
    });
    assert_eq!(replayed.code, 2);
    assert!(replayed.messages.contains("--records: pcapng holds packets"), "{}", replayed.messages);
}

/// Tunnel, protocol, and the two ends in the order of their text.
type Key = (Vec<Value>, Value, [(Value, Value); 2]);

/// Packets, original and captured bytes.
type Sums = BTreeMap<String, [u64; 3]>;

fn key(record: &Value) -> String {
    let mirror = &record["mirror"];
    let tunnel = ["gwlbe_id", "geneve_vni", "vxlan_vni"].map(|member| mirror[member].clone()).to_vec();
    let end = |name: &str| (record[name]["ip"].clone(), record[name]["port"].clone());
    let mut ends = [end("source"), end("destination")];
    ends.sort_by_key(|end| format!("{end:?}"));
    let key: Key = (tunnel, record["network"]["iana_number"].clone(), ends);
    format!("{key:?}")
}

fn sums(records: &str, of: impl Fn(&Value) -> [u64; 3]) -> Sums {
    let mut sums = Sums::new();
    for line in records.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let sum = sums.entry(key(&record)).or_default();
        for (sum, number) in sum.iter_mut().zip(of(&record)) {
            *sum += number;
        }
    }
    sums
}

fn sums_of_packets(records: &str) -> Sums {
    sums(records, |record| {
        let bytes = |member: &str| record["mirror"][member].as_u64().unwrap();
        [1, bytes("original_bytes"), bytes("captured_bytes")]
    })
}

fn sums_of_flows(records: &str) -> Sums {
    sums(records, |record| {
        let ends = ["source", "destination"].map(|end| (&record[end], &record["mirror"][end]));
        let [packets, bytes] =
            ["packets", "bytes"].map(|member| ends.iter().filter_map(|(end, _)| end[member].as_u64()).sum());
        assert_eq!(record["network"]["packets"], packets);
        assert_eq!(record["network"]["bytes"], bytes);
        [packets, bytes, ends.iter().filter_map(|(_, end)| end["captured_bytes"].as_u64()).sum()]
    })
}

//! Small captures whose form is unusual, and what must be read of them: `tests/cases`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Replayed, replay};

fn replay_cases(names: &[&str]) -> Replayed {
    let paths: Vec<PathBuf> = names
        .iter()
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name))
        .collect();
    replay(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>(), |_| {})
}

#[test]
fn unusual_files_are_read() {
    for (name, packets) in [
        ("packet_block.pcapng", 3),
        ("comment_latin1.pcapng", 3),
        ("mac_len.pcapng", 1),
        ("ts_2e32.pcapng", 1),
        ("orig_lt_cap.pcapng", 3),
        ("raw12.pcap", 3),
        ("fcs4.pcap", 3),
        ("raw101.pcap.pz.zst", 3),
        ("sll.pcap", 3),
        ("sll_vlan.pcap", 3),
        ("snap64.pcap", 3),
    ] {
        let replayed = replay_cases(&[name]).succeeded();
        assert_eq!(replayed.ledger["seen"], packets, "{name}");
        assert_eq!(replayed.ledger["recorded"], packets, "{name}: {}", replayed.messages);
    }
}

#[test]
fn binary_fractions_of_a_second() {
    let replayed = replay_cases(&["ts_2e32.pcapng"]).succeeded();
    let record: Value = serde_json::from_str(replayed.records.lines().next().unwrap()).unwrap();
    assert_eq!(record["@timestamp"], "2023-11-14T22:13:20.000000000Z");
}

#[test]
fn a_damaged_file_among_others() {
    let replayed = replay_cases(&["sll.pcap", "trunc.pcap", "snap64.pcap"]).balanced();
    assert_eq!(replayed.code, 1);
    let named = |line: &&str| line.starts_with("error: ") && line.contains("trunc.pcap is cut off");
    assert_eq!(replayed.messages.lines().filter(named).count(), 1, "{}", replayed.messages);
    let alone = |name| replay_cases(&[name]).records;
    let expected = [alone("sll.pcap"), alone("trunc.pcap"), alone("snap64.pcap")].concat();
    assert_eq!(replayed.records, expected);
    assert_eq!(replayed.ledger["dropped"]["file_cut_off"], 1);
}

/// A capture without a tunnel packet is explained.
#[test]
fn a_capture_on_another_port_is_told_of() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/slow_100.pcap");
    let replayed = replay(&[&path], |command| {
        command.args(["--geneve-port", "7000"]);
    });
    let replayed = replayed.succeeded();
    for told in ["no tunnel packet", "UDP port 7000", "6081", "look like GENEVE", "Try --geneve-port 6081"] {
        assert!(replayed.messages.contains(told), "{told}: {}", replayed.messages);
    }
}

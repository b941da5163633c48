//! The project's own captures give exactly the records beside them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs};

use mirror_testkit::traffic::VALID;
use pcap_file::{DataLink, Endianness};
use serde_json::Value;
use tempfile::TempDir;

use crate::capture::{self, Packet};
use crate::golden::{self, Golden};
use crate::program::{replay, replay_bytes};

/// Length of the Ethernet header of the captures' frames, which have no VLAN tags.
const ETHERNET: u32 = 14;

#[test]
fn records_are_the_golden_ones() {
    for golden in golden::all() {
        let capture = golden.capture();
        if env::var_os("MIRROR_BLESS").is_some_and(|value| value == "1") {
            golden.generate(&capture);
            fs::write(golden.records(), replay(&[&capture], |_| {}).succeeded().records).unwrap();
        }
        let replayed = replay(&[&capture], |_| {}).succeeded();
        golden.check(&replayed.records);
        assert_eq!(replayed.ledger["seen"], golden.packets());
        assert_eq!(replayed.ledger["received"], golden.packets());
        let again = replay(&[&capture], |_| {}).succeeded();
        assert_eq!(replayed.records, again.records, "a replay depends on nothing but the capture");
    }
}

#[test]
fn flows_are_the_golden_ones() {
    for golden in golden::all() {
        let flows = || {
            let replayed = replay(&[&golden.capture()], |command| {
                command.args(["--records", "flow"]);
            });
            replayed.succeeded().balanced()
        };
        let replayed = flows();
        if env::var_os("MIRROR_BLESS").is_some_and(|value| value == "1") {
            fs::write(golden.flows(), &replayed.records).unwrap();
        }
        let expected = fs::read_to_string(golden.flows()).unwrap();
        assert_eq!(replayed.records, expected, "{golden:?}");
        assert_eq!(replayed.records, flows().records, "a replay depends on nothing but the capture");
        let packets: u64 = expected
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["network"]["packets"].as_u64().unwrap())
            .sum();
        assert_eq!(replayed.ledger["recorded"], packets, "each packet is in exactly one record");
    }
}

#[test]
fn a_file_gets_what_standard_output_gets() {
    let golden = golden::mixed();
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("records.ndjson");
    let replayed = replay(&[&golden.capture()], |command| {
        command.arg("--output").arg(&output).args(["--format", "ndjson"]);
    });
    let replayed = replayed.succeeded();
    assert_eq!(replayed.records, "");
    let records = fs::read_to_string(output).unwrap();
    golden.check(&records);
    assert_eq!(replayed.ledger["run"]["output_bytes"], records.len());
}

#[test]
fn the_generator_reproduces_the_captures() {
    let directory = TempDir::new().unwrap();
    for golden in golden::all() {
        let again = directory.path().join("again.pcap");
        golden.generate(&again);
        assert!(fs::read(golden.capture()).unwrap() == fs::read(again).unwrap(), "{golden:?}");
    }
}

#[test]
fn the_records_are_of_every_kind() {
    let records = fs::read_to_string(golden::mixed().records()).unwrap();
    let kinds: BTreeSet<_> = records
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let network = |member: &str| record["network"][member].as_str().unwrap().to_owned();
            (record["mirror"]["vxlan_vni"].is_u64(), network("type"), network("transport"))
        })
        .collect();
    assert_eq!(kinds.len(), 2 * 2 * 3, "with VXLAN and without, both families, three protocols: {kinds:?}");
}

#[test]
fn each_fault_is_counted_under_its_reason() {
    let directory = TempDir::new().unwrap();
    let faults = golden::mixed().generate(&directory.path().join("again.pcap")).by_kind;
    let (valid, faults): (Vec<_>, Vec<_>) = faults.into_iter().partition(|(kind, _)| *kind == VALID);
    assert_eq!(faults.len(), 11, "{faults:?}");

    let ledger = replay(&[&golden::mixed().capture()], |_| {}).succeeded().ledger;
    assert_eq!(ledger["recorded"], valid[0].1);
    let mut dropped = ledger["dropped"].as_object().unwrap().clone();
    for (fault, packets) in faults {
        assert!(packets > 0, "the capture lacks {fault}");
        assert_eq!(dropped.remove(fault).unwrap(), packets, "{fault}");
    }
    assert!(dropped.values().all(|packets| *packets == 0), "{dropped:?}");
}

#[test]
fn compression_changes_nothing() {
    for golden in golden::all() {
        let plain = fs::read(golden.capture()).unwrap();
        let (first, second) = plain.split_at(plain.len() / 2);
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 0).unwrap();
        let compressed = [
            gzip(&plain),
            zstd(&plain),
            // As parallel compressors write it, and as files are appended to.
            [gzip(first), gzip(second)].concat(),
            [zstd(first), zstd(second)].concat(),
        ];
        for capture in compressed {
            golden.check(&replay_bytes(&capture).succeeded().records);
        }
    }
}

#[test]
fn the_format_of_the_capture_changes_nothing() {
    for golden in golden::all() {
        let packets = capture::read(&golden.capture());
        for endianness in [Endianness::Little, Endianness::Big] {
            let pcap = capture::pcap(DataLink::ETHERNET, endianness, &packets);
            let pcapng = capture::pcapng(endianness, &packets);
            for capture in [pcap, pcapng] {
                golden.check(&replay_bytes(&capture).succeeded().records);
            }
        }
    }
}

#[test]
fn the_link_type_of_the_capture_changes_nothing() {
    // Pseudo-headers for IPv4 in the place of Ethernet. BSD loopback: the address family in the byte order of the
    // machine, or big-endian. Linux cooked: type, device and address of the sender, and the EtherType.
    const FAMILY_INET: [u8; 4] = 2_u32.to_le_bytes();
    const COOKED: [u8; 16] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
    const COOKED_V2: [u8; 20] = [8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    let links: [(DataLink, &[u8]); 6] = [
        (DataLink::RAW, &[]),
        (DataLink::IPV4, &[]),
        (DataLink::NULL, &FAMILY_INET),
        (DataLink::LOOP, &[0, 0, 0, 2]),
        (DataLink::LINUX_SLL, &COOKED),
        (DataLink::LINUX_SLL2, &COOKED_V2),
    ];
    for golden in golden::all() {
        let packets = capture::read(&golden.capture());
        for (link, header) in links {
            let packets: Vec<_> = packets.iter().map(|packet| with_header(packet, header)).collect();
            let replayed = replay_bytes(&capture::pcap(link, Endianness::Little, &packets)).succeeded();
            golden.check(&replayed.records);
        }
    }
}

/// The packet with another header in the place of Ethernet.
fn with_header(packet: &Packet, header: &[u8]) -> Packet {
    let bytes = [header, &packet.bytes[ETHERNET as usize..]].concat();
    let original_length = packet.original_length + u32::try_from(header.len()).unwrap() - ETHERNET;
    Packet { original_length, bytes, ..*packet }
}

#[test]
fn files_are_replayed_in_their_order() {
    let [mixed, sizes] = golden::all().map(|golden: Golden| golden.capture());
    let one = |path: &Path| replay(&[path], |_| {}).succeeded();
    let (first, second) = (one(&sizes), one(&mixed));
    let both = replay(&[&sizes, &mixed], |_| {}).succeeded();
    assert_eq!(both.records, first.records + &second.records);
    assert_eq!(both.ledger["seen"], golden::mixed().packets() + golden::sizes().packets());
}

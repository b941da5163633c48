//! Applications of real flows, mirrored.
//!
//! The captures are public ones, not part of the project: they are looked for in `MIRROR_PCAPS`, and without that in
//! `shared/pcaps` beside the workspace. Where they are absent, a test prints a line that begins with `SKIPPED: ` and passes.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use mirror_app::dns::write::{Data, Message, Record};
use mirror_app::dns::{Flags, RecordType};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::block_common::Block;
use pcap_file::{DataLink, Endianness};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::capture::{self, Packet};
use crate::crafted;
use crate::program::{Replayed, replay};

/// First byte of a pcapng file, whatever its name.
const SECTION_HEADER: u8 = 0x0a;
/// Bytes of the header of BSD's loopback device.
const LOOPBACK_HEADER: usize = 4;

/// The folder of the captures.
fn folder() -> Option<PathBuf> {
    let folder = env::var_os("MIRROR_PCAPS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps"), PathBuf::from)
        .join("app");
    if !folder.is_dir() {
        println!("SKIPPED: {} is absent; set MIRROR_PCAPS to the folder of the captures", folder.display());
        return None;
    }
    Some(folder)
}

/// Replays a capture after its packets were wrapped as a mirror session would have sent them.
fn replay_mirrored(path: &Path, options: &[&str]) -> Replayed {
    let directory = TempDir::new().unwrap();
    let wrapped = directory.path().join("mirrored");
    let packets: Vec<Packet> = frames(path)
        .into_iter()
        .map(|packet| {
            let bytes = crafted::mirrored(&packet.bytes);
            Packet { original_length: u32::try_from(bytes.len()).unwrap(), bytes, ..packet }
        })
        .collect();
    fs::write(&wrapped, capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets)).unwrap();
    replay(&[&wrapped], |command| {
        command.args(options);
    })
    .succeeded()
}

/// The Ethernet frames of a capture in either format.
fn frames(path: &Path) -> Vec<Packet> {
    let file = fs::read(path).unwrap();
    let (link, packets) = if file[0] == SECTION_HEADER {
        let mut reader = PcapNgReader::new(file.as_slice()).unwrap();
        let mut packets = Vec::new();
        // The library cannot read blocks of secrets, which stand at the end.
        while let Some(Ok((block, _))) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block {
                packets.push((packet.timestamp, packet.data.into_owned()));
            }
        }
        (reader.interfaces()[0].linktype, packets)
    } else {
        let mut reader = PcapReader::new(file.as_slice()).unwrap();
        let mut packets = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let packet = packet.unwrap();
            packets.push((packet.timestamp(), packet.data().to_vec()));
        }
        (reader.header().datalink, packets)
    };
    let packets = packets.into_iter().map(|(time, bytes)| {
        let bytes = if link == DataLink::NULL { with_ethernet(&bytes) } else { bytes };
        Packet { time, original_length: u32::try_from(bytes.len()).unwrap(), bytes }
    });
    packets.collect()
}

/// A packet behind an Ethernet header instead of that of BSD's loopback device.
fn with_ethernet(packet: &[u8]) -> Vec<u8> {
    let packet = &packet[LOOPBACK_HEADER..];
    let ethertype: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    [&[2; 12][..], &ethertype, packet].concat()
}

fn records(replayed: &Replayed) -> Vec<Value> {
    replayed.records.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Server names and JA4 of both records are those that the published implementation gives, for the ClientHellos of each file.
#[test]
fn names_and_fingerprints_of_tls() {
    let Some(folder) = folder() else { return };
    let expected: Value =
        serde_json::from_slice(&fs::read(folder.join("ja4-expected.json")).unwrap()).unwrap();
    for (file, hellos) in expected.as_object().unwrap() {
        let replayed = replay_mirrored(&folder.join(file), &["--records", "flow,tls"]);
        let mut told = [BTreeSet::new(), BTreeSet::new()];
        for record in records(&replayed) {
            let is_flow = record["event"]["dataset"] == "mirror.flow";
            assert!(is_flow || record["event"]["dataset"] == "mirror.tls", "{record:#}");
            if record["mirror"]["tls"]["ja4"].is_string() {
                told[usize::from(is_flow)].insert([
                    text(&record["source"]["ip"]),
                    record["source"]["port"].to_string(),
                    text(&record["tls"]["client"]["server_name"]),
                    text(&record["mirror"]["tls"]["ja4"]),
                ]);
            }
        }
        let expected: BTreeSet<[String; 4]> = hellos
            .as_array()
            .unwrap()
            .iter()
            .map(|hello| ["src", "srcport", "domain", "ja4"].map(|key| text(&hello[key])))
            .collect();
        for told in &told {
            assert!(told.is_superset(&expected), "{file}: {told:#?} for {expected:#?}");
        }
        assert_eq!(told[0], told[1], "{file}");
    }
}

/// A query and its answer over UDP: a record of each, and their number in that of the flow. Where payload may not be recorded there
/// is nothing of either.
#[test]
fn messages_of_dns() {
    let questions = [("WWW.Example.com", RecordType::A)];
    let query = Message { id: 7, flags: Flags(0x0100), questions: &questions, ..Message::default() };
    let data = Data::Address([192, 0, 2, 1].into());
    let answers = [Record { name: "www.example.com", ttl: 300, data }];
    let response = Message { flags: Flags(0x8180), answers: &answers, ..query.clone() };
    let frames = [(false, &query), (true, &response)].map(|(is_reply, message)| {
        let mut bytes = Vec::new();
        message.append_to(&mut bytes).unwrap();
        crafted::mirrored(&crafted::exchange(40_000, 53, is_reply, &bytes))
    });
    let packets = capture::packets(frames);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("mirrored");
    fs::write(&path, capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets)).unwrap();
    let replay_with = |options: &[&str]| {
        let replayed = replay(&[&path], |command| {
            command.args(options);
        });
        let replayed = replayed.succeeded();
        (records(&replayed), replayed.ledger["queues"][0].clone())
    };
    let (found, queue) = replay_with(&["--records", "flow,dns"]);
    assert_eq!(queue["application_records"]["written"], 2, "{queue:#}");
    assert_eq!(queue["applications"]["found"], 2, "{queue:#}");
    assert_eq!(queue["applications"]["flows"], 1, "{queue:#}");
    let of = |dataset: &str| -> Vec<&Value> {
        found.iter().filter(|record| record["event"]["dataset"] == dataset).collect()
    };
    let (messages, flows) = (of("mirror.dns"), of("mirror.flow"));
    let [query, response] = messages[..] else { panic!("{found:#?}") };
    assert_eq!(query["dns"]["type"], "query");
    assert_eq!(query["dns"]["question"]["name"], "www.example.com");
    assert_eq!(query["dns"]["header_flags"], json!(["RD"]));
    assert_eq!(response["dns"]["type"], "answer");
    assert_eq!(response["dns"]["response_code"], "NOERROR");
    assert_eq!(response["dns"]["resolved_ip"], json!(["192.0.2.1"]));
    assert_eq!(response["dns"]["answers"][0]["ttl"], 300);
    assert_eq!(query["network"]["community_id"], flows[0]["network"]["community_id"]);
    assert_eq!(flows[0]["network"]["protocol"], "dns");
    assert_eq!(flows[0]["mirror"]["dns"]["messages"], 2);

    // Where addresses are hidden, so are those in answers, and names that tell an address.
    let config = directory.path().join("config.toml");
    fs::write(&config, "[[privacy]]\naddresses = \"mask\"\n").unwrap();
    let (masked, _) = replay_with(&["--records", "dns", "--config", config.to_str().unwrap()]);
    assert_eq!(masked[1]["dns"]["resolved_ip"], json!(["192.0.2.0"]));
    assert_eq!(masked[1]["dns"]["question"]["name"], "www.example.com");
    assert_eq!(masked[1]["mirror"]["privacy"]["addresses"], "mask");
    fs::write(&config, "[[privacy]]\nnames = \"drop\"\n").unwrap();
    let (nameless, _) = replay_with(&["--records", "dns", "--config", config.to_str().unwrap()]);
    assert!(!nameless.iter().any(|record| record.to_string().contains("example")), "{nameless:#?}");

    let (without, queue) = replay_with(&["--records", "flow,dns", "--payload", "false"]);
    assert_eq!(queue["applications"]["flows"], 0, "{queue:#}");
    let [flow] = &without[..] else { panic!("{without:#?}") };
    assert!(flow["network"]["protocol"].is_null() && flow["mirror"]["dns"].is_null(), "{flow:#}");
}

/// Requests of a real flow with their responses, held against the schema; a flow's record has the first of them.
#[test]
fn requests_of_http() {
    let Some(folder) = folder() else { return };
    let replayed = replay_mirrored(&folder.join("http1.pcapng"), &["--records", "flow,http"]);
    let found = records(&replayed);
    let of = |dataset: &str| -> Vec<&Value> {
        found.iter().filter(|record| record["event"]["dataset"] == dataset).collect()
    };
    let requests = of("mirror.http");
    assert!(!requests.is_empty());
    for record in &requests {
        let http = &record["http"];
        assert!(
            http["request"]["method"].is_string() || http["response"]["status_code"].is_u64(),
            "{record:#}"
        );
        assert_eq!(record["network"]["protocol"], "http");
    }
    let hosts = |records: Vec<&Value>| -> BTreeSet<String> {
        records
            .iter()
            .map(|record| text(&record["destination"]["domain"]))
            .filter(|name| !name.is_empty())
            .collect()
    };
    let tshark = Command::new("tshark")
        .args(["-r"])
        .arg(folder.join("http1.pcapng"))
        .args(["-Y", "http.request", "-T", "fields", "-e", "http.host"])
        .output()
        .unwrap();
    // Names of servers, without their ports; addresses are none.
    let expected: BTreeSet<String> = String::from_utf8(tshark.stdout)
        .unwrap()
        .lines()
        .filter_map(|host| host.split(':').next())
        .filter(|name| name.parse::<IpAddr>().is_err())
        .map(str::to_owned)
        .collect();
    assert_eq!(hosts(requests), expected);
    assert_eq!(hosts(of("mirror.flow")), expected);

    // A host that is an address goes with the addresses, from both records.
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("config.toml");
    fs::write(&config, "[[privacy]]\naddresses = \"mask\"\n").unwrap();
    let options = ["--records", "flow,http", "--config", config.to_str().unwrap()];
    let masked = records(&replay_mirrored(&folder.join("http1.pcapng"), &options));
    let is_address =
        |record: &Value| record["url"]["domain"].as_str().is_some_and(|host| host.parse::<IpAddr>().is_ok());
    assert!(found.iter().any(is_address) && !masked.iter().any(is_address));
}

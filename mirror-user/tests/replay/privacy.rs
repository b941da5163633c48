//! No output has anything that the privacy rules keep out of it.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pcap_file::{DataLink, Endianness};
use serde_json::Value;
use tempfile::TempDir;

use crate::capture::{self, packets};
use crate::crafted;

/// The key of the published test vectors of ipcrypt-pfx.
const KEY: &str = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";
/// The inner and outer addresses of all crafted frames.
const ADDRESSES: [&str; 4] = ["10.1.2.3", "198.51.100.7", "2001:db8::1", "2001:db8:1::ff00:2"];
/// MAC addresses that do not look like counters or zeros, in place of those of the crafted frames.
const MACS: [[u8; 6]; 2] = [[2, 0x4d, 0xac, 0x7e, 0x11, 1], [2, 0x4d, 0xac, 0x7e, 0x11, 2]];
/// Payload of the crafted frames.
const PAYLOAD: [&str; 4] = ["question", "behind", "router alert", "too big"];

/// A configuration, a capture and room for output.
struct Run {
    directory: TempDir,
}

/// Everything that a run has put out: a name, and the bytes.
type Outputs = Vec<(String, Vec<u8>)>;

impl Run {
    /// With these rules; `KEY_FILE` in them stands for the path of the key.
    fn new(rules: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("privacy.key"), KEY).unwrap();
        fs::set_permissions(path("privacy.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let key_file = format!("{:?}", path("privacy.key").to_str().unwrap());
        fs::write(path("config.toml"), rules.replace("KEY_FILE", &key_file)).unwrap();
        let telling = crafted::telling().into_iter().map(|(_, frame)| crafted::mirrored(&frame));
        let frames = crafted::recorded().into_iter().map(|(_, frame)| frame).chain(telling).map(with_macs);
        fs::write(path("capture"), capture::pcap(DataLink::ETHERNET, Endianness::Little, &packets(frames)))
            .unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-capture"));
        command.args(arguments).arg("--config").arg(self.path("config.toml"));
        command.env_remove("MIRROR_LOG").stdin(Stdio::null()).output().unwrap()
    }

    /// Replays the capture to `destination`, with the log at its most talkative.
    fn replay(&self, destination: &str, format: &str, records: &str) -> Outputs {
        let (capture, ledger) = (self.path("capture"), self.path("ledger.json"));
        let destination =
            if destination == "-" { destination.into() } else { self.path(destination).into_os_string() };
        let output = self.command(&[
            "replay",
            capture.to_str().unwrap(),
            "--output",
            destination.to_str().unwrap(),
            "--format",
            format,
            "--records",
            records,
            "--ledger",
            ledger.to_str().unwrap(),
            "--log",
            "trace",
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: Value = serde_json::from_slice(&fs::read(&ledger).unwrap()).unwrap();
        assert_eq!(json["balanced"], true, "{json:#}");
        let mut outputs =
            vec![("standard output".to_owned(), output.stdout), ("log".to_owned(), output.stderr)];
        let written = files(self.directory.path()).into_iter().filter(|path| {
            !["capture", "config.toml", "privacy.key"].iter().any(|own| *path == self.path(own))
        });
        outputs.extend(written.map(|path| (path.display().to_string(), fs::read(path).unwrap())));
        outputs
    }

    /// The records of a replay to standard output.
    fn records(&self, records: &str) -> Vec<Value> {
        let outputs = self.replay("-", "ndjson", records);
        let text = str::from_utf8(&outputs[0].1).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The frame with other MAC addresses, in every header and body.
fn with_macs(mut frame: Vec<u8>) -> Vec<u8> {
    for start in 0..frame.len().saturating_sub(5) {
        for (number, mac) in (1..).zip(MACS) {
            if frame[start..start + 6] == [2, 0, 0, 0, 0, number] {
                frame[start..start + 6].copy_from_slice(&mac);
            }
        }
    }
    frame
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A plain value, and the forms that it may stand in.
fn plain_values() -> Vec<(String, Vec<Vec<u8>>)> {
    let mut values = Vec::new();
    for text in ADDRESSES {
        let bytes = match text.parse().unwrap() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        values.push((text.to_owned(), vec![text.as_bytes().to_vec(), bytes]));
    }
    for mac in MACS {
        let text = |separator: &str| mac.map(|byte| format!("{byte:02X}")).join(separator);
        let texts = ["-", ":", ""].map(text);
        let lower = texts.clone().map(|text| text.to_lowercase());
        let forms = texts.iter().chain(&lower).map(|text| text.as_bytes().to_vec());
        values.push((texts[0].clone(), forms.chain([mac.to_vec()]).collect()));
    }
    values.extend(PAYLOAD.map(|text| (text.to_owned(), vec![text.as_bytes().to_vec()])));
    values
}

fn contains(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

/// The plain values that stand in any of the outputs, with the output's name.
fn found(outputs: &Outputs) -> Vec<String> {
    let values = plain_values();
    let hits = outputs.iter().flat_map(|(name, bytes)| {
        let hits = values.iter().filter(|(_, forms)| forms.iter().any(|form| contains(bytes, form)));
        hits.map(move |(value, _)| format!("{value} in {name}"))
    });
    hits.collect()
}

const OUTPUTS: [(&str, &str, &str); 6] = [
    ("-", "ndjson", "both"),
    ("records.ndjson", "ndjson", "both"),
    ("records/", "ndjson", "both"),
    ("-", "pcapng", "packet"),
    ("records.pcapng", "pcapng", "packet"),
    ("records/", "pcapng", "packet"),
];

#[test]
fn no_output_has_a_plain_value() {
    for treatment in [
        "addresses = \"pseudonym\"\nnames = \"hash\"\nkey_file = KEY_FILE\n",
        "addresses = \"pseudonym\"\nkey_file = KEY_FILE\n",
        "addresses = \"mask\"\n",
        "addresses = \"mask\"\nnames = \"drop\"\npayload = false\n",
        "addresses = \"mask\"\nsnap_length = 0\n",
    ] {
        for (destination, format, records) in OUTPUTS {
            let run = Run::new(&format!("[[privacy]]\n{treatment}"));
            let outputs = run.replay(destination, format, records);
            assert!(outputs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 5000, "there are records");
            assert_eq!(found(&outputs), Vec::<String>::new(), "{treatment} {destination} {format}");
        }
    }
}

/// Without rules, the same search finds what there is to be found.
#[test]
fn the_search_finds_plain_values() {
    for (destination, format, records) in OUTPUTS {
        let hits = found(&Run::new("").replay(destination, format, records));
        let is_found = |value: &str| hits.iter().any(|hit| hit.starts_with(&format!("{value} in ")));
        let macs = MACS.map(|mac| mac.map(|byte| format!("{byte:02X}")).join("-"));
        for value in ADDRESSES.into_iter().chain(macs.iter().map(String::as_str)) {
            assert!(is_found(value), "{value} {destination} {format}: {hits:?}");
        }
        if format == "pcapng" {
            assert!(PAYLOAD.into_iter().all(is_found), "{destination}: {hits:?}");
        }
    }
}

/// Where only MAC addresses or names are left out, what holds them goes as well, and addresses stay.
#[test]
fn macs_and_payload_go_without_the_addresses() {
    for (treatment, gone) in [
        ("macs = false\n", "02-4D-AC-7E-11-01"),
        ("macs = false\n", "question"),
        ("names = \"drop\"\n", "question"),
        ("payload = false\n", "question"),
        ("payload = false\n", "too big"),
    ] {
        let run = Run::new(&format!("[[privacy]]\n{treatment}"));
        for (destination, format, records) in OUTPUTS {
            let hits = found(&run.replay(destination, format, records));
            assert!(!hits.iter().any(|hit| hit.starts_with(gone)), "{treatment} {format}: {hits:?}");
            assert!(hits.iter().any(|hit| hit.starts_with("10.1.2.3")), "{treatment} {format}: {hits:?}");
        }
    }
}

#[test]
fn the_key_id_stands_in_each_record() {
    for (key_id, expected) in [("key_id = \"2026-11\"", "2026-11"), ("", "334c6e76")] {
        let run =
            Run::new(&format!("[[privacy]]\naddresses = \"pseudonym\"\nkey_file = KEY_FILE\n{key_id}\n"));
        let records = run.records("both");
        for record in &records {
            assert_eq!(record["mirror"]["privacy"]["addresses"], "pseudonym");
            assert_eq!(record["mirror"]["privacy"]["key_id"], expected, "{record}");
            assert!(
                record["network"].get("direction").is_none(),
                "it would tell which addresses are private"
            );
        }
        let datasets: Vec<_> =
            records.iter().filter_map(|record| record["event"]["dataset"].as_str()).collect();
        assert!(datasets.contains(&"mirror.flow") && datasets.contains(&"mirror.packet"));
        let outputs = run.replay("-", "pcapng", "packet");
        let comment = format!(" privacy_addresses=pseudonym privacy_macs=drop privacy_key_id={expected}");
        let comments =
            outputs[0].1.windows(comment.len()).filter(|bytes| *bytes == comment.as_bytes()).count();
        assert_eq!(comments, datasets.iter().filter(|dataset| **dataset == "mirror.packet").count());
    }
}

/// Addresses of the same network have pseudonyms of the same network, and the Community ID is that of the pseudonyms.
#[test]
fn community_ids_are_those_of_the_pseudonyms() {
    let run = Run::new("[[privacy]]\naddresses = \"pseudonym\"\nkey_file = KEY_FILE\n");
    let mut compared = 0;
    for record in run.records("flow") {
        let text = |end: &str| record[end]["ip"].as_str().unwrap().parse::<IpAddr>().unwrap();
        let port = |end: &str| record[end]["port"].as_u64().map(|port| u16::try_from(port).unwrap());
        let Some(transport) =
            record["network"]["iana_number"].as_str().filter(|number| ["6", "17"].contains(number))
        else {
            continue;
        };
        let Some(id) = record["network"]["community_id"].as_str() else { continue };
        let expected = community_id::calculate_community_id(
            0,
            text("source"),
            text("destination"),
            port("source"),
            port("destination"),
            transport.parse().unwrap(),
            false,
        );
        assert_eq!(id, expected.unwrap(), "{record}");
        compared += 1;
    }
    assert!(compared >= 3, "{compared} flows");
}

#[test]
fn only_listed_fields_are_there() {
    let run = Run::new("[[privacy]]\nfields = [\"destination.port\", \"network\", \"mirror.vxlan_vni\"]\n");
    let outputs = run.replay("-", "ndjson", "both");
    assert!(found(&outputs).is_empty());
    let text = str::from_utf8(&outputs[0].1).unwrap();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let members: Vec<&String> = record.as_object().unwrap().keys().collect();
        let known = ["@timestamp", "destination", "ecs", "event", "mirror", "network"];
        assert!(members.iter().all(|member| known.contains(&member.as_str())), "{line}");
        let destination: Vec<_> =
            record["destination"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
        assert!(destination.iter().all(|name| *name == "port"), "{line}");
        assert_eq!(record["event"].as_object().unwrap().len(), 2, "{line}");
        assert!(record["mirror"]["sampling_rate"].is_u64(), "{line}");
    }
}

#[test]
fn rules_limit_records_by_tunnel() {
    let run = Run::new("[[privacy]]\nvni = 4242\nrecords = []\n");
    let records = run.records("both");
    assert!(!records.is_empty());
    assert!(records.iter().all(|record| record["mirror"]["vxlan_vni"] != 4242));
    let ledger: Value = serde_json::from_slice(&fs::read(run.path("ledger.json")).unwrap()).unwrap();
    let mirrored = crafted::bare().len() + crafted::telling().len();
    assert_eq!(ledger["dropped"]["policy_excluded"], mirrored);

    let run = Run::new("[[privacy]]\nvni = 4242\nsnap_length = 152\n");
    for record in run.records("packet").iter().filter(|record| record["mirror"]["vxlan_vni"] == 4242) {
        assert!(record["mirror"]["captured_bytes"].as_u64().unwrap() <= 152 - 118, "{record}");
    }
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let run = Run::new("[[privacy]]\naddresses = \"pseudonym\"\nkey_file = KEY_FILE\n");
    fs::set_permissions(run.path("privacy.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = run.command(&["replay", run.path("capture").to_str().unwrap()]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("mode 0644") && message.contains("chmod 600"), "{message}");
    assert!(output.stdout.is_empty() && !message.contains(KEY));
}

#[test]
fn faults_of_the_rules_are_those_of_the_configuration() {
    for (rules, format, expected) in [
        ("addresses = \"pseudonym\"", "ndjson", "[[privacy]] number 1: key_file is missing"),
        ("account = \"123456789012\"", "ndjson", "number 1: account can match nothing"),
        ("fields = [\"source\"]", "pcapng", "number 1: fields lists members of JSON"),
    ] {
        let run = Run::new(&format!("[[privacy]]\n{rules}\n"));
        let capture = run.path("capture");
        let output =
            run.command(&["replay", capture.to_str().unwrap(), "--format", format, "--records", "packet"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn explains_which_rule_is_for_a_tunnel() {
    let run = Run::new(
        "[[rule]]
         vni = 7
         records = [\"flow\", \"packet\"]
         snap_length = 300
         [[privacy]]
         gwlbe_id = \"vpce-00123456789abcdef\"
         vni = 7
         addresses = \"pseudonym\"
         names = \"hash\"
         key_file = \"/not/read\"
         key_id = \"2026-11\"
         [[privacy]]
         vni = 7
         records = [\"flow\"]
         snap_length = 200
         payload = false
         addresses = \"mask\"
         ipv4_prefix = 16
         fields = [\"source\", \"network.bytes\"]
         names = \"drop\"",
    );
    let explained = |arguments: &[&str]| {
        let output = run.command(&[&["rules", "explain"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        explained(&["--endpoint", "0123456789ABCDEF", "--vni", "7"]),
        "rule        [[privacy]] number 1, for gwlbe_id GWLBE, vni 7\n\
         records     flow, packet\n\
         bytes       the first 300 of the outer frame\n\
         payload     may be looked at; no record has its bytes, which could tell what is not kept\n\
         addresses   pseudonyms by the key 2026-11\n\
         macs        left out\n\
         names       hashed by the key 2026-11\n\
         fields      all\n"
            .replace("GWLBE", &mirror_user::number::EndpointId(0x0123_4567_89ab_cdef).to_string())
    );
    assert_eq!(
        explained(&["--vni", "7", "--account", "123456789012", "--tag", "env=prod"]),
        "rule        [[privacy]] number 2, for vni 7\n\
         records     flow\n\
         bytes       the first 200 of the outer frame\n\
         payload     left out\n\
         addresses   masked to /16 and /56\n\
         macs        left out\n\
         names       left out\n\
         fields      source, network.bytes\n"
    );
    assert_eq!(
        explained(&["--vni", "8"]),
        "rule        none of [[privacy]]: everything stands as it is\n\
         records     flow\n\
         bytes       all\n\
         payload     kept\n"
    );
}

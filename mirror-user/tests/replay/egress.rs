//! The walk in docs/egress.md, from learning to alarm: each command in it is run, and its output is the one that stands there.
//!
//! Where the output is meant to change, `MIRROR_BLESS=1 cargo test -p mirror-user --test replay egress` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::golden;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/egress.md");

/// A flow record with the members that egress rules go by.
fn record(number: u64, destination: &str, port: u16, domain: Option<(&str, &str)>, mismatch: bool) -> String {
    let (transport, iana_number) = if port == 53 { ("udp", "17") } else { ("tcp", "6") };
    let mut record = json!({
        "@timestamp": format!("2026-11-{:02}T09:05:12.000000000Z", number % 20 + 1),
        "event": {
            "dataset": "mirror.flow",
            "start": format!("2026-11-{:02}T09:04:12.000000000Z", number % 20 + 1),
            "end": format!("2026-11-{:02}T09:05:12.000000000Z", number % 20 + 1),
        },
        "source": { "ip": format!("10.0.0.{}", number % 100 + 10), "port": 40_000 + number },
        "destination": { "ip": destination, "port": port },
        "network": {
            "type": "ipv4", "transport": transport, "iana_number": iana_number, "direction": "outbound",
            "packets": 10 + number, "bytes": 1000 + 100 * number,
        },
        "cloud": { "account": { "id": "111122223333" } },
        "mirror": {},
    });
    if let Some((name, evidence)) = domain {
        record["destination"]["domain"] = name.into();
        record["mirror"]["domain"] = json!({ "evidence": evidence });
        if evidence == "sni" {
            record["network"]["protocol"] = "tls".into();
            record["tls"] = json!({ "client": { "server_name": name } });
        }
    }
    if mismatch {
        record["mirror"]["domain"]["mismatch"] = true.into();
    }
    format!("{record}\n")
}

/// The records of the walk: a shop that loads pictures, pays, and asks its resolver, and what does not belong there.
fn flows() -> String {
    let mut lines = String::new();
    for number in 0..12 {
        let name = format!("img{}.cdn.example.com", number % 6);
        lines += &record(number, "203.0.113.10", 443, Some((&name, "sni")), false);
        lines += &record(number, "203.0.113.20", 443, Some(("api.payments.example", "sni")), false);
        lines += &record(number, "10.0.0.2", 53, None, false);
    }
    lines += &record(5, "203.0.113.21", 21, Some(("ftp.mirror.example", "dns")), false);
    lines += &record(6, "198.51.100.7", 443, None, false);
    lines += &record(7, "198.51.100.9", 443, Some(("api.payments.example", "sni")), true);
    let inbound = record(8, "10.0.0.10", 443, None, false).replace("outbound", "inbound");
    lines + &inbound
}

fn rules(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-capture"));
    command.arg("rules").args(arguments).current_dir(directory).env_remove("MIRROR_LOG").stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The document with the output of its commands as it is now. Its TOML becomes files, named in their first lines.
fn walk(document: &str, directory: &Path) -> String {
    let mut walked = String::new();
    for (number, block) in document.split("```").enumerate() {
        if number > 0 {
            walked += "```";
        }
        if let Some(toml) = block.strip_prefix("toml\n# ") {
            fs::write(directory.join(toml.lines().next().unwrap()), toml.split_once('\n').unwrap().1)
                .unwrap();
        }
        let Some(console) = block.strip_prefix("console\n").filter(|_| number % 2 == 1) else {
            walked += block;
            continue;
        };
        walked += "console\n";
        for command in console.lines().filter_map(|line| line.strip_prefix("$ mirror-capture rules ")) {
            let (code, output, messages) = rules(directory, &command.split(' ').collect::<Vec<_>>());
            assert_eq!((code, messages.as_str()), (0, ""), "{command}");
            write!(walked, "$ mirror-capture rules {command}\n{output}").unwrap();
        }
    }
    walked
}

fn directory() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let flows_path = directory.path().join("flows.ndjson");
    fs::write(&flows_path, flows()).unwrap();
    (directory, flows_path)
}

#[test]
fn the_documented_walk_is_what_the_program_does() {
    let (directory, _) = directory();
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let walked = walk(&document, directory.path());
    if std::env::var_os("MIRROR_BLESS").is_some() {
        fs::write(DOCUMENT, &walked).unwrap();
    } else {
        assert!(walked == document, "docs/egress.md is not what the program says now:\n{walked}");
    }
    // The learned list compiles, and raises an alert for nothing but what it leaves out.
    let (code, learned, _) = rules(directory.path(), &["learn", "flows.ndjson"]);
    assert_eq!(code, 0);
    fs::write(directory.path().join("learned.toml"), learned).unwrap();
    let (code, report, messages) =
        rules(directory.path(), &["test", "--config", "learned.toml", "flows.ndjson"]);
    assert_eq!(code, 0, "{messages}");
    assert!(report.starts_with("39 flow records: 38 allowed, 1 alerts, 0 would be denied\n"), "{report}");
}

#[test]
fn compressed_records_and_captures_are_read() {
    let (directory, flows_path) = directory();
    let text = fs::read(&flows_path).unwrap();
    let (_, expected, _) = rules(directory.path(), &["learn", "flows.ndjson"]);
    fs::write(directory.path().join("flows.zst"), zstd::encode_all(&text[..], 1).unwrap()).unwrap();
    let gzip = fs::File::create(directory.path().join("flows.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(gzip, flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, &text).unwrap();
    gzip.finish().unwrap();
    for file in ["flows.zst", "flows.gz"] {
        assert_eq!(rules(directory.path(), &["learn", file]), (0, expected.clone(), String::new()), "{file}");
    }
    // A capture gives what its own flow records give.
    let capture = golden::mixed().capture();
    let capture = capture.to_str().unwrap();
    let records = capture.replace(".pcap", ".flows.ndjson");
    let learn = |file| rules(directory.path(), &["learn", "--per", "everyone", file]);
    let (code, learned, messages) = learn(capture);
    assert_eq!((code, messages.as_str()), (0, ""));
    assert!(learned.contains("[[egress]]"), "{learned}");
    assert_eq!(learn(&records).1, learned);
}

#[test]
fn what_is_wrong_is_named() {
    let (directory, _) = directory();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("wrong.toml", "[[egress]]\naction = \"deny\"\nports = [70000]\n");
    write("none.toml", "");
    write("deny.toml", "[[egress]]\naction = \"deny\"\n");
    write("text.ndjson", "{}\n{\"event\":{\"dataset\":\"mirror.packet\"}}\n");
    for (arguments, code, expected) in [
        (
            &["test", "--config", "wrong.toml", "flows.ndjson"][..],
            2,
            "[[egress]] number 1: ports \"70000\" is no port",
        ),
        (&["test", "--config", "none.toml", "flows.ndjson"], 1, "has no [[egress]] table"),
        (&["test", "--config", "deny.toml", "text.ndjson"], 1, "no flow records in 1 file(s), but 2 line(s)"),
        (&["learn", "absent.ndjson"], 1, "cannot read absent.ndjson: No such file"),
        (&["explain", "--config", "deny.toml", "--port", "443"], 2, "--to"),
    ] {
        let (exit, output, messages) = rules(directory.path(), arguments);
        assert_eq!((exit, output.as_str()), (code, ""), "{messages}");
        assert!(messages.contains(expected), "{arguments:?}: {messages}");
    }
}

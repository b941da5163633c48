//! The command line: files, pipes, exit codes.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::golden;
use crate::program::{Replayed, command, replay};

/// The last line on standard error.
fn error(replayed: &Replayed) -> &str {
    let line = replayed.messages.lines().last().unwrap_or_default();
    assert!(line.starts_with("error: "), "{}", replayed.messages);
    line
}

#[test]
fn a_missing_file() {
    let golden = golden::mixed().capture();
    let missing = "error: cannot open /no/such.pcap: No such file or directory (os error 2)";
    let replayed = replay(&[Path::new("/no/such.pcap")], |_| {});
    assert_eq!((replayed.code, error(&replayed)), (1, missing));
    assert_eq!((replayed.records.as_str(), &replayed.ledger), ("", &Value::Null), "nothing was begun");
    // Another file is read all the same.
    let replayed = replay(&[&golden, Path::new("/no/such.pcap")], |_| {}).balanced();
    assert_eq!((replayed.code, error(&replayed)), (1, missing));
    golden::mixed().check(&replayed.records);
}

#[test]
fn a_directory_is_no_capture() {
    let directory = TempDir::new().unwrap();
    let replayed = replay(&[directory.path()], |_| {});
    assert_eq!(replayed.code, 1);
    assert!(error(&replayed).contains(directory.path().to_str().unwrap()), "{}", replayed.messages);
}

#[test]
fn a_file_that_is_no_capture() {
    let directory = TempDir::new().unwrap();
    let text = directory.path().join("notes.txt");
    fs::write(&text, "no capture, but long enough to be one").unwrap();
    let replayed = replay(&[&text], |_| {});
    assert_eq!((replayed.code, replayed.records.as_str()), (1, ""));
    assert!(error(&replayed).contains("notes.txt is neither pcap nor pcapng"), "{}", replayed.messages);

    let golden = golden::sizes();
    let replayed = replay(&[&golden.capture(), &text], |_| {}).balanced();
    assert_eq!(replayed.code, 1);
    assert!(error(&replayed).contains("notes.txt is neither pcap nor pcapng"), "{}", replayed.messages);
    golden.check(&replayed.records);
}

#[test]
fn what_stands_before_the_damage_is_recorded() {
    let golden = golden::sizes();
    let whole = fs::read(golden.capture()).unwrap();
    let expected = fs::read_to_string(golden.records()).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("damaged.pcap");
    // The file header has 24 bytes, that of a packet 16; its third word is the length of the packet.
    let lengths = starts(&whole);
    let (seventh, eighth) = (lengths[6], lengths[7]);
    let mut absurd = whole.clone();
    absurd[seventh + 8..seventh + 12].fill(0xff);
    let cases = [
        ("cut in a packet", whole[..eighth - 1].to_vec(), 6),
        ("cut in a packet's header", whole[..seventh + 9].to_vec(), 6),
        ("an absurd length", absurd, 6),
        ("cut behind the file header", whole[..24 + 3].to_vec(), 0),
    ];
    for (name, bytes, packets) in cases {
        fs::write(&path, &bytes).unwrap();
        let replayed = replay(&[&path], |_| {}).balanced();
        assert_eq!(replayed.code, 1, "{name}");
        let message = error(&replayed);
        let told = if name == "an absurd length" { "is damaged at byte" } else { "is cut off" };
        assert!(message.contains(&format!("damaged.pcap {told}")), "{name}: {message}");
        let before: String = expected.split_inclusive('\n').take(packets).collect();
        assert_eq!(replayed.records, before, "{name}");
        assert_eq!(replayed.ledger["recorded"], packets, "{name}");
        // The packet that could not be read is counted.
        assert_eq!(replayed.ledger["seen"], packets + 1, "{name}");
    }

    let compressed = |bytes: &[u8]| zstd::encode_all(bytes, 0).unwrap();
    let first = compressed(&whole[..seventh]);
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    for (name, bytes, packets) in [
        (
            "the second of two compressed parts is cut",
            [first, cut(&compressed(&whole[seventh..]))].concat(),
            6,
        ),
        ("all that is compressed is cut", cut(&compressed(&whole)), 0),
    ] {
        fs::write(&path, bytes).unwrap();
        let replayed = replay(&[&path], |_| {});
        assert_eq!(replayed.code, 1, "{name}");
        let message = error(&replayed);
        assert!(
            message.contains("damaged.pcap cannot be decompressed") && message.contains("ends within"),
            "{name}: {message}"
        );
        let before: String = expected.split_inclusive('\n').take(packets).collect();
        assert!(replayed.records.starts_with(&before) && expected.starts_with(&replayed.records), "{name}");
    }
}

/// The offset of each packet's header in a little-endian pcap file.
fn starts(pcap: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut next = 24;
    while let Some(header) = pcap.get(next..next + 16) {
        starts.push(next);
        next += 16 + u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
    }
    starts
}

#[test]
fn an_empty_capture_is_one() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("empty.pcap");
    fs::write(&path, &fs::read(golden::sizes().capture()).unwrap()[..24]).unwrap();
    let replayed = replay(&[&path], |_| {}).succeeded();
    assert_eq!((replayed.records.as_str(), &replayed.ledger["seen"]), ("", &Value::from(0)));
}

#[test]
fn standard_input() {
    let golden = golden::mixed();
    let replayed = replay(&[Path::new("-")], |command| {
        command.stdin(File::open(golden.capture()).unwrap());
    });
    golden.check(&replayed.succeeded().records);
    let replayed = replay(&[Path::new("-")], |command| {
        command.stdin(Stdio::null());
    });
    assert_eq!(replayed.code, 1);
    assert!(error(&replayed).starts_with("error: standard input is empty"), "{}", replayed.messages);
}

#[test]
fn a_configuration_file() {
    let directory = TempDir::new().unwrap();
    let config = directory.path().join("mirror-capture.toml");
    let capture = golden::mixed().capture();
    let configured = |text: &str| {
        fs::write(&config, text).unwrap();
        replay(&[&capture], |command| {
            command.arg("--config").arg(&config);
        })
    };

    let replayed = configured("[tunnel]\nmax_depth = 2\nmaximum_depth = 3\n");
    assert_eq!((replayed.code, &replayed.ledger), (2, &Value::Null));
    let messages = &replayed.messages;
    assert!(messages.contains("mirror-capture.toml") && messages.contains("line 3"), "{messages}");
    assert!(messages.contains("maximum_depth"), "{messages}");

    let replayed = configured("[tunnel]\nmax_depth = 9\n");
    assert_eq!(replayed.code, 2);
    assert_eq!(error(&replayed), "error: --max-depth: 9 is not from 1 to 8");

    let replayed = configured("[tunnel]\ngeneve_port = 6082\n").succeeded();
    assert_eq!(replayed.ledger["dropped"]["not_tunnel"], golden::mixed().packets());

    fs::remove_file(&config).unwrap();
    let replayed = replay(&[&capture], |command| {
        command.arg("--config").arg(&config);
    });
    assert_eq!(replayed.code, 2);
    assert_eq!(
        error(&replayed),
        format!(
            "error: cannot read the configuration {}: No such file or directory (os error 2)",
            config.display()
        )
    );
}

#[test]
fn a_wrong_command_line() {
    for arguments in
        [&["--no-such-flag"][..], &["--format", "xml"], &["--max-depth", "0"], &["--queue-batches", "1"]]
    {
        let replayed = replay(&[&golden::mixed().capture()], |command| {
            command.args(arguments);
        });
        assert_eq!(replayed.code, 2, "{arguments:?}: {}", replayed.messages);
        assert!(replayed.messages.contains(arguments[0]), "{}", replayed.messages);
    }
    let output = command().output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no file is named");
}

#[test]
fn what_is_wrong_with_the_command_line_is_told_with_what_would_do() {
    for (command, option, value, expected) in [
        ("replay", "--records", "bot", "[possible values: packet, flow, both, dns, tls, http]"),
        ("replay", "--records", "packet,flo", "[possible values: packet, flow, both, dns, tls, http]"),
        ("replay", "--format", "json", "[possible values: ndjson, pcapng]"),
        ("replay", "--degradation", "aut", "[possible values: off, flows, sampled, counters, auto]"),
        ("replay", "--idle-timeout", "5", "\"5\" is not a time such as 50us, 5m or \"1h 30m\""),
        ("replay", "--geneve-port", "65536", "65536 is too large"),
        ("replay", "--rotate-size", "big", "\"big\" is not a size such as 256MiB"),
        ("replay", "--max-depth", "x", "\"x\" is not a whole number"),
        ("run", "--mode", "natve", "[possible values: auto, native, generic]"),
        (
            "run",
            "--allowed-sources",
            "10.0.0.0/33",
            "is not an address prefix such as 10.0.0.0/8 or fd00::/8",
        ),
    ] {
        let (code, _, messages) = program(&[command, option, value]);
        assert_eq!(code, 2, "{option} {value}: {messages}");
        assert!(messages.contains(expected) && messages.contains(option), "{option} {value}: {messages}");
    }
}

#[test]
fn the_version_is_told_by_every_command() {
    let expected = format!("mirror-capture {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["--version"][..], &["-V"], &["run", "--version"], &["replay", "-V"]] {
        let (code, text, _) = program(arguments);
        assert_eq!((code, &text), (0, &expected), "{arguments:?}");
    }
}

#[test]
fn the_output_has_a_short_form() {
    for command in ["run", "replay"] {
        let (code, text, _) = program(&[command, "--help"]);
        assert!(code == 0 && text.contains("-o, --output <PATH>"), "{text}");
    }
    let directory = TempDir::new().unwrap();
    let output = directory.path().join("records.ndjson");
    let golden = golden::mixed();
    let replayed = replay(&[&golden.capture()], |command| {
        command.arg("-o").arg(&output);
    });
    assert_eq!(replayed.succeeded().records, "");
    golden.check(&fs::read_to_string(output).unwrap());
}

#[test]
fn both_kinds_of_records_are_a_word_or_a_list() {
    let records = |kinds: &str| {
        let replayed = replay(&[&golden::mixed().capture()], |command| {
            command.args(["--records", kinds]);
        });
        replayed.succeeded().records
    };
    let both = records("both");
    assert!(both.contains("\"mirror.flow\"") && both.contains("\"mirror.packet\""));
    assert_eq!(both, records("packet,flow"));
}

/// Exit code, standard output and standard error of the program.
fn program(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mirror-capture")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_outer_tunnel_alone_is_taken_off_at_depth_one() {
    let capture = golden::sizes().capture();
    let replayed = replay(&[&capture], |command| {
        command.args(["--max-depth", "1"]);
    });
    let replayed = replayed.succeeded();
    assert_eq!(replayed.records.lines().count() as u64, golden::sizes().packets());
    for line in replayed.records.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["destination"]["port"], 4789, "the session's VXLAN is an ordinary packet now");
        assert_eq!(record["mirror"].get("vxlan_vni"), None);
    }
}

#[test]
fn the_ledger_is_told_in_file_and_table() {
    let golden = golden::mixed();
    let replayed = replay(&[&golden.capture()], |_| {}).succeeded();
    let ledger = &replayed.ledger;
    let mut members: Vec<_> = ledger.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let expected =
        ["balanced", "checks", "clock_steps", "dropped", "queues", "received", "recorded", "run", "seen"];
    assert_eq!(members, expected);
    assert_eq!(ledger["dropped"].as_object().unwrap().len(), mirror_user::DropReason::COUNT);
    assert_eq!(ledger["run"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ledger["queues"].as_array().unwrap().len(), 1);
    assert_eq!(ledger["queues"][0]["received_bytes"], frame_bytes(&golden.capture()));

    let row = |name: &str| {
        let mut rows = replayed.messages.lines().filter_map(|line| line.trim().strip_prefix(name));
        rows.next().map(|count| count.trim().parse::<u64>().unwrap())
    };
    assert_eq!(row("seen").map(Value::from).as_ref(), Some(&ledger["seen"]));
    assert_eq!(row("recorded").map(Value::from).as_ref(), Some(&ledger["recorded"]));
    for (reason, count) in ledger["dropped"].as_object().unwrap() {
        let told = row(&format!("dropped: {reason}"));
        assert_eq!(told.unwrap_or(0), count.as_u64().unwrap(), "{reason}: {}", replayed.messages);
    }
    assert!(replayed.messages.contains("balanced: every packet is accounted for"), "{}", replayed.messages);
}

fn frame_bytes(path: &Path) -> usize {
    crate::capture::read(path).iter().map(|packet| packet.bytes.len()).sum()
}

#[test]
fn a_reader_that_goes_away_ends_the_replay() {
    let directory = TempDir::new().unwrap();
    let ledger = directory.path().join("ledger.json");
    let capture = golden::mixed().capture();
    let files = 100;
    let mut child = command()
        .args(std::iter::repeat_n(capture.as_os_str(), files))
        .args([OsStr::new("--ledger"), ledger.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"@timestamp\""), "{first}");
    let output = child.wait_with_output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{messages}");
    assert!(!messages.contains("panicked"), "{messages}");
    let ledger: Value = serde_json::from_slice(&fs::read(ledger).unwrap()).unwrap();
    assert_eq!(ledger["balanced"], true, "{ledger:#}");
    assert!(ledger["dropped"]["sink_write_failed"].as_u64().unwrap() > 0, "{ledger:#}");
}

#[test]
fn an_output_that_cannot_be_written_to() {
    let capture = golden::mixed().capture();
    let to = |output: &str| {
        replay(&[&capture], |command| {
            command.args(["--output", output]);
        })
    };
    let replayed = to("/no/such/folder/records.ndjson");
    assert_eq!((replayed.code, &replayed.ledger), (1, &Value::Null));
    assert!(
        error(&replayed).contains("cannot create /no/such/folder/records.ndjson"),
        "{}",
        replayed.messages
    );

    let replayed = to("/dev/full").balanced();
    assert_eq!(replayed.code, 1, "what was asked for was not done");
    assert!(error(&replayed).contains("cannot write to /dev/full"), "{}", replayed.messages);
    assert_eq!(replayed.ledger["recorded"], 0);
    let valid = fs::read_to_string(golden::mixed().records()).unwrap().lines().count();
    assert_eq!(replayed.ledger["dropped"]["sink_write_failed"], valid);
}

#[test]
fn a_capture_is_not_overwritten() {
    let directory = TempDir::new().unwrap();
    let capture = directory.path().join("only-copy.pcap");
    let whole = fs::read(golden::sizes().capture()).unwrap();
    fs::write(&capture, &whole).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&capture, &link).unwrap();
    for (option, path) in [("--output", &capture), ("--output", &link), ("--ledger", &capture)] {
        let output = command().arg(&capture).arg(option).arg(path).output().unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{messages}");
        assert!(messages.contains("is a capture to be replayed"), "{messages}");
        assert!(fs::read(&capture).unwrap() == whole);
    }
}

#[test]
fn a_ledger_that_cannot_be_written_is_found_at_the_start() {
    let output = command()
        .arg(golden::mixed().capture())
        .args(["--ledger", "/no/such/folder/ledger.json"])
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert!(messages.contains("cannot write the ledger to /no/such/folder/ledger.json"), "{messages}");
    assert!(output.stdout.is_empty(), "nothing was begun");
}

#[test]
fn the_table_is_printed_though_the_ledger_cannot_be_written() {
    let output = command().arg(golden::mixed().capture()).args(["--ledger", "/dev/full"]).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert!(messages.contains("balanced: every packet is accounted for"), "{messages}");
    assert!(messages.contains("cannot write the ledger to /dev/full: No space left"), "{messages}");
    golden::mixed().check(&String::from_utf8(output.stdout).unwrap());
}

/// The configuration that Terraform writes for the example organisation (deploy/terraform) is valid; faults are told.
#[test]
fn a_configuration_is_checked() {
    let check = |file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_mirror-capture"))
            .args(["config", "check"])
            .arg(file)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let example = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/terraform/examples/organisation/hub/tests/mirror-capture.toml");
    assert_eq!(check(&example), (Some(0), format!("{}: valid\n", example.display())));

    let directory = TempDir::new().unwrap();
    let config = directory.path().join("mirror-capture.toml");
    let text = fs::read_to_string(&example).unwrap();
    for (from, to, reason) in [
        ("rx_ring = 4096", "rx_ring = 4095", "power of two"),
        ("rx_ring", "rx_rings", "unknown field `rx_rings`"),
        ("[\"flow\"]", "[\"flows\"]", "flows"),
    ] {
        assert!(text.contains(from));
        fs::write(&config, text.replace(from, to)).unwrap();
        let (code, message) = check(&config);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.starts_with("error: ") && message.contains(reason), "{message}");
    }
}

//! The end of a capture, and starts that fail.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use mirror_testkit::generator::{self, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};
use pcap_file::pcap::{PcapPacket, PcapWriter};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::daemon::{self, mixed, send_all, settings};

/// A named pipe with a reader that does not read.
struct Stalled {
    path: PathBuf,
    _reader: File,
    _directory: TempDir,
}

impl Stalled {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        Self { path, _reader: reader, _directory: directory }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Packets and flows that are more than a pipe takes.
fn overfill(pair: &VethPair) {
    let profile = Profile { malformed: Share::NONE, ..mixed() };
    assert_eq!(send_all(pair, &profile, &settings(5_000, Source::Live)).sent, 5_000);
}

#[test]
fn a_reader_that_does_not_read_cannot_hold_the_end_for_ever() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    for records in ["packet", "flow"] {
        let stalled = Stalled::new();
        let arguments = ["--output", stalled.path(), "--records", records, "--drain-timeout", "700ms"];
        let daemon = daemon::start(&pair, &[&arguments[..], &["--queue-batches", "2"]].concat());
        overfill(&pair);
        let began = Instant::now();
        let ended = daemon.stop();
        let took = began.elapsed();
        assert!((Duration::from_millis(700)..Duration::from_secs(3)).contains(&took), "{records}: {took:?}");
        assert_eq!(ended.status.code(), Some(1), "{records}: {}", ended.log);
        assert!(
            ended.log.contains("has not taken its records within 700ms (--drain-timeout)"),
            "{}",
            ended.log
        );
        let last = ended.log.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(stalled.path()), "{last}");
        assert_eq!(
            (&ended.ledger["balanced"], ended.number("seen")),
            (&true.into(), 5_000),
            "{:#}",
            ended.ledger
        );
        let dropped = ended.dropped();
        assert!(dropped["sink_stalled"] > 0, "{records}: {dropped:?}");
        assert_eq!(ended.number("recorded") + dropped.values().sum::<u64>(), 5_000, "{records}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let stalled = Stalled::new();
    let daemon = daemon::start(&pair, &["--output", stalled.path()]);
    overfill(&pair);
    daemon.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    daemon.signal(Signal::TERM);
    let began = Instant::now();
    let ended = daemon.join();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(ended.status.code(), Some(130), "{}", ended.log);
}

#[test]
fn a_hang_up_ends_the_capture_with_its_ledger() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = daemon::start(&pair, &[]);
    let report = send_all(&pair, &mixed(), &settings(5_000, Source::Live));
    daemon.signal(Signal::HUP);
    daemon.join().assert_accounts_for(&report);
}

#[test]
fn a_start_that_fails_leaves_the_output_of_a_running_capture_alone() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("records");
    let arguments = ["--output", output.to_str().unwrap()];
    let first = daemon::start(&pair, &arguments);
    let profile = Profile { malformed: Share::NONE, ..mixed() };
    let slowly = generator::Settings { rate: Some(20_000), ..settings(5_000, Source::Live) };
    send_all(&pair, &profile, &slowly);
    let lines = |path: &Path| fs::read(path).unwrap().iter().filter(|&&byte| byte == b'\n').count();
    // Records go out when nothing arrives any more.
    let deadline = Instant::now() + Duration::from_secs(5);
    while lines(&output) < 5_000 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(lines(&output), 5_000);
    for (interface, expected) in [
        ("eth9", "there is no interface eth9"),
        (VethPair::RECEIVING, "writes there already; stop it, or give another --output"),
    ] {
        let second = daemon::spawn(&pair.receiver, interface, &arguments).join();
        assert_eq!(second.status.code(), Some(1), "{}", second.log);
        assert!(second.log.lines().last().unwrap().contains(expected), "{}", second.log);
        assert_eq!(lines(&output), 5_000, "nothing is lost by a start that fails on {interface}");
    }
    send_all(&pair, &profile, &slowly);
    let ended = first.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!((ended.number("recorded"), lines(&output)), (10_000, 10_000));
}

/// The queue is found to be taken only after the output was opened.
#[test]
fn a_start_that_fails_late_leaves_what_is_at_its_output_alone() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let running = daemon::start(&pair, &[]);
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("records");
    fs::write(&output, "of last week\n").unwrap();
    let second =
        daemon::spawn(&pair.receiver, VethPair::RECEIVING, &["--output", output.to_str().unwrap()]).join();
    assert_eq!(second.status.code(), Some(1), "{}", second.log);
    assert!(second.log.contains("held by another socket"), "{}", second.log);
    assert_eq!(fs::read_to_string(&output).unwrap(), "of last week\n");
    drop(running);
}

#[test]
fn a_ledger_that_cannot_be_written_at_the_end_is_printed_all_the_same() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledgers/ledger.json");
    fs::create_dir(ledger.parent().unwrap()).unwrap();
    let daemon = daemon::start(&pair, &["--ledger", ledger.to_str().unwrap()]);
    overfill(&pair);
    fs::remove_dir(ledger.parent().unwrap()).unwrap();
    let ended = daemon.stop();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("  balanced: every packet"), "{}", ended.log);
    let last = ended.log.lines().last().unwrap();
    assert!(
        last.starts_with("error: cannot write the ledger to ") && last.contains(ledger.to_str().unwrap()),
        "{last}"
    );
}

/// A capture of two thousand GENEVE packets with Ethernet, IPv4 and UDP inside.
fn capture_file(path: &Path) {
    let inner = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 1, 1, 1], [10, 1, 1, 2], 64).udp(53, 5353);
    let mut payload = vec![0, 0, 0x65, 0x58, 0, 0, 7, 0];
    inner.write(&mut payload, &[0; 20]).unwrap();
    let outer =
        PacketBuilder::ethernet2([6; 6], [8; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(9_999, 6_081);
    let mut frame = Vec::new();
    outer.write(&mut frame, &payload).unwrap();
    let mut writer = PcapWriter::new(File::create(path).unwrap()).unwrap();
    for second in 0..2_000 {
        let length = u32::try_from(frame.len()).unwrap();
        writer.write_packet(&PcapPacket::new(Duration::from_secs(second), length, &frame).unwrap()).unwrap();
    }
}

/// A replay waits for its reader as long as it takes, until it is asked to stop; by a signal that it was not started to
/// ignore, as nohup does with SIGHUP.
#[test]
fn a_replay_stops_although_nobody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("capture.pcap");
    capture_file(&capture);
    let mut replay = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mirror-capture")])
        .args(["replay", "--records", "packet", "--drain-timeout", "500ms"])
        .arg(&capture)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    kill_process(Pid::from_child(&replay), Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert!(replay.try_wait().unwrap().is_none(), "it waits for its reader");
    kill_process(Pid::from_child(&replay), Signal::TERM).unwrap();
    let began = Instant::now();
    let unread = replay.stdout.take();
    let ended = replay.wait_with_output().unwrap();
    drop(unread);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let log = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), ended.status.signal()), (Some(1), None), "{log}");
    assert!(log.contains("dropped: sink_stalled") && log.contains("balanced: every packet"), "{log}");
}

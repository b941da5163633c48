//! The times of live packets.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, process};

use mirror_testkit::generator::{self, Source};
use mirror_testkit::processors::pin;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};
use mirror_traffic::header::STAMP_SHIFT;
use serde_json::Value;

use crate::daemon::{self, mixed, send_all, settings};

/// The times of the records in a file, in their order, in nanoseconds since 1970.
pub fn timestamps(records: &Path) -> Vec<u64> {
    stamps(records).into_iter().map(|(time, _)| time).collect()
}

/// The same, and the flow cookies, in which the generator has put the times for which packets were meant.
fn stamps(records: &Path) -> Vec<(u64, u32)> {
    let text = fs::read_to_string(records).unwrap();
    let read = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let time = humantime::parse_rfc3339(record["@timestamp"].as_str().unwrap()).unwrap();
        let time = time.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let cookie = record["mirror"]["flow_cookie"].as_str().unwrap();
        (u64::try_from(time).unwrap(), u32::from_str_radix(cookie, 16).unwrap())
    };
    text.lines().map(read).collect()
}

/// Others that want the worker's processor interrupt it all the time, also between two readings of clocks.
#[test]
fn times_are_steady_while_others_use_the_processor() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let stop = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                pin(1).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let daemon = daemon::start(&pair, &["--cpus", "1", "--rx-ring", "16384"]);
        let profile = Profile { malformed: Share::NONE, stamped: true, ..mixed() };
        let paced = generator::Settings { rate: Some(20_000), ..settings(100_000, Source::Live) };
        send_all(&pair, &profile, &paced);
        let ended = daemon.stop();
        stop.store(true, Ordering::Relaxed);
        ended
    });
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["queues"][0]["wall_clock_steps"], 0, "{}", ended.log);
    let stamps = stamps(&ended.records());
    assert!(stamps.len() > 50_000, "{} of 100,000 packets are recorded", stamps.len());
    let back = stamps.windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
    assert_eq!(back, 0, "packets that are earlier than the one before");

    // Each was received when it was meant to be sent, or a little later. In each tenth of a second some are sent in time, so
    // that a shift of the times of one tenth shows.
    let late = |&(time, stamp): &(u64, u32)| {
        #[expect(clippy::cast_possible_truncation, reason = "as many bits as a stamp has")]
        let units = (time >> STAMP_SHIFT) as u32;
        units.wrapping_sub(stamp)
    };
    let first = late(&stamps[0]);
    let least: Vec<i32> = stamps
        .chunk_by(|one, other| one.0 / 100_000_000 == other.0 / 100_000_000)
        .filter(|tenth| tenth.len() > 1_000)
        .filter_map(|tenth| tenth.iter().map(|stamp| late(stamp).wrapping_sub(first).cast_signed()).min())
        .collect();
    let spread = (least.iter().max().unwrap() - least.iter().min().unwrap()) << STAMP_SHIFT;
    assert!(least.len() >= 30 && spread < 5_000_000, "{spread} ns over {} tenths: {least:?}", least.len());
}

/// In a time namespace, the process's monotonic clock is not the one that the kernel stamps packets by.
#[test]
fn times_are_right_in_a_time_namespace() {
    if skipped_without_root() {
        return;
    }
    let within = ["--time", "--monotonic", "864000", "--fork", "true"];
    let possible = Command::new("unshare").args(within).stderr(Stdio::null()).status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("SKIPPED: time namespaces need Linux 5.6 and util-linux 2.36");
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let records = directory.path().join("records");
    let mut command = pair.receiver.command("unshare");
    command.args(["--time", "--monotonic", "864000", "--fork", "--kill-child"]);
    command.arg(env!("CARGO_BIN_EXE_mirror-capture"));
    command
        .args(["run", "--interface", VethPair::RECEIVING, "--records", "packet", "--output"])
        .arg(&records);
    let mut daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    let (mut times, begin) = (Vec::new(), now());
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(100));
        send_all(&pair, &Profile { malformed: Share::NONE, ..mixed() }, &settings(100, Source::Socket));
        if records.is_file() {
            times = timestamps(&records);
        }
        if !times.is_empty() {
            break;
        }
    }
    let _ = daemon.kill(); // and its child
    daemon.wait().unwrap();
    assert!(!times.is_empty(), "the daemon records nothing (process {})", process::id());
    assert!(times.iter().all(|time| (begin..=now()).contains(time)), "{begin} {times:?} {}", now());
}

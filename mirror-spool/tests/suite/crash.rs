//! What a crash or a full disk loses is bounded and told.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{Loss, SpoolConfig, Writer, verify};
use mirror_testkit::rerun;
use mirror_testkit::root::skipped_without_root;

use crate::support::{data_files, manifest, small, write};

const NAME: &str = "crash::a_killed_writer_loses_at_most_a_file_and_says_how_much";
/// Variable with the number of kills, for a longer run.
const KILLS: &str = "MIRROR_TEST_KILLS";

/// Writes until it is killed; tells on standard output how many records it has offered.
fn write_until_killed(directory: &str) {
    let (directory, run) = directory.split_once(' ').unwrap();
    let run: u64 = run.parse().unwrap();
    let (mut writer, _) = Writer::open(Path::new(directory), small(), BEGIN + run).unwrap();
    let mut samples = Samples::new(run);
    let mut offered = 0;
    loop {
        for _ in 0..50 {
            writer.push(&samples.next_flow()).unwrap();
        }
        offered += 50;
        println!("offered {offered}");
    }
}

#[test]
fn a_killed_writer_loses_at_most_a_file_and_says_how_much() {
    if let Some(argument) = rerun::child_argument() {
        return write_until_killed(&argument);
    }
    let kills: u64 = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut told = 0;
    for run in 1..=kills {
        let argument = format!("{} {run}", path.display());
        let mut child = rerun::child(NAME, &argument).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Kill it at any point: by the number of lines, then a while that differs.
        let until = usize::try_from(run * 37 % 90).unwrap();
        let read: Vec<_> = lines.by_ref().take(until).map(Result::unwrap).collect();
        std::thread::sleep(Duration::from_micros(run * 977 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it was killed stands in the pipe.
        let rest = lines.map_while(Result::ok);
        let last = read
            .into_iter()
            .chain(rest)
            .filter_map(|line| line.strip_prefix("offered ")?.parse::<u64>().ok())
            .last();
        told += last.unwrap_or(0);
    }
    let (writer, _) = Writer::open(path, small(), BEGIN + kills + 1).unwrap();
    writer.finish();
    let found = verify(path, true).unwrap();
    assert_eq!(found.problems, [], "after {kills} kills");
    assert_eq!(data_files(path).len() as u64, found.files);
    let accounted = found.stored.records + found.lost.records;
    // Of each run a batch at most was in memory, and up to 50 records were not told yet.
    assert!(accounted + kills * 100 >= told, "{accounted} of {told}");
    assert!(accounted <= told + kills * 50, "{accounted} of {told}");
    assert!(found.lost.records <= kills * 1000 * 4, "{found:?}");
    assert!(found.files > kills, "{found:?}");
}

/// Every place in which the last steps of a file may be cut off.
#[test]
fn a_crash_between_two_steps_is_made_good() {
    for step in ["torn line", "no line", "no line, damaged", "partial", "partial, cut"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write(path, small(), 1, 3000);
        let lines = path.join("manifest-0000000000000001.ndjson");
        let text = fs::read_to_string(&lines).unwrap();
        let without_last = text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
        let files = data_files(path);
        match step {
            "torn line" => {
                fs::write(&lines, text.trim_end()).unwrap();
            }
            "no line" => fs::write(&lines, without_last).unwrap(),
            "no line, damaged" => {
                fs::write(&lines, without_last).unwrap();
                let bytes = fs::read(&files[2]).unwrap();
                fs::write(&files[2], &bytes[..bytes.len() / 2]).unwrap();
            }
            "partial" => {
                fs::write(&lines, without_last).unwrap();
                fs::rename(&files[2], path.join("1-1.partial")).unwrap();
            }
            _ => {
                fs::write(&lines, without_last).unwrap();
                let bytes = fs::read(&files[2]).unwrap();
                fs::write(path.join("1-1.partial"), &bytes[..bytes.len() / 2]).unwrap();
                fs::remove_file(&files[2]).unwrap();
            }
        }
        let (writer, recovery) = Writer::open(path, small(), BEGIN + 1).unwrap();
        let counters = writer.finish();
        let found = verify(path, true).unwrap();
        assert_eq!(found.problems, [], "{step}");
        let lost = counters.lost.get(&Loss::Crash).map_or(0, |amount| amount.records);
        match step {
            "torn line" | "no line" => {
                assert_eq!((recovery.recovered.len(), found.stored.records, lost), (1, 3000, 0), "{step}");
            }
            "partial" => assert_eq!((found.stored.records, lost), (2000, 1000)),
            _ => {
                assert_eq!(found.stored.records, 2000, "{step}");
                assert!((200..800).contains(&lost), "{step}: {lost}");
            }
        }
        assert_eq!(recovery.torn_line, step == "torn line");
        assert_eq!(found.lost.records, lost, "{step}");
        // A second start finds nothing to do.
        let (_, recovery) = Writer::open(path, small(), BEGIN + 2).unwrap();
        assert!(recovery.is_clean(), "{step}: {recovery:?}");
    }
}

#[test]
fn garbage_in_an_unfinished_file_is_no_reason_to_fail() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, small(), 1, 1000);
    let whole = fs::read(&data_files(path)[0]).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole[..cut].to_vec();
        bytes.extend_from_slice(&[0xff; 64]);
        fs::write(path.join("1-9.partial"), bytes).unwrap();
        let (writer, recovery) = Writer::open(path, small(), BEGIN + cut as u64).unwrap();
        assert_eq!(recovery.lost.len(), 1);
        assert!(recovery.lost[0].1 <= 1000);
        writer.finish();
    }
    assert_eq!(verify(path, true).unwrap().problems, []);
}

/// Fills a file system, then frees it, while records come.
fn fill(directory: &Path) {
    let config = SpoolConfig { batch_rows: 1000, file_rows: 10_000, ..SpoolConfig::default() };
    let (mut writer, _) = Writer::open(directory, config, BEGIN).unwrap();
    let mut samples = Samples::new(1);
    let mut ballast = OpenOptions::new().create(true).append(true).open(directory.join("ballast")).unwrap();
    ballast.write_all(&vec![1; 300_000]).unwrap();
    for number in 0..100_000 {
        if number == 50_000 {
            fs::remove_file(directory.join("ballast")).unwrap();
            ballast.set_len(0).unwrap();
        }
        let _ = writer.push(&samples.next_flow());
    }
    let counters = writer.finish();
    let lost = counters.lost[&Loss::Write].records;
    assert!(lost > 10_000, "{counters:?}");
    assert_eq!(counters.stored.records + lost, 100_000);
    assert!(counters.stored.records > 10_000, "{counters:?}");
    let found = verify(directory, true).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!((found.stored.records, found.lost.records), (counters.stored.records, lost));
    assert_eq!(manifest(directory).entries.len() as u64, found.lines);
}

#[test]
fn what_a_full_disk_loses_is_counted() {
    if let Some(argument) = rerun::child_argument() {
        return fill(Path::new(&argument));
    }
    if skipped_without_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool").display().to_string();
    let again = rerun::child("crash::what_a_full_disk_loses_is_counted", &spool);
    // In a mount namespace of its own, which goes with the shell.
    let script = "mkdir $0; mount -t tmpfs -o size=2500k none $0; \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script, &spool]).arg(again.get_program()).args(again.get_args());
    command.envs(again.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

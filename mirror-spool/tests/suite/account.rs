//! The account of every record: manifest, bounds, and the check of both.

use std::fs;
use std::time::Duration;

use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{Loss, Problem, SpoolConfig, SpoolError, WhenFull, Writer, acknowledge, verify};

use crate::support::{data_files, manifest, small, write};

const SECOND: u64 = 1_000_000_000;

#[test]
fn the_manifest_tells_what_is_in_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let counters = write(path, small(), 1, 2500);
    assert_eq!((counters.files, counters.stored.records), (3, 2500));
    // A second run goes on behind the first.
    write(path, small(), 2, 700);
    let manifest = manifest(path);
    let sequences: Vec<_> = manifest.entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let mut samples = Samples::new(1);
    let packets: u64 = (0..2500).map(|_| samples.next_flow().accounted).sum();
    let told: u64 =
        manifest.entries[..3].iter().map(|entry| entry.file.as_ref().unwrap().amount.packets).sum();
    assert_eq!((told, counters.stored.packets), (packets, packets));
    let accounts = &manifest.entries[0].file.as_ref().unwrap().accounts;
    assert_eq!(accounts.values().sum::<u64>(), 1000);
    assert!(accounts.len() > 5 && accounts["unknown"] > 0, "{accounts:?}");

    let found = verify(path, true).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!((found.files, found.stored.records, found.lost.records), (4, 3200, 0));
}

/// Every way to tamper with a spool is noticed, and named.
#[test]
fn a_missing_or_altered_file_is_noticed() {
    let named = |problem: &Problem, name: &str| match problem {
        Problem::Missing { name: found }
        | Problem::Altered { name: found, .. }
        | Problem::Unlisted { name: found } => found == name,
        _ => false,
    };
    let second = "0000000000000002.flow.arrow";
    for tamper in ["remove", "alter", "truncate", "swap", "line", "line removed", "count", "copy"] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), small(), 1, 4000);
        let files = data_files(directory.path());
        let lines = directory.path().join("manifest-0000000000000001.ndjson");
        let text = fs::read_to_string(&lines).unwrap();
        match tamper {
            "remove" => fs::remove_file(&files[1]).unwrap(),
            "alter" => {
                let mut bytes = fs::read(&files[1]).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(&files[1], bytes).unwrap();
            }
            "truncate" => fs::File::options().write(true).open(&files[1]).unwrap().set_len(1000).unwrap(),
            "swap" => drop(fs::copy(&files[2], &files[1]).unwrap()),
            "line" => fs::write(&lines, text.replacen("\"records\":1000", "\"records\":1001", 2)).unwrap(),
            "line removed" => {
                fs::write(&lines, text.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>())
                    .unwrap();
            }
            "count" => {
                let more = text.replacen("\"unknown\":", "\"unknown\":1", 1);
                fs::write(&lines, more).unwrap();
            }
            _ => drop(fs::copy(&files[0], directory.path().join("0000000000000009.flow.arrow")).unwrap()),
        }
        let problems = verify(directory.path(), true).unwrap().problems;
        match tamper {
            "remove" | "alter" | "truncate" | "swap" => {
                assert!(
                    matches!(&problems[..], [problem] if named(problem, second)),
                    "{tamper}: {problems:?}"
                );
            }
            "line" => assert!(
                problems.iter().any(|problem| matches!(problem, Problem::Balance { .. })),
                "{problems:?}"
            ),
            "line removed" => assert!(named(&problems[0], "0000000000000001.flow.arrow"), "{problems:?}"),
            "count" => {
                assert!(
                    problems.iter().any(|problem| matches!(problem, Problem::Chain { sequence: 2 })),
                    "{problems:?}"
                );
                assert!(
                    problems.iter().any(|problem| matches!(problem, Problem::Count { .. })),
                    "{problems:?}"
                );
            }
            _ => assert!(named(&problems[0], "0000000000000009.flow.arrow"), "{problems:?}"),
        }
    }
}

#[test]
fn what_is_acknowledged_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, small(), 1, 4000);
    acknowledge(path, 3).unwrap();
    assert_eq!(data_files(path).len(), 1);
    assert_eq!(verify(path, true).unwrap().problems, []);
    // The next run goes on with the numbers, even when everything is acknowledged.
    acknowledge(path, 4).unwrap();
    write(path, small(), 2, 10);
    assert_eq!(manifest(path).entries.last().unwrap().sequence, 5);
    assert_eq!(verify(path, true).unwrap().problems, []);
}

#[test]
fn the_oldest_files_go_when_the_spool_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let most = write(&path.join("other"), small(), 1, 9000).bytes / 3;
    let config = SpoolConfig { most_bytes: Some(most), ..small() };
    let counters = write(path, config, 1, 9000);
    assert!(counters.waiting_bytes <= most && counters.waiting_files > 1, "{counters:?}");
    let gone = counters.lost[&Loss::RemovedFull];
    assert_eq!(counters.stored.records, 9000);
    let found = verify(path, true).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!(found.removed, gone);
    assert_eq!(found.stored.records + found.removed.records, 9000);
    let files = data_files(path);
    assert!(!files[0].ends_with("0000000000000001.flow.arrow"), "{files:?}");
}

#[test]
fn the_newest_records_go_if_it_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = SpoolConfig { most_bytes: Some(100_000), when_full: WhenFull::Newest, ..small() };
    let (mut writer, _) = Writer::open(path, config, BEGIN).unwrap();
    let mut samples = Samples::new(1);
    let mut refused = 0;
    for second in 0..20 {
        for _ in 0..1000 {
            refused += u64::from(writer.push(&samples.next_flow()) == Err(Loss::Full));
        }
        writer.tick(BEGIN + (second + 1) * SECOND, 0).unwrap();
        // The finisher works beside.
        std::thread::sleep(Duration::from_millis(20));
    }
    let counters = writer.finish();
    assert!(refused > 5000, "{refused}");
    assert_eq!(counters.lost[&Loss::Full].records, refused);
    assert_eq!(counters.stored.records + refused, 20_000);
    let found = verify(path, true).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!((found.stored.records, found.lost.records), (counters.stored.records, refused));
    // Room again: what was delivered is gone.
    acknowledge(path, manifest(path).entries.last().unwrap().sequence).unwrap();
    let counters = write(
        path,
        SpoolConfig { most_bytes: Some(100_000), when_full: WhenFull::Newest, ..small() },
        2,
        500,
    );
    assert_eq!(counters.stored.records, 500);
}

#[test]
fn files_go_by_age_and_are_finished_by_age() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config =
        SpoolConfig { sync: Duration::from_secs(2), most_age: Some(Duration::from_secs(60)), ..small() };
    let (mut writer, _) = Writer::open(path, config, BEGIN).unwrap();
    let mut samples = Samples::new(1);
    for second in 0..100 {
        writer.push(&samples.next_flow()).unwrap();
        writer.tick(BEGIN + second * SECOND, second).unwrap();
    }
    let counters = writer.finish();
    let gone = counters.lost[&Loss::RemovedAge].records;
    assert!((30..50).contains(&gone), "{gone}");
    let found = verify(path, true).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!(found.stored.records + found.removed.records, 100);
    let seen: Vec<_> = manifest(path).entries.iter().map(|entry| entry.seen).collect();
    assert!(seen.is_sorted() && seen.last() > Some(&90), "{seen:?}");
}

#[test]
fn a_spool_has_one_writer() {
    let directory = tempfile::tempdir().unwrap();
    let (_writer, _) = Writer::open(directory.path(), small(), BEGIN).unwrap();
    let second = Writer::open(directory.path(), small(), BEGIN);
    assert!(matches!(second.err(), Some(SpoolError::InUse { .. })));
}

/// Segments of the manifest go when their files have gone, so that the manifest is bounded too.
#[test]
fn the_manifest_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let config = SpoolConfig { file_rows: 1, batch_rows: 1, most_bytes: Some(500_000), ..small() };
    write(path, config, 1, 700);
    let entries = manifest(path).entries;
    assert!(entries.len() < 600, "{}", entries.len());
    assert_eq!(verify(path, false).unwrap().problems, []);
}

//! Directories, and processes that are killed over them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use mirror_testkit::rerun::{child, child_argument};
use mirror_user::sink::{self, Destination, SinkConfig};

use crate::support::{push, read_records, wait_until};

/// A configuration that makes many files.
fn config(directory: &Path) -> SinkConfig {
    SinkConfig {
        destination: Destination::Directory(directory.to_owned()),
        rotate_size: 2_000_000,
        ..SinkConfig::default()
    }
}

/// Names in the directory: the final ones, in order, and those of files that are not complete.
fn names(directory: &Path) -> (Vec<String>, Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names.into_iter().partition(|name| name.starts_with("mirror-"))
}

/// All records of the final files.
fn records(directory: &Path) -> Vec<(u64, u64)> {
    let (complete, _) = names(directory);
    complete.iter().flat_map(|name| read_records(&fs::read(directory.join(name)).unwrap())).collect()
}

#[test]
fn each_worker_has_a_series_of_complete_files() {
    let directory = tempfile::tempdir().unwrap();
    let (producers, sinks) = sink::start(&config(directory.path()), 2).unwrap();
    let counters = Arc::clone(sinks.counters());
    for (worker, mut producer) in (0..).zip(producers) {
        assert_eq!(push(&mut producer, worker, 0..20_000), 0);
    }
    sinks.join().unwrap();

    let (complete, partial) = names(directory.path());
    assert!(partial.is_empty(), "{partial:?}");
    assert_eq!(counters.files(), complete.len() as u64);
    for worker in 0..2 {
        let files = complete.iter().filter(|name| name.contains(&format!("-w{worker:02}-"))).count();
        assert!(files > 2, "{files} files of worker {worker}");
    }
    let bytes: u64 =
        complete.iter().map(|name| fs::metadata(directory.path().join(name)).unwrap().len()).sum();
    assert_eq!(counters.bytes(), bytes);
    let mut records = records(directory.path());
    records.sort_unstable();
    let expected: Vec<_> =
        (0..2).flat_map(|worker| (0..20_000).map(move |number| (worker, number))).collect();
    assert_eq!(records, expected);
}

#[test]
fn an_idle_file_is_finished_when_it_is_old_enough() {
    let directory = tempfile::tempdir().unwrap();
    let config = SinkConfig { rotate_time: Duration::from_millis(100), ..config(directory.path()) };
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    assert_eq!(push(&mut producers[0], 0, 0..10), 0);
    producers[0].flush();
    wait_until("the file is finished", || sinks.counters().files() == 1);
    assert_eq!(records(directory.path()).len(), 10);
    drop(producers);
    sinks.join().unwrap();
}

#[test]
fn a_killed_run_leaves_only_whole_files_and_the_next_recovers_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut child = child("directory::child_writes_until_it_is_killed", path.to_str().unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("there are some files", || names(path).0.len() >= 4 && !names(path).1.is_empty());
    child.kill().unwrap();
    child.wait().unwrap();

    let (complete, partial) = names(path);
    assert!(!partial.is_empty());
    let before = records(path).len();

    let (producers, opened) = sink::open(&config(path), 2, None).unwrap();
    assert_eq!(names(path), (complete.clone(), partial), "nothing is changed before the capture begins");
    let sinks = opened.begin();
    wait_until("the leftovers are recovered", || names(path).1.is_empty());
    let (recovered, _) = names(path);
    assert!(recovered.len() > complete.len());
    let after = records(path);
    assert!(after.len() > before);
    for worker in 0..2 {
        let numbers = after.iter().filter(|record| record.0 == worker).map(|record| record.1);
        assert!((0..).zip(numbers).all(|(expected, number)| number == expected), "worker {worker}");
    }
    drop(producers);
    sinks.join().unwrap();
}

#[test]
fn child_writes_until_it_is_killed() {
    let Some(directory) = child_argument() else { return };
    let (mut producers, _sinks) = sink::start(&config(Path::new(&directory)), 2).unwrap();
    for number in 0.. {
        for (worker, producer) in (0..).zip(&mut producers) {
            while push(producer, worker, number..number + 1) > 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
            if number % 200 == 0 {
                producer.flush();
            }
        }
    }
}

#[test]
fn arguments_tell_files_from_directories() {
    let directory = tempfile::tempdir().unwrap();
    let existing = directory.path().to_owned();
    let file = existing.join("file");
    let new = OsString::from(existing.join("new/"));
    assert_eq!(Destination::from(OsString::from("-")), Destination::Stdout);
    assert_eq!(Destination::from(file.clone().into_os_string()), Destination::File(file));
    assert_eq!(Destination::from(new.clone()), Destination::Directory(new.into()));
    assert_eq!(Destination::from(existing.clone().into_os_string()), Destination::Directory(existing));
}

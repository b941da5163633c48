//! Starts that fail, and starts beside another process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use mirror_testkit::rerun::{child, child_argument};
use mirror_user::sink::{self, Destination, Format, SinkConfig, SinkError};

use crate::support::{push, read_records};

fn config(destination: Destination) -> SinkConfig {
    SinkConfig { destination, format: Format::Pcapng, ..SinkConfig::default() }
}

#[test]
fn a_start_that_fails_leaves_a_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "content").unwrap();
    let config = config(Destination::File(path.clone()));
    let (mut producers, opened) = sink::open(&config, 1, None).unwrap();
    assert_eq!(push(&mut producers[0], 0, 0..10), 0);
    producers[0].flush();
    drop(opened);
    drop(producers);
    assert_eq!(fs::read(&path).unwrap(), b"content");

    fs::remove_file(&path).unwrap();
    let (producers, opened) = sink::open(&config, 1, None).unwrap();
    assert!(path.exists());
    drop((producers, opened));
    assert!(!path.exists(), "it was not there before");
}

#[test]
fn a_file_is_emptied_when_the_capture_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "content ".repeat(10_000)).unwrap();
    let config = SinkConfig { destination: Destination::File(path.clone()), ..SinkConfig::default() };
    let (mut producers, opened) = sink::open(&config, 1, None).unwrap();
    assert_eq!(push(&mut producers[0], 0, 0..10), 0);
    let sinks = opened.begin();
    drop(producers);
    sinks.join().unwrap();
    assert_eq!(read_records(&fs::read(&path).unwrap()).len(), 10);

    let (producers, sinks) = sink::start(&config, 1).unwrap();
    drop(producers);
    sinks.join().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"", "also where no packet comes");
}

#[test]
fn a_start_that_fails_leaves_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b/");
    drop(sink::open(&config(Destination::Directory(directory)), 2, None).unwrap());
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
}

#[test]
fn an_output_is_one_process_s_alone() {
    for name in ["file", "directory/"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let mut first = child("start::child_holds_its_output", path.to_str().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "holding"), "{name}");
        let before = tree(directory.path());

        let config = config(Destination::from(path.clone().into_os_string()));
        let error = sink::start(&config, 1).unwrap_err();
        assert!(matches!(error, SinkError::InUse { .. }), "{error}");
        let message = error.to_string();
        let holder = format!("process {} (", first.id());
        assert!(message.contains(path.to_str().unwrap()) && message.contains(&holder), "{message}");
        assert_eq!(tree(directory.path()), before, "{name}");

        drop(first.stdin.take());
        assert!(first.wait().unwrap().success());
        drop(sink::start(&config, 1).unwrap());
    }
}

/// Holds its output until standard input ends.
#[test]
fn child_holds_its_output() {
    let Some(path) = child_argument() else { return };
    let config = config(Destination::from(std::ffi::OsString::from(path)));
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    assert_eq!(push(&mut producers[0], 0, 0..10), 0);
    producers[0].flush();
    crate::support::wait_until("something is written", || sinks.counters().bytes() > 0);
    println!("\nholding");
    std::io::stdin().lines().for_each(drop);
    drop(producers);
    sinks.join().unwrap();
}

/// Names and contents below a directory.
fn tree(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tree = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tree.extend(self::tree(&path));
        } else {
            tree.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    tree.sort();
    tree
}

//! Standard output, as a pipe.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::Arc;

use mirror_testkit::rerun::{child, child_argument};
use mirror_user::sink::{self, Loss, SinkConfig};

use crate::support::{push, read_records, wait_until};

#[test]
fn all_records_and_nothing_else_are_written() {
    let output = child("stdout::child_writes_records", "").output().unwrap();
    assert!(output.status.success());
    // The test harness says its part first.
    let start = output.stdout.iter().position(|byte| *byte == b'{').unwrap();
    let mut records = read_records(&output.stdout[start..]);
    records.sort_unstable();
    let expected: Vec<_> = (0..3).flat_map(|worker| (0..5000).map(move |number| (worker, number))).collect();
    assert_eq!(records, expected);
}

#[test]
fn child_writes_records() {
    if child_argument().is_none() {
        return;
    }
    let (producers, sinks) = sink::start(&SinkConfig::default(), 3).unwrap();
    for (worker, mut producer) in (0..).zip(producers) {
        assert_eq!(push(&mut producer, worker, 0..5000), 0);
    }
    sinks.join().unwrap();
    // Before the harness goes on to print.
    std::process::exit(0);
}

#[test]
fn a_reader_that_goes_is_noticed() {
    let mut child = child("stdout::child_writes_until_its_reader_is_gone", "")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let record = stdout.lines().map(Result::unwrap).find(|line| line.starts_with('{'));
    assert!(record.is_some());
    // The pipe is closed with the reader; the child ends by itself.
    let status = child.wait().unwrap();
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    assert!(status.success(), "{messages}");
}

#[test]
fn child_writes_until_its_reader_is_gone() {
    if child_argument().is_none() {
        return;
    }
    let (mut producers, sinks) = sink::start(&SinkConfig::default(), 1).unwrap();
    let counters = Arc::clone(sinks.counters());
    let mut pushed = 0;
    let mut dropped = 0;
    wait_until("the reader is gone", || {
        dropped += push(&mut producers[0], 0, pushed..pushed + 100);
        producers[0].flush();
        pushed += 100;
        counters.closed()
    });
    drop(producers);
    let errors = sinks.join().unwrap_err();
    let message = errors[0].to_string();
    assert!(message.contains("/dev/stdout") && message.contains("reader has gone"), "{message}");
    let worker = &counters.workers()[0];
    let lost = worker.lost(Loss::WriteFailed).packets;
    assert!(lost > 0);
    assert_eq!(worker.recorded().packets + lost + dropped, pushed);
    std::process::exit(0);
}

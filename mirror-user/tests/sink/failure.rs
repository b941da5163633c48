//! Disks that are full.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mirror_testkit::rerun::{child, child_argument};
use mirror_user::sink::{self, Destination, Format, Loss, SinkConfig, SinkError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{push, read_records, wait_until};

#[test]
fn a_full_disk_is_counted() {
    for format in [Format::Ndjson, Format::Pcapng] {
        let destination = Destination::File("/dev/full".into());
        let config = SinkConfig { destination, format, ..SinkConfig::default() };
        let (producers, sinks) = sink::start(&config, 2).unwrap();
        let counters = Arc::clone(sinks.counters());
        for (worker, mut producer) in (0..).zip(producers) {
            assert_eq!(push(&mut producer, worker, 0..5000), 0);
        }
        let errors = sinks.join().unwrap_err();
        assert!(matches!(errors.as_slice(), [SinkError::Write { .. }]), "{errors:?}");
        let message = errors[0].to_string();
        assert!(message.contains("/dev/full") && message.contains("free space"), "{message}");
        for worker in counters.workers() {
            assert_eq!((worker.recorded().packets, worker.lost(Loss::WriteFailed).packets), (0, 5000));
        }
        assert_eq!(counters.bytes(), 0);
        assert!(!counters.closed());
    }
}

#[test]
fn a_file_that_cannot_be_created_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing/file.ndjson");
    let config = SinkConfig { destination: Destination::File(path.clone()), ..SinkConfig::default() };
    let message = sink::start(&config, 1).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(message.contains("create the directory"), "{message}");
}

#[test]
fn a_configuration_that_cannot_work_touches_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file.ndjson");
    fs::write(&path, "content").unwrap();
    let config = SinkConfig { destination: Destination::File(path.clone()), ..SinkConfig::default() };
    let unworkable = [
        SinkConfig { queue_batches: 1, ..config.clone() },
        SinkConfig { rotate_size: 0, ..config.clone() },
        SinkConfig { rotate_time: Duration::ZERO, ..config },
    ];
    for config in unworkable {
        assert!(sink::start(&config, 1).is_err(), "{config:?}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
}

#[test]
fn a_file_that_was_deleted_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let config = SinkConfig { destination: Destination::File(path.clone()), ..SinkConfig::default() };
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    let counters = Arc::clone(sinks.counters());
    assert_eq!(push(&mut producers[0], 0, 0..100), 0);
    fs::remove_file(&path).unwrap();
    drop(producers);
    let errors = sinks.join().unwrap_err();
    assert!(matches!(errors.as_slice(), [SinkError::Publish { .. }]), "{errors:?}");
    let worker = &counters.workers()[0];
    assert_eq!((worker.recorded().packets, worker.lost(Loss::PublishFailed).packets), (0, 100));
}

#[test]
fn no_record_is_torn_where_the_disk_fills_up() {
    for destination in ["file.ndjson", "directory/"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(destination);
        let status = child("failure::child_meets_a_limit", path.to_str().unwrap()).status().unwrap();
        assert!(status.success(), "{destination}: {status}");
    }
}

/// Writes under a limit on the size of files, which stops a write in the midst of a record, then without.
#[test]
fn child_meets_a_limit() {
    const LIMIT: u64 = 150_003;
    let Some(path) = child_argument() else { return };
    let log = tempfile::NamedTempFile::new().unwrap();
    tracing_subscriber::fmt().with_writer(log.reopen().unwrap()).with_ansi(false).init();
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(LIMIT), ..unlimited }).unwrap();

    let destination = Destination::from(std::ffi::OsString::from(&path));
    let config = SinkConfig { destination, ..SinkConfig::default() };
    let (mut producers, sinks) = sink::start(&config, 1).unwrap();
    let counters = Arc::clone(sinks.counters());
    let worker = &counters.workers()[0];
    let recorded = || worker.recorded().packets;
    let lost = || worker.lost(Loss::WriteFailed).packets;
    let mut producer = producers.remove(0);

    assert_eq!(push(&mut producer, 0, 0..100), 0);
    producer.flush();
    wait_until("the first batch is recorded", || recorded() == 100);
    assert_eq!(push(&mut producer, 0, 100..400), 0);
    producer.flush();
    wait_until("the second batch is settled", || recorded() + lost() == 400);
    // Whole records up to the limit are kept.
    let kept = recorded();
    assert!((150..400).contains(&kept), "{kept}");
    let record = counters.bytes() / kept;
    assert!((LIMIT - record..=LIMIT).contains(&counters.bytes()), "{}", counters.bytes());
    assert_eq!(push(&mut producer, 0, 400..500), 0);
    producer.flush();
    wait_until("the third batch is refused as a whole", || lost() == 500 - kept);
    setrlimit(Resource::Fsize, unlimited).unwrap();
    assert_eq!(push(&mut producer, 0, 500..10_000), 0);
    drop(producer);
    sinks.join().unwrap();
    assert_eq!((recorded(), lost()), (kept + 9_500, 500 - kept));

    let log = fs::read_to_string(log.path()).unwrap();
    let lines: Vec<_> = log.lines().collect();
    let [refused, works_again] = lines.as_slice() else { panic!("one line for each change:\n{log}") };
    assert!(refused.contains(&path) && refused.contains("limit on the size of files"), "{refused}");
    assert!(works_again.contains("works again"), "{works_again}");

    let file = match config.destination {
        Destination::Directory(directory) => {
            let mut entries = fs::read_dir(directory).unwrap();
            let file = entries.next().unwrap().unwrap().path();
            assert!(entries.next().is_none());
            file
        }
        _ => path.into(),
    };
    let content = fs::read(file).unwrap();
    assert_eq!(counters.bytes(), content.len() as u64);
    let expected: Vec<_> = (0..kept).chain(500..10_000).map(|number| (0, number)).collect();
    assert_eq!(read_records(&content), expected);
}

//! Pipes whose reader goes away in the middle of a record.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mirror_user::sink::{self, Destination, Format, Loss, SinkConfig, Sinks};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::pipe::fcntl_setpipe_size;
use tempfile::TempDir;

use crate::support::{add, push, read_records, record, wait_until};

const PAGE: u64 = 4096;
/// Room in a pipe: four pages, of which a write fills up the last one that was begun, or begins another.
const PIPE: u64 = 4 * PAGE;
const RECORDS: u64 = 300;

/// A named pipe that holds little.
struct Pipe {
    path: PathBuf,
    _directory: TempDir,
}

impl Pipe {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        Self { path, _directory: directory }
    }

    /// A reader that has read nothing yet. Does not wait for a writer.
    fn reader(&self) -> File {
        let mut options = OpenOptions::new();
        let reader = options.read(true).custom_flags(libc::O_NONBLOCK).open(&self.path).unwrap();
        fcntl_setpipe_size(&reader, usize::try_from(PIPE).unwrap()).unwrap();
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        reader
    }
}

fn config(path: &Path, format: Format) -> SinkConfig {
    SinkConfig { destination: Destination::File(path.to_owned()), format, ..SinkConfig::default() }
}

/// The bytes that the sink writes for these records where nothing hinders it.
fn undisturbed(format: Format) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (mut producers, sinks) = sink::start(&config(&path, format), 1).unwrap();
    send(&mut producers[0], 0..RECORDS);
    drop(producers);
    sinks.join().unwrap();
    std::fs::read(path).unwrap()
}

fn send(producer: &mut sink::Producer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        add(producer.batch().unwrap(), &record(0, number), &[7; 54]);
    }
}

/// Waits until the pipe takes no more; how much it has.
fn fill(reader: &File) -> u64 {
    let mut filled = 0;
    wait_until("the pipe is full", || {
        thread::sleep(Duration::from_millis(20));
        let before = std::mem::replace(&mut filled, rustix::io::ioctl_fionread(reader).unwrap());
        filled == before && filled > PIPE - PAGE
    });
    filled
}

/// Starts a sink that writes to the pipe, and lets the reader go when the pipe is full. Returns how much it took, too.
fn lose_the_reader(pipe: &Pipe, format: Format) -> (sink::Producer, Sinks, u64) {
    let reader = pipe.reader();
    let (mut producers, sinks) = sink::start(&config(&pipe.path, format), 1).unwrap();
    let mut producer = producers.remove(0);
    send(&mut producer, 0..RECORDS);
    producer.flush();
    let taken = fill(&reader);
    drop(reader);
    (producer, sinks, taken)
}

/// The number of whole records in the first bytes of a file.
fn whole_records(format: Format, bytes: &[u8]) -> u64 {
    match format {
        Format::Ndjson => bytes.iter().filter(|&&byte| byte == b'\n').count() as u64,
        Format::Pcapng => packets(bytes).0,
    }
}

/// Packet blocks in a pcapng file, and whether it ends with a whole block.
fn packets(mut bytes: &[u8]) -> (u64, bool) {
    let mut packets = 0;
    while let Some(head) = bytes.first_chunk::<8>() {
        let [kind, _, _, _, length @ ..] = *head;
        let Some(rest) = bytes.get(u32::from_le_bytes(length) as usize..) else { break };
        packets += u64::from(kind == 6);
        bytes = rest;
    }
    (packets, bytes.is_empty())
}

#[test]
fn what_a_pipe_took_is_recorded_and_only_that() {
    for format in [Format::Ndjson, Format::Pcapng] {
        let pipe = Pipe::new();
        let (producer, sinks, taken) = lose_the_reader(&pipe, format);
        let expected = whole_records(format, &undisturbed(format)[..usize::try_from(taken).unwrap()]);
        assert!((1..RECORDS / 2).contains(&expected), "{expected}");
        let counters = Arc::clone(sinks.counters());
        let worker = &counters.workers()[0];
        let settled = || (worker.recorded().packets, worker.lost(Loss::WriteFailed).packets);
        // The record that went out in part is neither.
        wait_until("the batch is settled", || settled() == (expected, RECORDS - expected - 1));
        drop(producer);
        let errors = sinks.join().unwrap_err();
        assert!(errors[0].to_string().contains("its reader has gone"), "{errors:?}");
        assert_eq!(settled(), (expected, RECORDS - expected));
        assert_eq!(counters.bytes(), taken);
    }
}

#[test]
fn a_reader_that_comes_later_gets_the_rest_of_the_record_first() {
    for format in [Format::Ndjson, Format::Pcapng] {
        let pipe = Pipe::new();
        let (mut producer, sinks, taken) = lose_the_reader(&pipe, format);
        let expected = whole_records(format, &undisturbed(format)[..usize::try_from(taken).unwrap()]);
        let counters = Arc::clone(sinks.counters());
        let worker = &counters.workers()[0];
        wait_until("the batch is settled", || worker.recorded().packets == expected);

        let mut reader = pipe.reader();
        let read = thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            bytes
        });
        send(&mut producer, 1000..1000 + RECORDS);
        drop(producer);
        sinks.join().unwrap();
        let bytes = read.join().unwrap();
        assert_eq!(counters.bytes(), bytes.len() as u64);
        assert_eq!(worker.recorded().packets, expected + 1 + RECORDS);
        assert_eq!(worker.lost(Loss::WriteFailed).packets, RECORDS - expected - 1);
        if format == Format::Ndjson {
            let numbers = (0..=expected).chain(1000..1000 + RECORDS).map(|number| (0, number));
            assert_eq!(read_records(&bytes), numbers.collect::<Vec<_>>());
        }
        assert_eq!(whole_records(format, &bytes), expected + 1 + RECORDS);
        assert!(format == Format::Ndjson || packets(&bytes).1);
    }
}

#[test]
fn a_stalled_reader_is_not_waited_for_beyond_the_deadline() {
    let pipe = Pipe::new();
    let reader = pipe.reader();
    let (mut producers, sinks) = sink::start(&config(&pipe.path, Format::Ndjson), 1).unwrap();
    let dropped = push(&mut producers[0], 0, 0..10_000);
    fill(&reader);
    let counters = Arc::clone(sinks.counters());
    drop(producers);
    let errors = sinks.join_by(Instant::now()).unwrap_err();
    assert!(errors[0].to_string().contains("has not taken its records in time"), "{errors:?}");
    let worker = &counters.workers()[0];
    let told = (worker.recorded(), worker.all_lost());
    assert_eq!(worker.lost(Loss::Stalled).packets, 10_000 - dropped);
    assert_eq!(told.0.packets, 0);
    // The thread goes on when it can; what has been told stays true.
    let mut rest = Vec::new();
    let mut reader = reader;
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!((worker.recorded(), worker.all_lost()), told);
}

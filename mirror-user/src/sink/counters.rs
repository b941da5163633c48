//! What became of the records, in counters that the ledger reads at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The records of one worker.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    recorded: AtomicU64,
    write_failed: AtomicU64,
}

impl WorkerCounters {
    /// Packets whose records the operating system has accepted.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Relaxed)
    }

    /// Packets lost because their records could not be written:
    /// [`SinkWriteFailed`](crate::DropReason::SinkWriteFailed).
    pub fn write_failed(&self) -> u64 {
        self.write_failed.load(Relaxed)
    }

    pub(crate) fn add_recorded(&self, packets: usize) {
        self.recorded.fetch_add(packets as u64, Relaxed);
    }

    pub(crate) fn add_write_failed(&self, packets: usize) {
        self.write_failed.fetch_add(packets as u64, Relaxed);
    }
}

/// The counters of all sinks. Shared between the sink threads, which count, and the ledger, which reads.
#[derive(Debug)]
pub struct SinkCounters {
    workers: Vec<Arc<WorkerCounters>>,
    bytes: AtomicU64,
    files: AtomicU64,
    closed: AtomicBool,
}

impl SinkCounters {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// One for each worker, in the order of the producers.
    pub fn workers(&self) -> &[Arc<WorkerCounters>] {
        &self.workers
    }

    /// Bytes written, headers of files included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Files that are complete and bear their final name.
    pub fn files(&self) -> u64 {
        self.files.load(Relaxed)
    }

    /// Whether the reader of standard output has gone: nothing can be recorded any more, and the program should
    /// shut down.
    pub fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn add_file(&self) {
        self.files.fetch_add(1, Relaxed);
    }

    pub(super) fn set_closed(&self) {
        self.closed.store(true, Relaxed);
    }
}

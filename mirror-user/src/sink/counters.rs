//! What became of the records, in counters that the ledger reads at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::record::Batch;

/// How many were written, and how many could not be.
#[derive(Debug, Default)]
pub struct Outcome {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Outcome {
    /// Those that the operating system has accepted.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Those that are lost.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    fn add(&self, count: u64, written: bool) {
        let counter = if written { &self.written } else { &self.failed };
        counter.fetch_add(count, Relaxed);
    }
}

/// What became of the records of one worker. Packets are counted by the record that
/// [accounts](crate::record::AccountedBy) for them: once, however many records tell of them.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    packets: Outcome,
    packet_records: Outcome,
    flow_records: Outcome,
}

impl WorkerCounters {
    /// Packets whose records the operating system has accepted.
    pub fn recorded(&self) -> u64 {
        self.packets.written()
    }

    /// Packets lost because their records could not be written:
    /// [`SinkWriteFailed`](crate::DropReason::SinkWriteFailed).
    pub fn write_failed(&self) -> u64 {
        self.packets.failed()
    }

    /// Records of packets.
    pub fn packet_records(&self) -> &Outcome {
        &self.packet_records
    }

    /// Records of flows.
    pub fn flow_records(&self) -> &Outcome {
        &self.flow_records
    }

    pub(super) fn add(&self, batch: &Batch, written: bool) {
        self.packet_records.add(batch.packets().len() as u64, written);
        self.flow_records.add(batch.flows().len() as u64, written);
        self.packets.add(batch.accounted(), written);
    }

    /// As if batches had been settled that account for so many packets.
    #[cfg(test)]
    pub(crate) fn with_packets(recorded: u64, write_failed: u64) -> Self {
        let counters = Self::default();
        counters.packets.add(recorded, true);
        counters.packets.add(write_failed, false);
        counters
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

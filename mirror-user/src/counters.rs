//! Counters of one worker, which other threads may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::DropReason;
use crate::wire::number::QueueId;

/// A number that one thread adds to and any thread reads. Adding takes no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. To be called by one thread only, or additions are lost.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Replaces the number, for counters that are kept elsewhere and only shown here.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts. `received` equals `decapsulated` plus all of `dropped` except what the queue to the sink
/// refused, which was decapsulated before.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// The queue that the worker serves.
    pub queue: QueueId,
    /// Frames taken from the ring or file.
    pub received: Counter,
    /// Bytes of those frames, as captured.
    pub received_bytes: Counter,
    /// Packets found in them.
    pub decapsulated: Counter,
    /// Frames that came without the kernel's metadata.
    pub without_metadata: Counter,
    /// Packets that ended here, by reason.
    dropped: [Counter; DropReason::COUNT],
}

impl WorkerCounters {
    /// Counters of the worker for `queue`, all zero.
    pub fn new(queue: QueueId) -> Self {
        Self { queue, ..Self::default() }
    }

    /// Counts one packet that ended for `reason`.
    #[inline]
    pub fn drop_packet(&self, reason: DropReason) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.add(1);
        }
    }

    /// How many packets ended here for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).map_or(0, Counter::get)
    }
}

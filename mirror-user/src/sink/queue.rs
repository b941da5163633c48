//! The hand-off from a worker to its sink thread.
//!
//! Each worker has a fixed pool of batches, allocated once. A batch goes round: the worker fills it, a bounded queue
//! takes it to the sink thread, another brings it back empty. Both queues have room for the whole pool, so neither
//! side ever waits for room; the pool itself is the bound. A worker that finds it exhausted drops the packet.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use super::counters::WorkerCounters;
use crate::DropReason;
use crate::record::{BATCH_BYTES, Batch};

/// A worker's end: takes records, never blocks, never allocates.
#[derive(Debug)]
pub struct Producer {
    /// Which of the consumer's workers this is.
    slot: usize,
    /// The batch that is being filled.
    current: Option<Batch>,
    /// Empty batches. The one that came back last is used first, for it is still in the cache: a sink that keeps up
    /// needs two or three of the pool.
    spare: Vec<Batch>,
    returned: Receiver<Batch>,
    filled: Sender<Filled>,
    counters: Arc<WorkerCounters>,
    wants_bytes: bool,
}

/// A batch on its way to the sink.
#[derive(Debug)]
pub(super) struct Filled {
    slot: usize,
    pub batch: Batch,
}

/// The sink thread's end, for one worker or several.
#[derive(Debug)]
pub(super) struct Consumer {
    filled: Receiver<Filled>,
    workers: Vec<Worker>,
}

/// What the consumer knows of a worker.
#[derive(Debug)]
struct Worker {
    returns: Sender<Batch>,
    counters: Arc<WorkerCounters>,
}

/// Makes a queue from the workers that count in `counters` to one consumer, with `batches` batches for each of them.
pub(super) fn queue(
    counters: &[Arc<WorkerCounters>],
    batches: usize,
    wants_bytes: bool,
) -> (Vec<Producer>, Consumer) {
    let (filled, consumed) = channel::bounded(counters.len() * batches);
    let mut consumer = Consumer { filled: consumed, workers: Vec::with_capacity(counters.len()) };
    let mut producers = Vec::with_capacity(counters.len());
    for (slot, counters) in counters.iter().enumerate() {
        let (returns, returned) = channel::bounded(batches);
        let bytes = if wants_bytes { BATCH_BYTES } else { 0 };
        producers.push(Producer {
            slot,
            current: None,
            spare: (0..batches).map(|_| Batch::with_capacity(bytes)).collect(),
            returned,
            filled: filled.clone(),
            counters: Arc::clone(counters),
            wants_bytes,
        });
        consumer.workers.push(Worker { returns, counters: Arc::clone(counters) });
    }
    (producers, consumer)
}

impl Producer {
    /// Whether the sink wants the bytes of packets in [`Batch::bytes`].
    pub fn wants_bytes(&self) -> bool {
        self.wants_bytes
    }

    /// The batch to put the next record into: it has room for one more packet and, where the sink wants bytes, for
    /// [`LONGEST_PACKET`](crate::record::LONGEST_PACKET) of them. What was put into it is recorded sooner or later,
    /// or counted as a failed write.
    ///
    /// # Errors
    ///
    /// [`DropReason::SinkQueueFull`] when the sink has fallen behind and holds every batch. The caller counts it.
    #[inline]
    pub fn batch(&mut self) -> Result<&mut Batch, DropReason> {
        if !self.current.as_ref().is_some_and(Batch::has_room) {
            self.hand_over();
            self.current = self.take_spare();
        }
        self.current.as_mut().ok_or(DropReason::SinkQueueFull)
    }

    /// Like [`Self::batch`], but waits for the sink where it has fallen behind: for sources that have time.
    ///
    /// # Errors
    ///
    /// [`DropReason::SinkQueueFull`] when the sink thread is gone.
    pub fn wait_for_batch(&mut self) -> Result<&mut Batch, DropReason> {
        if !self.current.as_ref().is_some_and(Batch::has_room) {
            self.hand_over();
            self.current = self.take_spare().or_else(|| self.returned.recv().ok());
        }
        self.current.as_mut().ok_or(DropReason::SinkQueueFull)
    }

    /// Hands over a partly filled batch, so that records do not wait for more to come: to be called when no packets
    /// arrive. Does nothing while the sink holds every other batch: it has enough to do, and a worker whose pool is
    /// used up by small batches would soon drop packets.
    pub fn flush(&mut self) {
        if self.current.as_ref().is_some_and(|batch| !batch.is_empty())
            && let Some(next) = self.take_spare()
        {
            self.hand_over();
            self.current = Some(next);
        }
    }

    fn take_spare(&mut self) -> Option<Batch> {
        self.spare.extend(self.returned.try_iter());
        self.spare.pop()
    }

    fn hand_over(&mut self) {
        let Some(batch) = self.current.take() else { return };
        if let Err(refused) = self.filled.try_send(Filled { slot: self.slot, batch }) {
            // The queue has room for every batch, so the sink thread must be gone.
            let Filled { mut batch, .. } = refused.into_inner();
            self.counters.add_write_failed(batch.packets.len());
            batch.clear();
            self.spare.push(batch);
        }
    }
}

impl Drop for Producer {
    /// Hands over what is left. The sink thread ends when it has written the last batch of the last producer.
    fn drop(&mut self) {
        if self.current.as_ref().is_some_and(|batch| !batch.is_empty()) {
            self.hand_over();
        }
    }
}

impl Consumer {
    /// The next batch; waits for at most `timeout`, or for as long as it takes.
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Filled, RecvTimeoutError> {
        match timeout {
            Some(timeout) => self.filled.recv_timeout(timeout),
            None => self.filled.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Counts the batch as recorded or not, and gives it back to its worker.
    pub fn settle(&self, filled: Filled, recorded: bool) {
        let Filled { slot, mut batch } = filled;
        let Some(worker) = self.workers.get(slot) else { return };
        if recorded {
            worker.counters.add_recorded(batch.packets.len());
        } else {
            worker.counters.add_write_failed(batch.packets.len());
        }
        batch.clear();
        // The queue has room for the whole pool; a worker that is gone needs no batch.
        let _ = worker.returns.try_send(batch);
    }
}

//! The hand-off from a worker to its sink thread.
//!
//! Each worker has a fixed pool of batches, allocated once. A batch circulates: the worker fills it, a bounded queue
//! takes it to the sink thread, another brings it back empty. Both queues have room for the whole pool, so neither
//! side ever waits for room; the pool itself is the bound. A worker that finds it exhausted drops the packet.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};

use super::counters::{Loss, RecordCounters, Unfinished};
use super::encoding::EncodedBatch;
use crate::DropReason;
use crate::batch::BATCH_BYTES;
use crate::record::{Amount, Batch};
use crate::time::Timestamp;

/// Longest time for which a record waits for more to come, in nanoseconds.
const LONGEST_WAIT_NS: u64 = 500_000;

/// Interval at which a producer that waits for the sink checks whether it should give up.
const CHECK: Duration = Duration::from_millis(20);

/// A worker's end: takes records, never blocks, never allocates.
#[derive(Debug)]
pub struct Producer {
    /// Number of this worker among the consumer's.
    slot: usize,
    /// The batch that is being filled.
    current: Option<Batch>,
    /// Time at which it was first seen to have records.
    waits_since: Option<Timestamp>,
    /// Empty batches. The one that came back last is used first, for it is still in the cache: a sink that keeps up
    /// needs two or three of the pool.
    spare: Vec<Batch>,
    /// Batches of this worker, wherever they are.
    pool: usize,
    returned: Receiver<Batch>,
    filled: Sender<Filled>,
    counters: Arc<RecordCounters>,
    /// Set when nobody waits for the sink any more.
    given_up: Arc<AtomicBool>,
    wants_bytes: bool,
}

/// A batch on its way to the sink.
#[derive(Debug)]
pub(super) struct Filled {
    pub slot: usize,
    pub batch: Batch,
    /// Its records as bytes, where a thread before the sink's has encoded them.
    pub encoded: Option<EncodedBatch>,
}

/// The sink thread's end, for one worker or several.
#[derive(Debug)]
pub(super) struct Consumer {
    filled: Receiver<Filled>,
    workers: Vec<ReturnEnd>,
}

/// The consumer's end towards one worker.
#[derive(Debug)]
struct ReturnEnd {
    returns: Sender<Batch>,
    counters: Arc<RecordCounters>,
}

/// Makes a queue from the workers that count in `counters` to one consumer, with `batches` batches for each of them.
/// Once `given_up` is set, no producer waits any more.
pub(super) fn queue(
    counters: &[Arc<RecordCounters>],
    given_up: &Arc<AtomicBool>,
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
            waits_since: None,
            pool: batches,
            spare: (0..batches).map(|_| Batch::with_capacity(bytes)).collect(),
            returned,
            filled: filled.clone(),
            counters: Arc::clone(counters),
            given_up: Arc::clone(given_up),
            wants_bytes,
        });
        consumer.workers.push(ReturnEnd { returns, counters: Arc::clone(counters) });
    }
    (producers, consumer)
}

impl Producer {
    /// Puts a stage before the sink: returns the end that batches come out of now, and the one that they are to be put into. Room
    /// is for all of them.
    pub(super) fn insert_stage(&mut self) -> (Receiver<Filled>, Sender<Filled>) {
        let (sender, receiver) = channel::bounded(self.pool);
        (receiver, mem::replace(&mut self.filled, sender))
    }

    /// `true` if the sink wants the bytes of packets in [`Batch::bytes`].
    pub fn wants_bytes(&self) -> bool {
        self.wants_bytes
    }

    /// The batch to put the next record into: it has room for one more record and, where the sink wants bytes, for
    /// [`LONGEST_PACKET`](crate::batch::LONGEST_PACKET) of them. Its records are recorded sooner or later,
    /// or counted as a failed write.
    ///
    /// # Errors
    ///
    /// [`DropReason::SinkQueueFull`] when the sink has fallen behind and holds every batch. The caller counts it,
    /// for each packet that the record would have accounted for.
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
    /// [`DropReason::SinkQueueFull`] when the sink thread is gone, or the program waits for it no longer.
    pub fn wait_for_batch(&mut self) -> Result<&mut Batch, DropReason> {
        if !self.current.as_ref().is_some_and(Batch::has_room) {
            self.hand_over();
            self.current = self.take_spare().or_else(|| self.wait());
        }
        self.current.as_mut().ok_or(DropReason::SinkQueueFull)
    }

    /// The next batch that comes back, as long as somebody waits for the sink.
    fn wait(&self) -> Option<Batch> {
        while !self.given_up.load(Relaxed) {
            match self.returned.recv_timeout(CHECK) {
                Err(RecvTimeoutError::Timeout) => {}
                returned => return returned.ok(),
            }
        }
        None
    }

    /// Hands over a partly filled batch, so that records do not wait for more to come: to be called when no packets
    /// arrive. Does nothing while the sink still holds a batch: it has enough to do, and a pool that is used up by
    /// small batches bridges no stall.
    pub fn flush(&mut self) {
        if self.current.as_ref().is_some_and(|batch| !batch.is_empty()) && !self.sink_holds_batches() {
            self.hand_over();
        }
    }

    /// `true` if the sink has batches of this worker that it has not written yet.
    pub fn sink_holds_batches(&mut self) -> bool {
        self.spare.extend(self.returned.try_iter());
        self.spare.len() + usize::from(self.current.is_some()) < self.pool
    }

    /// Hands over a partly filled batch, as [`Self::flush`] does, if its records have waited for long: to be called at the time
    /// `now` of the packets, whenever some were recorded.
    #[inline]
    pub fn flush_aged(&mut self, now: Timestamp) {
        if self.current.as_ref().is_none_or(Batch::is_empty) {
            return;
        }
        let since = *self.waits_since.get_or_insert(now);
        // A clock that is set back ends a wait as well.
        if now.0.abs_diff(since.0) >= LONGEST_WAIT_NS {
            self.flush();
        }
    }

    fn take_spare(&mut self) -> Option<Batch> {
        self.spare.extend(self.returned.try_iter());
        self.spare.pop()
    }

    fn hand_over(&mut self) {
        let Some(batch) = self.current.take() else { return };
        self.waits_since = None;
        self.counters.hand_over(batch.amount());
        if let Err(refused) = self.filled.try_send(Filled { slot: self.slot, batch, encoded: None }) {
            // The queue has room for every batch, so the sink thread must be gone.
            let Filled { mut batch, .. } = refused.into_inner();
            self.counters.lose(batch.amount(), Loss::WriteFailed);
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

    /// Counts records of the worker `slot` as recorded.
    pub fn record(&self, slot: usize, amount: Amount) {
        if let Some(worker) = self.workers.get(slot) {
            worker.counters.record(amount);
        }
    }

    /// Counts records of the worker `slot` as lost.
    pub fn lose(&self, slot: usize, amount: Amount, loss: Loss) {
        if let Some(worker) = self.workers.get(slot) {
            worker.counters.lose(amount, loss);
        }
    }

    /// Gives a batch back, whose records are counted.
    pub fn give_back(&self, filled: Filled) {
        let Filled { slot, mut batch, encoded: _ } = filled;
        let Some(worker) = self.workers.get(slot) else { return };
        batch.clear();
        // The queue has room for the whole pool; a worker that is gone needs no batch.
        let _ = worker.returns.try_send(batch);
    }

    /// A file of records of these workers, still without any.
    pub fn new_file(&self) -> Unfinished {
        Unfinished::new(self.workers.iter().map(|worker| Arc::clone(&worker.counters)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::batch::{BATCH_RECORDS, LONGEST_PACKET};
    use crate::flow::FlowRecord;
    use crate::record::PacketRecord;
    use crate::sink::arbitrary;
    use crate::sink::counters::SinkCounters;

    const BATCHES: usize = 4;

    fn one_worker(wants_bytes: bool) -> (Producer, Consumer, Arc<RecordCounters>) {
        let counters = SinkCounters::new(1);
        let (mut producers, consumer) = queue(counters.workers(), counters.given_up(), BATCHES, wants_bytes);
        (producers.remove(0), consumer, Arc::clone(&counters.workers()[0]))
    }

    fn record() -> PacketRecord {
        arbitrary::record().new_tree(&mut TestRunner::deterministic()).unwrap().current()
    }

    fn flow() -> FlowRecord {
        arbitrary::flow().new_tree(&mut TestRunner::deterministic()).unwrap().current()
    }

    /// Pushes until the pool is exhausted; how many records went in.
    fn fill(producer: &mut Producer) -> usize {
        let record = record();
        let mut pushed = 0;
        while let Ok(batch) = producer.batch() {
            arbitrary::push(batch, &record, &[]);
            pushed += 1;
        }
        pushed
    }

    #[test]
    fn records_wait_for_others_for_a_limited_time() {
        let (mut producer, consumer, _) = one_worker(false);
        let at = |producer: &mut Producer, nanoseconds| {
            producer.flush_aged(Timestamp(1_000_000_000 + nanoseconds));
            consumer.receive(Some(Duration::ZERO)).ok()
        };
        assert!(at(&mut producer, 0).is_none(), "there is nothing");
        for start in [0, 10 * LONGEST_WAIT_NS] {
            arbitrary::push(producer.batch().unwrap(), &record(), &[]);
            assert!(at(&mut producer, start).is_none());
            assert!(at(&mut producer, start + LONGEST_WAIT_NS - 1).is_none());
            let filled = at(&mut producer, start + LONGEST_WAIT_NS).unwrap();
            // As long as the sink holds it, there is no hurry.
            arbitrary::push(producer.batch().unwrap(), &record(), &[]);
            assert!(at(&mut producer, start + 2 * LONGEST_WAIT_NS).is_none());
            assert!(at(&mut producer, start + 4 * LONGEST_WAIT_NS).is_none());
            settle(&consumer, filled, true);
            settle(&consumer, at(&mut producer, start + 4 * LONGEST_WAIT_NS + 1).unwrap(), true);
        }
    }

    /// Settles a batch as a sink does.
    fn settle(consumer: &Consumer, filled: Filled, recorded: bool) {
        let amount = filled.batch.amount();
        if recorded {
            consumer.record(filled.slot, amount);
        } else {
            consumer.lose(filled.slot, amount, Loss::WriteFailed);
        }
        consumer.give_back(filled);
    }

    /// Settles what has come; how many records it was.
    fn settle_all(consumer: &Consumer, recorded: bool) -> usize {
        let mut records = 0;
        while let Ok(filled) = consumer.receive(Some(Duration::ZERO)) {
            records += filled.batch.packets().len();
            settle(consumer, filled, recorded);
        }
        records
    }

    /// Batches that the worker can get hold of.
    fn pool(producer: &mut Producer) -> usize {
        producer.spare.extend(producer.returned.try_iter());
        producer.spare.len() + usize::from(producer.current.is_some())
    }

    #[test]
    fn an_exhausted_pool_drops_and_a_returned_batch_takes_up_again() {
        let (mut producer, consumer, counters) = one_worker(false);
        assert_eq!(fill(&mut producer), BATCHES * BATCH_RECORDS);
        assert_eq!(producer.batch().unwrap_err(), DropReason::SinkQueueFull);
        let filled = consumer.receive(None).unwrap();
        settle(&consumer, filled, true);
        assert_eq!(fill(&mut producer), BATCH_RECORDS);
        assert_eq!(settle_all(&consumer, false), BATCHES * BATCH_RECORDS);
        assert_eq!(counters.recorded().packets, BATCH_RECORDS as u64);
        assert_eq!(counters.all_lost().packets, (BATCHES * BATCH_RECORDS) as u64);
        assert_eq!(pool(&mut producer), BATCHES);
    }

    #[test]
    fn batches_come_back_empty_with_their_buffers() {
        let (mut producer, consumer, _) = one_worker(true);
        let buffers = |producer: &Producer| -> HashSet<_> {
            producer.spare.iter().map(|batch| (batch.packets().as_ptr(), batch.bytes().as_ptr())).collect()
        };
        let before = buffers(&producer);
        for _ in 0..3 {
            fill(&mut producer);
            settle_all(&consumer, true);
            assert_eq!(pool(&mut producer), BATCHES);
            assert!(producer.spare.iter().all(|batch| batch.is_empty() && batch.bytes().is_empty()));
            assert_eq!(buffers(&producer), before);
        }
    }

    #[test]
    fn a_batch_is_handed_over_before_its_bytes_could_grow() {
        let (mut producer, consumer, _) = one_worker(true);
        let longest = vec![0; LONGEST_PACKET];
        let mut record = record();
        record.packet.captured_length = u32::try_from(LONGEST_PACKET).unwrap();
        for _ in 0..BATCH_BYTES / LONGEST_PACKET + 1 {
            arbitrary::push(producer.batch().unwrap(), &record, &longest);
        }
        let filled = consumer.receive(None).unwrap();
        assert_eq!(filled.batch.packets().len(), BATCH_BYTES / LONGEST_PACKET);
        assert_eq!(filled.batch.bytes().len(), BATCH_BYTES);
    }

    #[test]
    fn packets_are_settled_once_by_the_record_that_accounts_for_them() {
        let (mut producer, consumer, counters) = one_worker(false);
        for recorded in [true, false] {
            let batch = producer.batch().unwrap();
            let PacketRecord { timestamp, queue, packet, .. } = record();
            batch.push(timestamp, queue, packet, |_, _| {});
            for _ in 0..3 {
                batch.push(timestamp, queue, packet, |_, _| {});
            }
            let mut flow = flow();
            // Three of its packets have a record of their own.
            (flow.forward.packets, flow.reverse.packets, flow.accounted) = (20, 10, 27);
            batch.push_flow(&flow);
            (flow.forward.packets, flow.reverse.packets, flow.accounted) = (0, 0, 0);
            batch.push_flow(&flow);
            assert_eq!(batch.amount().packets, 31);
            producer.flush();
            settle_all(&consumer, recorded);
        }
        let expected = Amount { packets: 31, packet_records: 4, flow_records: 2, application_records: 0 };
        assert_eq!((counters.recorded(), counters.lost(Loss::WriteFailed)), (expected, expected));
    }

    #[test]
    fn the_first_records_of_a_batch_are_those_that_are_written_first() {
        let mut batch = Batch::with_capacity(0);
        let PacketRecord { timestamp, queue, packet, .. } = record();
        for _ in 0..3 {
            batch.push(timestamp, queue, packet, |_, _| {});
        }
        let mut flow = flow();
        for accounted in [10, 5] {
            (flow.forward.packets, flow.accounted) = (10, accounted);
            batch.push_flow(&flow);
        }
        let amounts: Vec<_> = (0..7)
            .map(|records| batch.amount_of_first(records))
            .map(|amount| (amount.packets, amount.packet_records, amount.flow_records))
            .collect();
        let all = (18, 3, 2);
        assert_eq!(amounts, [(0, 0, 0), (1, 1, 0), (2, 2, 0), (3, 3, 0), (13, 3, 1), all, all]);
        assert_eq!(batch.amount(), batch.amount_of_first(5));
    }

    #[test]
    fn nobody_waits_for_a_sink_that_was_given_up() {
        let counters = SinkCounters::new(1);
        let (mut producers, consumer) = queue(counters.workers(), counters.given_up(), BATCHES, false);
        let mut producer = producers.remove(0);
        fill(&mut producer);
        let waiting = std::thread::spawn(move || producer.wait_for_batch().err());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        counters.given_up().store(true, Relaxed);
        assert_eq!(waiting.join().unwrap(), Some(DropReason::SinkQueueFull));
        counters.workers()[0].abandon();
        let lost = counters.workers()[0].lost(Loss::Stalled);
        assert_eq!(lost.packets, (BATCHES * BATCH_RECORDS) as u64);
        drop(consumer);
    }

    #[test]
    fn flush_hands_over_what_there_is_unless_the_sink_is_busy() {
        let (mut producer, consumer, _) = one_worker(false);
        producer.flush();
        assert!(consumer.receive(Some(Duration::ZERO)).is_err(), "nothing to hand over");
        for _ in 0..BATCHES + 3 {
            arbitrary::push(producer.batch().unwrap(), &record(), &[]);
            producer.flush();
        }
        assert_eq!(
            settle_all(&consumer, true),
            1,
            "the first record went at once, the others wait in one batch"
        );
        producer.flush();
        assert_eq!(settle_all(&consumer, true), BATCHES + 2);
    }

    #[test]
    fn a_producer_that_ends_hands_over_its_last_batch_and_ends_the_queue() {
        let (mut producer, consumer, counters) = one_worker(false);
        arbitrary::push(producer.batch().unwrap(), &record(), &[]);
        drop(producer);
        assert_eq!(settle_all(&consumer, true), 1);
        assert_eq!(consumer.receive(None).unwrap_err(), RecvTimeoutError::Disconnected);
        assert_eq!(counters.recorded().packets, 1);
    }

    #[test]
    fn records_for_a_sink_thread_that_is_gone_are_failed_writes() {
        let (mut producer, consumer, counters) = one_worker(false);
        drop(consumer);
        for _ in 0..10 * BATCH_RECORDS {
            arbitrary::push(producer.batch().unwrap(), &record(), &[]);
        }
        assert_eq!(pool(&mut producer), BATCHES);
        drop(producer);
        assert_eq!(counters.lost(Loss::WriteFailed).packets, 10 * BATCH_RECORDS as u64);
    }
}

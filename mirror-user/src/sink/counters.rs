//! Counters of what became of the records, that the ledger reads at any time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::DropReason;
use crate::record::Amount;

/// Ways in which a sink loses records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They could not be written.
    WriteFailed,
    /// They were written, but their file could not be made durable.
    SyncFailed,
    /// They were written, but their file is not there under its final name.
    PublishFailed,
    /// The sink thread panicked.
    Panicked,
    /// The output stalled until the program would not wait any longer.
    Stalled,
}

impl Loss {
    /// Every loss, in the order of a record's way through the sink.
    pub const ALL: [Self; 5] =
        [Self::WriteFailed, Self::SyncFailed, Self::PublishFailed, Self::Panicked, Self::Stalled];

    /// The reason that the packets of lost records are counted under.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::WriteFailed => DropReason::SinkWriteFailed,
            Self::SyncFailed => DropReason::SinkSyncFailed,
            Self::PublishFailed => DropReason::SinkPublishFailed,
            Self::Panicked => DropReason::SinkPanicked,
            Self::Stalled => DropReason::SinkStalled,
        }
    }
}

/// A sum of amounts that threads add to and any thread reads.
#[derive(Debug, Default)]
struct Total {
    packets: AtomicU64,
    packet_records: AtomicU64,
    flow_records: AtomicU64,
    application_records: AtomicU64,
}

impl Total {
    fn add(&self, amount: Amount) {
        self.packets.fetch_add(amount.packets, Relaxed);
        self.packet_records.fetch_add(amount.packet_records, Relaxed);
        self.flow_records.fetch_add(amount.flow_records, Relaxed);
        self.application_records.fetch_add(amount.application_records, Relaxed);
    }

    fn subtract(&self, amount: Amount) {
        self.packets.fetch_sub(amount.packets, Relaxed);
        self.packet_records.fetch_sub(amount.packet_records, Relaxed);
        self.flow_records.fetch_sub(amount.flow_records, Relaxed);
        self.application_records.fetch_sub(amount.application_records, Relaxed);
    }

    fn get(&self) -> Amount {
        Amount {
            packets: self.packets.load(Relaxed),
            packet_records: self.packet_records.load(Relaxed),
            flow_records: self.flow_records.load(Relaxed),
            application_records: self.application_records.load(Relaxed),
        }
    }
}

/// Counters of the records of one worker. Packets are counted by the record that
/// [accounts](crate::record::Batch::amount) for them: once, however many records tell of them.
#[derive(Debug, Default)]
pub struct RecordCounters {
    /// Handed over by the worker.
    handed: Total,
    /// Accepted by the operating system, and not lost since.
    recorded: Total,
    /// Those of `recorded` that are in files which are not finished.
    unfinished: Total,
    lost: [Total; Loss::ALL.len()],
    /// `true` once nobody waits for the sink any more: what it does from now on is not counted.
    abandoned: Mutex<bool>,
}

impl RecordCounters {
    /// Records that the operating system has accepted. It becomes less when a file cannot be finished.
    pub fn recorded(&self) -> Amount {
        self.recorded.get()
    }

    /// Records that were lost in this way.
    pub fn lost(&self, loss: Loss) -> Amount {
        self.total(loss).get()
    }

    /// Records that were lost in any way.
    pub fn all_lost(&self) -> Amount {
        Loss::ALL.into_iter().fold(Amount::default(), |sum, loss| sum + self.lost(loss))
    }

    fn total(&self, loss: Loss) -> &Total {
        &self.lost[loss as usize]
    }

    /// Counts records that the worker has handed over.
    pub(super) fn hand_over(&self, amount: Amount) {
        self.handed.add(amount);
    }

    /// Counts records that were handed over and have been accepted by the operating system.
    pub(super) fn record(&self, amount: Amount) {
        self.unless_abandoned(|| self.recorded.add(amount));
    }

    /// Counts records that were handed over and could not be written.
    pub(super) fn lose(&self, amount: Amount, loss: Loss) {
        self.unless_abandoned(|| self.total(loss).add(amount));
    }

    /// Counts recorded ones as lost that are in an unfinished file.
    fn forfeit(&self, amount: Amount, loss: Loss) {
        self.unless_abandoned(|| {
            self.unfinished.subtract(amount);
            self.recorded.subtract(amount);
            self.total(loss).add(amount);
        });
    }

    /// Counts everything as lost that the sink has not settled or not finished, and nothing any more after that.
    pub(super) fn abandon(&self) {
        let mut abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        *abandoned = true;
        let unfinished = self.unfinished.get();
        let unsettled = self.handed.get() - self.recorded.get() - self.all_lost();
        self.recorded.subtract(unfinished);
        self.total(Loss::Stalled).add(unfinished + unsettled);
    }

    fn unless_abandoned(&self, count: impl FnOnce()) {
        let abandoned = self.abandoned.lock().unwrap_or_else(PoisonError::into_inner);
        if !*abandoned {
            count();
        }
    }

    /// As if records had been settled that account for so many packets.
    #[cfg(test)]
    pub(crate) fn with_packets(recorded: u64, write_failed: u64) -> Self {
        let counters = Self::default();
        let packets = |packets| Amount { packets, ..Amount::default() };
        counters.record(packets(recorded));
        counters.lose(packets(write_failed), Loss::WriteFailed);
        counters
    }
}

/// The records in a file that is not finished, by worker. They are recorded as long as nothing else is said of them; a
/// panic that drops them counts them as lost.
#[derive(Debug)]
pub struct Unfinished(Vec<(Arc<RecordCounters>, Amount)>);

impl Unfinished {
    /// A file of records of these workers, still without any.
    pub(super) fn new(workers: impl IntoIterator<Item = Arc<RecordCounters>>) -> Self {
        Self(workers.into_iter().map(|counters| (counters, Amount::default())).collect())
    }

    /// Adds records of the worker `slot` that are already counted as recorded.
    pub(super) fn add(&mut self, slot: usize, amount: Amount) {
        if let Some((counters, sum)) = self.0.get_mut(slot) {
            counters.unfinished.add(amount);
            *sum += amount;
        }
    }

    /// The file is finished: its records stay recorded.
    pub fn keep(mut self) {
        for (counters, amount) in self.0.drain(..) {
            counters.unless_abandoned(|| counters.unfinished.subtract(amount));
        }
    }

    /// The file could not be finished: its records are lost.
    pub fn lose(mut self, loss: Loss) {
        self.forfeit(loss);
    }

    fn forfeit(&mut self, loss: Loss) {
        for (counters, amount) in self.0.drain(..) {
            counters.forfeit(amount, loss);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.forfeit(Loss::Panicked);
    }
}

/// The counters of all sinks. Shared between the sink threads, which count, and the ledger, which reads.
#[derive(Debug)]
pub struct SinkCounters {
    workers: Vec<Arc<RecordCounters>>,
    bytes: AtomicU64,
    files: AtomicU64,
    closed: AtomicBool,
    panicked: AtomicBool,
    given_up: Arc<AtomicBool>,
}

impl SinkCounters {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            given_up: Arc::default(),
        }
    }

    /// One for each worker, in the order of the producers.
    pub fn workers(&self) -> &[Arc<RecordCounters>] {
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

    /// `true` once the reader of standard output has gone: nothing can be recorded any more, and the program should
    /// shut down.
    pub fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// `true` once a sink thread has panicked: its records are lost from then on, and the program should shut down.
    pub fn panicked(&self) -> bool {
        self.panicked.load(Relaxed)
    }

    /// Set once nobody waits for the sinks any more.
    pub(super) fn given_up(&self) -> &Arc<AtomicBool> {
        &self.given_up
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

    pub(super) fn set_panicked(&self) {
        self.panicked.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(packets: u64) -> Amount {
        Amount { packets, packet_records: packets, ..Amount::default() }
    }

    fn sums(counters: &RecordCounters, loss: Loss) -> (u64, u64) {
        assert_eq!(counters.all_lost(), counters.lost(loss));
        (counters.recorded().packets, counters.lost(loss).packets)
    }

    #[test]
    fn records_of_a_file_stand_or_fall_with_it() {
        let counters = Arc::new(RecordCounters::default());
        let file = |amount| {
            let mut unfinished = Unfinished::new([Arc::clone(&counters)]);
            counters.hand_over(packets(amount));
            counters.record(packets(amount));
            unfinished.add(0, packets(amount));
            unfinished
        };
        file(10).keep();
        assert_eq!(sums(&counters, Loss::SyncFailed), (10, 0));
        file(5).lose(Loss::SyncFailed);
        assert_eq!(sums(&counters, Loss::SyncFailed), (10, 5));
        drop(file(3));
        assert_eq!((counters.recorded().packets, counters.lost(Loss::Panicked).packets), (10, 3));
        assert_eq!(counters.unfinished.get(), Amount::default());
    }

    #[test]
    fn what_is_abandoned_is_lost_and_what_is_done_later_is_not_counted() {
        let counters = Arc::new(RecordCounters::default());
        counters.hand_over(packets(100));
        counters.record(packets(30));
        counters.lose(packets(10), Loss::WriteFailed);
        let mut unfinished = Unfinished::new([Arc::clone(&counters)]);
        unfinished.add(0, packets(20));
        counters.abandon();
        let told = || (counters.recorded().packets, counters.lost(Loss::Stalled).packets);
        assert_eq!(told(), (10, 80));
        counters.record(packets(60));
        counters.lose(packets(1), Loss::WriteFailed);
        unfinished.lose(Loss::SyncFailed);
        assert_eq!(told(), (10, 80));
        assert_eq!(counters.all_lost().packets, 90);
    }
}

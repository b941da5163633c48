//! Every counter and gauge of every stage at one moment.
//!
//! The ledger checks a snapshot; the log line shows the growth between two. Nothing else adds counters up.

use std::time::Duration;

use mirror_common::verdict::{Counts, Verdict};
use serde::Serialize;

use crate::counters::WorkerCounters;
use crate::degrade::LEVELS;
use crate::drop_reason::{DropReason, Drops, Stage};
use crate::enrichment::EnrichmentSnapshot;
use crate::nic::meter::CounterGrowth;
use crate::number::QueueId;
use crate::record::Amount;
use crate::sink::{self, Loss};
use crate::xdp::AttachMode;
use crate::xsk::{CopyMode, XskStatistics};

/// Every counter and gauge of every stage at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Time since packets could arrive.
    pub elapsed: Duration,
    /// The interface; absent for capture files.
    pub interface: Option<InterfaceSnapshot>,
    /// The capture files; absent for an interface.
    pub files: Option<FileFacts>,
    /// Enrichment; absent without a map.
    pub enrichment: Option<EnrichmentSnapshot>,
    /// Bytes of records written, headers of files included.
    pub output_bytes: u64,
    /// Files of records that are complete and bear their final names.
    pub output_files: u64,
    /// The stages of each receive queue.
    pub queues: Vec<QueueSnapshot>,
}

impl Snapshot {
    /// Packets that workers have received.
    pub fn received(&self) -> u64 {
        self.queues.iter().map(|queue| queue.worker.received).sum()
    }

    /// Packets that were written, in a record of their own or in that of their flow.
    pub fn recorded(&self) -> u64 {
        self.queues.iter().map(|queue| queue.sink.recorded.packets).sum()
    }

    /// Packets that ended without a record, by reason.
    pub fn dropped(&self) -> Drops {
        self.queues.iter().fold(Drops::default(), |mut sum, queue| {
            sum += queue.dropped;
            sum
        })
    }
}

/// Counters of the interface and its driver since the start.
#[derive(Clone, Debug, Default)]
pub struct InterfaceSnapshot {
    /// Name that it has now.
    pub name: String,
    /// Name of the driver, where the device has one.
    pub driver: Option<String>,
    /// Mode that the XDP program runs in, once it is attached.
    pub xdp_mode: Option<AttachMode>,
    /// The kernel's counters.
    pub counters: CounterGrowth,
    /// The driver's own counters of losses.
    pub driver_counters: CounterGrowth,
    /// Packets that came by queues on which the driver does not run the program.
    pub unseen: u64,
    /// Losses that are in no counter.
    pub notes: Vec<String>,
}

/// Facts of the capture files that were replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Files that were read, or were to be.
    pub files: usize,
    /// Those of them that could not be read, or not in full.
    pub incomplete: usize,
    /// Bytes of incomplete files that could not be read, as they lie on disk, where that is known. Packets in them are in no
    /// counter.
    pub unread_bytes: u64,
}

/// Counters of the stages that a receive queue's packets pass.
#[derive(Clone, Debug, Default)]
pub struct QueueSnapshot {
    /// The receive queue.
    pub queue: QueueId,
    /// CPU that its worker is pinned to.
    pub cpu: Option<usize>,
    /// Mode that its socket was bound in at first.
    pub copy_mode: Option<CopyMode>,
    /// Packets by the XDP program's verdict; absent for a capture file.
    pub xdp: Option<Counts>,
    /// The kernel's counters of its sockets; absent without one.
    pub af_xdp: Option<XskStatistics>,
    /// Packets found in capture files, whether they could be read or not; absent for an interface.
    pub in_files: Option<u64>,
    /// The worker.
    pub worker: WorkerSnapshot,
    /// The worker's records in the sink.
    pub sink: SinkSnapshot,
    /// Packets that ended without a record, by reason, at whichever stage.
    pub dropped: Drops,
}

/// Counters and gauges of a worker; see [`WorkerCounters`].
#[derive(Clone, Debug, Default)]
pub struct WorkerSnapshot {
    /// Frames taken from ring or file.
    pub received: u64,
    /// Bytes of those frames.
    pub received_bytes: u64,
    /// Packets found in them.
    pub decapsulated: u64,
    /// Frames whose receive time was worked out from that of others.
    pub interpolated_times: u64,
    /// Times that the queue's socket was made again.
    pub rebinds: u64,
    /// Records of packets that the queue to the sink had no room for.
    pub packet_records_refused: u64,
    /// Records of flows that the queue to the sink had no room for.
    pub flow_records_refused: u64,
    /// Records of applications that the queue to the sink had no room for.
    pub application_records_refused: u64,
    /// Flows in the table.
    pub flows_active: u64,
    /// Flows that began.
    pub flows_created: u64,
    /// Flows that ended early, to make room.
    pub flows_evicted: u64,
    /// Tunnels whose flows ended early, to make room for another tunnel.
    pub tunnels_evicted: u64,
    /// Steps back and jumps of the packets' clock.
    pub clock_steps: u64,
    /// Times that the system's wall clock was set.
    pub wall_clock_steps: u64,
    /// Changes of the level of the work.
    pub level_changes: u64,
    /// Time and packets at each level, from [`DegradeLevel::Full`](crate::degrade::DegradeLevel::Full) down.
    pub levels: [(Duration, u64); LEVELS],
    /// The worker panicked.
    pub panicked: bool,
    /// What was found in the payload of flows; [`None`] where nothing is looked for.
    pub applications: Option<mirror_app::Counters>,
}

impl WorkerSnapshot {
    fn of(counters: &WorkerCounters) -> Self {
        let mut levels = [(Duration::ZERO, 0); LEVELS];
        for (level, used) in levels.iter_mut().zip(counters.levels()) {
            *level = used;
        }
        Self {
            decapsulated: counters.decapsulated.get(),
            received: counters.received.get(),
            received_bytes: counters.received_bytes.get(),
            interpolated_times: counters.interpolated_times.get(),
            rebinds: counters.rebinds.get(),
            packet_records_refused: counters.packet_records_refused.get(),
            flow_records_refused: counters.flow_records_refused.get(),
            application_records_refused: counters.application_records_refused.get(),
            flows_active: counters.flows_active.get(),
            flows_created: counters.flows_created.get(),
            flows_evicted: counters.flows_evicted.get(),
            tunnels_evicted: counters.tunnels_evicted.get(),
            clock_steps: counters.clock_steps.get(),
            wall_clock_steps: counters.wall_clock_steps.get(),
            level_changes: counters.level_changes.get(),
            levels,
            panicked: counters.has_panicked(),
            applications: counters.applications(),
        }
    }
}

/// Records of one worker in the sink. Packets are counted by the record that accounts for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SinkSnapshot {
    /// Those that the operating system took, less those in files that could not be finished.
    pub recorded: Amount,
    /// Those that the sink has lost, in any way.
    pub lost: Amount,
}

impl QueueSnapshot {
    /// The counters of a worker and of its records in the sink. While they move, the later stage is read first, so that no
    /// packet seems to leave a stage that it has not entered.
    pub fn of(counters: &WorkerCounters, sink: &sink::RecordCounters) -> Self {
        let records = SinkSnapshot { recorded: sink.recorded(), lost: sink.all_lost() };
        let mut dropped = Drops::default();
        for loss in Loss::ALL {
            dropped[loss.reason()] = sink.lost(loss).packets;
        }
        for &reason in DropReason::ALL {
            dropped[reason] += counters.dropped(reason);
        }
        let worker = WorkerSnapshot::of(counters);
        let af_xdp = counters.socket();
        if let Some(statistics) = af_xdp {
            dropped[DropReason::FillRingEmpty] = statistics.rx_dropped;
            dropped[DropReason::RxRingFull] = statistics.rx_ring_full;
        }
        let mut queue =
            Self { queue: counters.queue, af_xdp, worker, sink: records, dropped, ..Self::default() };
        if counters.has_panicked() {
            queue.name_what_the_worker_held();
        }
        queue
    }

    /// A queue that no worker serves.
    pub fn unserved(queue: QueueId) -> Self {
        Self { queue, ..Self::default() }
    }

    /// Adds the packets that were `found` in capture files, and those of them that could not be read.
    #[must_use]
    pub fn with_files(mut self, found: u64, unread: &[(DropReason, u64)]) -> Self {
        self.in_files = Some(found);
        for &(reason, packets) in unread {
            self.dropped[reason] = packets;
        }
        self
    }

    /// Adds the packets that the XDP program counted for the queue.
    #[must_use]
    pub fn with_verdicts(mut self, verdicts: &Counts) -> Self {
        self.xdp = Some(*verdicts);
        for (verdict, &packets) in Verdict::ALL.into_iter().zip(verdicts) {
            if let Some(reason) = DropReason::of_verdict(verdict) {
                self.dropped[reason] = packets;
            }
        }
        self
    }

    /// Packets with this verdict; [`None`] for a capture file.
    pub fn verdict(&self, verdict: Verdict) -> Option<u64> {
        self.xdp.as_ref()?.get(verdict as usize).copied()
    }

    /// Packets that the capture took: those that the XDP program redirected or dropped, or those found in capture files.
    pub fn seen(&self) -> u64 {
        match self.verdict(Verdict::Redirected) {
            Some(redirected) => redirected + self.dropped.at(Stage::Xdp),
            None => self.in_files.unwrap_or(self.worker.received),
        }
    }

    /// Packets that a worker has received, and that have ended without a record.
    pub fn dropped_after_arrival(&self) -> u64 {
        [Stage::Decapsulation, Stage::Record, Stage::Sink]
            .into_iter()
            .map(|stage| self.dropped.at(stage))
            .sum()
    }

    /// Names the packets that a worker held when it panicked, which its counters do not tell apart.
    fn name_what_the_worker_held(&mut self) {
        let ended = self.sink.recorded.packets.saturating_add(self.dropped_after_arrival());
        let held = self.worker.received.saturating_sub(ended);
        self.dropped[DropReason::WorkerPanicked] += held;
    }
}

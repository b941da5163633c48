//! The ledger: where every packet went, and whether it adds up.
//!
//! Each stage counts what comes in and what goes out under its own name; the ledger compares one stage's out with
//! the next one's in, per queue, and never computes one number from the others. It balances when all of these hold:
//!
//! | what goes in | what comes out |
//! |---|---|
//! | XDP: redirected | received by the worker + refused by the socket's rings |
//! | found in capture files | received by the worker + those that cannot be read |
//! | received by the worker | decapsulated + dropped by decapsulation |
//! | decapsulated | recorded + dropped on the way to the sink or in it |
//!
//! It follows that `seen` = `recorded` + the sum of `dropped`. Packets that the XDP program passed to the kernel are
//! not the capture's own, and stand apart under `passed`; those that were lost before the capture, under
//! [`never_reached`].

pub mod file;
pub mod files;
pub mod never_reached;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use mirror_common::verdict::{Counts, Verdict};
use serde::Serialize;

use self::files::FileFacts;
use self::never_reached::NeverReached;
use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::degrade::DegradeConfig;
use crate::nic::meter::CounterGrowth;
use crate::number::QueueId;
use crate::sink::{self, Loss};
use crate::xsk::XskStatistics;

/// What one queue's stages counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QueueLedger {
    /// The receive queue.
    pub queue: u32,
    /// The processor that its worker was pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    /// Whether the NIC or the kernel wrote into the UMEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_mode: Option<&'static str>,
    /// The XDP program's verdicts; absent for a capture file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xdp: Option<BTreeMap<&'static str, u64>>,
    /// The socket's own counters; absent for a capture file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub af_xdp: Option<XskStatistics>,
    /// Packets found in capture files, whether they could be read or not; absent for an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_files: Option<u64>,
    /// Frames taken from ring or file.
    pub received: u64,
    /// Bytes of those frames.
    pub received_bytes: u64,
    /// Packets found in them.
    pub decapsulated: u64,
    /// Frames whose arrival time is the worker's, because they came without the kernel's metadata.
    pub without_metadata: u64,
    /// Times that the queue's socket was made again, because the kernel had unbound it or packets did not reach it.
    pub rebinds: u64,
    /// The worker panicked. What it held is `worker_panicked` under `dropped`: what was received and is in no
    /// other counter, since a panic leaves no other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub panicked: bool,
    /// Records of packets.
    pub packet_records: RecordCounts,
    /// Records of flows.
    pub flow_records: RecordCounts,
    /// Flows that began.
    pub flows_created: u64,
    /// Flows that ended early, to make room for others.
    pub flows_evicted: u64,
    /// How often the packets' clock was set back or jumped.
    pub clock_steps: u64,
    /// How often the system's wall clock was set, forward or back; the arrival times of live frames follow it.
    pub wall_clock_steps: u64,
    /// How often the worker changed the level of its work, to keep up or because it could again.
    pub level_changes: u64,
    /// What was done at each level, from `full` down.
    pub levels: Vec<LevelRow>,
    /// Packets that were written, in a record of their own or in that of their flow.
    pub recorded: u64,
    /// Packets that ended without a record, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// What was done at one level of the work.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LevelRow {
    /// The level: `full`, `flows`, `sampled 1:8` and so on, `counters`.
    pub level: String,
    /// How long it was in force.
    pub seconds: f64,
    /// Packets that were worked on meanwhile.
    pub packets: u64,
}

/// What became of records of one kind. A packet may be in several; see `recorded` for packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// Those that the operating system took, less those in files that could not be finished.
    pub written: u64,
    /// Those that the sink has lost.
    pub failed: u64,
    /// Those that the queue to the sink had no room for.
    pub refused: u64,
}

/// A row for each level that was in force.
fn level_rows(worker: &WorkerCounters) -> Vec<LevelRow> {
    let levels = DegradeConfig::default().levels();
    let used =
        levels.iter().zip(worker.levels()).filter(|(_, (time, packets))| !time.is_zero() || *packets != 0);
    used.map(|(level, (time, packets))| LevelRow {
        level: level.to_string(),
        seconds: time.as_secs_f64(),
        packets,
    })
    .collect()
}

/// One equation of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The queue; absent where the check is of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// What is compared.
    pub stage: &'static str,
    /// What went in.
    pub entered: u64,
    /// What came out.
    pub left: u64,
}

/// The whole ledger of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// Whether every packet is accounted for: each of `checks` has `entered` equal to `left`.
    pub balanced: bool,
    /// Tunnel packets that the XDP program took, redirected or dropped; for capture files, the packets in them.
    pub seen: u64,
    /// Packets received from the rings or the file.
    pub received: u64,
    /// Packets that were written, in a record of their own or in that of their flow.
    pub recorded: u64,
    /// Packets that ended without a record, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// How often the packets' clock was set back or jumped, over all queues.
    pub clock_steps: u64,
    /// Packets that the XDP program left to the kernel, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub passed: BTreeMap<&'static str, u64>,
    /// Packets that never reached the capture; absent for a capture file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_reached: Option<NeverReached>,
    /// How and for how long.
    pub run: RunFacts,
    /// The comparisons behind `balanced`.
    pub checks: Vec<Check>,
    /// The same counters by receive queue.
    pub queues: Vec<QueueLedger>,
}

/// Facts of the run that the counters belong to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunFacts {
    /// Version of the program.
    pub version: &'static str,
    /// The interface; absent for capture files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Where the XDP program ran: `native` or `generic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xdp_mode: Option<String>,
    /// Seconds from the first moment that a packet could arrive to the last.
    pub seconds: f64,
    /// What the interface itself counted in that time, all traffic together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nic: Option<NicFacts>,
    /// The capture files; absent for an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileFacts>,
    /// Bytes of records written.
    pub output_bytes: u64,
}

/// Counters of the interface and its driver.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NicFacts {
    /// Name of the driver, where the device has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The kernel's counters.
    #[serde(flatten)]
    pub counters: CounterGrowth,
    /// The driver's own counters of losses; in the ledger they stand under `never_reached`.
    #[serde(skip)]
    pub driver_counters: CounterGrowth,
    /// Packets that came by queues on which the driver does not run the program.
    #[serde(skip)]
    pub unseen: u64,
    /// Losses that are in no counter.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// Reasons that are counted between decapsulation and the end of the sink.
const RECORD_REASONS: [DropReason; 13] = [
    DropReason::PolicyExcluded,
    DropReason::FlowNotIp,
    DropReason::FlowFragment,
    DropReason::FlowTunnels,
    DropReason::NotSampled,
    DropReason::CountersOnly,
    DropReason::WorkerPanicked,
    DropReason::SinkQueueFull,
    DropReason::SinkWriteFailed,
    DropReason::SinkSyncFailed,
    DropReason::SinkPublishFailed,
    DropReason::SinkPanicked,
    DropReason::SinkStalled,
];
/// Reasons that are counted before the worker: by the kernel, or while a capture file is read.
const EARLY_REASONS: [DropReason; 10] = [
    DropReason::SourceNotAllowed,
    DropReason::NoHeadroom,
    DropReason::NotCut,
    DropReason::FillRingEmpty,
    DropReason::RxRingFull,
    DropReason::SocketLost,
    DropReason::FileLinkType,
    DropReason::FileInterface,
    DropReason::FileLength,
    DropReason::FileCutOff,
];

impl QueueLedger {
    /// Puts the counters of one worker, its sink and its socket together.
    pub fn new(worker: &WorkerCounters, sink: &sink::WorkerCounters, af_xdp: Option<XskStatistics>) -> Self {
        let mut dropped: BTreeMap<&'static str, u64> =
            DropReason::ALL.iter().map(|&reason| (reason.name(), worker.dropped(reason))).collect();
        let mut set = |reason: DropReason, count| dropped.insert(reason.name(), count);
        let (recorded, lost) = (sink.recorded(), sink.all_lost());
        for loss in Loss::ALL {
            set(loss.reason(), sink.lost(loss).packets);
        }
        if let Some(statistics) = af_xdp {
            set(DropReason::FillRingEmpty, statistics.rx_dropped);
            set(DropReason::RxRingFull, statistics.rx_ring_full);
        }
        Self {
            queue: worker.queue.0,
            received: worker.received.get(),
            received_bytes: worker.received_bytes.get(),
            decapsulated: worker.decapsulated.get(),
            without_metadata: worker.without_metadata.get(),
            rebinds: worker.rebinds.get(),
            packet_records: RecordCounts {
                written: recorded.packet_records,
                failed: lost.packet_records,
                refused: worker.packet_records_refused.get(),
            },
            flow_records: RecordCounts {
                written: recorded.flow_records,
                failed: lost.flow_records,
                refused: worker.flow_records_refused.get(),
            },
            flows_created: worker.flows_created.get(),
            flows_evicted: worker.flows_evicted.get(),
            clock_steps: worker.clock_steps.get(),
            wall_clock_steps: worker.wall_clock_steps.get(),
            level_changes: worker.transitions.get(),
            levels: level_rows(worker),
            recorded: recorded.packets,
            dropped,
            af_xdp,
            ..Self::default()
        }
    }

    /// Names the packets that a worker held when it panicked, which its counters do not tell apart.
    #[must_use]
    pub fn after_panic(mut self) -> Self {
        let reasons = DropReason::ALL.iter().copied().filter(|reason| !EARLY_REASONS.contains(reason));
        let held = self.received.saturating_sub(self.recorded.saturating_add(self.sum(reasons)));
        *self.dropped.entry(DropReason::WorkerPanicked.name()).or_default() += held;
        self.panicked = true;
        self
    }

    /// A queue that no worker serves.
    pub fn unserved(queue: QueueId) -> Self {
        let dropped = DropReason::ALL.iter().map(|reason| (reason.name(), 0)).collect();
        Self { queue: queue.0, dropped, ..Self::default() }
    }

    /// Adds the packets that were `found` in capture files, and those of them that could not be read.
    #[must_use]
    pub fn with_files(mut self, found: u64, unread: &[(DropReason, u64)]) -> Self {
        self.in_files = Some(found);
        for &(reason, packets) in unread {
            self.dropped.insert(reason.name(), packets);
        }
        self
    }

    /// Adds what the XDP program counted for the queue, by [`Verdict`].
    #[must_use]
    pub fn with_verdicts(mut self, verdicts: &Counts) -> Self {
        let count = |verdict: Verdict| verdicts.get(verdict as usize).copied().unwrap_or(0);
        self.xdp = Some(Verdict::ALL.into_iter().map(|verdict| (verdict.name(), count(verdict))).collect());
        self.dropped.insert(DropReason::SourceNotAllowed.name(), count(Verdict::DroppedSource));
        self.dropped.insert(DropReason::NoHeadroom.name(), count(Verdict::DroppedNoHeadroom));
        self.dropped.insert(DropReason::NotCut.name(), count(Verdict::DroppedNotCut));
        self
    }

    fn verdict(&self, verdict: Verdict) -> Option<u64> {
        self.xdp.as_ref()?.get(verdict.name()).copied()
    }

    fn sum(&self, reasons: impl IntoIterator<Item = DropReason>) -> u64 {
        reasons.into_iter().filter_map(|reason| self.dropped.get(reason.name())).sum()
    }

    fn seen(&self) -> u64 {
        let without_xdp = self.in_files.unwrap_or(self.received);
        self.xdp.as_ref().map_or(without_xdp, |_| {
            let taken = [
                Verdict::Redirected,
                Verdict::DroppedSource,
                Verdict::DroppedNoHeadroom,
                Verdict::DroppedNotCut,
            ];
            taken.into_iter().filter_map(|verdict| self.verdict(verdict)).sum()
        })
    }

    fn checks(&self) -> Vec<Check> {
        let check = |stage, entered, left| Check { queue: Some(self.queue), stage, entered, left };
        let decapsulation = DropReason::ALL
            .iter()
            .copied()
            .filter(|reason| !RECORD_REASONS.contains(reason) && !EARLY_REASONS.contains(reason));
        let decapsulation = self.sum(decapsulation);
        let records = self.recorded + self.sum(RECORD_REASONS);
        let sockets = self.sum([DropReason::FillRingEmpty, DropReason::RxRingFull, DropReason::SocketLost]);
        let redirected = self.verdict(Verdict::Redirected);
        let mut checks: Vec<Check> = redirected
            .map(|redirected| check("xdp to worker", redirected, self.received + sockets))
            .into_iter()
            .collect();
        if let Some(found) = self.in_files {
            let unread = self.sum([
                DropReason::FileLinkType,
                DropReason::FileInterface,
                DropReason::FileLength,
                DropReason::FileCutOff,
            ]);
            checks.push(check("file to worker", found, self.received + unread));
        }
        if self.panicked {
            // How far the worker had come with its last batch is not known.
            checks.push(check("worker to sink", self.received, decapsulation + records));
        } else {
            checks.push(check("worker to decapsulation", self.received, self.decapsulated + decapsulation));
            checks.push(check("decapsulation to sink", self.decapsulated, records));
        }
        checks
    }
}

impl Ledger {
    /// Adds the queues up and compares the stages.
    pub fn new(run: RunFacts, queues: Vec<QueueLedger>) -> Self {
        let mut dropped: BTreeMap<&'static str, u64> =
            DropReason::ALL.iter().map(|reason| (reason.name(), 0)).collect();
        let mut passed = BTreeMap::new();
        for queue in &queues {
            for (reason, count) in &queue.dropped {
                *dropped.entry(reason).or_default() += count;
            }
            for (verdict, count) in queue.xdp.iter().flatten().filter(|(name, _)| name.starts_with("passed_"))
            {
                *passed.entry(*verdict).or_default() += count;
            }
        }
        let seen = queues.iter().map(QueueLedger::seen).sum();
        let recorded: u64 = queues.iter().map(|queue| queue.recorded).sum();
        let mut checks: Vec<Check> = queues.iter().flat_map(QueueLedger::checks).collect();
        let left = recorded + dropped.values().sum::<u64>();
        checks.push(Check { queue: None, stage: "seen to recorded and dropped", entered: seen, left });
        Self {
            balanced: checks.iter().all(|check| check.entered == check.left),
            seen,
            received: queues.iter().map(|queue| queue.received).sum(),
            recorded,
            dropped,
            clock_steps: queues.iter().map(|queue| queue.clock_steps).sum(),
            passed,
            never_reached: run.nic.as_ref().map(|nic| NeverReached::new(nic, &queues)),
            run,
            checks,
            queues,
        }
    }

    /// Writes the ledger as JSON.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut to, self)?;
        to.write_all(b"\n")
    }

    /// The ledger as a table for a person: what is zero is left out.
    pub fn table(&self) -> String {
        let mut rows: Vec<(String, u64)> = vec![
            ("seen".to_owned(), self.seen),
            ("received".to_owned(), self.received),
            ("recorded".to_owned(), self.recorded),
        ];
        let nonzero = |map: &BTreeMap<&'static str, u64>, kind: &str| -> Vec<(String, u64)> {
            map.iter()
                .filter(|(_, count)| **count != 0)
                .map(|(name, count)| (format!("{kind}{name}"), *count))
                .collect()
        };
        rows.extend(nonzero(&self.dropped, "dropped: "));
        rows.extend(nonzero(&self.passed, "to the kernel: "));
        if self.clock_steps != 0 {
            rows.push(("steps of the packets' clock".to_owned(), self.clock_steps));
        }
        let wide = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut table = String::new();
        for (name, count) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "  {name:<wide$}  {count:>14}");
        }
        if self.balanced {
            let incomplete = self.run.files.and_then(|files| files.told());
            let _ = match (&self.never_reached, incomplete) {
                (None, None) => writeln!(table, "  balanced: every packet is accounted for"),
                (None, Some(incomplete)) => {
                    writeln!(table, "  balanced: every packet that was found is accounted for; {incomplete}")
                }
                (Some(never), _) => {
                    let never = never.told("never did");
                    writeln!(
                        table,
                        "  balanced: every packet that reached the capture is accounted for; {never}"
                    )
                }
            };
        } else {
            table += "  NOT BALANCED:\n";
            for check in self.checks.iter().filter(|check| check.entered != check.left) {
                let queue = check.queue.map_or(String::new(), |queue| format!("queue {queue}, "));
                let Check { stage, entered, left, .. } = check;
                let _ = writeln!(table, "    {queue}{stage}: {entered} entered, {left} left");
            }
            if let Some(never) = &self.never_reached {
                let _ = writeln!(table, "  {}", never.told("packets never reached the capture"));
            }
        }
        table
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn worker(received: u64, decapsulated: u64, dropped: &[(DropReason, u64)]) -> WorkerCounters {
        let counters = WorkerCounters::new(QueueId(3));
        counters.received.add(received);
        counters.decapsulated.add(decapsulated);
        for &(reason, count) in dropped {
            counters.drop_packets(reason, count);
        }
        counters
    }

    fn sink(recorded: u64, write_failed: u64) -> sink::WorkerCounters {
        sink::WorkerCounters::with_packets(recorded, write_failed)
    }

    pub(in crate::ledger) fn verdicts(counts: &[(Verdict, u64)]) -> Counts {
        let mut verdicts = Counts::default();
        for &(verdict, count) in counts {
            verdicts[verdict as usize] = count;
        }
        verdicts
    }

    pub(in crate::ledger) fn queue() -> QueueLedger {
        let worker = worker(90, 80, &[(DropReason::GeneveVersion, 10), (DropReason::SinkQueueFull, 5)]);
        let af_xdp = XskStatistics { rx_dropped: 4, rx_ring_full: 6, ..XskStatistics::default() };
        QueueLedger::new(&worker, &sink(73, 2), Some(af_xdp)).with_verdicts(&verdicts(&[
            (Verdict::Redirected, 100),
            (Verdict::DroppedSource, 7),
            (Verdict::PassedNotTunnel, 1000),
        ]))
    }

    #[test]
    fn a_run_that_adds_up() {
        let ledger = Ledger::new(RunFacts::default(), vec![queue()]);
        assert!(ledger.balanced, "{:?}", ledger.checks);
        assert_eq!((ledger.seen, ledger.received, ledger.recorded), (107, 90, 73));
        assert_eq!(ledger.seen, ledger.recorded + ledger.dropped.values().sum::<u64>());
        assert_eq!(ledger.passed["passed_not_tunnel"], 1000);
        assert_eq!(ledger.dropped["fill_ring_empty"], 4, "the ring's own counter is of the same events");
        assert!(ledger.table().contains("balanced: every packet"));
    }

    #[test]
    fn one_packet_missing_at_any_stage_is_noticed() {
        type Lose = fn(&mut QueueLedger);
        let losses: [(&str, Lose); 5] = [
            ("redirected", |queue| *queue.xdp.as_mut().unwrap().get_mut("redirected").unwrap() += 1),
            ("received", |queue| queue.received -= 1),
            ("decapsulated", |queue| queue.decapsulated -= 1),
            ("recorded", |queue| queue.recorded -= 1),
            ("dropped", |queue| *queue.dropped.get_mut("rx_ring_full").unwrap() -= 1),
        ];
        for (stage, lose) in losses {
            let mut queue = queue();
            lose(&mut queue);
            let ledger = Ledger::new(RunFacts::default(), vec![queue]);
            assert!(!ledger.balanced, "{stage}");
            assert!(ledger.table().contains("NOT BALANCED"), "{stage}");
        }
    }

    #[test]
    fn steps_of_the_clock_are_told() {
        let (steady, mut stepped) = (queue(), queue());
        stepped.clock_steps = 3;
        let ledger = Ledger::new(RunFacts::default(), vec![steady.clone(), stepped]);
        assert!(ledger.table().contains("steps of the packets' clock"), "{}", ledger.table());
        let json = serde_json::to_value(&ledger).unwrap();
        assert_eq!((&json["clock_steps"], &json["queues"][1]["clock_steps"]), (&3.into(), &3.into()));
        assert!(!Ledger::new(RunFacts::default(), vec![steady]).table().contains("clock"));
    }

    /// 17 packets were in the worker's hands, decapsulated or not; three more are missing before the worker.
    #[test]
    fn what_a_worker_held_when_it_panicked_is_named_and_nothing_else() {
        let mut panicked = queue();
        panicked.received += 17;
        *panicked.xdp.as_mut().unwrap().get_mut("redirected").unwrap() += 17;
        panicked.decapsulated += 5;
        let ledger = Ledger::new(RunFacts::default(), vec![panicked.clone().after_panic()]);
        assert!(ledger.balanced, "{:?}", ledger.checks);
        assert_eq!(ledger.dropped["worker_panicked"], 17);
        assert_eq!(ledger.seen, ledger.recorded + ledger.dropped.values().sum::<u64>());
        *panicked.xdp.as_mut().unwrap().get_mut("redirected").unwrap() += 3;
        assert!(!Ledger::new(RunFacts::default(), vec![panicked.after_panic()]).balanced);
    }

    #[test]
    fn errors_of_two_queues_do_not_cancel_out() {
        let (mut more, mut less) = (queue(), queue());
        more.received += 1;
        less.received -= 1;
        assert!(!Ledger::new(RunFacts::default(), vec![more, less]).balanced);
    }

    #[test]
    fn a_capture_file_has_no_kernel_part() {
        let worker = worker(10, 9, &[(DropReason::NotTunnel, 1)]);
        let queue = QueueLedger::new(&worker, &sink(9, 0), None);
        let ledger = Ledger::new(RunFacts::default(), vec![queue]);
        assert!(ledger.balanced);
        assert_eq!((ledger.seen, ledger.received), (10, 10));
        let json = serde_json::to_value(&ledger).unwrap();
        assert_eq!(json["balanced"], true);
        assert_eq!(json["dropped"]["not_tunnel"], 1);
        assert!(json.get("passed").is_none() && json["queues"][0].get("xdp").is_none());
    }

    #[test]
    fn it_is_written_as_json() {
        let mut written = Vec::new();
        Ledger::new(RunFacts::default(), vec![queue()]).write(&mut written).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(json["seen"], 107);
    }
}

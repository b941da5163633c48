//! The ledger: the account of every packet, and a check that it adds up.
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
pub mod never_reached;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use mirror_app::GivenUp;
use mirror_common::verdict::Verdict;
use serde::Serialize;

use self::never_reached::NeverReached;
use crate::degrade::DegradeConfig;
use crate::drop_reason::{Drops, Stage};
use crate::enrichment::EnrichmentSnapshot;
use crate::nic::meter::CounterGrowth;
use crate::record::Amount;
use crate::snapshot::{FileFacts, InterfaceSnapshot, QueueSnapshot, Snapshot, WorkerSnapshot};
use crate::xsk::{CopyMode, XskStatistics};

/// Counters of one queue's stages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct QueueLedger {
    /// The receive queue.
    pub queue: u32,
    /// The processor that its worker was pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    /// Mode of its socket: the NIC (`zero-copy`) or the kernel (`copy`) wrote packets into the UMEM.
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
    /// Frames whose receive time was worked out from that of others.
    pub interpolated_times: u64,
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
    /// Records of what flows tell of their applications.
    pub application_records: RecordCounts,
    /// What was found in the payload of flows; absent where nothing is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applications: Option<ApplicationRow>,
    /// Flows that began.
    pub flows_created: u64,
    /// Flows that ended early, to make room for others.
    pub flows_evicted: u64,
    /// Steps back and jumps of the packets' clock.
    pub clock_steps: u64,
    /// Times that the system's wall clock was set, forward or back; the arrival times of live frames follow it.
    pub wall_clock_steps: u64,
    /// Changes of the level of the worker's work, to keep up or because it could again.
    pub level_changes: u64,
    /// Work at each level, from `full` down.
    pub levels: Vec<LevelRow>,
    /// Packets that were written, in a record of their own or in that of their flow.
    pub recorded: u64,
    /// Packets that ended without a record, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// Work at one level.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LevelRow {
    /// The level: `full`, `flows`, `sampled 1:8` and so on, `counters`.
    pub level: String,
    /// Time that it was in force.
    pub seconds: f64,
    /// Packets that were worked on meanwhile.
    pub packets: u64,
}

/// Records of one kind, by what became of them. A packet may be in several; see `recorded` for packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordCounts {
    /// Those that the operating system took, less those in files that could not be finished.
    pub written: u64,
    /// Those that the sink has lost.
    pub failed: u64,
    /// Those that the queue to the sink had no room for.
    pub refused: u64,
}

impl RecordCounts {
    fn new(written: u64, failed: u64, refused: u64) -> Self {
        Self { written, failed, refused }
    }
}

/// What was found in the payload of flows, and what was given up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ApplicationRow {
    /// Flows that were looked into.
    pub flows: u64,
    /// Flows that were not, because as many as may be were looked into or known.
    pub refused: u64,
    /// Flows of which all was found that is looked for.
    pub finished: u64,
    /// Messages and handshakes that were found.
    pub found: u64,
    /// Flows that were followed no further, by reason.
    pub given_up: BTreeMap<&'static str, u64>,
    /// Flows and messages that were malformed, by protocol and fault.
    pub malformed: BTreeMap<String, u64>,
}

impl ApplicationRow {
    fn new(counters: &mirror_app::Counters) -> Self {
        let given_up = GivenUp::ALL.into_iter().map(|reason| (reason.name(), counters.given_up(reason)));
        let malformed = counters.malformed();
        Self {
            flows: counters.begun,
            refused: counters.refused,
            finished: counters.finished,
            found: counters.events,
            given_up: given_up.filter(|(_, flows)| *flows > 0).collect(),
            malformed: malformed
                .map(|(protocol, fault, count)| (format!("{}_{fault}", protocol.name()), count))
                .collect(),
        }
    }
}

/// A row for each level that was in force.
fn level_rows(worker: &WorkerSnapshot) -> Vec<LevelRow> {
    let levels = DegradeConfig::default().levels();
    let used =
        levels.iter().zip(worker.levels).filter(|(_, (time, packets))| !time.is_zero() || *packets != 0);
    used.map(|(level, (time, packets))| LevelRow {
        level: level.to_string(),
        seconds: time.as_secs_f64(),
        packets,
    })
    .collect()
}

/// Counters by the names of their reasons.
fn by_name(dropped: &Drops) -> BTreeMap<&'static str, u64> {
    dropped.iter().map(|(reason, packets)| (reason.name(), packets)).collect()
}

/// One equation of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The queue; absent where the check is of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// The two sides that are compared.
    pub stage: &'static str,
    /// Packets that went in.
    pub entered: u64,
    /// Packets that came out.
    pub left: u64,
}

/// The whole ledger of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// `true` if every packet is accounted for: each of `checks` has `entered` equal to `left`.
    pub balanced: bool,
    /// Tunnel packets that the XDP program took, redirected or dropped; for capture files, the packets in them.
    pub seen: u64,
    /// Packets received from the rings or the file.
    pub received: u64,
    /// Packets that were written, in a record of their own or in that of their flow.
    pub recorded: u64,
    /// Packets that ended without a record, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Steps back and jumps of the packets' clock, over all queues.
    pub clock_steps: u64,
    /// Packets that the XDP program left to the kernel, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub passed: BTreeMap<&'static str, u64>,
    /// Packets that never reached the capture; absent for a capture file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_reached: Option<NeverReached>,
    /// Facts of the run.
    pub run: RunFacts,
    /// The enrichment of the records; absent without a map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrichment: Option<EnrichmentSnapshot>,
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
    /// Mode of the XDP program: `native` or `generic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xdp_mode: Option<String>,
    /// Seconds from the first moment that a packet could arrive to the last.
    pub seconds: f64,
    /// The interface's own counters in that time, of all traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nic: Option<NicFacts>,
    /// The capture files; absent for an interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FileFacts>,
    /// Bytes of records written.
    pub output_bytes: u64,
}

/// Counters of the interface.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NicFacts {
    /// Name of the driver, where the device has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The kernel's counters.
    #[serde(flatten)]
    pub counters: CounterGrowth,
}

impl QueueLedger {
    /// The counters of a queue under their names.
    fn new(snapshot: &QueueSnapshot) -> Self {
        let QueueSnapshot { queue, cpu, copy_mode, xdp, af_xdp, in_files, worker, sink, dropped } = snapshot;
        let Amount { packets, packet_records, flow_records, application_records } = sink.recorded;
        Self {
            queue: queue.0,
            cpu: *cpu,
            copy_mode: copy_mode.map(CopyMode::name),
            xdp: xdp.map(|counts| Verdict::ALL.into_iter().map(Verdict::name).zip(counts).collect()),
            af_xdp: *af_xdp,
            in_files: *in_files,
            received: worker.received,
            received_bytes: worker.received_bytes,
            decapsulated: worker.decapsulated,
            interpolated_times: worker.interpolated_times,
            rebinds: worker.rebinds,
            panicked: worker.panicked,
            packet_records: RecordCounts::new(
                packet_records,
                sink.lost.packet_records,
                worker.packet_records_refused,
            ),
            flow_records: RecordCounts::new(
                flow_records,
                sink.lost.flow_records,
                worker.flow_records_refused,
            ),
            application_records: RecordCounts::new(
                application_records,
                sink.lost.application_records,
                worker.application_records_refused,
            ),
            applications: worker.applications.as_ref().map(ApplicationRow::new),
            flows_created: worker.flows_created,
            flows_evicted: worker.flows_evicted,
            clock_steps: worker.clock_steps,
            wall_clock_steps: worker.wall_clock_steps,
            level_changes: worker.level_changes,
            levels: level_rows(worker),
            recorded: packets,
            dropped: by_name(dropped),
        }
    }
}

/// The comparisons of a queue's stages.
fn checks(queue: &QueueSnapshot) -> Vec<Check> {
    let check = |stage, entered, left| Check { queue: Some(queue.queue.0), stage, entered, left };
    let QueueSnapshot { worker, dropped, .. } = queue;
    let decapsulation = dropped.at(Stage::Decapsulation);
    let records = queue.sink.recorded.packets + dropped.at(Stage::Record) + dropped.at(Stage::Sink);
    let mut checks = Vec::with_capacity(4);
    if let Some(redirected) = queue.verdict(Verdict::Redirected) {
        checks.push(check("xdp to worker", redirected, worker.received + dropped.at(Stage::AfXdp)));
    }
    if let Some(found) = queue.in_files {
        checks.push(check("file to worker", found, worker.received + dropped.at(Stage::File)));
    }
    if worker.panicked {
        // How far the worker had come with its last batch is not known.
        checks.push(check("worker to sink", worker.received, decapsulation + records));
    } else {
        checks.push(check("worker to decapsulation", worker.received, worker.decapsulated + decapsulation));
        checks.push(check("decapsulation to sink", worker.decapsulated, records));
    }
    checks
}

impl RunFacts {
    fn new(snapshot: &Snapshot) -> Self {
        let interface = snapshot.interface.as_ref();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            interface: interface.map(|interface| interface.name.clone()),
            xdp_mode: interface.and_then(|interface| interface.xdp_mode).map(|mode| mode.to_string()),
            seconds: snapshot.elapsed.as_secs_f64(),
            nic: interface.map(|InterfaceSnapshot { driver, counters, .. }| NicFacts {
                driver: driver.clone(),
                counters: counters.clone(),
            }),
            files: snapshot.files,
            output_bytes: snapshot.output_bytes,
        }
    }
}

impl Ledger {
    /// Compares the stages of a snapshot.
    pub fn new(snapshot: &Snapshot) -> Self {
        let queues = &snapshot.queues;
        let mut passed = BTreeMap::new();
        for counts in queues.iter().filter_map(|queue| queue.xdp.as_ref()) {
            for (verdict, count) in
                Verdict::ALL.into_iter().zip(counts).filter(|(verdict, _)| verdict.is_passed())
            {
                *passed.entry(verdict.name()).or_default() += count;
            }
        }
        let (seen, recorded) = (queues.iter().map(QueueSnapshot::seen).sum(), snapshot.recorded());
        let dropped = snapshot.dropped();
        let mut checks: Vec<Check> = queues.iter().flat_map(checks).collect();
        let left = recorded + dropped.total();
        checks.push(Check { queue: None, stage: "seen to recorded and dropped", entered: seen, left });
        Self {
            balanced: checks.iter().all(|check| check.entered == check.left),
            seen,
            received: snapshot.received(),
            recorded,
            dropped: by_name(&dropped),
            clock_steps: queues.iter().map(|queue| queue.worker.clock_steps).sum(),
            passed,
            never_reached: snapshot.interface.as_ref().map(|interface| NeverReached::new(interface, queues)),
            run: RunFacts::new(snapshot),
            enrichment: snapshot.enrichment.clone(),
            checks,
            queues: queues.iter().map(QueueLedger::new).collect(),
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
        if let Some(enrichment) = self.enrichment.as_ref().filter(|facts| facts.unknown.packets != 0) {
            rows.push(("of tunnels that the enrichment map lacks".to_owned(), enrichment.unknown.packets));
        }
        let wide = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut table = String::new();
        for (name, count) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "  {name:<wide$}  {count:>14}");
        }
        if self.balanced {
            let incomplete = self.run.files.and_then(incomplete_files);
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

/// The incomplete files as the end of a sentence; [`None`] where there are none.
fn incomplete_files(FileFacts { files, incomplete, unread_bytes }: FileFacts) -> Option<String> {
    let of_files = if files == 1 {
        "the file was not read in full".to_owned()
    } else {
        format!("{incomplete} of {files} files were not read in full")
    };
    let bytes = if unread_bytes == 0 { String::new() } else { format!(" ({unread_bytes} bytes were not)") };
    (incomplete > 0).then(|| of_files + &bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use mirror_common::verdict::Counts;

    use super::*;
    use crate::DropReason;
    use crate::counters::WorkerCounters;
    use crate::number::QueueId;
    use crate::sink;

    fn worker(received: u64, decapsulated: u64, dropped: &[(DropReason, u64)]) -> WorkerCounters {
        let counters = WorkerCounters::new(QueueId(3));
        counters.received.add(received);
        counters.decapsulated.add(decapsulated);
        for &(reason, count) in dropped {
            counters.drop_packets(reason, count);
        }
        counters
    }

    fn sink(recorded: u64, write_failed: u64) -> sink::RecordCounters {
        sink::RecordCounters::with_packets(recorded, write_failed)
    }

    pub(in crate::ledger) fn verdicts(counts: &[(Verdict, u64)]) -> Counts {
        let mut verdicts = Counts::default();
        for &(verdict, count) in counts {
            verdicts[verdict as usize] = count;
        }
        verdicts
    }

    pub(in crate::ledger) fn queue() -> QueueSnapshot {
        let worker = worker(90, 80, &[(DropReason::GeneveVersion, 10), (DropReason::SinkQueueFull, 5)]);
        let af_xdp = XskStatistics { rx_dropped: 4, rx_ring_full: 6, ..XskStatistics::default() };
        worker.publish_socket(af_xdp);
        QueueSnapshot::of(&worker, &sink(73, 2)).with_verdicts(&verdicts(&[
            (Verdict::Redirected, 100),
            (Verdict::DroppedSource, 7),
            (Verdict::PassedNotTunnel, 1000),
        ]))
    }

    fn ledger_of(queues: Vec<QueueSnapshot>) -> Ledger {
        Ledger::new(&Snapshot { queues, ..Snapshot::default() })
    }

    #[test]
    fn incomplete_files_are_told() {
        let facts =
            |files, incomplete, unread_bytes| incomplete_files(FileFacts { files, incomplete, unread_bytes });
        assert_eq!(facts(3, 0, 0), None);
        assert_eq!(facts(1, 1, 0).unwrap(), "the file was not read in full");
        assert_eq!(facts(3, 1, 155).unwrap(), "1 of 3 files were not read in full (155 bytes were not)");
    }

    #[test]
    fn a_run_that_adds_up() {
        let ledger = ledger_of(vec![queue()]);
        assert!(ledger.balanced, "{:?}", ledger.checks);
        assert_eq!((ledger.seen, ledger.received, ledger.recorded), (107, 90, 73));
        assert_eq!(ledger.seen, ledger.recorded + ledger.dropped.values().sum::<u64>());
        assert_eq!(ledger.passed["passed_not_tunnel"], 1000);
        assert_eq!(ledger.dropped["fill_ring_empty"], 4, "the ring's own counter is of the same events");
        assert!(ledger.table().contains("balanced: every packet"));
    }

    #[test]
    fn one_packet_missing_at_any_stage_is_noticed() {
        type Lose = fn(&mut QueueSnapshot);
        let losses: [(&str, Lose); 5] = [
            ("redirected", |queue| queue.xdp.as_mut().unwrap()[Verdict::Redirected as usize] += 1),
            ("received", |queue| queue.worker.received -= 1),
            ("decapsulated", |queue| queue.worker.decapsulated -= 1),
            ("recorded", |queue| queue.sink.recorded.packets -= 1),
            ("dropped", |queue| queue.dropped[DropReason::RxRingFull] -= 1),
        ];
        for (stage, lose) in losses {
            let mut queue = queue();
            lose(&mut queue);
            let ledger = ledger_of(vec![queue]);
            assert!(!ledger.balanced, "{stage}");
            assert!(ledger.table().contains("NOT BALANCED"), "{stage}");
        }
    }

    #[test]
    fn steps_of_the_clock_are_told() {
        let (steady, mut stepped) = (queue(), queue());
        stepped.worker.clock_steps = 3;
        let ledger = ledger_of(vec![steady.clone(), stepped]);
        assert!(ledger.table().contains("steps of the packets' clock"), "{}", ledger.table());
        let json = serde_json::to_value(&ledger).unwrap();
        assert_eq!((&json["clock_steps"], &json["queues"][1]["clock_steps"]), (&3.into(), &3.into()));
        assert!(!ledger_of(vec![steady]).table().contains("clock"));
    }

    /// 17 packets were in the worker's hands, decapsulated or not; three more are missing before the worker.
    #[test]
    fn what_a_worker_held_when_it_panicked_is_named_and_nothing_else() {
        let worker = worker(107, 85, &[(DropReason::GeneveVersion, 10), (DropReason::SinkQueueFull, 5)]);
        worker.publish_socket(XskStatistics { rx_dropped: 4, rx_ring_full: 6, ..XskStatistics::default() });
        worker.set_panicked();
        let panicked = |redirected| {
            let verdicts = verdicts(&[(Verdict::Redirected, redirected), (Verdict::DroppedSource, 7)]);
            ledger_of(vec![QueueSnapshot::of(&worker, &sink(73, 2)).with_verdicts(&verdicts)])
        };
        let balanced = panicked(117);
        assert!(balanced.balanced, "{:?}", balanced.checks);
        assert_eq!(balanced.dropped["worker_panicked"], 17);
        assert_eq!(balanced.seen, balanced.recorded + balanced.dropped.values().sum::<u64>());
        assert!(!panicked(120).balanced);
    }

    #[test]
    fn errors_of_two_queues_do_not_cancel_out() {
        let (mut more, mut less) = (queue(), queue());
        more.worker.received += 1;
        less.worker.received -= 1;
        assert!(!ledger_of(vec![more, less]).balanced);
    }

    #[test]
    fn a_capture_file_has_no_kernel_part() {
        let worker = worker(10, 9, &[(DropReason::NotTunnel, 1)]);
        let queue = QueueSnapshot::of(&worker, &sink(9, 0));
        let ledger = ledger_of(vec![queue]);
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
        ledger_of(vec![queue()]).write(&mut written).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(json["seen"], 107);
    }
}

//! The loop of one worker: frames in, records out, every packet counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::DropReason;
use crate::batch::BATCH_FRAMES;
use crate::counters::WorkerCounters;
use crate::decap::{DecapConfig, decapsulate_into};
use crate::degrade::{Degradation, DegradeLevel, Pressure};
use crate::flow::{FlowRecord, FlowTable};
use crate::packet::Packet;
use crate::packet_clock::PacketClock;
use crate::record::Batch;
use crate::rules::{Recording, Rules, header_length};
use crate::sink::Producer;
use crate::source::{FrameSource, Received};
use crate::time::Timestamp;

/// How long a packet may wait on its way to the worker, at most, and how late it may be delivered. Without a packet,
/// flows end by the time less this one.
const LONGEST_WAY: Duration = crate::packet_clock::MAX_LATENESS;

/// How often the pressure is looked at, in nanoseconds of the packets' clock.
const LOOK_NS: u64 = 5_000_000;

/// What a worker does when its sink has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drops the record and counts its packets: the receive ring must not wait.
    Drop,
    /// Waits: a capture file has time.
    Wait,
}

/// Takes frames from a source, finds the mirrored packets in them, gathers them into flows and hands records to a
/// sink. It shares nothing but its counters, and the batches that move between it and its sink.
pub struct Worker<Source> {
    source: Source,
    decap: DecapConfig,
    rules: Rules,
    flows: Option<FlowTable>,
    degradation: Degradation,
    clock: PacketClock,
    /// Whether the source has a clock of its own, which all of its packets have their timestamps from.
    is_live: bool,
    /// Pressure so far.
    seen: Seen,
    outlet: Outlet,
    /// The packets of the batch in hand that get a record of their own.
    found: Vec<Found>,
}

/// A mirrored packet in a frame of the batch in hand, which gets a record.
struct Found {
    frame: usize,
    timestamp: Timestamp,
    packet: Packet,
    /// Whether the record may have what follows the packet's transport header.
    payload: bool,
}

/// Counters as they stood when the pressure was looked at last.
#[derive(Default)]
struct Seen {
    at: Timestamp,
    ring_drops: u64,
    sink_queue_full: u64,
}

/// The way out of a worker.
struct Outlet {
    producer: Producer,
    when_full: WhenFull,
    counters: Arc<WorkerCounters>,
}

impl<Source: FrameSource> Worker<Source> {
    /// A worker that makes the records that `rules` ask for; those of flows need a table, see [`Self::with_flows`].
    pub fn new(
        source: Source,
        decap: DecapConfig,
        rules: Rules,
        degradation: Degradation,
        producer: Producer,
        when_full: WhenFull,
        counters: Arc<WorkerCounters>,
    ) -> Self {
        let outlet = Outlet { producer, when_full, counters };
        let found = Vec::with_capacity(BATCH_FRAMES);
        Self {
            is_live: source.now().is_some(),
            source,
            decap,
            rules,
            flows: None,
            degradation,
            clock: PacketClock::default(),
            seen: Seen::default(),
            outlet,
            found,
        }
    }

    /// Gathers packets into the flows of `table`, and makes the records that it hands out. A packet is accounted for by
    /// the record of its flow, unless it has a record of its own.
    #[must_use]
    pub fn with_flows(mut self, mut table: FlowTable) -> Self {
        if let Some(rate) = self.degradation.level().sampling() {
            table.set_sampling(rate);
        }
        self.flows = Some(table);
        self
    }

    /// Works until the source ends, or until it is empty and `stop` says so. What was received is recorded in any
    /// case; the source comes back, for its own counters to be read.
    pub fn run(mut self, stop: impl Fn() -> bool) -> (Source, io::Result<()>) {
        let mut idle: u32 = 0;
        let result = loop {
            // Asked before the source is looked at: what arrives while the worker waits comes before its end.
            let stopping = stop();
            match self.source.receive() {
                Ok(Received::Frames(count)) => {
                    idle = 0;
                    self.process(count);
                    self.source.release();
                }
                Ok(Received::Idle) => {
                    idle = idle.wrapping_add(1);
                    if idle.is_multiple_of(self.source.idle_limit()) {
                        self.rest();
                    }
                    if stopping {
                        break Ok(());
                    }
                }
                Ok(Received::End) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.finish();
        (self.source, result)
    }

    /// Records the `count` frames of the current batch.
    fn process(&mut self, count: usize) {
        self.decapsulate(count);
        let Self { source, flows, outlet, found, .. } = self;
        if let Some(table) = flows {
            table.complete(&mut |record| outlet.flow(record));
            outlet.counters.publish_flows(table);
        }
        for found in &*found {
            outlet.packet(found.timestamp, &found.packet, |from, bytes| {
                let start = bytes.len();
                source.append(found.frame, from, bytes);
                if !found.payload {
                    let headers = header_length(&found.packet, bytes.get(start..).unwrap_or_default());
                    bytes.truncate(start + headers);
                }
            });
        }
        self.observe(count);
    }

    /// Takes the time from the `count` frames of the current batch, once they are counted, whether they may be recorded
    /// or not.
    fn observe(&mut self, count: usize) {
        let Self { source, clock, outlet, .. } = self;
        let mut observe = |index| {
            if let Some(back) = clock.observe(source.frame(index).timestamp) {
                outlet.clock_stepped(back, clock.steps());
            }
        };
        let now = source.frame(count - 1).timestamp;
        if self.is_live {
            // One clock gave all timestamps, in the order of the frames.
            observe(0);
            observe(count - 1);
            self.look(now, Some(now));
        } else {
            (0..count).for_each(observe);
            self.look(now, self.clock.watermark());
        }
    }

    /// Finds the mirrored packets in the `count` frames of the current batch. The table takes up those that belong to
    /// flows while they are at hand; those that get a record of their own are kept until the flows are counted.
    fn decapsulate(&mut self, count: usize) {
        let Self { source, decap, rules, flows, degradation, outlet, found, .. } = self;
        let counters = &outlet.counters;
        let level = degradation.level();
        let (mut bytes, mut decapsulated) = (0, 0);
        let mut packet = Packet::UNKNOWN;
        found.clear();
        for index in 0..count {
            let frame = source.frame(index);
            let timestamp = frame.timestamp;
            bytes += u64::from(frame.captured_length);
            if let Err(reason) = decapsulate_into(&mut packet, &frame, decap) {
                counters.drop_packets(reason, 1);
                continue;
            }
            decapsulated += 1;
            let recording = match allowed(rules.resolve(&packet.tunnel), level) {
                Ok(recording) => recording,
                Err(reason) => {
                    counters.drop_packets(reason, 1);
                    continue;
                }
            };
            if recording.flows
                && let Some(table) = flows
            {
                table.prepare(timestamp, &packet, recording.packets);
            }
            if recording.packets {
                found.push(Found { frame: index, timestamp, packet, payload: recording.payload });
            }
        }
        degradation.count(decapsulated);
        counters.received.add(count as u64);
        counters.received_bytes.add(bytes);
        counters.decapsulated.add(decapsulated);
    }

    /// Looks at the pressure, every few milliseconds, and changes the level of the work where the rule says so; and ends
    /// flows whose time has come without a packet, by the time that has `passed`.
    fn look(&mut self, now: Timestamp, passed: Option<Timestamp>) {
        if now.0.abs_diff(self.seen.at.0) < LOOK_NS {
            return;
        }
        let Self { source, flows, degradation, seen, outlet, .. } = self;
        let backlog = source.backlog();
        let sink_queue_full = outlet.counters.dropped(DropReason::SinkQueueFull);
        let pressure = Pressure {
            ring_fill: backlog.fill,
            ring_drops: backlog.dropped.saturating_sub(seen.ring_drops),
            sink_queue_full: sink_queue_full.saturating_sub(seen.sink_queue_full),
        };
        *seen = Seen { at: now, ring_drops: backlog.dropped, sink_queue_full };
        if let Some(transition) = degradation.observe(now, pressure) {
            warn!("queue {}: records {transition}", outlet.counters.queue);
            outlet.counters.transitions.add(1);
            if let (Some(table), Some(rate)) = (flows.as_mut(), transition.to.sampling()) {
                table.set_sampling(rate);
            }
        }
        outlet.counters.publish_levels(degradation.levels());
        if let (Some(table), Some(passed)) = (flows, passed) {
            table.expire(passed.before(LONGEST_WAY), &mut |record| outlet.flow(record));
            outlet.counters.publish_flows(table);
        }
    }

    /// What is to be done while nothing arrives.
    fn rest(&mut self) {
        if let Some(now) = self.source.now() {
            self.look(now, Some(now));
        }
        self.outlet.producer.flush();
    }

    /// Ends every flow. Nothing waits for the worker any more, so it can wait for the sink.
    fn finish(&mut self) {
        self.outlet.when_full = WhenFull::Wait;
        self.outlet.counters.publish_levels(self.degradation.levels());
        let now = self.source.now().or(self.clock.end_time()).unwrap_or_default();
        if let Some(table) = &mut self.flows {
            table.drain(now, &mut |record| self.outlet.flow(record));
            self.outlet.counters.publish_flows(table);
        }
    }
}

/// The records that may be made of a packet with this recording, at this level.
///
/// # Errors
///
/// The reason for which there may be none.
#[inline]
fn allowed(recording: Recording, level: DegradeLevel) -> Result<Recording, DropReason> {
    if recording.excludes() {
        return Err(DropReason::PolicyExcluded);
    }
    match level {
        DegradeLevel::Full => Ok(recording),
        DegradeLevel::Flows | DegradeLevel::Sampled(_) if recording.flows => {
            Ok(Recording { packets: false, ..recording })
        }
        DegradeLevel::Flows | DegradeLevel::Sampled(_) | DegradeLevel::Counters => {
            Err(DropReason::CountersOnly)
        }
    }
}

impl Outlet {
    /// A batch with room for a record.
    fn batch(&mut self) -> Result<&mut Batch, DropReason> {
        match self.when_full {
            WhenFull::Drop => self.producer.batch(),
            WhenFull::Wait => self.producer.wait_for_batch(),
        }
    }

    /// Tells of a step of the packets' clock: of the first one, and of the later ones ever more seldom.
    #[cold]
    fn clock_stepped(&self, back: Duration, steps: u64) {
        self.counters.clock_steps.set(steps);
        if steps.is_power_of_two() {
            let queue = self.counters.queue;
            warn!("queue {queue}: the clock of the packets stepped back by {back:.3?} (step {steps} so far)");
        }
    }

    /// Hands a flow's record on, or counts its packets as dropped.
    fn flow(&mut self, record: &FlowRecord) {
        match self.batch() {
            Ok(batch) => batch.push_flow(record),
            Err(reason) => {
                self.counters.flow_records_refused.add(1);
                self.counters.drop_packets(reason, record.accounted);
            }
        }
    }

    /// Hands a packet's record on, or counts it as dropped. `append` is asked for the packet's bytes where the sink
    /// wants them.
    fn packet(&mut self, timestamp: Timestamp, packet: &Packet, append: impl FnOnce(usize, &mut Vec<u8>)) {
        let queue = self.counters.queue;
        match self.batch() {
            Ok(batch) => batch.push(timestamp, queue, *packet, append),
            Err(reason) => {
                self.counters.packet_records_refused.add(1);
                self.counters.drop_packets(reason, 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::decap::tests::frames::mirrored_web;
    use crate::degrade::{DegradeConfig, DegradeMode};
    use crate::flow::FlowConfig;
    use crate::number::QueueId;
    use crate::sink::{self, Destination, SinkConfig};
    use crate::source::{Backlog, Frame, LinkType};

    /// Batches of one frame, a millisecond apart, that lose packets during the first second.
    struct Busy {
        frame: Vec<u8>,
        milliseconds: u64,
        most: u64,
    }

    impl FrameSource for Busy {
        fn receive(&mut self) -> io::Result<Received> {
            self.milliseconds += 1;
            Ok(if self.milliseconds > self.most { Received::End } else { Received::Frames(1) })
        }

        fn now(&self) -> Option<Timestamp> {
            None
        }

        fn frame(&self, _: usize) -> Frame<'_> {
            Frame {
                data: &self.frame,
                captured_length: u32::try_from(self.frame.len()).unwrap(),
                original_length: u32::try_from(self.frame.len()).unwrap(),
                timestamp: Timestamp(1_000_000_000_000 + self.milliseconds * 1_000_000),
                link_type: LinkType::Ethernet,
            }
        }

        fn append(&self, _: usize, from: usize, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&self.frame[from..]);
        }

        fn backlog(&mut self) -> Backlog {
            Backlog { fill: 0.0, dropped: self.milliseconds.min(1000) }
        }

        fn release(&mut self) {}
    }

    /// Nothing at first; a frame, and the wish to stop, come while the worker waits for one.
    struct Late<'stop> {
        busy: Busy,
        stop: &'stop Cell<bool>,
    }

    impl FrameSource for Late<'_> {
        fn receive(&mut self) -> io::Result<Received> {
            if self.stop.replace(true) {
                self.busy.receive().map(|received| match received {
                    Received::End => Received::Idle,
                    other => other,
                })
            } else {
                Ok(Received::Idle)
            }
        }

        fn now(&self) -> Option<Timestamp> {
            None
        }

        fn frame(&self, index: usize) -> Frame<'_> {
            self.busy.frame(index)
        }

        fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
            self.busy.append(index, from, bytes);
        }

        fn release(&mut self) {}
    }

    #[test]
    fn what_arrives_while_the_worker_waits_is_received_before_it_stops() {
        let config =
            SinkConfig { destination: Destination::File("/dev/null".into()), ..SinkConfig::default() };
        let (mut producers, sinks) = sink::start(&config, 1).unwrap();
        let counters = Arc::new(WorkerCounters::new(QueueId(0)));
        let stop = Cell::new(false);
        let source = Late { busy: Busy { frame: mirrored_web(), milliseconds: 0, most: 1 }, stop: &stop };
        let degradation = Degradation::new(DegradeConfig::default()).unwrap();
        let decap = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };
        let producer = producers.remove(0);
        let worker = Worker::new(
            source,
            decap,
            Rules::default(),
            degradation,
            producer,
            WhenFull::Wait,
            Arc::clone(&counters),
        );
        worker.run(|| stop.get()).1.unwrap();
        sinks.join().unwrap();
        assert_eq!(counters.received.get(), 1);
    }

    #[test]
    fn a_worker_that_only_counts_takes_up_its_work_again_under_load() {
        let config =
            SinkConfig { destination: Destination::File("/dev/null".into()), ..SinkConfig::default() };
        let (mut producers, sinks) = sink::start(&config, 1).unwrap();
        let counters = Arc::new(WorkerCounters::new(QueueId(0)));
        let auto = DegradeConfig { mode: DegradeMode::Auto, ..DegradeConfig::default() };
        let decap = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };
        let source = Busy { frame: mirrored_web(), milliseconds: 0, most: 120_000 };
        let worker = Worker::new(
            source,
            decap,
            Rules::default(),
            Degradation::new(auto).unwrap(),
            producers.remove(0),
            WhenFull::Wait,
            Arc::clone(&counters),
        );
        worker.with_flows(FlowTable::new(FlowConfig::default()).unwrap()).run(|| false).1.unwrap();
        sinks.join().unwrap();
        assert!(counters.dropped(DropReason::CountersOnly) > 0, "it went all the way down");
        assert_eq!(counters.transitions.get(), 8, "four steps down and four up");
        let [(full, packets), ..] = counters.levels().collect::<Vec<_>>()[..] else { panic!() };
        assert!(full > Duration::from_secs(60) && packets > 60_000, "{full:?} {packets}");
    }
}

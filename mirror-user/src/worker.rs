//! The loop of one worker: frames in, records out, every packet counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::decap::{DecapConfig, decapsulate};
use crate::degrade::{Degradation, Level, Pressure};
use crate::flow::{FlowRecord, FlowTable};
use crate::packet::Packet;
use crate::policy::{Policies, Policy, header_length};
use crate::record::{AccountedBy, Batch};
use crate::sink::Producer;
use crate::source::{BATCH, FrameSource, Received, Timestamp};

/// How often in a row a source must be found empty before a partly filled batch is handed over and flows are looked
/// at: a pause between two bursts is no reason for either.
const IDLE: u32 = 32;

/// How long a packet may wait on its way to the worker, at most. Flows end by the packets' clock; when no packets
/// come, by the wall clock less this time.
const LONGEST_WAY: Duration = Duration::from_secs(1);

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
    policies: Policies,
    flows: Option<FlowTable>,
    degradation: Degradation,
    /// What is known of the pressure so far.
    seen: Seen,
    outlet: Outlet,
    /// The packets of the batch in hand.
    found: Vec<Found>,
}

/// A mirrored packet in a frame of the batch in hand.
struct Found {
    frame: usize,
    timestamp: Timestamp,
    packet: Packet,
    /// Which records it may be in.
    policy: Policy,
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
    /// A worker that makes the records that `policies` ask for; those of flows need a table, see [`Self::with_flows`].
    pub fn new(
        source: Source,
        decap: DecapConfig,
        policies: Policies,
        degradation: Degradation,
        producer: Producer,
        when_full: WhenFull,
        counters: Arc<WorkerCounters>,
    ) -> Self {
        let outlet = Outlet { producer, when_full, counters };
        let found = Vec::with_capacity(BATCH);
        Self { source, decap, policies, flows: None, degradation, seen: Seen::default(), outlet, found }
    }

    /// Gathers packets into the flows of `table`, and makes the records that it hands out. A packet that is in a flow
    /// is accounted for by it, also where it has a record of its own.
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
            match self.source.receive() {
                Ok(Received::Frames(count)) => {
                    idle = 0;
                    self.process(count);
                    self.source.release();
                }
                Ok(Received::Idle) => {
                    idle = idle.wrapping_add(1);
                    if idle.is_multiple_of(IDLE) {
                        self.rest();
                        self.look(self.source.now());
                    }
                    if stop() {
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
        self.look(self.found.last().map(|found| found.timestamp));
        let Self { source, flows, outlet, found, .. } = self;
        if let Some(table) = flows {
            let packets = found.iter().filter(|found| found.policy.flows);
            table.update(packets.map(|found| (found.timestamp, &found.packet)), &mut |record| {
                outlet.flow(record);
            });
            outlet.counters.publish_flows(table);
        }
        for found in found.iter().filter(|found| found.policy.packets) {
            let accounted_by = if found.policy.flows { AccountedBy::Flow } else { AccountedBy::Packet };
            outlet.packet(found.timestamp, &found.packet, accounted_by, |from, bytes| {
                let start = bytes.len();
                source.append(found.frame, from, bytes);
                if !found.policy.payload {
                    let headers = header_length(&found.packet, bytes.get(start..).unwrap_or_default());
                    bytes.truncate(start + headers);
                }
            });
        }
    }

    /// Finds the mirrored packets in the `count` frames of the current batch.
    fn decapsulate(&mut self, count: usize) {
        let Self { source, decap, policies, degradation, outlet, found, .. } = self;
        let counters = &outlet.counters;
        let level = degradation.level();
        let (mut bytes, mut decapsulated) = (0, 0);
        found.clear();
        for index in 0..count {
            let frame = source.frame(index);
            bytes += u64::from(frame.captured_length);
            let packet = match decapsulate(&frame, decap) {
                Ok(packet) => packet,
                Err(reason) => {
                    counters.drop_packets(reason, 1);
                    continue;
                }
            };
            decapsulated += 1;
            match allowed(policies.resolve(&packet.tunnel), level) {
                Ok(policy) => found.push(Found { frame: index, timestamp: frame.timestamp, packet, policy }),
                Err(reason) => counters.drop_packets(reason, 1),
            }
        }
        degradation.count(decapsulated);
        counters.received.add(count as u64);
        counters.received_bytes.add(bytes);
        counters.decapsulated.add(decapsulated);
    }

    /// Looks at the pressure, every few milliseconds, and changes the level of the work where the rule says so.
    fn look(&mut self, now: Option<Timestamp>) {
        let Some(now) = now.filter(|now| now.0.abs_diff(self.seen.at.0) >= LOOK_NS) else { return };
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
            if let (Some(table), Some(rate)) = (flows, transition.to.sampling()) {
                table.set_sampling(rate);
            }
        }
        outlet.counters.publish_levels(degradation.levels());
    }

    /// What is to be done while nothing arrives.
    fn rest(&mut self) {
        let Self { source, flows, outlet, .. } = self;
        if let (Some(table), Some(now)) = (flows, source.now()) {
            table.expire(now.before(LONGEST_WAY), &mut |record| outlet.flow(record));
            outlet.counters.publish_flows(table);
        }
        outlet.producer.flush();
    }

    /// Ends every flow. Nothing waits for the worker any more, so it can wait for the sink.
    fn finish(&mut self) {
        self.outlet.when_full = WhenFull::Wait;
        self.outlet.counters.publish_levels(self.degradation.levels());
        if let Some(table) = &mut self.flows {
            table.drain(&mut |record| self.outlet.flow(record));
            self.outlet.counters.publish_flows(table);
        }
    }
}

/// What may be recorded of a packet with this policy, at this level.
///
/// # Errors
///
/// Why nothing may.
#[inline]
fn allowed(policy: Policy, level: Level) -> Result<Policy, DropReason> {
    if policy.excludes() {
        return Err(DropReason::PolicyExcluded);
    }
    match level {
        Level::Full => Ok(policy),
        Level::Flows | Level::Sampled(_) if policy.flows => Ok(Policy { packets: false, ..policy }),
        Level::Flows | Level::Sampled(_) | Level::Counters => Err(DropReason::CountersOnly),
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

    /// Hands a flow's record on, or counts its packets as dropped.
    fn flow(&mut self, record: &FlowRecord) {
        match self.batch() {
            Ok(batch) => batch.push_flow(record),
            Err(reason) => {
                self.counters.flow_records_refused.add(1);
                self.counters.drop_packets(reason, record.packets());
            }
        }
    }

    /// Hands a packet's record on, or counts it as dropped. `append` is asked for the packet's bytes where the sink
    /// wants them.
    fn packet(
        &mut self,
        timestamp: Timestamp,
        packet: &Packet,
        accounted_by: AccountedBy,
        append: impl FnOnce(usize, &mut Vec<u8>),
    ) {
        let queue = self.counters.queue;
        match self.batch() {
            Ok(batch) => batch.push(timestamp, queue, *packet, accounted_by, append),
            Err(reason) => {
                self.counters.packet_records_refused.add(1);
                if accounted_by == AccountedBy::Packet {
                    self.counters.drop_packets(reason, 1);
                }
            }
        }
    }
}

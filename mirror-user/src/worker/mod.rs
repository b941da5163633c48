//! The loop of one worker: frames in, records out, every packet counted.

mod emitter;
mod intake;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::warn;

pub use self::emitter::WhenFull;

use self::emitter::RecordEmitter;
use self::intake::{Intake, SelectedPacket};
use crate::DropReason;
use crate::batch::BATCH_FRAMES;
use crate::counters::WorkerCounters;
use crate::decap::{self, DecapConfig, Found};
use crate::degrade::{Degradation, Pressure};
use crate::flow::FlowTable;
use crate::packet_clock::PacketClock;
use crate::privacy::WorkerPrivacy;
use crate::rules::{Rules, header_length};
use crate::sink::Producer;
use crate::source::{FrameSource, Received};
use crate::time::Timestamp;

/// Longest time for which a packet may wait on its way to the worker or be delivered late. Without a packet, flows end by
/// the time less this one.
const LONGEST_DELAY: Duration = crate::packet_clock::MAX_LATENESS;

/// Interval between two checks of the pressure, in nanoseconds of the packets' clock.
const CHECK_NS: u64 = 5_000_000;

/// Takes frames from a source, finds the mirrored packets in them, gathers them into flows and hands records to a
/// sink. It shares nothing but its counters, and the batches that move between it and its sink.
pub struct Worker<Source> {
    source: Source,
    decap: DecapConfig,
    rules: Rules,
    flows: Option<FlowTable>,
    degradation: Degradation,
    clock: PacketClock,
    /// The source has a clock of its own, which gives all of its timestamps.
    is_live: bool,
    last_check: LastCheck,
    emitter: RecordEmitter,
    /// The packets of the current batch that get a record of their own.
    selected: Vec<SelectedPacket>,
}

/// Time and counters of the last check of the pressure.
#[derive(Default)]
struct LastCheck {
    at: Timestamp,
    ring_drops: u64,
    sink_queue_full: u64,
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
        let emitter = RecordEmitter { producer, when_full, counters, privacy: WorkerPrivacy::default() };
        let selected = Vec::with_capacity(BATCH_FRAMES);
        Self {
            is_live: source.now().is_some(),
            source,
            decap,
            rules,
            flows: None,
            degradation,
            clock: PacketClock::default(),
            last_check: LastCheck::default(),
            emitter,
            selected,
        }
    }

    /// Gathers packets into the flows of `table`, and emits the records that it makes. A packet is accounted for by the
    /// record of its flow, unless it has a record of its own.
    #[must_use]
    pub fn with_flows(mut self, mut table: FlowTable) -> Self {
        if let Some(rate) = self.degradation.level().sampling() {
            table.set_sampling(rate);
        }
        self.flows = Some(table);
        self
    }

    /// Lets records tell no more than the rules of `privacy` say.
    #[must_use]
    pub fn with_privacy(mut self, privacy: WorkerPrivacy) -> Self {
        self.emitter.privacy = privacy;
        self
    }

    /// Works until the source ends, or until it is empty and `stop` returns `true`. Whatever was received is recorded in any
    /// case. The source is returned for its counters to be read.
    pub fn run(mut self, stop: impl Fn() -> bool) -> (Source, io::Result<()>) {
        let mut idle: u32 = 0;
        let result = loop {
            // Asked before the source: frames that arrive while the worker waits come before its end.
            let stopping = stop();
            match self.source.pause().and_then(|()| self.source.receive()) {
                Ok(Received::Frames(count)) => {
                    idle = 0;
                    self.process(count);
                    self.source.release();
                }
                Ok(Received::Idle) => {
                    idle = idle.wrapping_add(1);
                    if idle.is_multiple_of(self.source.idle_limit()) {
                        self.on_idle();
                    }
                    if self.emitter.producer.sink_holds_batches() {
                        // Where the source spins, the sink may be waiting for this very processor.
                        thread::yield_now();
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
        let Self { source, flows, rules, emitter, selected, .. } = self;
        if let Some(table) = flows {
            table.complete_with(source, &mut |record| emitter.emit_flow(rules, record));
            emitter.emit_applications(rules, table);
            emitter.counters.publish_flows(table);
        }
        for packet in &*selected {
            emitter.emit_packet(packet.timestamp, &packet.packet, |from, bytes| {
                let start = bytes.len();
                source.append(packet.frame, from, bytes);
                if !packet.payload {
                    let headers = header_length(&packet.packet, bytes.get(start..).unwrap_or_default());
                    bytes.truncate(start + headers);
                }
            });
        }
        self.observe(count);
    }

    /// Advances the packets' clock by the `count` frames of the current batch, once they are counted, recorded or not.
    fn observe(&mut self, count: usize) {
        let Self { source, clock, emitter, .. } = self;
        let mut observe = |index| {
            if let Some(back) = clock.observe(source.frame(index).timestamp) {
                emitter.log_clock_step(back, clock.steps());
            }
        };
        let now = source.frame(count - 1).timestamp;
        if self.is_live {
            // One clock gave all timestamps, in the order of the frames.
            observe(0);
            observe(count - 1);
            emitter.producer.flush_aged(now);
            self.check_pressure(now, Some(now));
        } else {
            (0..count).for_each(observe);
            self.check_pressure(now, self.clock.watermark());
        }
    }

    /// Finds the mirrored packets in the `count` frames of the current batch. The table prepares those that belong to flows
    /// at once; those that get a record of their own are kept until the flows are counted.
    fn decapsulate(&mut self, count: usize) {
        let Self { source, decap, rules, flows, degradation, emitter, selected, .. } = self;
        let RecordEmitter { counters, privacy, .. } = emitter;
        let mut intake = Intake::new(rules, privacy, degradation.level(), flows.as_mut(), selected);
        let mut bytes = 0;
        for index in 0..count {
            let frame = source.frame(index);
            bytes += u64::from(frame.captured_length);
            let taken = match decap::find(&frame, decap) {
                Found::Plain(packet) => intake.take(index, &frame, &packet),
                Found::Other(other) => {
                    other.describe(decap).and_then(|packet| intake.take(index, &frame, &packet))
                }
            };
            if let Err(reason) = taken {
                counters.drop_packets(reason, 1);
            }
        }
        let decapsulated = intake.packets;
        degradation.count(decapsulated);
        counters.received.add(count as u64);
        counters.received_bytes.add(bytes);
        counters.decapsulated.add(decapsulated);
    }

    /// Checks the pressure, every few milliseconds, and changes the degradation level where the rule says so; and ends flows
    /// that time out without a packet, by the time that has `passed`.
    fn check_pressure(&mut self, now: Timestamp, passed: Option<Timestamp>) {
        if now.0.abs_diff(self.last_check.at.0) < CHECK_NS {
            return;
        }
        let Self { source, flows, rules, degradation, last_check, emitter, .. } = self;
        let backlog = source.backlog();
        let sink_queue_full = emitter.counters.dropped(DropReason::SinkQueueFull);
        let pressure = Pressure {
            ring_fill: backlog.fill,
            ring_drops: backlog.dropped.saturating_sub(last_check.ring_drops),
            sink_queue_full: sink_queue_full.saturating_sub(last_check.sink_queue_full),
        };
        *last_check = LastCheck { at: now, ring_drops: backlog.dropped, sink_queue_full };
        if let Some(transition) = degradation.observe(now, pressure) {
            warn!("queue {}: records {transition}", emitter.counters.queue);
            emitter.counters.level_changes.add(1);
            if let (Some(table), Some(rate)) = (flows.as_mut(), transition.to.sampling()) {
                table.set_sampling(rate);
            }
        }
        emitter.counters.publish_levels(degradation.levels());
        if let (Some(table), Some(passed)) = (flows, passed) {
            table.expire(passed.before(LONGEST_DELAY), &mut |record| emitter.emit_flow(rules, record));
            emitter.emit_applications(rules, table);
            emitter.counters.publish_flows(table);
            emitter.counters.publish_applications(table);
        }
    }

    /// Checks the pressure and flushes the records while nothing arrives.
    fn on_idle(&mut self) {
        if let Some(now) = self.source.now() {
            self.check_pressure(now, Some(now));
        }
        self.emitter.producer.flush();
    }

    /// Ends every flow. Nothing waits for the worker any more, so that it can wait for the sink.
    fn finish(&mut self) {
        self.emitter.when_full = WhenFull::Wait;
        self.emitter.counters.publish_levels(self.degradation.levels());
        let now = self.source.now().or(self.clock.end_time()).unwrap_or_default();
        if let Some(table) = &mut self.flows {
            table.drain(now, &mut |record| self.emitter.emit_flow(&self.rules, record));
            self.emitter.emit_applications(&self.rules, table);
            self.emitter.counters.publish_applications(table);
            self.emitter.counters.publish_flows(table);
        }
    }
}

#[cfg(test)]
mod tests;

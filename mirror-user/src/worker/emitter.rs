//! The way of records from a worker to its sink.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::flow::FlowRecord;
use crate::number::QueueId;
use crate::packet::Packet;
use crate::privacy::{RecordPrivacy, WorkerPrivacy};
use crate::record::Batch;
use crate::sink::Producer;
use crate::time::Timestamp;

/// Behaviour of a worker when its sink has fallen behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drops the record and counts its packets: the receive ring must not wait.
    Drop,
    /// Waits: a capture file has time.
    Wait,
}

/// Hands a worker's records to its sink, and counts those that the sink has no room for.
pub(super) struct RecordEmitter {
    pub(super) producer: Producer,
    pub(super) when_full: WhenFull,
    pub(super) counters: Arc<WorkerCounters>,
    /// What records may tell: records enter a batch as they may be.
    pub(super) privacy: WorkerPrivacy,
}

impl WhenFull {
    /// A batch with room for a record.
    fn batch(self, producer: &mut Producer) -> Result<&mut Batch, DropReason> {
        match self {
            Self::Drop => producer.batch(),
            Self::Wait => producer.wait_for_batch(),
        }
    }
}

impl RecordEmitter {
    /// Logs a step of the packets' clock: the first one, and of the later ones ever fewer.
    #[cold]
    pub(super) fn log_clock_step(&self, back: Duration, steps: u64) {
        self.counters.clock_steps.set(steps);
        if steps.is_power_of_two() {
            let queue = self.counters.queue;
            warn!("queue {queue}: the clock of the packets stepped back by {back:.3?} (step {steps} so far)");
        }
    }

    /// Emits a flow's record, or counts its packets as dropped.
    pub(super) fn emit_flow(&mut self, record: &FlowRecord) {
        let privacy = self.privacy.of(&record.tunnel);
        if privacy.as_ref().is_some_and(|privacy| !privacy.limit().flows) {
            // The flow began before its owner was known.
            self.counters.drop_packets(DropReason::PolicyExcluded, record.accounted);
            return;
        }
        match self.when_full.batch(&mut self.producer) {
            Ok(batch) => push_flow(batch, privacy, record),
            Err(reason) => {
                self.counters.flow_records_refused.add(1);
                self.counters.drop_packets(reason, record.accounted);
            }
        }
    }

    /// Emits a packet's record, or counts it as dropped. `append` appends the packet's bytes where the sink wants them.
    pub(super) fn emit_packet(
        &mut self,
        timestamp: Timestamp,
        packet: &Packet,
        append: impl FnOnce(usize, &mut Vec<u8>),
    ) {
        let queue = self.counters.queue;
        let privacy = self.privacy.of(&packet.tunnel);
        if privacy.as_ref().is_some_and(|privacy| !privacy.limit().packets) {
            // Its owner became known since it was taken in.
            self.counters.drop_packets(DropReason::PolicyExcluded, 1);
            return;
        }
        match self.when_full.batch(&mut self.producer) {
            Ok(batch) => push_packet(batch, privacy, (timestamp, queue), packet, append),
            Err(reason) => {
                self.counters.packet_records_refused.add(1);
                self.counters.drop_packets(reason, 1);
            }
        }
    }
}

/// Adds a flow as its record may be.
#[inline]
fn push_flow(batch: &mut Batch, privacy: Option<&mut RecordPrivacy>, flow: &FlowRecord) {
    match privacy {
        None => batch.push_flow(flow),
        Some(privacy) => {
            batch.push_flow(&privacy.flow(flow));
            batch.label_flow(privacy.label());
        }
    }
}

/// Adds a packet as its record may be.
#[inline]
fn push_packet(
    batch: &mut Batch,
    privacy: Option<&mut RecordPrivacy>,
    (timestamp, queue): (Timestamp, QueueId),
    packet: &Packet,
    append: impl FnOnce(usize, &mut Vec<u8>),
) {
    match privacy {
        None => batch.push(timestamp, queue, *packet, append),
        Some(privacy) => {
            let shown = privacy.packet(packet);
            batch.push(timestamp, queue, shown, |from, bytes| {
                bytes.extend_from_slice(privacy.bytes(&shown, |all| append(from, all)));
            });
            batch.label_packet(privacy.label());
        }
    }
}

//! The way of records from a worker to its sink.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::flow::FlowRecord;
use crate::packet::Packet;
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
}

impl RecordEmitter {
    /// A batch with room for a record.
    fn batch(&mut self) -> Result<&mut Batch, DropReason> {
        match self.when_full {
            WhenFull::Drop => self.producer.batch(),
            WhenFull::Wait => self.producer.wait_for_batch(),
        }
    }

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
        match self.batch() {
            Ok(batch) => batch.push_flow(record),
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
        match self.batch() {
            Ok(batch) => batch.push(timestamp, queue, *packet, append),
            Err(reason) => {
                self.counters.packet_records_refused.add(1);
                self.counters.drop_packets(reason, 1);
            }
        }
    }
}

//! The way of the packets of a batch to the records that they may be in.

use crate::DropReason;
use crate::degrade::DegradeLevel;
use crate::flow::FlowTable;
use crate::packet::{Packet, PlainPacket};
use crate::rules::{Recording, Rules};
use crate::time::Timestamp;

/// Takes in the packets of the current batch.
pub(super) struct Intake<'worker> {
    pub(super) rules: &'worker Rules,
    pub(super) level: DegradeLevel,
    pub(super) flows: &'worker mut Option<FlowTable>,
    pub(super) selected: &'worker mut Vec<SelectedPacket>,
    /// Packets so far.
    pub(super) packets: u64,
}

/// A mirrored packet in a frame of the current batch, which gets a record.
pub(super) struct SelectedPacket {
    pub(super) frame: usize,
    pub(super) timestamp: Timestamp,
    pub(super) packet: Packet,
    /// The record may have the payload behind the packet's transport header.
    pub(super) payload: bool,
}

impl Intake<'_> {
    /// Takes in the packet of frame `index`: prepares it for its flow, and selects it for a record of its own.
    ///
    /// # Errors
    ///
    /// The reason for which it is in no record.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        frame: usize,
        timestamp: Timestamp,
        packet: impl Mirrored,
    ) -> Result<(), DropReason> {
        self.packets += 1;
        let Recording { packets, flows, payload, .. } = allowed(packet.recording(self.rules), self.level)?;
        if flows && let Some(table) = self.flows {
            packet.prepare(table, timestamp, packets);
        }
        if packets {
            self.selected.push(SelectedPacket { frame, timestamp, packet: packet.into(), payload });
        }
        Ok(())
    }
}

/// A mirrored packet in one form or the other.
pub(super) trait Mirrored: Copy + Into<Packet> {
    /// The records that the rules allow for it.
    fn recording(&self, rules: &Rules) -> Recording;

    /// Prepares it for its flow.
    fn prepare(&self, table: &mut FlowTable, timestamp: Timestamp, has_own_record: bool);
}

impl Mirrored for Packet {
    #[inline(always)]
    fn recording(&self, rules: &Rules) -> Recording {
        rules.resolve(&self.tunnel)
    }

    #[inline(always)]
    fn prepare(&self, table: &mut FlowTable, timestamp: Timestamp, has_own_record: bool) {
        table.prepare(timestamp, self, has_own_record);
    }
}

impl Mirrored for PlainPacket {
    #[inline(always)]
    fn recording(&self, rules: &Rules) -> Recording {
        rules.resolve_plain(&self.tunnel)
    }

    #[inline(always)]
    fn prepare(&self, table: &mut FlowTable, timestamp: Timestamp, has_own_record: bool) {
        table.prepare_plain(timestamp, self, has_own_record);
    }
}

/// The records that a packet with this recording gets at this level.
///
/// # Errors
///
/// The reason for which there is none.
#[inline(always)]
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

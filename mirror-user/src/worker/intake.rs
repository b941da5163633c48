//! The way of the packets of a batch to the records that they may be in.

use crate::DropReason;
use crate::decap;
use crate::degrade::DegradeLevel;
use crate::flow::FlowTable;
use crate::packet::{Packet, PlainPacket, Tunnel};
use crate::privacy::WorkerPrivacy;
use crate::rules::{Recording, Rules};
use crate::source::Frame;
use crate::time::Timestamp;

/// Takes in the packets of the current batch.
pub(super) struct Intake<'worker> {
    rules: &'worker Rules,
    /// Where it limits the records of some packets.
    privacy: Option<&'worker mut WorkerPrivacy>,
    level: DegradeLevel,
    /// Of packets that no rule applies to.
    rest: Result<Recording, DropReason>,
    /// No rule applies to any packet.
    is_uniform: bool,
    flows: Option<&'worker mut FlowTable>,
    selected: &'worker mut Vec<SelectedPacket>,
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

impl<'worker> Intake<'worker> {
    /// Begins a batch at this level.
    pub(super) fn new(
        rules: &'worker Rules,
        privacy: &'worker mut WorkerPrivacy,
        level: DegradeLevel,
        flows: Option<&'worker mut FlowTable>,
        selected: &'worker mut Vec<SelectedPacket>,
    ) -> Self {
        selected.clear();
        let privacy = privacy.limits_packets().then_some(privacy);
        let is_uniform = rules.are_uniform() && privacy.is_none();
        let rest = allowed(rules.rest(), level);
        Self { rules, privacy, level, rest, is_uniform, flows, selected, packets: 0 }
    }

    /// Takes in the packet of frame `index`: prepares it for its flow, and selects it for a record of its own.
    ///
    /// # Errors
    ///
    /// The reason for which it is in no record.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        index: usize,
        frame: &Frame<'_>,
        packet: &impl Mirrored,
    ) -> Result<(), DropReason> {
        self.packets += 1;
        let recording = if self.is_uniform { self.rest? } else { self.particular(packet)? };
        let Recording { packets, payload, .. } = recording;
        let timestamp = frame.timestamp;
        if recording.follows()
            && let Some(table) = &mut self.flows
        {
            // Where payload may be recorded, and is worth the time.
            let frame = (payload && self.level == DegradeLevel::Full).then_some(index);
            packet.prepare(table, timestamp, packets, frame);
        }
        if packets {
            let packet = packet.describe(frame);
            self.selected.push(SelectedPacket { frame: index, timestamp, packet, payload });
        }
        Ok(())
    }

    /// The records that the rules for a packet's tunnel allow.
    #[inline(never)] // kept out of the code of those without such rules
    fn particular(&mut self, packet: &impl Mirrored) -> Result<Recording, DropReason> {
        let recording = packet.rule(self.rules).unwrap_or_else(|| self.rules.rest());
        let limit = self.privacy.as_mut().and_then(|privacy| privacy.of(&packet.tunnel()));
        allowed(limit.map_or(recording, |privacy| recording.and(privacy.limit())), self.level)
    }
}

/// A mirrored packet in one form or the other.
pub(super) trait Mirrored {
    /// The tunnel that brought it.
    fn tunnel(&self) -> Tunnel;

    /// The rule that applies to it.
    fn rule(&self, rules: &Rules) -> Option<Recording>;

    /// Its description, as that of the packet in `frame`.
    fn describe(&self, frame: &Frame<'_>) -> Packet;

    /// Prepares it for its flow.
    fn prepare(
        &self,
        table: &mut FlowTable,
        timestamp: Timestamp,
        has_own_record: bool,
        frame: Option<usize>,
    );
}

impl Mirrored for Packet {
    #[inline(always)]
    fn tunnel(&self) -> Tunnel {
        self.tunnel
    }

    #[inline(always)]
    fn rule(&self, rules: &Rules) -> Option<Recording> {
        rules.find(&self.tunnel)
    }

    #[inline(always)]
    fn describe(&self, _frame: &Frame<'_>) -> Packet {
        *self
    }

    #[inline(always)]
    fn prepare(
        &self,
        table: &mut FlowTable,
        timestamp: Timestamp,
        has_own_record: bool,
        frame: Option<usize>,
    ) {
        table.prepare(timestamp, self, has_own_record, frame);
    }
}

impl Mirrored for PlainPacket {
    #[inline(always)]
    fn tunnel(&self) -> Tunnel {
        self.tunnel.into()
    }

    #[inline(always)]
    fn rule(&self, rules: &Rules) -> Option<Recording> {
        rules.find_plain(&self.tunnel)
    }

    #[inline(always)]
    fn describe(&self, frame: &Frame<'_>) -> Packet {
        decap::describe_plain(*self, *frame)
    }

    #[inline(always)]
    fn prepare(
        &self,
        table: &mut FlowTable,
        timestamp: Timestamp,
        has_own_record: bool,
        frame: Option<usize>,
    ) {
        table.prepare_plain(timestamp, self, has_own_record, frame);
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
        DegradeLevel::Flows | DegradeLevel::Sampled(_) if recording.follows() => {
            Ok(Recording { packets: false, ..recording })
        }
        DegradeLevel::Flows | DegradeLevel::Sampled(_) | DegradeLevel::Counters => {
            Err(DropReason::CountersOnly)
        }
    }
}

//! A packet of the current batch, prepared for its flow.

use super::entry::{Flags, PacketCounts};
use super::index::IndexPosition;
use super::payload::Place;
use super::record::Initiator;
use super::side::Side;
use super::slab::Slot;
use super::tcp::Segment;
use crate::time::Timestamp;

/// A packet of the batch that belongs to a flow or may begin one, prepared before the memory of the flow is touched.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreparedPacket {
    /// As [`Key::selector`](super::key::Key::selector).
    pub(super) selector: u64,
    /// As [`Key::addresses`](super::key::Key::addresses); in IPv6 the lower half is the place of the addresses in
    /// [`FlowTable::wide_of_batch`](super::table::FlowTable::wide_of_batch).
    pub(super) addresses: u64,
    /// As [`Key::vlans`](super::key::Key::vlans).
    pub(super) vlans: u32,
    pub(super) position: IndexPosition,
    /// Probable slot of the flow.
    pub(super) candidate: Slot,
    pub(super) timestamp: Timestamp,
    pub(super) sender: Side,
    /// Number of its origin.
    pub(super) origin: u16,
    /// The initiator of the flow, if it is known from an ICMP query.
    pub(super) requester: Option<Side>,
    /// The packet has a record of its own, which accounts for it.
    pub(super) has_own_record: bool,
    /// The next one of [`FlowTable::joining`](super::table::FlowTable::joining) comes with it.
    pub(super) is_joined: bool,
    /// Its place in the batch, where its payload may be looked into.
    pub(super) place: Place,
    pub(super) cookie: Option<u32>,
    pub(super) counts: PacketCounts,
    pub(super) segment: Option<Segment>,
}

impl PreparedPacket {
    /// The flags of the flow whose first packet this is.
    pub(super) fn flags(&self) -> Flags {
        let initiator = self.segment.and_then(|segment| segment.initiator(self.sender));
        match (initiator, self.requester) {
            (Some(initiator), _) => Flags::new(initiator, Initiator::Syn),
            (None, Some(requester)) => Flags::new(requester, Initiator::Request),
            (None, None) => Flags::new(self.sender, Initiator::FirstPacket),
        }
    }
}

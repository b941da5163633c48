//! The fixed parts of blocks.

use crate::replay::order::Order;
use crate::replay::step::FaultKind;

/// Type and length of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: u32,
    /// Bytes of the block, type and both lengths included.
    pub(super) length: u32,
}

impl Block {
    /// Section Header Block, which reads the same in either byte order.
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    /// Interface Description Block.
    pub(super) const INTERFACE: u32 = 1;
    /// Packet Block, which is obsolete.
    pub(super) const PACKET: u32 = 2;
    /// Simple Packet Block.
    pub(super) const SIMPLE_PACKET: u32 = 3;
    /// Enhanced Packet Block.
    pub(super) const ENHANCED_PACKET: u32 = 6;

    /// Bytes of type and length.
    pub(super) const HEADER: usize = 8;
    /// Bytes of the length at the end.
    pub(super) const TRAILER: u32 = 4;
    /// Bytes of a section's header in front of its length and options.
    pub(super) const SECTION_FIXED: usize = 16;
    /// Bytes of an interface's description in front of its options.
    pub(super) const INTERFACE_FIXED: u32 = 16;

    /// The header at the beginning of `bytes`; [`None`] where they end within it.
    pub(super) fn parse(order: Order, bytes: &[u8]) -> Option<Self> {
        let [kind, length] = order.words(bytes)?;
        Some(Self { kind, length })
    }

    /// `true` if a block can have this length.
    pub(super) const fn is_plausible(self) -> bool {
        self.length >= 12 && self.length.is_multiple_of(4)
    }

    pub(super) const fn is_packet(self) -> bool {
        matches!(self.kind, Self::PACKET | Self::SIMPLE_PACKET | Self::ENHANCED_PACKET)
    }

    /// Bytes in front of a packet in its block.
    pub(super) const fn packet_fixed(self) -> u32 {
        if self.kind == Self::SIMPLE_PACKET { 12 } else { 28 }
    }
}

/// `true` if `bytes` begin with the header of a block of a known type and a possible length.
pub(super) fn looks_like_one(order: Order, bytes: &[u8]) -> bool {
    const HIGHEST: u32 = 0x0000_0210;
    const CUSTOM: [u32; 2] = [0x0000_0bad, 0x4000_0bad];
    const LONGEST: u32 = 16 << 20;
    if bytes.first_chunk().is_some_and(|kind| u32::from_be_bytes(*kind) == Block::SECTION) {
        return true;
    }
    Block::parse(order, bytes).is_some_and(|block| {
        let is_type = (1..=HIGHEST).contains(&block.kind) || CUSTOM.contains(&block.kind);
        is_type && block.is_plausible() && block.length <= LONGEST
    })
}

/// The byte order of the section whose header `bytes` begin with.
pub(super) fn section(bytes: &[u8]) -> Result<Order, FaultKind> {
    let order = match bytes.get(8..12) {
        Some([0x4d, 0x3c, 0x2b, 0x1a]) => Order::Little,
        Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order::Big,
        _ => return Err(FaultKind::ByteOrder),
    };
    match bytes.get(12..16) {
        Some(&[m0, m1, n0, n1]) => match (order.u16([m0, m1]), order.u16([n0, n1])) {
            (1, _) => Ok(order),
            (major, minor) => Err(FaultKind::Version(major, minor)),
        },
        _ => Err(FaultKind::CutOff),
    }
}

/// The fixed part of a packet's block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketBlock {
    pub(super) interface: u32,
    /// In units of the interface; [`None`] for a simple packet.
    pub(super) timestamp: Option<u64>,
    /// [`None`] for a simple packet.
    pub(super) captured_length: Option<u32>,
    pub(super) original_length: u32,
}

impl PacketBlock {
    /// The fixed part of `block`, which `bytes` begin with.
    pub(super) fn parse(order: Order, block: Block, bytes: &[u8]) -> Option<Self> {
        if block.kind == Block::SIMPLE_PACKET {
            let [_, _, original_length] = order.words(bytes)?;
            return Some(Self { interface: 0, timestamp: None, captured_length: None, original_length });
        }
        let [_, _, interface, high, low, captured_length, original_length] = order.words(bytes)?;
        let interface = match block.kind {
            // The interface has 16 bits; a count of lost packets follows.
            Block::PACKET => order.u16(*bytes.get(8..)?.first_chunk()?).into(),
            _ => interface,
        };
        Some(Self {
            interface,
            timestamp: Some(u64::from(high) << 32 | u64::from(low)),
            captured_length: Some(captured_length),
            original_length,
        })
    }
}

//! The pcapng format (draft-ietf-opsawg-pcapng): blocks, in sections.
//!
//! Only the fields of a block that a packet needs are read. Options, names, comments, statistics, secrets and blocks of unknown
//! types are passed over, whatever their size and content; so are options that contradict themselves.

mod block;
mod interface;

use std::time::Duration;

use self::block::{Block, PacketBlock};
use self::interface::{Interface, Interfaces, OptionHeader};
use super::order::Order;
use super::slot::{LONGEST, Slot};
use super::step::{Fault, FaultKind, Step, Unread};
use super::window::{Available, Window};
use crate::time::Timestamp;

/// `true` if a file that begins with `magic` is of this format.
pub(super) const fn is_magic(magic: [u8; 4]) -> bool {
    u32::from_be_bytes(magic) == Block::SECTION
}

/// Reads the packets of a file.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Byte order of the section; none before the first.
    order: Option<Order>,
    interfaces: Interfaces,
    state: ReaderState,
    /// Bytes to be passed over before anything else.
    skip: u64,
    /// Packets without a time of their own.
    timeless: u64,
}

/// The place that has been reached.
#[derive(Clone, Copy, Debug, Default)]
enum ReaderState {
    /// Between two blocks.
    #[default]
    Between,
    /// At an option of the interface that was described last; so many bytes of options are left in the block.
    Options { block: OpenBlock, left: u32 },
    /// At the length at the end of a block.
    End { block: OpenBlock },
}

/// A block that is being read.
#[derive(Clone, Copy, Debug)]
struct OpenBlock {
    offset: u64,
    length: u32,
}

impl Reader {
    /// Reads on, and puts the packet that there is into `slot`.
    pub(super) fn next(&mut self, window: &mut Window, slot: &mut Slot, wait: Duration) -> Step {
        loop {
            let step = match window.skip(&mut self.skip, wait) {
                Available::Wait => Some(Step::Wait),
                Available::Ended => Some(self.cut_off(window)),
                Available::Enough => match self.state {
                    ReaderState::Between => self.begin(window, slot, wait),
                    ReaderState::Options { block, left } => self.option(window, block, left, wait),
                    ReaderState::End { block } => self.end(window, block, wait),
                },
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Packets without a time of their own so far; they stand at the beginning of 1970.
    pub(super) const fn timeless(&self) -> u64 {
        self.timeless
    }

    /// Link types of the interfaces of the section.
    pub(super) fn link_types(&self) -> impl Iterator<Item = u32> {
        self.interfaces.link_types()
    }

    /// Begins a block, and goes on to what of it is not of use, or to its options.
    fn begin(&mut self, window: &mut Window, slot: &mut Slot, wait: Duration) -> Option<Step> {
        match window.fill(Block::HEADER, wait) {
            Available::Enough => {}
            Available::Wait => return Some(Step::Wait),
            Available::Ended if window.bytes().is_empty() => return Some(Step::End),
            Available::Ended => return Some(self.cut_off(window)),
        }
        let offset = window.offset();
        if window.first().is_some_and(|magic| is_magic(*magic)) {
            match window.fill(Block::SECTION_FIXED, wait) {
                Available::Enough => {}
                Available::Wait => return Some(Step::Wait),
                Available::Ended => return Some(self.cut_off(window)),
            }
            match block::section(window.bytes()) {
                Ok(order) => self.order = Some(order),
                Err(kind) => return Some(Step::Fault(Fault { kind, offset, packet: None })),
            }
            self.interfaces.clear();
        }
        let Some(order) = self.order else {
            return Some(Step::Fault(Fault { kind: FaultKind::ByteOrder, offset, packet: None }));
        };
        let block = Block::parse(order, window.bytes())?;
        if !block.is_plausible() {
            let kind = FaultKind::BlockLength(block.length);
            let packet = block.is_packet().then_some(Unread::Length);
            return Some(Step::Fault(Fault { kind, offset, packet }));
        }
        let open = OpenBlock { offset, length: block.length };
        match block.kind {
            Block::INTERFACE => self.interface(window, order, open, wait),
            _ if block.is_packet() => self.packet(window, slot, order, block, wait),
            _ => {
                self.pass_over(window, open, 0);
                None
            }
        }
    }

    /// Takes so many bytes of a block, and goes on to its end.
    fn pass_over(&mut self, window: &mut Window, block: OpenBlock, taken: usize) {
        window.take(taken);
        self.skip = u64::from(block.length).saturating_sub(taken as u64 + Block::TRAILER as u64);
        self.state = ReaderState::End { block };
    }

    fn interface(
        &mut self,
        window: &mut Window,
        order: Order,
        block: OpenBlock,
        wait: Duration,
    ) -> Option<Step> {
        let Some(left) = block.length.checked_sub(Block::INTERFACE_FIXED + Block::TRAILER) else {
            // A block that is too short describes an interface all the same, or others would get its number.
            self.interfaces.push(None);
            self.pass_over(window, block, 0);
            return None;
        };
        match window.fill(Block::INTERFACE_FIXED as usize, wait) {
            Available::Enough => {}
            Available::Wait => return Some(Step::Wait),
            Available::Ended => return Some(self.cut_off(window)),
        }
        self.interfaces.push(Interface::parse(order, window.bytes()));
        window.take(Block::INTERFACE_FIXED as usize);
        self.state = ReaderState::Options { block, left };
        None
    }

    /// Reads an option of the interface that was described last.
    fn option(&mut self, window: &mut Window, block: OpenBlock, left: u32, wait: Duration) -> Option<Step> {
        let order = self.order?;
        let to_end = |reader: &mut Self| {
            reader.skip = left.into();
            reader.state = ReaderState::End { block };
            None
        };
        if left < OptionHeader::LENGTH {
            return to_end(self);
        }
        match window.fill(OptionHeader::LENGTH as usize, wait) {
            Available::Enough => {}
            Available::Wait => return Some(Step::Wait),
            Available::Ended => return Some(self.cut_off(window)),
        }
        let header = OptionHeader::parse(order, window.bytes())?;
        let whole = OptionHeader::LENGTH + header.padded();
        if header.is_last() || whole > left {
            return to_end(self);
        }
        if header.counts() {
            match window.fill(whole as usize, wait) {
                Available::Enough => {}
                Available::Wait => return Some(Step::Wait),
                Available::Ended => return Some(self.cut_off(window)),
            }
            let value = window.bytes().get(OptionHeader::LENGTH as usize..).unwrap_or_default();
            self.interfaces.set(order, header, value);
        }
        self.skip = whole.into();
        self.state = ReaderState::Options { block, left: left - whole };
        None
    }

    fn packet(
        &mut self,
        window: &mut Window,
        slot: &mut Slot,
        order: Order,
        block: Block,
        wait: Duration,
    ) -> Option<Step> {
        let open = OpenBlock { offset: window.offset(), length: block.length };
        let Some(room) = block.length.checked_sub(block.packet_fixed() + Block::TRAILER) else {
            self.pass_over(window, open, 0);
            return Some(Step::Unread(Unread::Length));
        };
        let fixed = block.packet_fixed() as usize;
        match window.fill(fixed, wait) {
            Available::Enough => {}
            Available::Wait => return Some(Step::Wait),
            Available::Ended => return Some(self.cut_off(window)),
        }
        let packet = PacketBlock::parse(order, block, window.bytes())?;
        let interface = self.interfaces.get(packet.interface);
        let captured_length = match packet.captured_length {
            Some(captured_length) => captured_length,
            // A simple packet is truncated to the snap length of the interface.
            None => {
                let snap_length = interface.map_or(0, |interface| interface.snap_length);
                let whole = packet.original_length.min(if snap_length == 0 { u32::MAX } else { snap_length });
                // Where there is less, the snap length was not stated, or not kept to.
                whole.min(room)
            }
        };
        let unread = match interface {
            _ if captured_length > room => Some(Unread::Length),
            None => Some(Unread::Interface),
            Some(interface) => interface.link.is_none().then_some(Unread::LinkType(interface.link_type)),
        };
        if let Some(unread) = unread {
            self.pass_over(window, open, 0);
            return Some(Step::Unread(unread));
        }
        let kept = captured_length.min(LONGEST) as usize;
        match window.fill(fixed + kept, wait) {
            Available::Enough => {}
            Available::Wait => return Some(Step::Wait),
            Available::Ended => return Some(self.cut_off(window)),
        }
        let interface = interface?;
        let bytes = window.bytes().get(fixed..fixed + kept).unwrap_or_default();
        interface.link?.fill(slot, bytes, packet.original_length.max(captured_length));
        slot.timestamp = match packet.timestamp {
            Some(units) => interface.timestamp(units),
            None => {
                self.timeless += 1;
                Timestamp::default()
            }
        };
        self.pass_over(window, open, fixed + kept);
        Some(Step::Packet)
    }

    /// Reads the length at the end of a block. Where it is another one than at the beginning, what stands behind it decides
    /// whether the former counts: the length at the end is of use only for reading backwards.
    fn end(&mut self, window: &mut Window, block: OpenBlock, wait: Duration) -> Option<Step> {
        match window.fill(Block::TRAILER as usize, wait) {
            Available::Enough => {}
            Available::Wait => return Some(Step::Wait),
            Available::Ended => return Some(self.cut_off(window)),
        }
        let order = self.order?;
        let length = window.first().map_or(0, |bytes| order.u32(*bytes));
        if length != block.length {
            match window.fill(Block::TRAILER as usize + Block::HEADER, wait) {
                Available::Wait => return Some(Step::Wait),
                Available::Enough | Available::Ended => {}
            }
            let next = window.bytes().get(Block::TRAILER as usize..).unwrap_or_default();
            if !(next.is_empty() || block::looks_like_one(order, next)) {
                let kind = FaultKind::BlockLengths(block.length, length);
                return Some(Step::Fault(Fault { kind, offset: block.offset, packet: None }));
            }
        }
        window.take(Block::TRAILER as usize);
        self.state = ReaderState::Between;
        None
    }

    /// The end of the file in the middle of a block. Its packet is not read, unless it was handed out before.
    fn cut_off(&self, window: &Window) -> Step {
        let kind = FaultKind::CutOff;
        let (offset, packet) = match (self.state, self.order) {
            (ReaderState::Between, order) => {
                let block = order.and_then(|order| Block::parse(order, window.bytes()));
                let is_packet = block.is_some_and(Block::is_packet);
                (window.offset(), is_packet.then_some(Unread::CutOff))
            }
            (ReaderState::Options { block, .. } | ReaderState::End { block }, _) => (block.offset, None),
        };
        Step::Fault(Fault { kind, offset, packet })
    }
}

#[cfg(test)]
mod tests;

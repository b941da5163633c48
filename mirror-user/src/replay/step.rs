//! Outcomes of reading on in a capture, and the reasons for which a packet or the rest of a file cannot be read.

use std::fmt;

/// Outcome of reading on in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is another packet in the slot.
    Packet,
    /// There is another packet, which cannot be read; the capture goes on behind it.
    Unread(Unread),
    /// Nothing for now.
    Wait,
    /// The capture ends as it should.
    End,
    /// The capture cannot be read on.
    Fault(Fault),
}

/// Reason for which a packet of a capture cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Its link type is none that has Ethernet or IP at a known offset.
    LinkType(u32),
    /// The interface that it belongs to is not described.
    Interface,
    /// It is longer than its block, or than a packet can be.
    Length,
    /// The capture ends within it.
    CutOff,
}

/// Fault for which a capture cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// Offset of that packet or block, after decompression.
    pub(super) offset: u64,
    /// Reason for which the packet there is not read, where one begins there.
    pub(super) packet: Option<Unread>,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file ends within a packet, a block or a header.
    CutOff,
    /// A packet that is longer than any can be.
    PacketLength(u32),
    /// A block of a length that none can have.
    BlockLength(u32),
    /// A block with two lengths that differ, and nothing behind it that looks like a block.
    BlockLengths(u32, u32),
    /// A section without a byte order.
    ByteOrder,
    /// A section of a version that is not known.
    Version(u16, u16),
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutOff => formatter.write_str("the file ends in the middle of it"),
            Self::PacketLength(length) => write!(formatter, "a packet of {length} bytes cannot be"),
            Self::BlockLength(length) => write!(formatter, "a block of {length} bytes cannot be"),
            Self::BlockLengths(first, second) => {
                write!(formatter, "a block whose length is {first} at its beginning and {second} at its end")
            }
            Self::ByteOrder => formatter.write_str("a section header without a byte order"),
            Self::Version(major, minor) => {
                write!(formatter, "a section of version {major}.{minor} (1 is known)")
            }
        }
    }
}

//! The two streams of a TCP connection.

use crate::flow::side::Side;

/// Greatest distance of a sequence number from the expected one, in bytes, for RST and FIN to count and for a late SYN to
/// belong to the connection (RFC 5961, section 3.2, asks the receiver to insist on its window). Receive windows
/// of common systems are smaller (Linux: 6 MiB), and one guess in 256 of an attacker who cannot see the stream comes so
/// near.
pub(in crate::flow) const NEAR: u32 = 1 << 23;
/// The state of the two streams of a TCP connection that few segments change.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::flow) struct Streams {
    /// The lowest sequence number of each side that was seen, once `Phase::has_sequence`; or that of its SYN, if
    /// [`Streams::BEGUN`]; or one that the other side has acknowledged, if [`Streams::ANSWERED`].
    lowest: [u32; 2],
    /// Next sequence number of the other side when one side reset the connection, if [`Streams::REACHED`].
    pub(in crate::flow) reached: u32,
    pub(in crate::flow) facts: u16,
}

impl Streams {
    /// For each side: the sequence number of its SYN is known, from the SYN or from the answer to it.
    pub(in crate::flow) const BEGUN: u16 = 1;
    /// For each side: its window is closed.
    pub(in crate::flow) const SHUT: u16 = 4;
    /// For each side: it has sent a byte to probe the other's closed window.
    pub(in crate::flow) const PROBED: u16 = 16;
    /// The high side reset the connection.
    pub(in crate::flow) const RESET_BY_HIGH: u16 = 64;
    pub(in crate::flow) const REACHED: u16 = 128;
    /// For each side: its SYN was seen.
    pub(in crate::flow) const SYN_SEEN: u16 = 256;
    /// For each side: no segment of it was seen, but the other acknowledged up to the lowest sequence number.
    pub(in crate::flow) const ANSWERED: u16 = 1024;

    #[inline(always)]
    pub(in crate::flow) const fn has(&self, fact: u16, side: Side) -> bool {
        self.facts & fact << side as u8 != 0
    }

    #[inline(always)]
    pub(in crate::flow) const fn set(&mut self, fact: u16, side: Side, is_so: bool) {
        let bit = fact << side as u8;
        self.facts = if is_so { self.facts | bit } else { self.facts & !bit };
    }

    #[inline(always)]
    pub(in crate::flow) const fn lowest(&self, side: Side) -> u32 {
        self.lowest[side as usize]
    }

    #[inline(always)]
    pub(in crate::flow) const fn set_lowest(&mut self, side: Side, sequence: u32) {
        self.lowest[side as usize] = sequence;
    }

    /// Sets the sequence number of a side's SYN.
    pub(in crate::flow) const fn begin(&mut self, side: Side, sequence: u32) {
        self.set_lowest(side, sequence);
        self.set(Self::BEGUN, side, true);
    }

    /// Takes a late segment from before all segments of `side` that were seen.
    #[inline(always)]
    pub(in crate::flow) const fn extend_back(&mut self, side: Side, sequence: u32) {
        let before = self.lowest(side).wrapping_sub(sequence);
        if before <= NEAR && !self.has(Self::BEGUN, side) {
            self.set_lowest(side, sequence);
        }
    }

    /// The side that reset the connection.
    pub(in crate::flow) const fn reset_by(&self) -> Side {
        if self.facts & Self::RESET_BY_HIGH != 0 { Side::High } else { Side::Low }
    }
}

/// `true` if two sequence numbers are [near](NEAR) each other.
pub(in crate::flow) const fn is_near(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).wrapping_add(NEAR) <= 2 * NEAR
}

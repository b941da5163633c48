//! The two streams of a TCP connection.

use crate::flow::side::Side;

/// How far a sequence number may be from the one that is expected, in bytes, for RST and FIN to count and for a late
/// SYN to belong to the connection (RFC 5961, section 3.2, asks the receiver to insist on its window). Receive windows
/// of common systems are smaller (Linux: 6 MiB), and one guess in 256 of somebody who cannot see the stream comes so
/// near.
pub(in crate::flow) const NEAR: u32 = 1 << 23;
/// The two streams of a TCP connection, as far as few segments change what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::flow) struct Streams {
    /// Of each end, the lowest sequence number that was seen, once [`Phase::has_sequence`]; or that of its SYN, if
    /// [`Streams::BEGUN`]; or one that the other end has acknowledged, if [`Streams::ANSWERED`].
    lowest: [u32; 2],
    /// How far the stream of the other end had come when one end reset the connection, if [`Streams::REACHED`].
    pub(in crate::flow) reached: u32,
    pub(in crate::flow) facts: u16,
}

impl Streams {
    /// Of each end: the sequence number of its SYN is known, from the SYN or from the answer to it.
    pub(in crate::flow) const BEGUN: u16 = 1;
    /// Of each end: its window is closed.
    pub(in crate::flow) const SHUT: u16 = 4;
    /// Of each end: it has sent a byte to see whether the other's window is still closed.
    pub(in crate::flow) const PROBED: u16 = 16;
    /// The high end reset the connection.
    pub(in crate::flow) const RESET_BY_HIGH: u16 = 64;
    pub(in crate::flow) const REACHED: u16 = 128;
    /// Of each end: its SYN was seen.
    pub(in crate::flow) const SYN_SEEN: u16 = 256;
    /// Of each end: nothing of it was seen, but the other acknowledged up to the lowest sequence number.
    pub(in crate::flow) const ANSWERED: u16 = 1024;

    #[inline(always)]
    pub(in crate::flow) const fn has(&self, fact: u16, end: Side) -> bool {
        self.facts & fact << end as u8 != 0
    }

    #[inline(always)]
    pub(in crate::flow) const fn set(&mut self, fact: u16, end: Side, is_so: bool) {
        let bit = fact << end as u8;
        self.facts = if is_so { self.facts | bit } else { self.facts & !bit };
    }

    #[inline(always)]
    pub(in crate::flow) const fn lowest(&self, end: Side) -> u32 {
        self.lowest[end as usize]
    }

    #[inline(always)]
    pub(in crate::flow) const fn set_lowest(&mut self, end: Side, sequence: u32) {
        self.lowest[end as usize] = sequence;
    }

    /// Notes the sequence number of an end's SYN.
    pub(in crate::flow) const fn begin(&mut self, end: Side, sequence: u32) {
        self.set_lowest(end, sequence);
        self.set(Self::BEGUN, end, true);
    }

    /// Notes a segment from before all that were seen of `end`, late as it is.
    #[inline(always)]
    pub(in crate::flow) const fn extend_back(&mut self, end: Side, sequence: u32) {
        let before = self.lowest(end).wrapping_sub(sequence);
        if before <= NEAR && !self.has(Self::BEGUN, end) {
            self.set_lowest(end, sequence);
        }
    }

    /// The end that reset the connection.
    pub(in crate::flow) const fn reset_by(&self) -> Side {
        if self.facts & Self::RESET_BY_HIGH != 0 { Side::High } else { Side::Low }
    }
}

/// Whether two sequence numbers are [near](NEAR) each other.
pub(in crate::flow) const fn is_near(one: u32, other: u32) -> bool {
    one.wrapping_sub(other).wrapping_add(NEAR) <= 2 * NEAR
}

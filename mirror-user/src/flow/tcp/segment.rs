//! The fields of a TCP segment that a flow follows.

use crate::flow::side::Side;
use crate::packet::TcpState;

/// FIN, as on the wire.
pub(in crate::flow) const FIN: u8 = 1;
/// SYN, as on the wire.
pub(in crate::flow) const SYN: u8 = 2;
/// RST, as on the wire.
pub(in crate::flow) const RST: u8 = 4;
/// ACK, as on the wire.
pub(in crate::flow) const ACK: u8 = 16;

/// The fields of a TCP header that a flow follows.
#[derive(Clone, Copy, Debug)]
pub(in crate::flow) struct Segment {
    /// Sequence number.
    pub(in crate::flow) sequence: u32,
    /// Acknowledgment number.
    pub(in crate::flow) acknowledgment: u32,
    /// Bytes of payload by the length fields, whether captured or not.
    pub(in crate::flow) payload_length: u32,
    /// Flags as on the wire.
    pub(in crate::flow) flags: u8,
    /// The receive window is 0.
    pub(in crate::flow) is_shut: bool,
}

impl Segment {
    /// The segment with this header.
    #[inline(always)]
    pub(in crate::flow) const fn new(tcp: &TcpState) -> Self {
        Self {
            sequence: tcp.sequence,
            acknowledgment: tcp.acknowledgment,
            payload_length: tcp.payload_length,
            flags: tcp.flags,
            is_shut: tcp.window == 0,
        }
    }

    /// The initiator of the connection, if the segment shows it, where `sender` sent it.
    #[inline(always)]
    pub(in crate::flow) const fn initiator(&self, sender: Side) -> Option<Side> {
        match self.flags & (SYN | ACK | RST) {
            SYN => Some(sender),
            flags if flags == SYN | ACK => Some(sender.other()),
            _ if self.is_refusal() => Some(sender.other()),
            _ => None,
        }
    }

    /// `true` if it is the answer to a SYN that nobody listens to: RST with the sequence number 0, and an
    /// acknowledgment (RFC 9293, section 3.10.7.1).
    #[inline(always)]
    pub(in crate::flow) const fn is_refusal(&self) -> bool {
        self.flags & (SYN | ACK | RST) == RST | ACK && self.sequence == 0
    }

    /// `true` if it has SYN, and may begin another connection.
    #[inline(always)]
    pub(in crate::flow) const fn has_syn(&self) -> bool {
        self.flags & (SYN | RST) == SYN
    }

    /// The length that it takes in sequence numbers (RFC 9293, section 3.4).
    #[inline(always)]
    pub(in crate::flow) fn length(&self) -> u32 {
        let flags = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.payload_length.saturating_add(flags)
    }
}

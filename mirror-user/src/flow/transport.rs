//! Ports of a flow, or the fields that stand for them.

use super::icmp;
use crate::number::IpProtocol;

/// Ports of a flow, or the fields that stand for them, seen from the initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTransport {
    /// Ports of TCP, UDP or SCTP.
    Ports {
        /// Port of the initiator.
        source: u16,
        /// Port of the other side.
        destination: u16,
    },
    /// ICMP of either family.
    Icmp {
        /// Type; that of the request for a request and its replies.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier, of the types that have one (echo and the like).
        identifier: Option<u16>,
    },
    /// A protocol that is known by its number only, or a transport header that was cut off.
    Unread,
}

impl FlowTransport {
    /// Type of the replies, where this is an ICMP query.
    pub fn reply_kind(&self, protocol: IpProtocol) -> Option<u8> {
        match self {
            Self::Icmp { kind, .. } => icmp::query(protocol, *kind).map(|query| query.reply),
            Self::Ports { .. } | Self::Unread => None,
        }
    }
}

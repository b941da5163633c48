//! Ports of a flow, or what stands for them.

use super::icmp;
use crate::number::IpProtocol;

/// Ports of a flow, or what stands for them, seen from the initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTransport {
    /// Ports of TCP, UDP or SCTP.
    Ports {
        /// Of the initiator.
        source: u16,
        /// Of the other end.
        destination: u16,
    },
    /// ICMP of either family.
    Icmp {
        /// Type: of a request and its replies, that of the request.
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

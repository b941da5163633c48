//! Requests and replies of ICMP.

use crate::number::IpProtocol;

/// Types of ICMP that ask and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Type of the request.
    pub(super) request: u8,
    /// Type of the reply.
    pub(super) reply: u8,
}

/// The query that a message of type `kind` belongs to; none for errors and notices.
///
/// The pairs are those of the Community ID specification, version 1: echo, router solicitation, timestamp,
/// information and address mask (RFC 792, 950, 1256); of ICMPv6 echo, multicast listener, router and
/// neighbour solicitation, node information and home agent discovery (RFC 4443, 2710, 4861, 4620, 6275).
#[inline(always)]
pub(super) fn query(protocol: IpProtocol, kind: u8) -> Option<Query> {
    let (request, reply) = match (protocol, kind) {
        (IpProtocol::ICMP, 0 | 8) => (8, 0),
        (IpProtocol::ICMP, 9 | 10) => (10, 9),
        (IpProtocol::ICMP, 13 | 14) => (13, 14),
        (IpProtocol::ICMP, 15 | 16) => (15, 16),
        (IpProtocol::ICMP, 17 | 18) => (17, 18),
        (IpProtocol::ICMPV6, 128 | 129) => (128, 129),
        (IpProtocol::ICMPV6, 130 | 131) => (130, 131),
        (IpProtocol::ICMPV6, 133 | 134) => (133, 134),
        (IpProtocol::ICMPV6, 135 | 136) => (135, 136),
        (IpProtocol::ICMPV6, 139 | 140) => (139, 140),
        (IpProtocol::ICMPV6, 144 | 145) => (144, 145),
        _ => return None,
    };
    Some(Query { request, reply })
}

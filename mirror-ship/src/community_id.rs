//! What a reader works out of a record: Community ID and direction.

use std::net::{IpAddr, Ipv4Addr};

use mirror_spool::{Direction, Flow, Transport};

/// The Community ID with seed 0; none where the ports that it needs were cut off.
pub fn community_id(flow: &Flow<'_>) -> Option<String> {
    let (source, destination) = match flow.transport {
        Transport::Ports { source, destination } => (Some(source), Some(destination)),
        Transport::Icmp { kind, code, .. } => (Some(kind.into()), Some(code.into())),
        Transport::Unread if matches!(flow.protocol, 1 | 6 | 17 | 58 | 132) => return None,
        Transport::Unread => (None, None),
    };
    let (from, to) = (flow.source, flow.destination);
    community_id::calculate_community_id(0, from, to, source, destination, flow.protocol, false).ok()
}

/// The direction that the record tells, or else the one that its addresses tell: private ones count as the operator's own.
pub fn direction(flow: &Flow<'_>) -> Direction {
    if let Some(direction) = flow.direction {
        return direction;
    }
    let from = is_private(flow.source);
    let to = if is_group(flow.destination) { from } else { is_private(flow.destination) };
    match (from, to) {
        (true, true) => Direction::Internal,
        (false, true) => Direction::Inbound,
        (true, false) => Direction::Outbound,
        (false, false) => Direction::External,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_private()
                || address.is_link_local()
                || address.is_loopback()
                || address.is_unspecified()
                // Shared addresses of RFC 6598.
                || matches!(address.octets(), [100, 64..=127, ..])
        }
        IpAddr::V6(address) => {
            address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_loopback()
                || address.is_unspecified()
        }
    }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

//! Direction of a flow by its addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Direction of a flow across the border of the operator's network, as ECS has it for a sensor in the network: `ingress` and
/// `egress` are a host's own view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkDirection {
    /// Within it.
    Internal,
    /// Into it.
    Inbound,
    /// Out of it.
    Outbound,
    /// Between others.
    External,
}

impl NetworkDirection {
    /// The direction of a flow that `source` initiated.
    ///
    /// A private address counts as the operator's own, a public one does not, although it may be one (elastic IP, IPv6 in a
    /// VPC). A destination that stands for many (multicast, broadcast) is on the side of the source.
    pub fn of(source: IpAddr, destination: IpAddr) -> Self {
        Self::across(source, destination, is_private)
    }

    /// The direction of a flow across the border of a network, whose addresses `is_inside` tells.
    pub fn across(source: IpAddr, destination: IpAddr, is_inside: impl Fn(IpAddr) -> bool) -> Self {
        let from = is_inside(source);
        let to = if is_group(destination) { from } else { is_inside(destination) };
        match (from, to) {
            (true, true) => Self::Internal,
            (false, true) => Self::Inbound,
            (true, false) => Self::Outbound,
            (false, false) => Self::External,
        }
    }

    /// The value of `network.direction`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::External => "external",
        }
    }
}

/// `true` if an address is never routed beyond its link: link-local, loopback and unspecified ones.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address.is_loopback() || address.is_unspecified(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address == Ipv6Addr::LOCALHOST || address.is_unspecified()
        }
    }
}

/// `true` if an address is never routed on the Internet: RFC 1918, shared (RFC 6598), link-local, loopback and
/// unspecified ones; in IPv6 also unique local ones (RFC 4193).
pub fn is_private(address: IpAddr) -> bool {
    is_local(address)
        || match address.to_canonical() {
            IpAddr::V4(address) => address.is_private() || matches!(address.octets(), [100, 64..=127, ..]),
            IpAddr::V6(address) => address.is_unique_local(),
        }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions() {
        use NetworkDirection::{External, Inbound, Internal, Outbound};
        for (source, destination, direction) in [
            ("10.1.2.3", "172.31.0.1", Internal),
            ("172.32.0.1", "192.168.0.1", Inbound),
            ("100.64.0.1", "8.8.8.8", Outbound),
            ("100.128.0.1", "8.8.8.8", External),
            ("169.254.169.254", "10.0.0.1", Internal),
            ("0.0.0.0", "255.255.255.255", Internal),
            ("10.0.0.1", "224.0.0.251", Internal),
            ("8.8.8.8", "224.0.0.1", External),
            ("fd00::1", "fe80::1", Internal),
            ("fd00::1", "2600:1f00::1", Outbound),
            ("2600:1f00::1", "fd00::1", Inbound),
            ("2600:1f00::1", "2001:4860:4860::8888", External),
            ("fe80::1", "ff02::fb", Internal),
            ("::ffff:10.0.0.1", "::1", Internal),
        ] {
            let found = NetworkDirection::of(source.parse().unwrap(), destination.parse().unwrap());
            assert_eq!(found, direction, "{source} to {destination}");
        }
    }
}

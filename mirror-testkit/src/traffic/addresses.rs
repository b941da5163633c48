//! Addresses of the outer headers.

use std::net::Ipv4Addr;

/// Addresses of the outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Ethernet source.
    pub source_mac: [u8; 6],
    /// Ethernet destination.
    pub destination_mac: [u8; 6],
    /// IPv4 source: the load balancer.
    pub source: Ipv4Addr,
    /// IPv4 destination: the appliance.
    pub destination: Ipv4Addr,
}

impl Default for Addresses {
    /// To every Ethernet station, between two addresses for documentation (RFC 5737).
    fn default() -> Self {
        Self {
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [0xff; 6],
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(192, 0, 2, 2),
        }
    }
}

//! Offsets in a frame, and the headers that a frame is made of.

use etherparse::{Ethernet2Header, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use mirror_traffic::Protocol;

use super::encapsulation::{GENEVE_HEADER, GWLB_OPTIONS, VXLAN_HEADER};

/// Bytes of an IPv4 header without options.
pub(super) const IPV4_HEADER: usize = Ipv4Header::MIN_LEN;
/// Offset of the outer IPv4 header.
pub(super) const OUTER_IP: usize = Ethernet2Header::LEN;
/// Offset of the outer UDP header.
pub(super) const OUTER_UDP: usize = OUTER_IP + IPV4_HEADER;
/// Offset of the GENEVE header.
pub(super) const GENEVE: usize = OUTER_UDP + UdpHeader::LEN;
/// Offset of the GENEVE options.
pub(super) const GENEVE_OPTIONS: usize = GENEVE + GENEVE_HEADER;
/// Offset of the option that holds the endpoint.
pub(super) const ENDPOINT_OPTION: usize = GENEVE_OPTIONS;
/// Offset of the option that holds the flow cookie.
pub(super) const COOKIE_OPTION: usize = GENEVE_OPTIONS + 24;
/// Offset of the payload of GENEVE.
pub(super) const GENEVE_PAYLOAD: usize = GENEVE_OPTIONS + GWLB_OPTIONS;
/// Offset of the VXLAN header.
pub(super) const VXLAN: usize = GENEVE_PAYLOAD + IPV4_HEADER + UdpHeader::LEN;
/// Offset of the IP packet that VXLAN carries.
pub(super) const VXLAN_PAYLOAD: usize = VXLAN + VXLAN_HEADER + Ethernet2Header::LEN;

/// The headers inside the outer GENEVE header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// VXLAN and Ethernet, or the mirrored packet itself.
    pub vxlan: bool,
    /// Family of the mirrored packet.
    pub ipv6: bool,
    /// Transport protocol of the mirrored packet.
    pub protocol: Protocol,
}

impl Layout {
    /// Every layout.
    pub fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|vxlan| {
            [false, true].into_iter().flat_map(move |ipv6| {
                Protocol::ALL.into_iter().map(move |protocol| Self { vxlan, ipv6, protocol })
            })
        })
    }

    /// Offset of the mirrored packet.
    pub const fn packet_offset(self) -> usize {
        if self.vxlan { VXLAN_PAYLOAD } else { GENEVE_PAYLOAD }
    }

    /// Bytes of a frame without payload.
    pub const fn headers_length(self) -> usize {
        let ip = if self.ipv6 { Ipv6Header::LEN } else { IPV4_HEADER };
        self.packet_offset() + ip + self.transport_length()
    }

    /// Bytes of the transport header.
    pub const fn transport_length(self) -> usize {
        match self.protocol {
            Protocol::Tcp => TcpHeader::MIN_LEN,
            Protocol::Udp | Protocol::Icmp => 8,
        }
    }
}

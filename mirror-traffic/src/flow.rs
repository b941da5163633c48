//! The values that all packets of a flow share.
#![expect(clippy::cast_possible_truncation, reason = "traits are cut out of hashes")]

use crate::hash::scramble;
use crate::mix::Mix;

/// Transport protocol of a flow.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp,
    /// ICMP echo, of the family of the flow.
    Icmp,
}

impl Protocol {
    /// Every protocol, in the order of the numbers.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Icmp];

    /// Port of the host behind the mirrored interface. No protocol that dissectors look for.
    pub const fn local_port(self) -> u16 {
        match self {
            Self::Tcp => 443,
            Self::Udp => 5201,
            Self::Icmp => 0,
        }
    }
}

/// The values that all packets of a flow share. Addresses are the last 32 bits of the address in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Inside VXLAN or directly in GENEVE.
    pub vxlan: bool,
    /// IPv6 or IPv4.
    pub ipv6: bool,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Gateway Load Balancer endpoint.
    pub endpoint: u64,
    /// Attachment of that endpoint.
    pub attachment: u64,
    /// The load balancer's flow cookie.
    pub cookie: u32,
    /// Number of the mirrored interface behind its endpoint. Endpoints are accounts of their own: their interfaces have the
    /// same addresses and VNIs.
    pub interface: u16,
    /// Address behind the mirrored interface.
    pub local: u32,
    /// Address of the other end, which opened the flow.
    pub remote: u32,
    /// Port of the other end; the identifier of ICMP echo.
    pub remote_port: u16,
    /// Source of everything else that varies from flow to flow.
    pub(crate) hash: u64,
}

impl Flow {
    /// Id of the first endpoint; the others follow.
    pub const FIRST_ENDPOINT: u64 = 0x0e5d_0000_0000_0001;
    /// Id of the first endpoint's attachment; the others follow.
    pub const FIRST_ATTACHMENT: u64 = 0x0a77_0000_0000_0001;
    /// VNI of interface 0; the others follow.
    pub const FIRST_VNI: u32 = 4096;
    /// Address of interface 0 (10.0.1.0); the others follow.
    pub const FIRST_LOCAL: u32 = 0x0a00_0100;
    /// The network of the other ends (100.64.0.0/10).
    pub const REMOTE_NETWORK: u32 = 0x6440_0000;
    /// Lowest port of the other ends.
    pub const FIRST_REMOTE_PORT: u16 = 0xc000;

    /// Flow `index` of `mix`. No two flows of a mix have the same remote address and port, unless 2^32 others lie between.
    #[inline(always)]
    pub const fn new(mix: &Mix, index: u64) -> Self {
        // An odd factor and an exclusive or permute the 32-bit numbers.
        let tag = (index as u32).wrapping_mul(0x9e37_79b1) ^ mix.seed as u32;
        let hash = scramble(mix.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let traits = scramble(hash);
        let transport = traits >> 32 & 0xffff;
        let endpoint = ((traits >> 48) * mix.endpoints) >> 16;
        let interface = (((hash >> 48) * mix.interfaces) >> 16) as u16;
        Self {
            vxlan: (traits & 0xffff) < mix.vxlan,
            ipv6: (traits >> 16 & 0xffff) < mix.ipv6,
            protocol: if transport < mix.udp {
                Protocol::Udp
            } else if transport < mix.udp + mix.icmp {
                Protocol::Icmp
            } else {
                Protocol::Tcp
            },
            endpoint: Self::FIRST_ENDPOINT + endpoint,
            attachment: Self::FIRST_ATTACHMENT + endpoint,
            cookie: hash as u32,
            interface,
            local: Self::FIRST_LOCAL + interface as u32,
            remote: Self::REMOTE_NETWORK | tag & 0x003f_ffff,
            remote_port: Self::FIRST_REMOTE_PORT + (tag >> 22) as u16,
            hash,
        }
    }

    /// VNI of the mirror session, where the flow is inside VXLAN.
    #[inline(always)]
    pub const fn vni(&self) -> u32 {
        Self::FIRST_VNI + self.interface as u32
    }

    /// Source port of VXLAN: each direction has its own.
    #[inline(always)]
    pub const fn vxlan_port(&self, reply: bool) -> u16 {
        Self::port_of_direction((self.hash >> 16) as u16, reply)
    }

    /// Source port of the outer UDP header. It follows from the VXLAN packet, and so each direction has its own: the two
    /// directions of a conversation can reach different receive queues.
    #[inline(always)]
    pub const fn outer_port(&self, reply: bool) -> u16 {
        Self::port_of_direction((self.hash >> 32) as u16, reply)
    }

    #[inline(always)]
    const fn port_of_direction(hash: u16, reply: bool) -> u16 {
        0xc000 | if reply { !hash & 0x3fff } else { hash & 0x3fff }
    }
}

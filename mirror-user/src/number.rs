//! Numbers as types of their own, so that one cannot stand in for another: those of the wire, receive queues, sampling
//! rates.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A virtual network identifier of 24 bits: GENEVE (RFC 8926, section 3.4) or VXLAN (RFC 7348, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vni(u32);

impl Vni {
    /// From the three bytes of the header, in network byte order.
    pub const fn from_bytes([high, middle, low]: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, high, middle, low]))
    }

    /// From a number; [`None`] from 2^24 on.
    pub const fn new(number: u32) -> Option<Self> {
        if number >> 24 == 0 { Some(Self(number)) } else { None }
    }

    /// The identifier, below 2^24.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The three bytes of the header, in network byte order.
    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, high, middle, low] = self.0.to_be_bytes();
        [high, middle, low]
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Identifier of the Gateway Load Balancer endpoint that a packet entered by: GENEVE option class 0x0108, type 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u64);

/// Identifier of the attachment: GENEVE option class 0x0108, type 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachmentId(pub u64);

/// Flow cookie of the Gateway Load Balancer: GENEVE option class 0x0108, type 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowCookie(pub u32);

impl EndpointId {
    /// The part of the VPC endpoint's id that is in no option: of the 17 digits behind `vpce-`, the first is 0.
    pub const PREFIX: &str = "vpce-0";
}

impl fmt::Display for EndpointId {
    /// The id of the VPC endpoint, as the EC2 API writes it: `vpce-` and 17 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{:016x}", Self::PREFIX, self.0)
    }
}

/// A text that is no [`EndpointId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "neither vpce-0 with 16 more hexadecimal digits, the id of a VPC endpoint, nor those 16 digits alone"
)]
pub struct NoEndpointId;

impl FromStr for EndpointId {
    type Err = NoEndpointId;

    /// Reads the id of a VPC endpoint, or its last 16 digits, in either case.
    fn from_str(text: &str) -> Result<Self, NoEndpointId> {
        let digits = text.strip_prefix(Self::PREFIX).unwrap_or(text);
        if digits.len() != 16 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoEndpointId);
        }
        u64::from_str_radix(digits, 16).map(Self).map_err(|_| NoEndpointId)
    }
}

impl fmt::Display for AttachmentId {
    /// 16 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl fmt::Display for FlowCookie {
    /// 8 hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

/// Receive queue of the interface; 0 for a capture file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u32);

impl fmt::Display for QueueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One in so many flows: a power of two up to [`SamplingRate::HIGHEST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SamplingRate {
    /// Exponent of the power of two.
    exponent: u8,
}

impl SamplingRate {
    /// Every flow.
    pub const EVERY: Self = Self { exponent: 0 };
    /// One in 32,768: the exponent takes four bits, which is what the flow table has per flow.
    pub const HIGHEST: Self = Self { exponent: 15 };

    /// One in `flows`; none if that is no power of two up to [`SamplingRate::HIGHEST`].
    #[expect(clippy::cast_possible_truncation, reason = "at most 31")]
    pub const fn one_in(flows: u32) -> Option<Self> {
        let rate = Self { exponent: flows.trailing_zeros() as u8 };
        if flows.is_power_of_two() && rate.exponent <= Self::HIGHEST.exponent { Some(rate) } else { None }
    }

    /// One in this many.
    pub const fn get(self) -> u32 {
        1 << self.exponent
    }

    /// The rate of an [exponent](Self::exponent), of which the lower four bits count.
    pub(crate) const fn from_exponent(number: u64) -> Self {
        Self { exponent: (number & 0xf) as u8 }
    }

    /// The exponent of the power of two, in four bits.
    pub(crate) const fn exponent(self) -> u64 {
        self.exponent as u64
    }
}

/// An IEEE 802 MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    /// Upper case with hyphens, as ECS asks for (`00-00-5E-00-53-23`).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02X}-{b:02X}-{c:02X}-{d:02X}-{e:02X}-{f:02X}")
    }
}

/// An EtherType of the IANA/IEEE registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// Address Resolution Protocol.
    pub const ARP: Self = Self(0x0806);
    /// IEEE 802.1Q tag.
    pub const VLAN: Self = Self(0x8100);
    /// IEEE 802.1ad outer tag.
    pub const SERVICE_VLAN: Self = Self(0x88a8);
    /// Transparent Ethernet bridging: in GENEVE, an Ethernet frame follows.
    pub const ETHERNET: Self = Self(0x6558);

    /// `true` if it is the length of a frame instead (IEEE 802.3, section 3.2.6).
    pub const fn is_length(self) -> bool {
        self.0 < 0x0600
    }
}

/// An IANA IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// IPv6 routing header.
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header.
    pub const FRAGMENT: Self = Self(44);
    /// Authentication header.
    pub const AUTHENTICATION: Self = Self(51);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);
    /// IPv6: no next header.
    pub const NO_NEXT_HEADER: Self = Self(59);
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: Self = Self(60);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// IPv6 mobility header.
    pub const MOBILITY: Self = Self(135);
    /// Host identity protocol.
    pub const HOST_IDENTITY: Self = Self(139);
    /// Shim6.
    pub const SHIM6: Self = Self(140);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vni_has_24_bits() {
        assert_eq!(Vni::new(0x00ff_ffff).map(Vni::to_bytes), Some([0xff; 3]));
        assert_eq!(Vni::new(0x0100_0000), None);
        assert_eq!(Vni::from_bytes([1, 2, 3]).get(), 0x01_0203);
        assert_eq!(Vni::from_bytes([1, 2, 3]).to_bytes(), [1, 2, 3]);
    }

    #[test]
    fn identifiers_are_written_in_hexadecimal() {
        assert_eq!(EndpointId(0x00ab_cdef_0123_4567).to_string(), "vpce-000abcdef01234567");
        assert_eq!(AttachmentId(1).to_string(), "0000000000000001");
        assert_eq!(FlowCookie(0xbeef).to_string(), "0000beef");
        assert_eq!(MacAddress([0, 0, 0x5e, 0, 0x53, 0x23]).to_string(), "00-00-5E-00-53-23");
    }
}

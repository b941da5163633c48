//! The mirrored packet, as decapsulation describes it: plain values, no borrowed bytes.

use std::net::{IpAddr, Ipv4Addr};

use crate::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, MacAddress, Vni};

/// A mirrored packet and the tunnel that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The tunnel that brought it.
    pub tunnel: Tunnel,
    /// Offset of the mirrored packet in the captured frame, in bytes: of its Ethernet header, or of its IP header where the
    /// tunnel carries IP.
    pub offset: u32,
    /// Bytes of the mirrored packet that were captured, from `offset` on.
    pub captured_length: u32,
    /// Bytes that the mirrored packet had before the mirror session, the kernel or a capture truncated it. Never below
    /// `captured_length`.
    pub original_length: u32,
    /// Its Ethernet header, where the tunnel carries Ethernet.
    pub link: Option<Link>,
    /// Its network layer.
    pub network: Network,
}

impl Packet {
    /// A packet of which nothing is known yet.
    pub const UNKNOWN: Self = Self {
        tunnel: Tunnel::UNKNOWN,
        offset: 0,
        captured_length: 0,
        original_length: 0,
        link: None,
        network: Network::Other(EtherType(0)),
    };

    /// `true` if bytes are missing at the end.
    pub const fn truncated(&self) -> bool {
        self.captured_length < self.original_length
    }
}

/// Identity of a tunnel, and the addresses of its outermost IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Source of the outermost IP header: the load balancer, or another sender.
    pub outer_source: IpAddr,
    /// Destination of the outermost IP header: this appliance.
    pub outer_destination: IpAddr,
    /// VNI of the GENEVE header (0 from a Gateway Load Balancer).
    pub geneve_vni: Option<Vni>,
    /// VNI of the outermost VXLAN header: the mirror session's virtual network id.
    pub vxlan_vni: Option<Vni>,
    /// Source of the outermost VXLAN packet, where that is IPv4: the primary address of the mirrored interface.
    pub vxlan_source: Option<Ipv4Addr>,
    /// Gateway Load Balancer endpoint.
    pub endpoint: Option<EndpointId>,
    /// Attachment of the Gateway Load Balancer.
    pub attachment: Option<AttachmentId>,
    /// The load balancer's flow cookie.
    pub cookie: Option<FlowCookie>,
}

impl Tunnel {
    /// A tunnel of which nothing is known.
    pub const UNKNOWN: Self = Self {
        outer_source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        outer_destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        geneve_vni: None,
        vxlan_vni: None,
        vxlan_source: None,
        endpoint: None,
        attachment: None,
        cookie: None,
    };
}

/// A mirrored packet in the most frequent form, described in a few numbers: TCP or UDP in IPv4 without options and
/// fragmentation, in the tunnel of a Gateway Load Balancer. It takes a third of the work of a [`Packet`], which it becomes
/// where more than a flow is to be made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainPacket {
    /// The tunnel that brought it.
    pub tunnel: PlainTunnel,
    /// As [`Packet::offset`].
    pub offset: u32,
    /// As [`Packet::captured_length`].
    pub captured_length: u32,
    /// As [`Packet::original_length`].
    pub original_length: u32,
    /// The tunnel carries Ethernet, whose addresses are still to be read.
    pub is_frame: bool,
    /// As [`Link::vlans`].
    pub vlans: [Option<u16>; 2],
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Bytes of the whole IP packet by its own length field.
    pub length: u16,
    /// Time to live.
    pub hop_limit: u8,
    /// Source and destination port.
    pub ports: Ports,
    /// The rest of the TCP header; a packet without it is UDP.
    pub tcp: Option<TcpState>,
}

impl PlainPacket {
    /// Protocol of the payload: TCP or UDP.
    #[inline(always)]
    pub const fn protocol(&self) -> IpProtocol {
        if self.tcp.is_some() { IpProtocol::TCP } else { IpProtocol::UDP }
    }

    /// The description of the packet with this Ethernet header.
    #[inline(always)]
    pub fn with_link(&self, link: Option<Link>) -> Packet {
        let Self { tunnel, offset, captured_length, original_length, ports, .. } = *self;
        let transport = match self.tcp {
            Some(state) => Transport::Tcp(Tcp { ports, state: Some(state) }),
            None => Transport::Udp(ports),
        };
        let network = Network::Ip(Ip {
            source: self.source.into(),
            destination: self.destination.into(),
            protocol: self.protocol(),
            length: self.length.into(),
            hop_limit: self.hop_limit,
            fragment: None,
            transport,
        });
        Packet { tunnel: tunnel.into(), offset, captured_length, original_length, link, network }
    }
}

/// Identity of a tunnel that a Gateway Load Balancer made over IPv4, with all of its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainTunnel {
    /// As [`Tunnel::outer_source`].
    pub outer_source: Ipv4Addr,
    /// As [`Tunnel::outer_destination`].
    pub outer_destination: Ipv4Addr,
    /// As [`Tunnel::geneve_vni`].
    pub geneve_vni: Vni,
    /// As [`Tunnel::vxlan_vni`].
    pub vxlan_vni: Option<Vni>,
    /// As [`Tunnel::vxlan_source`].
    pub vxlan_source: Option<Ipv4Addr>,
    /// As [`Tunnel::endpoint`].
    pub endpoint: EndpointId,
    /// As [`Tunnel::attachment`].
    pub attachment: AttachmentId,
    /// As [`Tunnel::cookie`].
    pub cookie: FlowCookie,
}

impl From<PlainTunnel> for Tunnel {
    #[inline(always)]
    fn from(plain: PlainTunnel) -> Self {
        Self {
            outer_source: plain.outer_source.into(),
            outer_destination: plain.outer_destination.into(),
            geneve_vni: Some(plain.geneve_vni),
            vxlan_vni: plain.vxlan_vni,
            vxlan_source: plain.vxlan_source,
            endpoint: Some(plain.endpoint),
            attachment: Some(plain.attachment),
            cookie: Some(plain.cookie),
        }
    }
}

/// An Ethernet header with its VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Source address.
    pub source: MacAddress,
    /// Destination address.
    pub destination: MacAddress,
    /// VLAN ids (12 bits), outermost first.
    pub vlans: [Option<u16>; 2],
}

/// The network layer of a mirrored packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4 or IPv6.
    Ip(Ip),
    /// Something else, known by its EtherType only.
    Other(EtherType),
}

/// An IPv4 or IPv6 header and its transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address; of the same family as `destination`.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol of the payload: behind the extension headers of IPv6.
    pub protocol: IpProtocol,
    /// Bytes of the whole IP packet by its own length field (IPv4 total length; IPv6 payload length plus 40);
    /// greater than the captured length when the packet was truncated.
    pub length: u32,
    /// IPv4 time to live or IPv6 hop limit.
    pub hop_limit: u8,
    /// Set where the packet is a fragment.
    pub fragment: Option<Fragment>,
    /// The transport header.
    pub transport: Transport,
}

/// Fragmentation of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification: 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
    /// Offset of this fragment's payload in bytes.
    pub offset: u16,
    /// `true` if more fragments follow.
    pub more: bool,
}

/// The transport header of a mirrored packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp(Tcp),
    /// UDP.
    Udp(Ports),
    /// SCTP.
    Sctp(Ports),
    /// ICMP of IPv4.
    Icmp(Icmp),
    /// ICMP of IPv6.
    Icmpv6(Icmp),
    /// None that can be read: another protocol, a fragment that is not the first, or cut off before the fields.
    Unread,
}

/// Source and destination port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// The fields of a TCP header that flows are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source and destination port.
    pub ports: Ports,
    /// Set where the header was captured at least up to its window.
    pub state: Option<TcpState>,
}

/// The fields of a TCP header behind its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpState {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Flags as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Receive window, unscaled.
    pub window: u16,
    /// Bytes of payload by the length fields of IP and TCP, whether captured or not.
    pub payload_length: u32,
}

/// An ICMP header of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Identifier, of the types that have one (echo and the like).
    pub identifier: Option<u16>,
}

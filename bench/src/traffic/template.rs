//! Template frames: everything of a packet that does not vary, put together from the inside out.
//!
//! Fields that vary are zero, and the checksums over them hold the sum of the rest, for
//! [`Packet::write`](mirror_traffic::Packet::write) to finish.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mirror_common::port;
use mirror_traffic::header::HEADER_LENGTH;
use mirror_traffic::{Header, Protocol};
use mirror_user::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, MacAddress, Vni};
use mirror_user::packet::Ports;
use mirror_user::wire::checksum::{self, Checksum};
use mirror_user::wire::{ethernet, geneve, gwlb, ipv4, ipv6, tcp, udp, vxlan};

use super::profile::Addresses;

/// Offset of the GENEVE header.
pub(super) const GENEVE: usize = 42;
/// Offset of the GENEVE options.
pub(super) const GENEVE_OPTIONS: usize = GENEVE + geneve::Header::LENGTH;
/// Offset of the option that holds the endpoint.
pub(super) const ENDPOINT_OPTION: usize = GENEVE_OPTIONS;
/// Offset of the option that holds the flow cookie.
pub(super) const COOKIE_OPTION: usize = GENEVE_OPTIONS + 24;
/// Offset of what GENEVE carries.
pub(super) const GENEVE_PAYLOAD: usize = GENEVE_OPTIONS + gwlb::Identity::LENGTH;
/// Offset of the VXLAN header.
pub(super) const VXLAN: usize = GENEVE_PAYLOAD + ipv4::Header::LENGTH + udp::Header::LENGTH;
/// Offset of the IP packet that VXLAN carries.
pub(super) const VXLAN_PAYLOAD: usize = VXLAN + vxlan::Header::LENGTH + ethernet::Header::LENGTH;

/// Where the endpoint lives: destination of the VXLAN packets.
const ENDPOINT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// Network of all IPv6 addresses; the last 32 bits are those of the IPv4 addresses.
const IPV6_NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

/// A header of nothing.
pub(super) const EMPTY: Header = Header([0; HEADER_LENGTH / 2]);

/// What lies inside the outer GENEVE header.
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
        let ip = if self.ipv6 { ipv6::Header::LENGTH } else { ipv4::Header::LENGTH };
        self.packet_offset() + ip + self.transport_length()
    }

    const fn transport_length(self) -> usize {
        match self.protocol {
            Protocol::Tcp => tcp::Header::LENGTH,
            Protocol::Udp | Protocol::Icmp => 8,
        }
    }
}

/// The template frame of `layout` with `length` bytes, which must not be below [`Layout::headers_length`].
pub(super) fn frame(addresses: &Addresses, layout: Layout, length: usize) -> Vec<u8> {
    let packet = packet(layout, length);
    let ethertype = if layout.ipv6 { EtherType::IPV6 } else { EtherType::IPV4 };
    if layout.vxlan {
        tunnel(addresses, EtherType::IPV4, &mirror(ethertype, &packet))
    } else {
        tunnel(addresses, ethertype, &packet)
    }
}

/// The first bytes of `frame`.
pub(super) fn header(frame: &[u8]) -> Header {
    let mut header = EMPTY;
    for (word, bytes) in header.0.iter_mut().zip(frame.as_chunks::<2>().0) {
        *word = u16::from_ne_bytes(*bytes);
    }
    header
}

/// Payload that begins at `offset` in its frame: each byte is its offset modulo 256.
pub(super) fn payload(offset: usize, length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().skip(offset % 256).take(length).collect()
}

/// Cuts `frame` to `length` bytes, and the outer length fields with it.
pub(super) fn shorten(frame: &mut Vec<u8>, length: usize) {
    const IP: usize = ethernet::Header::LENGTH;
    const UDP: usize = IP + ipv4::Header::LENGTH;
    frame.truncate(length);
    let field = |start| u16::try_from(length - start).unwrap_or(u16::MAX).to_be_bytes();
    frame[IP + 2..IP + 4].copy_from_slice(&field(IP));
    frame[UDP + 4..UDP + 6].copy_from_slice(&field(UDP));
    frame[IP + 10..IP + 12].fill(0);
    let checksum = Checksum::default().cover(&frame[IP..UDP]).finish();
    frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
}

/// What the load balancer puts around `payload`.
fn tunnel(addresses: &Addresses, protocol: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut options = Vec::new();
    gwlb::Identity {
        endpoint: Some(EndpointId(0)),
        attachment: Some(AttachmentId(0)),
        cookie: Some(FlowCookie(0)),
    }
    .emit(&mut options);
    let options = geneve::OptionList::new(&options).unwrap_or_default();
    let geneve = geneve::Header { control: false, protocol, vni: Vni::from_bytes([0; 3]), options };
    let length = geneve.length() + payload.len();
    let mut frame = Vec::new();
    let Addresses { source_mac, destination_mac, source, destination } = *addresses;
    ethernet::Header::new(source_mac, destination_mac, EtherType::IPV4).emit(&mut frame);
    ipv4::Header::new(source, destination, IpProtocol::UDP, udp::Header::LENGTH + length).emit(&mut frame);
    udp::Header::new(0, port::GENEVE, length).emit(&mut frame);
    geneve.emit(&mut frame);
    frame.extend(payload);
    frame
}

/// What a mirror session puts around `packet`.
fn mirror(ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let length = vxlan::Header::LENGTH + ethernet::Header::LENGTH + packet.len();
    let mut bytes = Vec::new();
    ipv4_template(ENDPOINT_ADDRESS, IpProtocol::UDP, udp::Header::LENGTH + length, &mut bytes);
    udp::Header::new(0, port::VXLAN, length).emit(&mut bytes);
    vxlan::Header { vni: Vni::from_bytes([0; 3]) }.emit(&mut bytes);
    ethernet::Header::new(MacAddress([0; 6]), MacAddress([0; 6]), ethertype).emit(&mut bytes);
    bytes.extend(packet);
    bytes
}

/// The mirrored packet in a frame of `frame_length` bytes.
fn packet(layout: Layout, frame_length: usize) -> Vec<u8> {
    let headers_length = layout.headers_length();
    let payload = payload(headers_length, frame_length - headers_length);
    let segment_length = layout.transport_length() + payload.len();
    let mut bytes = Vec::new();
    let (address, echo_protocol) = if layout.ipv6 {
        (IpAddr::V6(IPV6_NETWORK), IpProtocol::ICMPV6)
    } else {
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpProtocol::ICMP)
    };
    let protocol = match layout.protocol {
        Protocol::Tcp => IpProtocol::TCP,
        Protocol::Udp => IpProtocol::UDP,
        Protocol::Icmp => echo_protocol,
    };
    if layout.ipv6 {
        ipv6::Header::new(IPV6_NETWORK, IPV6_NETWORK, protocol, segment_length).emit(&mut bytes);
    } else {
        ipv4_template(Ipv4Addr::UNSPECIFIED, protocol, segment_length, &mut bytes);
    }
    let transport = bytes.len();
    let checksum_place = transport
        + match layout.protocol {
            Protocol::Tcp => 16,
            Protocol::Udp => 6,
            Protocol::Icmp => 2,
        };
    match layout.protocol {
        Protocol::Tcp => {
            let ports = Ports { source: 0, destination: 0 };
            tcp::Header::new(ports, 0, 0, 0).emit(address, address, &payload, &mut bytes);
        }
        Protocol::Udp => {
            udp::Header::new(0, 0, payload.len()).emit(&mut bytes);
            bytes.extend(&payload);
        }
        Protocol::Icmp => {
            bytes.extend([0; 8]);
            bytes.extend(&payload);
        }
    }
    bytes[checksum_place..checksum_place + 2].fill(0);
    let segment = &bytes[transport..];
    let checksum = match (layout.protocol, layout.ipv6) {
        (Protocol::Icmp, false) => Checksum::default().cover(segment).finish(),
        _ => checksum::transport(address, address, protocol, segment),
    };
    put_sum(checksum, &mut bytes[checksum_place..]);
    bytes
}

/// Appends an IPv4 header from a source that varies to `destination`.
fn ipv4_template(destination: Ipv4Addr, protocol: IpProtocol, payload_length: usize, bytes: &mut Vec<u8>) {
    let mut header = Vec::new();
    ipv4::Header::new(Ipv4Addr::UNSPECIFIED, destination, protocol, payload_length).emit(&mut header);
    let checksum = u16::from_be_bytes([header[10], header[11]]);
    put_sum(checksum, &mut header[10..]);
    bytes.extend(header);
}

/// Puts the sum in place of a checksum, which is its complement.
fn put_sum(checksum: u16, place: &mut [u8]) {
    place[..2].copy_from_slice(&(!checksum).to_be_bytes());
}

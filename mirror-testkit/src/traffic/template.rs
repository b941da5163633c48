//! Template frames: the bytes of a packet that do not vary, put together from the inside out.
//!
//! Fields that vary are zero, and the checksums over them hold the sum of the rest, for
//! [`Packet::write`](mirror_traffic::Packet::write) to finish.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::checksum::Sum16BitWords;
use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use mirror_common::port;
use mirror_traffic::header::HEADER_LENGTH;
use mirror_traffic::{Header, Protocol};

use super::addresses::Addresses;
use super::encapsulation::{geneve, vxlan};
use super::layout::{IPV4_HEADER, Layout, OUTER_IP, OUTER_UDP};

/// Address of the endpoint: destination of the VXLAN packets.
const ENDPOINT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// Network of all IPv6 addresses; the last 32 bits are those of the IPv4 addresses.
pub(super) const IPV6_NETWORK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);

/// TTL or hop limit of all packets.
const HOP_LIMIT: u8 = 64;

/// A header of zeros.
pub(super) const EMPTY: Header = Header([0; HEADER_LENGTH / 2]);

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
    frame.truncate(length);
    frame[OUTER_IP + 2..OUTER_IP + 4].copy_from_slice(&field(length - OUTER_IP).to_be_bytes());
    frame[OUTER_UDP + 4..OUTER_UDP + 6].copy_from_slice(&field(length - OUTER_UDP).to_be_bytes());
    frame[OUTER_IP + 10..OUTER_IP + 12].fill(0);
    let sum = Sum16BitWords::new().add_slice(&frame[OUTER_IP..OUTER_UDP]);
    frame[OUTER_IP + 10..OUTER_IP + 12].copy_from_slice(&sum.ones_complement().to_ne_bytes());
}

/// The headers of the load balancer around `payload`.
fn tunnel(addresses: &Addresses, protocol: EtherType, payload: &[u8]) -> Vec<u8> {
    let Addresses { source_mac, destination_mac, source, destination } = *addresses;
    let geneve = geneve(protocol);
    let length = UdpHeader::LEN + geneve.len() + payload.len();
    let mut ip = ipv4(source, destination, IpNumber::UDP, length);
    ip.header_checksum = ip.calc_header_checksum();
    let mut frame = ethernet(source_mac, destination_mac, EtherType::IPV4);
    frame.extend(ip.to_bytes());
    frame.extend(udp(port::GENEVE, length));
    frame.extend(geneve);
    frame.extend(payload);
    frame
}

/// The headers of a mirror session around `packet`.
fn mirror(ethertype: EtherType, packet: &[u8]) -> Vec<u8> {
    let vxlan = vxlan();
    let length = UdpHeader::LEN + vxlan.len() + Ethernet2Header::LEN + packet.len();
    let mut bytes = ipv4_template(ENDPOINT_ADDRESS, IpNumber::UDP, length);
    bytes.extend(udp(port::VXLAN, length));
    bytes.extend(vxlan);
    bytes.extend(ethernet([0; 6], [0; 6], ethertype));
    bytes.extend(packet);
    bytes
}

/// The mirrored packet in a frame of `frame_length` bytes.
fn packet(layout: Layout, frame_length: usize) -> Vec<u8> {
    let headers_length = layout.headers_length();
    let payload = payload(headers_length, frame_length - headers_length);
    let length = layout.transport_length() + payload.len();
    let protocol = match (layout.protocol, layout.ipv6) {
        (Protocol::Tcp, _) => IpNumber::TCP,
        (Protocol::Udp, _) => IpNumber::UDP,
        (Protocol::Icmp, false) => IpNumber::ICMP,
        (Protocol::Icmp, true) => IpNumber::IPV6_ICMP,
    };
    let mut bytes = if layout.ipv6 {
        ipv6(protocol, length)
    } else {
        ipv4_template(Ipv4Addr::UNSPECIFIED, protocol, length)
    };
    let transport = bytes.len();
    let checksum = match layout.protocol {
        Protocol::Tcp => {
            bytes.extend(TcpHeader::new(0, 0, 0, u16::MAX).to_bytes());
            16
        }
        Protocol::Udp => {
            bytes.extend(udp(0, length));
            6
        }
        Protocol::Icmp => {
            bytes.extend([0; 8]);
            2
        }
    };
    bytes.extend(&payload);
    let sum = match (layout.protocol, layout.ipv6) {
        (Protocol::Icmp, false) => Sum16BitWords::new(),
        (_, ipv6) => pseudo_header(ipv6, protocol, length),
    };
    let sum = sum.add_slice(&bytes[transport..]);
    put_sum(&sum, &mut bytes[transport + checksum..]);
    bytes
}

fn ethernet(source: [u8; 6], destination: [u8; 6], ether_type: EtherType) -> Vec<u8> {
    Ethernet2Header { source, destination, ether_type }.to_bytes().to_vec()
}

/// An IPv4 header without its checksum, with `length` bytes behind it.
fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpNumber, length: usize) -> Ipv4Header {
    Ipv4Header {
        total_len: field(IPV4_HEADER + length),
        dont_fragment: true,
        time_to_live: HOP_LIMIT,
        protocol,
        source: source.octets(),
        destination: destination.octets(),
        ..Ipv4Header::default()
    }
}

/// An IPv4 header from a source that varies to `destination`, with `length` bytes behind it.
fn ipv4_template(destination: Ipv4Addr, protocol: IpNumber, length: usize) -> Vec<u8> {
    let mut bytes = ipv4(Ipv4Addr::UNSPECIFIED, destination, protocol, length).to_bytes().to_vec();
    let sum = Sum16BitWords::new().add_slice(&bytes);
    put_sum(&sum, &mut bytes[10..]);
    bytes
}

/// An IPv6 header between two addresses that vary, with `length` bytes behind it.
fn ipv6(protocol: IpNumber, length: usize) -> Vec<u8> {
    let header = Ipv6Header {
        payload_length: field(length),
        next_header: protocol,
        hop_limit: HOP_LIMIT,
        source: IPV6_NETWORK.octets(),
        destination: IPV6_NETWORK.octets(),
        ..Ipv6Header::default()
    };
    header.to_bytes().to_vec()
}

/// A UDP header without a checksum, from a port that varies; `length` includes the header.
fn udp(destination_port: u16, length: usize) -> [u8; UdpHeader::LEN] {
    UdpHeader { source_port: 0, destination_port, length: field(length), checksum: 0 }.to_bytes()
}

/// The sum over the pseudo-header of a segment of `length` bytes, with what does not vary of the addresses.
fn pseudo_header(ipv6: bool, protocol: IpNumber, length: usize) -> Sum16BitWords {
    let mut sum = Sum16BitWords::new().add_2bytes([0, protocol.0]).add_2bytes(field(length).to_be_bytes());
    if ipv6 {
        sum = sum.add_16bytes(IPV6_NETWORK.octets()).add_16bytes(IPV6_NETWORK.octets());
    }
    sum
}

/// A length in a field of 16 bits: no frame exceeds them.
fn field(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// Puts the sum in place of a checksum, which is its complement.
fn put_sum(sum: &Sum16BitWords, place: &mut [u8]) {
    place[..2].copy_from_slice(&(!sum.ones_complement()).to_ne_bytes());
}

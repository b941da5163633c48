//! How much of a packet is headers.

use crate::packet::{Network, Packet, Transport};
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;
use crate::wire::{ethernet, tcp, udp};

/// The part of ICMP and ICMPv6 that is no data: type, code, checksum and a word whose meaning depends on the type
/// (RFC 792; RFC 4443). What follows is another packet's beginning, or data that is sent back.
const ICMP: usize = 8;
/// The common header of SCTP (RFC 9260, section 3.1).
const SCTP: usize = 12;

/// Of `bytes`, the captured bytes of `packet` from its offset on, how many belong to headers: link, IP with options or
/// extension headers, and transport with options. What is behind a transport header that cannot be read, or is not in
/// this fragment, counts as payload; so does everything that is not IP, from the link header on.
pub fn header_length(packet: &Packet, bytes: &[u8]) -> usize {
    let mut reader = Reader::new(bytes);
    if packet.link.is_some() && ethernet::Header::parse(&mut reader).is_none() {
        return 0;
    }
    let Network::Ip(layer) = packet.network else { return reader.position() };
    let version = if layer.source.is_ipv4() { Version::V4 } else { Version::V6 };
    if ip::Header::parse(&mut reader, version).is_err() {
        return 0;
    }
    let transport = match layer.transport {
        Transport::Tcp(_) => tcp::Header::parse(&mut { reader })
            .map_or(tcp::Header::LENGTH, |header| usize::from(header.header_length).max(tcp::Header::LENGTH)),
        Transport::Udp(_) => udp::Header::LENGTH,
        Transport::Sctp(_) => SCTP,
        Transport::Icmp(_) | Transport::Icmpv6(_) => ICMP,
        Transport::Unread => 0,
    };
    reader.position() + transport.min(reader.remaining())
}

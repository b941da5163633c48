//! The bytes of a packet for a record that must not tell what was on the wire: headers, and what has to be in them.

use std::net::IpAddr;

use crate::number::IpProtocol;
use crate::packet::{Ip, Network, Packet, Transport};
use crate::wire::checksum::Checksum;
use crate::wire::ethernet;
use crate::wire::reader::Reader;

/// Header of IPv4 without options (RFC 791, section 3.1).
const IPV4: usize = 20;
/// Header of IPv6 (RFC 8200, section 3).
const IPV6: usize = 40;

/// Makes of `bytes`, the captured bytes of a packet from its first header on, the headers of `packet`: its description, with
/// the addresses that the record has.
///
/// What may hold an address or a name in other places goes: payload, options of IPv4 and of TCP, extension headers of IPv6, whatever
/// is behind a link header and is not IP; behind such options and extension headers nothing is left. The checksums
/// of transport headers, which cover addresses and payload, are zero; that of IPv4 is right, or zero where options went.
pub fn rewrite(packet: &Packet, bytes: &mut Vec<u8>) {
    let mut reader = Reader::new(bytes);
    if packet.link.is_some() && ethernet::Header::parse(&mut reader).is_none() {
        bytes.clear();
        return;
    }
    let network = reader.position();
    set_macs(packet, bytes);
    let Network::Ip(ip) = &packet.network else {
        bytes.truncate(network);
        return;
    };
    let length = headers(ip, bytes.get_mut(network..).unwrap_or_default());
    bytes.truncate(network + length);
}

/// Writes the MAC addresses of `packet` into its Ethernet header, if it has one.
pub fn set_macs(packet: &Packet, bytes: &mut [u8]) {
    if let Some(link) = packet.link
        && let Some((destination, rest)) = bytes.split_first_chunk_mut()
        && let Some(source) = rest.first_chunk_mut()
    {
        *destination = link.destination.0;
        *source = link.source.0;
    }
}

/// Writes the addresses of `ip` into the headers in `bytes` and clears what else goes; returns the length of what is left.
fn headers(ip: &Ip, bytes: &mut [u8]) -> usize {
    let (network, has_more) = match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let Some(header) = bytes.first_chunk_mut::<IPV4>() else { return 0 };
            let has_options = header[0] & 0xf != 5;
            header[10..12].fill(0);
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            if !has_options {
                let checksum = Checksum::default().cover(header).finish();
                header[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            (IPV4, has_options)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let Some(header) = bytes.first_chunk_mut::<IPV6>() else { return 0 };
            header[8..24].copy_from_slice(&source.octets());
            header[24..].copy_from_slice(&destination.octets());
            (IPV6, IpProtocol(header[6]) != ip.protocol)
        }
        _ => return 0,
    };
    if has_more {
        return network;
    }
    let Some(transport) = bytes.get_mut(network..) else { return network };
    let (length, checksum) = match ip.transport {
        Transport::Tcp(_) => (20, 16..18),
        Transport::Udp(_) => (8, 6..8),
        Transport::Sctp(_) => (12, 8..12),
        // Behind the checksum stands the identifier and a number, or what may be an address, as that of a gateway.
        Transport::Icmp(icmp) | Transport::Icmpv6(icmp) => {
            (8, 2..if icmp.identifier.is_some() { 4 } else { 8 })
        }
        Transport::Unread => return network,
    };
    let end = checksum.end.min(transport.len());
    if let Some(checksum) = transport.get_mut(checksum.start..end) {
        checksum.fill(0);
    }
    network + length.min(transport.len())
}

//! Length of the headers of a packet.

use crate::packet::{Network, Packet, Transport};
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;
use crate::wire::{ethernet, tcp, udp};

/// The header of ICMP and ICMPv6: type, code, checksum and a word whose meaning depends on the type (RFC 792; RFC 4443).
/// Another packet's beginning, or data that is sent back, follows.
const ICMP: usize = 8;
/// The common header of SCTP (RFC 9260, section 3.1).
const SCTP: usize = 12;

/// Length of the headers in `bytes`, which are the captured bytes of `packet` from its offset on: link, IP with options or
/// extension headers, and transport with options. Bytes behind the IP header count as payload where the transport header
/// cannot be read or is not in this fragment; so does everything that is not IP, from the link header on.
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use mirror_common::port;

    use super::*;
    use crate::decap::{DecapConfig, decapsulate};
    use crate::number::{EtherType, IpProtocol, MacAddress, Vni};
    use crate::packet::{Link, Ports};
    use crate::source::{Frame, LinkType};
    use crate::time::Timestamp;
    use crate::wire::{geneve, ipv4, ipv6};

    const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const PAYLOAD: [u8; 40] = [0x5a; 40];

    fn ethernet(tags: usize, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
        let mut vlans = [None; 2];
        vlans[..tags].fill(Some(7));
        let link = Link { source: MacAddress([2; 6]), destination: MacAddress([4; 6]), vlans };
        let mut bytes = Vec::new();
        ethernet::Header { link, ethertype }.emit(&mut bytes);
        [bytes, payload.to_vec()].concat()
    }

    fn ipv4(header_length: u8, fragment_offset: u16, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
        let mut header = ipv4::Header::new(V4, V4, protocol, payload.len());
        header.total_length += u16::from(header_length) - 20;
        let header = ipv4::Header { header_length, fragment_offset, ..header };
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
        [bytes, payload.to_vec()].concat()
    }

    fn ipv6(extensions: &[u8], next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
        let payload = [extensions, payload].concat();
        let address = Ipv6Addr::LOCALHOST;
        let mut bytes = Vec::new();
        ipv6::Header::new(address, address, next_header, payload.len()).emit(&mut bytes);
        [bytes, payload].concat()
    }

    fn tcp(header_length: u8) -> Vec<u8> {
        let header =
            tcp::Header { header_length, ..tcp::Header::new(Ports { source: 1, destination: 2 }, 0, 0, 0) };
        let mut bytes = Vec::new();
        header.emit(IpAddr::V4(V4), IpAddr::V4(V4), &PAYLOAD, &mut bytes);
        bytes
    }

    fn udp(destination: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        udp::Header::new(9, destination, payload.len()).emit(&mut bytes);
        [bytes, payload.to_vec()].concat()
    }

    /// The packet that GENEVE carries as `protocol`, of which `captured` bytes are there.
    fn carried(protocol: EtherType, packet: &[u8], captured: usize) -> Option<Packet> {
        let mut tunnel = Vec::new();
        let options = geneve::OptionList::default();
        geneve::Header { control: false, protocol, vni: Vni::from_bytes([0; 3]), options }.emit(&mut tunnel);
        let datagram = udp(port::GENEVE, &[&tunnel, packet].concat());
        let data = ethernet(0, EtherType::IPV4, &ipv4(20, 0, IpProtocol::UDP, &datagram));
        let original_length = u32::try_from(data.len()).unwrap();
        let captured_length = original_length - u32::try_from(packet.len() - captured).unwrap();
        let frame = Frame {
            data: &data[..captured_length as usize],
            captured_length,
            original_length,
            timestamp: Timestamp(0),
            link_type: LinkType::Ethernet,
        };
        let config = DecapConfig { geneve_port: port::GENEVE, vxlan_port: port::VXLAN, max_depth: 2 };
        decapsulate(&frame, &config).ok()
    }

    /// Whole and cut off anywhere, of every packet just the headers are kept.
    #[test]
    fn ends_behind_the_transport_header() {
        use EtherType as E;
        use IpProtocol as P;
        let echo = [&[8, 0, 1, 2, 3, 4, 5, 6][..], &PAYLOAD].concat();
        let hop_by_hop = [58, 0, 1, 4, 0, 0, 0, 0];
        let later_fragment = [17, 0, 0, 8, 0, 0, 0, 1];
        let invalid_offset = {
            let mut segment = tcp(20);
            segment[12] = 0;
            segment
        };
        // What carries it, the packet, where its IP header ends, and where its transport header does.
        let cases = [
            ("TCP", E::IPV4, ipv4(20, 0, P::TCP, &tcp(20)), 20, 40),
            ("TCP options", E::IPV4, ipv4(20, 0, P::TCP, &tcp(60)), 20, 80),
            ("an invalid data offset", E::IPV4, ipv4(20, 0, P::TCP, &invalid_offset), 20, 40),
            ("IP options", E::IPV4, ipv4(60, 0, P::UDP, &udp(53, &PAYLOAD)), 60, 68),
            ("Ethernet", E::ETHERNET, ethernet(0, E::IPV4, &ipv4(20, 0, P::TCP, &tcp(32))), 34, 66),
            ("VLAN tags", E::ETHERNET, ethernet(2, E::IPV6, &ipv6(&[], P::UDP, &udp(53, &PAYLOAD))), 62, 70),
            ("a tunnel that stays on", E::IPV4, ipv4(20, 0, P::UDP, &udp(port::GENEVE, &PAYLOAD)), 20, 28),
            ("SCTP", E::IPV4, ipv4(20, 0, P::SCTP, &PAYLOAD), 20, 32),
            ("ICMP", E::IPV4, ipv4(20, 0, P::ICMP, &echo), 20, 28),
            ("ICMPv6", E::IPV6, ipv6(&hop_by_hop, P::HOP_BY_HOP, &echo), 48, 56),
            ("a later fragment", E::IPV4, ipv4(20, 1480, P::UDP, &udp(53, &PAYLOAD)), 20, 20),
            ("a later fragment of IPv6", E::IPV6, ipv6(&later_fragment, P::FRAGMENT, &PAYLOAD), 48, 48),
            ("another protocol", E::IPV4, ipv4(20, 0, IpProtocol(50), &PAYLOAD), 20, 20),
            (
                "no UDP payload, but padding",
                E::IPV4,
                [ipv4(20, 0, P::UDP, &udp(53, &[])), vec![7; 9]].concat(),
                20,
                28,
            ),
            (
                "less than a UDP header, and padding",
                E::IPV4,
                [ipv4(20, 0, P::UDP, &[0; 5]), vec![7; 9]].concat(),
                20,
                25,
            ),
            ("ARP", E::ETHERNET, ethernet(0, E::ARP, &PAYLOAD), 14, 14),
        ];
        for (name, protocol, bytes, network_end, transport_end) in cases {
            for captured in network_end..=bytes.len() {
                let packet = carried(protocol, &bytes, captured).unwrap();
                let expected = match packet.network {
                    // So little of the transport header is there that it says nothing.
                    Network::Ip(ip) if ip.transport == Transport::Unread => network_end,
                    _ => captured.min(transport_end),
                };
                assert_eq!(header_length(&packet, &bytes[..captured]), expected, "{name}, {captured} bytes");
                assert!(expected == transport_end || captured < transport_end, "{name}, {captured} bytes");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_the_packet_have_no_headers() {
        let bytes = ethernet(0, EtherType::IPV4, &ipv4(20, 0, IpProtocol::TCP, &tcp(20)));
        let packet = carried(EtherType::ETHERNET, &bytes, bytes.len()).unwrap();
        assert_eq!(header_length(&packet, &bytes[..13]), 0);
        assert_eq!(header_length(&packet, &bytes[..33]), 0);
        assert_eq!(header_length(&packet, &[0xff; 100]), 0);
    }
}

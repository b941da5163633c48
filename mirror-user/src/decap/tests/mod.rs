pub(crate) mod frames;
mod load_balancer;
mod oracle;
mod properties;

use frames::*;

use super::*;
use crate::number::{EndpointId, IpProtocol, Vni};
use crate::packet::{Fragment, Icmp, Ip, Network, Ports, Tcp, Transport};
use crate::source::LinkType;
use crate::time::Timestamp;
use crate::wire::{gwlb, ipv4};

const CONFIG: DecapConfig = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };

/// A frame of which everything was captured.
fn frame(data: &[u8]) -> Frame<'_> {
    let length = u32::try_from(data.len()).unwrap();
    Frame {
        data,
        captured_length: length,
        original_length: length,
        timestamp: Timestamp(0),
        link_type: LinkType::Ethernet,
    }
}

/// The first `captured` bytes of a frame.
fn cut(data: &[u8], captured: usize) -> Frame<'_> {
    Frame { original_length: frame(data).original_length, ..frame(&data[..captured]) }
}

fn decap(data: &[u8]) -> Result<Packet, DropReason> {
    decapsulate(&frame(data), &CONFIG)
}

fn ip(packet: &Packet) -> &Ip {
    match &packet.network {
        Network::Ip(ip) => ip,
        Network::Other(ethertype) => panic!("not IP but {ethertype:?}"),
    }
}

fn tcp_of(packet: &Packet) -> &Tcp {
    match &ip(packet).transport {
        Transport::Tcp(tcp) => tcp,
        other => panic!("not TCP but {other:?}"),
    }
}

/// `bytes` with the byte at `index` replaced.
fn with(mut bytes: Vec<u8>, index: usize, byte: u8) -> Vec<u8> {
    bytes[index] = byte;
    bytes
}

#[test]
fn finds_a_packet_of_a_mirror_session() {
    let packet = decap(&mirrored_web()).unwrap();
    let tunnel = packet.tunnel;
    assert_eq!((tunnel.outer_source, tunnel.outer_destination), (SOURCE.into(), DESTINATION.into()));
    assert_eq!(tunnel.geneve_vni.map(Vni::get), Some(9));
    assert_eq!((tunnel.vxlan_vni.map(Vni::get), tunnel.vxlan_source), (Some(7), Some(SOURCE)));
    assert_eq!(
        (tunnel.endpoint, tunnel.attachment, tunnel.cookie),
        (GWLB.endpoint, GWLB.attachment, GWLB.cookie)
    );
    assert_eq!((packet.offset, packet.captured_length, packet.original_length), (118, 154, 154));
    assert!(!packet.truncated());
    assert_eq!(packet.link, Some(LINK));
    let ip = ip(&packet);
    assert_eq!((ip.source, ip.destination), (SOURCE.into(), DESTINATION.into()));
    assert_eq!((ip.protocol, ip.length, ip.hop_limit, ip.fragment), (IpProtocol::TCP, 140, 64, None));
    let state = tcp_of(&packet).state.unwrap();
    assert_eq!(tcp_of(&packet).ports, PORTS);
    assert_eq!((state.sequence, state.acknowledgment, state.flags, state.window), (1, 2, 0x18, 0xffff));
    assert_eq!(state.payload_length, 100);
}

#[test]
fn finds_a_packet_behind_each_outer_header() {
    let tunnel = udp(6081, &geneve(EtherType::IPV4, &gwlb_options(), &session(7, &web())));
    let v4 = ipv4(IpProtocol::UDP, &tunnel);
    let v4_options = |header_length: u8| {
        let edit = |header: &mut ipv4::Header| {
            header.total_length += u16::from(header_length - header.header_length);
            header.header_length = header_length;
        };
        ipv4_with(edit, IpProtocol::UDP, &tunnel)
    };
    let v6 = ipv6(IpProtocol::UDP, &tunnel);
    let extension = |next: IpProtocol, payload: &[u8]| [&[next.0, 0, 0, 0, 0, 0, 0, 0], payload].concat();
    let v6_extensions = ipv6(
        IpProtocol::HOP_BY_HOP,
        &extension(IpProtocol::DESTINATION_OPTIONS, &extension(IpProtocol::UDP, &tunnel)),
    );
    let cases = [
        ("IPv4", LinkType::Ethernet, ethernet(EtherType::IPV4, &v4), 0),
        ("one tag", LinkType::Ethernet, tagged([Some(1), None], EtherType::IPV4, &v4), 4),
        ("two tags", LinkType::Ethernet, tagged([Some(1), Some(2)], EtherType::IPV4, &v4), 8),
        ("IPv4 options", LinkType::Ethernet, ethernet(EtherType::IPV4, &v4_options(24)), 4),
        ("most IPv4 options", LinkType::Ethernet, ethernet(EtherType::IPV4, &v4_options(60)), 40),
        ("IPv6", LinkType::Ethernet, ethernet(EtherType::IPV6, &v6), 20),
        ("IPv6 extensions", LinkType::Ethernet, ethernet(EtherType::IPV6, &v6_extensions), 36),
        ("bare IPv4", LinkType::Ip, v4.clone(), -14),
        ("bare IPv6", LinkType::Ip, v6.clone(), 6),
    ];
    for (name, link_type, bytes, shift) in cases {
        let packet = decapsulate(&Frame { link_type, ..frame(&bytes) }, &CONFIG).unwrap();
        assert_eq!(i64::from(packet.offset), 118 + shift, "{name}");
        assert_eq!(packet.captured_length, 154, "{name}");
        assert_eq!(tcp_of(&packet).ports, PORTS, "{name}");
    }
}

#[test]
fn names_the_fault_of_the_outer_headers() {
    let tunnel = udp(6081, &geneve(EtherType::IPV4, &[], &ipv4(IpProtocol::TCP, &tcp(&[]))));
    let v4 = ipv4(IpProtocol::UDP, &tunnel);
    let good = ethernet(EtherType::IPV4, &v4);
    let fragment =
        |edit: fn(&mut ipv4::Header)| ethernet(EtherType::IPV4, &ipv4_with(edit, IpProtocol::UDP, &tunnel));
    let third_tag = [&[0, 3, 8, 0], &v4[..]].concat();
    let options: &[u8] = &[IpProtocol::DESTINATION_OPTIONS.0, 0, 0, 0, 0, 0, 0, 0];
    let v6 = ipv6(IpProtocol::UDP, &tunnel);
    let cases = [
        ("three tags", tagged([Some(1), Some(2)], EtherType::VLAN, &third_tag), DropReason::OuterNotIp),
        ("ARP", ethernet(EtherType::ARP, &[0; 46]), DropReason::OuterNotIp),
        ("nothing", vec![], DropReason::OuterTruncated),
        ("runt", good[..33].to_vec(), DropReason::OuterTruncated),
        ("IPv6 as IPv4", ethernet(EtherType::IPV4, &v6), DropReason::OuterIpHeader),
        ("header length", with(good.clone(), 14, 0x44), DropReason::OuterIpHeader),
        ("total length below header", with(good.clone(), 17, 19), DropReason::OuterIpHeader),
        ("total length beyond frame", with(good.clone(), 17, good[17] + 1), DropReason::OuterIpHeader),
        ("first fragment", fragment(|header| header.more_fragments = true), DropReason::OuterFragment),
        ("last fragment", fragment(|header| header.fragment_offset = 8), DropReason::OuterFragment),
        ("TCP", ethernet(EtherType::IPV4, &ipv4(IpProtocol::TCP, &tcp(&[]))), DropReason::NotTunnel),
        ("other port", outer(&udp(53, &[0; 20])), DropReason::NotTunnel),
        ("short other port", outer(&with(udp(53, &[0; 20]), 5, 2)), DropReason::NotTunnel),
        (
            "extensions",
            ethernet(EtherType::IPV6, &ipv6(IpProtocol::DESTINATION_OPTIONS, &options.repeat(20))),
            DropReason::NotTunnel,
        ),
        ("UDP cut by IP", outer(&tunnel[..7]), DropReason::OuterTruncated),
        ("UDP length below header", with(good.clone(), 39, 7), DropReason::OuterUdpLength),
        ("UDP length zero", with(good.clone(), 39, 0), DropReason::OuterUdpLength),
        ("UDP length beyond IP", with(good.clone(), 39, good[39] + 1), DropReason::OuterUdpLength),
        (
            "UDP length zero, padded",
            [with(good.clone(), 39, 0), vec![0; 30]].concat(),
            DropReason::OuterUdpLength,
        ),
        ("UDP length ends GENEVE", with(good.clone(), 39, 8 + 7), DropReason::GeneveTruncated),
    ];
    assert!(decap(&good).is_ok());
    for (name, bytes, reason) in cases {
        assert_eq!(decap(&bytes), Err(reason), "{name}");
    }
    let odd = Frame { link_type: LinkType::Ip, ..frame(&[0x50; 60]) };
    assert_eq!(decapsulate(&odd, &CONFIG), Err(DropReason::OuterNotIp));
    let empty = Frame { link_type: LinkType::Ip, ..frame(&[]) };
    assert_eq!(decapsulate(&empty, &CONFIG), Err(DropReason::OuterTruncated));
}

#[test]
fn names_the_fault_of_geneve() {
    let inner = ipv4(IpProtocol::TCP, &tcp(&[]));
    let bytes = |protocol, options: &[u8]| outer(&udp(6081, &geneve(protocol, options, &inner)));
    let plain = bytes(EtherType::IPV4, &[]);
    let critical: &[u8] = &[0, 0, 0x80, 1, 0, 0, 0, 12];
    let too_long: &[u8] = &[0, 0, 0, 2, 0, 0, 0, 0];
    let gwlb_short: &[u8] = &[1, 8, 1, 1, 0, 0, 0, 0];
    let cases = [
        ("version", with(plain.clone(), 42, 0x40), DropReason::GeneveVersion),
        ("control", with(plain.clone(), 43, 0x80), DropReason::GeneveControl),
        ("critical option", bytes(EtherType::IPV4, critical), DropReason::GeneveCriticalOption),
        ("option length", bytes(EtherType::IPV4, too_long), DropReason::GeneveOptionLength),
        ("GWLB option", bytes(EtherType::IPV4, gwlb_short), DropReason::GwlbOptionLength),
        ("protocol", bytes(EtherType::ARP, &[]), DropReason::GeneveProtocol),
        ("options beyond the datagram", with(plain.clone(), 42, 0x3f), DropReason::GeneveTruncated),
        // Of two faults, the first in the documented order.
        ("version before control", with(with(plain.clone(), 42, 0x40), 43, 0x80), DropReason::GeneveVersion),
        (
            "truncation before control",
            with(with(plain.clone(), 42, 0x3f), 43, 0x80),
            DropReason::GeneveTruncated,
        ),
        (
            "control before options",
            with(bytes(EtherType::IPV4, critical), 43, 0xc0),
            DropReason::GeneveControl,
        ),
        ("options before protocol", bytes(EtherType::ARP, critical), DropReason::GeneveCriticalOption),
        (
            "options in order",
            bytes(EtherType::IPV4, &[gwlb_short, critical].concat()),
            DropReason::GwlbOptionLength,
        ),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(decap(&bytes), Err(reason), "{name}");
    }
    // What is not understood but not critical does no harm: reserved bits, the C bit alone, foreign options.
    for bytes in [
        with(plain.clone(), 43, 0x7f),
        with(plain.clone(), 49, 0xff),
        bytes(EtherType::IPV4, &[0x01, 0x32, 0x01, 0xe0, 0xff, 0xff, 0x7f, 1, 1, 2, 3, 4]),
    ] {
        assert!(decap(&bytes).is_ok());
    }
}

#[test]
fn vxlan_by_itself_has_no_endpoint() {
    let packet = decap(&outer(&udp(4789, &vxlan(7, &web())))).unwrap();
    assert_eq!((packet.tunnel.vxlan_vni.map(Vni::get), packet.tunnel.vxlan_source), (Some(7), Some(SOURCE)));
    assert_eq!((packet.tunnel.geneve_vni, packet.tunnel.endpoint), (None, None));
    assert_eq!((packet.offset, packet.link), (50, Some(LINK)));
    let no_vni = outer(&udp(4789, &with(vxlan(7, &web()), 0, 0xf7)));
    assert_eq!(decap(&no_vni), Err(DropReason::VxlanFlags));
    assert_eq!(decap(&outer(&udp(4789, &[8; 7]))), Err(DropReason::VxlanTruncated));
}

#[test]
fn each_byte_that_is_cut_off_has_a_stated_effect() {
    let bytes = mirrored_web();
    for captured in 0..=bytes.len() {
        let result = decapsulate(&cut(&bytes, captured), &CONFIG);
        let context = format!("{captured} bytes: {result:?}");
        let reason = match captured {
            0..42 => Some(DropReason::OuterTruncated),
            42..82 => Some(DropReason::GeneveTruncated),
            82..102 => Some(DropReason::InnerTruncated),
            102..106 => None, // UDP between an interface and the endpoint, to an unknown port
            106..118 => Some(DropReason::VxlanTruncated),
            118..152 => Some(DropReason::InnerTruncated),
            _ => None,
        };
        let packet = match (result, reason) {
            (Ok(packet), None) => packet,
            (result, reason) => {
                assert_eq!(result.err(), reason, "{context}");
                continue;
            }
        };
        let end = u32::try_from(captured).unwrap();
        assert_eq!(packet.offset + packet.captured_length, end, "{context}");
        assert_eq!(packet.truncated(), captured < bytes.len(), "{context}");
        if captured < 118 {
            assert_eq!((packet.offset, packet.original_length), (82, 190), "{context}");
            assert_eq!(ip(&packet).transport, Transport::Unread, "{context}");
            continue;
        }
        assert_eq!((packet.offset, packet.original_length), (118, 154), "{context}");
        assert_eq!(ip(&packet).length, 140, "{context}");
        match ip(&packet).transport {
            Transport::Unread => assert!(captured < 156, "{context}"),
            Transport::Tcp(tcp) => {
                assert!(captured >= 156, "{context}");
                assert_eq!(tcp.ports, PORTS);
                assert_eq!(tcp.state.map(|state| state.payload_length), (captured >= 168).then_some(100));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn headers_must_lie_in_the_first_buffer() {
    let bytes = mirrored_web();
    let whole = frame(&bytes);
    let spanning = |first| Frame { data: &bytes[..first], ..whole };
    let packet = decapsulate(&spanning(172), &CONFIG).unwrap();
    assert_eq!(packet, decapsulate(&whole, &CONFIG).unwrap());
    assert_eq!(decapsulate(&spanning(151), &CONFIG), Err(DropReason::InnerTruncated));
    assert_eq!(decapsulate(&spanning(41), &CONFIG), Err(DropReason::OuterTruncated));
}

#[test]
fn padding_is_no_part_of_the_packet() {
    let inner = ipv4(IpProtocol::UDP, &udp(53, &[1, 2, 3]));
    let bytes = load_balanced(&inner);
    let padded = [&bytes[..], &[0; 13]].concat();
    assert_eq!(decap(&padded), decap(&bytes));
    let packet = decap(&padded).unwrap();
    assert_eq!((packet.offset, packet.captured_length, packet.original_length), (82, 31, 31));
    // Padding is no header either: here the datagram ends within the inner IP header.
    let short = [&load_balanced(&inner[..19])[..], &inner[19..]].concat();
    assert_eq!(decap(&short), Err(DropReason::InnerTruncated));
    // That of the mirrored frame is its own, and stays.
    let mirrored = |padding| load_balanced(&session(7, &[&web()[..], &vec![0; padding]].concat()));
    let packet = decap(&mirrored(6)).unwrap();
    assert_eq!((packet.captured_length, packet.original_length, ip(&packet).length), (160, 160, 140));
    assert_eq!(tcp_of(&packet).state.unwrap().payload_length, 100);
}

#[test]
fn the_original_length_is_the_greatest_that_is_told() {
    // The session's packet length: the outer lengths know of 64 bytes only.
    let by_session = load_balanced(&session(7, &web()[..64]));
    let packet = decap(&by_session).unwrap();
    assert_eq!((packet.captured_length, packet.original_length, ip(&packet).length), (64, 154, 140));
    assert_eq!(tcp_of(&packet).state.unwrap().payload_length, 100);
    // The snap length of a capture, on top of it.
    let packet = decapsulate(&cut(&by_session, 118 + 54), &CONFIG).unwrap();
    assert_eq!((packet.captured_length, packet.original_length), (54, 154));
    // No IP header gives it.
    let arp = load_balanced(&session(7, &ethernet(EtherType::ARP, &[0; 46])));
    let packet = decapsulate(&cut(&arp, 118 + 20), &CONFIG).unwrap();
    assert_eq!((packet.captured_length, packet.original_length), (20, 60));
    assert_eq!(packet.network, Network::Other(EtherType::ARP));
}

#[test]
fn a_length_of_zero_takes_what_is_there() {
    let untold = |header: &mut ipv4::Header| header.total_length = 0;
    let tunnel = udp(6081, &geneve(EtherType::IPV4, &[], &ipv4_with(untold, IpProtocol::TCP, &tcp(&[1; 9]))));
    let bytes = ethernet(EtherType::IPV4, &ipv4_with(untold, IpProtocol::UDP, &tunnel));
    let packet = decap(&bytes).unwrap();
    assert_eq!((packet.captured_length, packet.original_length, ip(&packet).length), (49, 49, 49));
    assert_eq!(tcp_of(&packet).state.unwrap().payload_length, 9);
    let packet = decapsulate(&cut(&bytes, bytes.len() - 5), &CONFIG).unwrap();
    assert_eq!((packet.captured_length, packet.original_length, ip(&packet).length), (44, 49, 49));
}

#[test]
fn names_the_fault_of_the_mirrored_packet() {
    let good = ethernet(EtherType::IPV4, &ipv4(IpProtocol::TCP, &tcp(&[])));
    let options: &[u8] = &[IpProtocol::DESTINATION_OPTIONS.0, 0, 0, 0, 0, 0, 0, 0];
    let cases = [
        ("nothing", vec![], DropReason::InnerTruncated),
        ("runt", good[..13].to_vec(), DropReason::InnerTruncated),
        ("cut tag", tagged([Some(1), None], EtherType::IPV4, &[])[..17].to_vec(), DropReason::InnerTruncated),
        ("IPv4 cut", good[..33].to_vec(), DropReason::InnerTruncated),
        ("IPv4 options cut", with(good[..34].to_vec(), 14, 0x46), DropReason::InnerTruncated),
        ("version", with(good.clone(), 14, 0x65), DropReason::InnerIpHeader),
        ("header length", with(good.clone(), 14, 0x44), DropReason::InnerIpHeader),
        ("total length", with(good.clone(), 17, 19), DropReason::InnerIpHeader),
        (
            "IPv6 cut",
            ethernet(EtherType::IPV6, &ipv6(IpProtocol::TCP, &[])[..39]),
            DropReason::InnerTruncated,
        ),
        (
            "IPv4 as IPv6",
            ethernet(EtherType::IPV6, &[&good[14..], &[0; 40]].concat()),
            DropReason::InnerIpHeader,
        ),
        (
            "too many extension headers",
            ethernet(EtherType::IPV6, &ipv6(IpProtocol::DESTINATION_OPTIONS, &options.repeat(9))),
            DropReason::InnerExtensionHeaders,
        ),
        (
            "extension header cut",
            ethernet(EtherType::IPV6, &ipv6(IpProtocol::DESTINATION_OPTIONS, &options[..7])),
            DropReason::InnerTruncated,
        ),
    ];
    for (name, inner, reason) in cases {
        assert_eq!(decap(&load_balanced(&session(7, &inner))), Err(reason), "{name}");
    }
}

#[test]
fn reads_each_transport() {
    let ports = Ports { source: PORTS.source, destination: 53 };
    let echo: &[u8] = &[8, 0, 0xaa, 0xbb, 0x12, 0x34, 0, 1];
    let echo_v6: &[u8] = &[128, 0, 0xaa, 0xbb, 0x12, 0x34, 0, 1];
    let sctp: &[u8] = &[0x9c, 0x40, 0, 53, 0, 0, 0, 0];
    let icmp = |kind| Icmp { kind, code: 0, identifier: Some(0x1234) };
    let cases = [
        (IpProtocol::UDP, udp(53, &[]), Transport::Udp(ports)),
        (IpProtocol::UDP, udp(53, &[])[..4].to_vec(), Transport::Udp(ports)),
        (IpProtocol::UDP, udp(53, &[])[..3].to_vec(), Transport::Unread),
        (IpProtocol::SCTP, sctp.to_vec(), Transport::Sctp(ports)),
        (IpProtocol::SCTP, sctp[..3].to_vec(), Transport::Unread),
        (IpProtocol::ICMP, echo.to_vec(), Transport::Icmp(icmp(8))),
        (IpProtocol::ICMP, echo[..1].to_vec(), Transport::Unread),
        (IpProtocol::ICMPV6, echo_v6.to_vec(), Transport::Icmpv6(icmp(128))),
        (IpProtocol::TCP, tcp(&[])[..4].to_vec(), Transport::Tcp(Tcp { ports: PORTS, state: None })),
        (IpProtocol::TCP, tcp(&[])[..3].to_vec(), Transport::Unread),
        (IpProtocol(50), vec![0; 40], Transport::Unread),
        (IpProtocol::AUTHENTICATION, vec![0; 40], Transport::Unread),
    ];
    for (protocol, payload, expected) in cases {
        let packet = decap(&load_balanced(&ipv4(protocol, &payload))).unwrap();
        assert_eq!((ip(&packet).protocol, ip(&packet).transport), (protocol, expected));
        assert_eq!((packet.offset, packet.link), (82, None));
    }
}

#[test]
fn the_payload_of_tcp_is_counted_by_the_length_fields() {
    let segment = |data_offset: u8| with(tcp(&[0; 100]), 12, data_offset << 4);
    for (data_offset, expected) in [(5, 100), (6, 96), (15, 60), (4, 100), (0, 100)] {
        let packet = decap(&load_balanced(&ipv4(IpProtocol::TCP, &segment(data_offset)))).unwrap();
        assert_eq!(tcp_of(&packet).state.unwrap().payload_length, expected, "data offset {data_offset}");
    }
    let short = with(tcp(&[]), 12, 0xf0);
    let packet = decap(&load_balanced(&ipv4(IpProtocol::TCP, &short))).unwrap();
    assert_eq!(tcp_of(&packet).state.unwrap().payload_length, 0);
}

#[test]
fn only_the_first_fragment_has_a_transport_header() {
    let fragment = |offset, more| {
        let edit = |header: &mut ipv4::Header| {
            header.identification = 77;
            header.more_fragments = more;
            header.fragment_offset = offset;
        };
        let packet = decap(&load_balanced(&ipv4_with(edit, IpProtocol::TCP, &tcp(&[0; 12])))).unwrap();
        assert_eq!(ip(&packet).fragment, Some(Fragment { identification: 77, offset, more }));
        packet
    };
    let first = fragment(0, true);
    assert_eq!(tcp_of(&first).ports, PORTS);
    assert_eq!(tcp_of(&first).state.unwrap().payload_length, 12);
    assert_eq!(ip(&fragment(8, true)).transport, Transport::Unread);
    assert_eq!(ip(&fragment(1480, false)).transport, Transport::Unread);

    let header = [IpProtocol::UDP.0, 0, 0, 9, 0, 1, 2, 3];
    let later = ipv6(IpProtocol::FRAGMENT, &[&header[..], &udp(53, &[])].concat());
    let packet = decap(&outer(&udp(6081, &geneve(EtherType::IPV6, &[], &later)))).unwrap();
    let ip = ip(&packet);
    assert_eq!(ip.fragment, Some(Fragment { identification: 0x0001_0203, offset: 8, more: true }));
    assert_eq!((ip.protocol, ip.transport, ip.length), (IpProtocol::UDP, Transport::Unread, 56));
}

#[test]
fn a_fragment_of_a_tunnel_packet_is_recorded_as_the_fragment() {
    for (offset, more) in [(0, true), (8, false)] {
        let edit = |header: &mut ipv4::Header| {
            header.more_fragments = more;
            header.fragment_offset = offset;
        };
        let fragment = ipv4_with(edit, IpProtocol::UDP, &udp(4789, &vxlan(7, &web())));
        let packet = decap(&load_balanced(&fragment)).unwrap();
        assert_eq!((packet.offset, packet.tunnel.vxlan_vni), (82, None));
        assert_eq!(ip(&packet).fragment.map(|fragment| fragment.offset), Some(offset));
    }
}

#[test]
fn a_malformed_session_header_is_a_fault() {
    let datagram = udp(4789, &vxlan(7, &web()));
    let cases = [
        ("flags", with(datagram.clone(), 8, 0), DropReason::VxlanFlags),
        ("header cut", datagram[..15].to_vec(), DropReason::VxlanTruncated),
        ("UDP header cut", datagram[..7].to_vec(), DropReason::VxlanTruncated),
        ("UDP length ends VXLAN", with(with(datagram.clone(), 4, 0), 5, 15), DropReason::VxlanTruncated),
        ("UDP length below header", with(with(datagram.clone(), 4, 0), 5, 7), DropReason::VxlanTruncated),
    ];
    for (name, datagram, reason) in cases {
        assert_eq!(decap(&load_balanced(&ipv4(IpProtocol::UDP, &datagram))), Err(reason), "{name}");
    }
}

#[test]
fn takes_off_as_many_tunnels_as_it_is_told() {
    // GENEVE, a session's VXLAN, and in there a customer's GENEVE and VXLAN.
    let overlay = ipv4(IpProtocol::UDP, &udp(4789, &vxlan(8, &web())));
    let overlay = ipv4(IpProtocol::UDP, &udp(6081, &geneve(EtherType::IPV4, &[], &overlay)));
    let bytes = load_balanced(&session(7, &ethernet(EtherType::IPV4, &overlay)));
    let at_depth = |max_depth| decapsulate(&frame(&bytes), &DecapConfig { max_depth, ..CONFIG }).unwrap();
    let port = |packet: &Packet| match ip(packet).transport {
        Transport::Udp(ports) => ports.destination,
        Transport::Tcp(tcp) => tcp.ports.destination,
        other => panic!("{other:?}"),
    };
    let cases = [(0, 82, 4789), (1, 82, 4789), (2, 118, 6081), (3, 168, 4789), (4, 204, 443), (5, 204, 443)];
    for (max_depth, offset, destination) in cases {
        let packet = at_depth(max_depth);
        assert_eq!((packet.offset, port(&packet)), (offset, destination), "depth {max_depth}");
        assert_eq!(packet.tunnel.geneve_vni.map(Vni::get), Some(9));
        assert_eq!(packet.tunnel.endpoint, GWLB.endpoint);
        let vni = (max_depth >= 2).then_some(7);
        assert_eq!(packet.tunnel.vxlan_vni.map(Vni::get), vni, "depth {max_depth}");
    }
}

#[test]
fn mirrored_traffic_cannot_forge_an_identity() {
    let forged = gwlb::Identity { endpoint: Some(EndpointId(666)), ..gwlb::Identity::default() };
    let forged = wrap(|bytes| forged.emit(bytes), &[]);
    let overlay = ipv4(IpProtocol::UDP, &udp(6081, &geneve(EtherType::IPV4, &forged, &session(66, &web()))));
    let deep = DecapConfig { max_depth: 8, ..CONFIG };
    let by_vxlan = outer(&udp(4789, &vxlan(7, &ethernet(EtherType::IPV4, &overlay))));
    let packet = decapsulate(&frame(&by_vxlan), &deep).unwrap();
    assert_eq!(tcp_of(&packet).ports, PORTS);
    assert_eq!((packet.tunnel.geneve_vni, packet.tunnel.endpoint), (None, None));
    assert_eq!(packet.tunnel.vxlan_vni.map(Vni::get), Some(7));
    let by_geneve = load_balanced(&overlay);
    let packet = decapsulate(&frame(&by_geneve), &deep).unwrap();
    assert_eq!(tcp_of(&packet).ports, PORTS);
    assert_eq!(
        (packet.tunnel.endpoint, packet.tunnel.vxlan_vni, packet.tunnel.vxlan_source),
        (GWLB.endpoint, None, None)
    );
}

#[test]
fn mirrored_traffic_cannot_keep_itself_from_being_recorded() {
    let deep = DecapConfig { max_depth: 8, ..CONFIG };
    let critical: &[u8] = &[0, 0, 0x80, 0];
    let good = vxlan(8, &web());
    let geneve_port = |payload: &[u8]| udp(6081, payload);
    let cases = [
        ("VXLAN flags", udp(4789, &with(good.clone(), 0, 0))),
        ("VXLAN cut", udp(4789, &good[..7])),
        ("UDP length", with(udp(4789, &good), 5, 0)),
        ("UDP header cut", udp(4789, &good)[..7].to_vec()),
        ("nothing in VXLAN", udp(4789, &good[..8])),
        ("IP header in VXLAN", udp(4789, &with(good.clone(), 8 + 14, 0x41))),
        ("critical option", geneve_port(&geneve(EtherType::IPV4, critical, &[0; 40]))),
        ("GENEVE protocol", geneve_port(&geneve(EtherType::ARP, &[], &[0; 40]))),
        ("noise", geneve_port(&[0xff; 40])),
    ];
    for (name, datagram) in cases {
        let inner = ethernet(EtherType::IPV4, &ipv4(IpProtocol::UDP, &datagram));
        let bytes = load_balanced(&session(7, &inner));
        let packet = decapsulate(&frame(&bytes), &deep).unwrap();
        assert_eq!(packet.offset, 118, "{name}");
        assert!(matches!(ip(&packet).transport, Transport::Udp(_)), "{name}");
    }
}

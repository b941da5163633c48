//! The parse of the mirrored packet against etherparse.

use etherparse::err::{ipv4, ipv6};
use etherparse::{
    Ethernet2Slice, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv6ExtensionSlice,
    Ipv6ExtensionsSlice, LaxIpv4Slice, LaxIpv6Slice, SingleVlanSlice, TcpHeaderSlice, UdpHeaderSlice,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::packet::TcpState;
use crate::wire;
use crate::wire::ipv6::MAX_EXTENSION_HEADERS;

/// A mirrored frame as a sender might make it, honest or not, perhaps truncated.
fn mirrored_frames() -> impl Strategy<Value = Vec<u8>> {
    let transport = (select(vec![1_u8, 6, 17, 58, 50, 132, 200]), vec(any::<u8>(), 0..80));
    let network = prop_oneof![ipv4_packets(transport.clone().boxed()), ipv6_packets(transport.boxed())];
    let other = (select(vec![0x0806_u16, 0x88cc, 0x0026]), vec(any::<u8>(), 0..60));
    let other = other.prop_map(|(ethertype, payload)| (EtherType(ethertype), payload));
    let payload = prop_oneof![20 => network, 1 => other];
    let tags = vec((select(vec![0x8100_u16, 0x88a8]), any::<u16>()), 0..=3);
    (tags, payload, any::<Index>(), any::<bool>()).prop_map(|(tags, (ethertype, payload), end, whole)| {
        let mut bytes = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]].concat();
        for (tag, control) in tags {
            bytes.extend(tag.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(ethertype.0.to_be_bytes());
        bytes.extend(payload);
        if !whole {
            bytes.truncate(end.index(bytes.len() + 1));
        }
        bytes
    })
}

/// A length field that is mostly right, off by a little, or arbitrary.
fn lengths() -> impl Strategy<Value = fn(u16, u16) -> u16> {
    let choices: [fn(u16, u16) -> u16; 5] = [
        |right, _| right,
        |right, _| right,
        |right, noise| right.wrapping_add(noise % 8),
        |right, noise| right.wrapping_sub(noise % 8),
        |_, noise| noise,
    ];
    select(choices.to_vec())
}

type Packets = BoxedStrategy<(EtherType, Vec<u8>)>;

fn ipv4_packets(transport: BoxedStrategy<(u8, Vec<u8>)>) -> Packets {
    let fragmentation = prop_oneof![5 => Just((false, 0)), 1 => (any::<bool>(), 0..8192_u16)];
    (transport, 5..=15_u8, fragmentation, lengths(), any::<(u16, u8, [u8; 8])>())
        .prop_map(|((protocol, payload), words, (more, offset), length, (noise, hop_limit, addresses))| {
            let [a, b, c, d, e, f, g, h] = addresses;
            let right =
                wire::ipv4::Header::new([a, b, c, d].into(), [e, f, g, h].into(), IpProtocol(protocol), 0);
            let honest = u16::from(words) * 4 + u16::try_from(payload.len()).unwrap();
            let header = wire::ipv4::Header {
                header_length: words * 4,
                total_length: length(honest, noise),
                hop_limit,
                identification: noise,
                more_fragments: more,
                fragment_offset: offset * 8,
                ..right
            };
            (EtherType::IPV4, wrap(|bytes| header.emit(bytes), &payload))
        })
        .boxed()
}

fn ipv6_packets(transport: BoxedStrategy<(u8, Vec<u8>)>) -> Packets {
    // Kinds and order that both parsers follow: etherparse wants hop-by-hop options first, and follows what a fragment
    // header names even where it is no header any more.
    let middle = vec((select(vec![43_u8, 60, 51]), 1..4_u8), 0..10);
    let fragment = prop::option::weighted(0.2, (any::<u16>(), any::<u32>()));
    (transport, any::<bool>(), middle, fragment, lengths(), any::<(u16, u8, [u8; 16], [u8; 16])>())
        .prop_map(|((protocol, payload), hop_by_hop, middle, fragment, length, noise)| {
            let (noise, hop_limit, source, destination) = noise;
            let mut next = protocol;
            let mut behind = payload;
            if let Some((fragmentation, identification)) = fragment {
                let [f0, f1] = fragmentation.to_be_bytes();
                let header = [&[next, 0, f0, f1], &identification.to_be_bytes()[..]].concat();
                behind.splice(0..0, header);
                next = 44;
            }
            for (kind, length) in middle {
                let unit = if kind == 51 { 4 } else { 8 };
                let header = [vec![next, length], vec![0; 6 + usize::from(length) * unit]].concat();
                behind.splice(0..0, header);
                next = kind;
            }
            if hop_by_hop {
                behind.splice(0..0, [next, 0, 1, 4, 0, 0, 0, 0]);
                next = 0;
            }
            let right = wire::ipv6::Header::new(source.into(), destination.into(), IpProtocol(next), 0);
            let header = wire::ipv6::Header {
                payload_length: length(u16::try_from(behind.len()).unwrap(), noise),
                hop_limit,
                ..right
            };
            (EtherType::IPV6, wrap(|bytes| header.emit(bytes), &behind))
        })
        .boxed()
}

/// Network layer of `frame` as etherparse sees it, with this crate's rules where it is laxer than they are.
fn by_etherparse(frame: &[u8]) -> Result<Network, DropReason> {
    let truncated = |_| DropReason::InnerTruncated;
    let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).map_err(truncated)?;
    let (mut ethertype, mut packet) = (ethernet.ether_type().0, ethernet.payload_slice());
    for _ in 0..2 {
        if [0x8100, 0x88a8].contains(&ethertype) {
            let tag = SingleVlanSlice::from_slice(packet).map_err(truncated)?;
            (ethertype, packet) = (tag.ether_type().0, tag.payload_slice());
        }
    }
    match ethertype {
        0x0800 => ipv4_by_etherparse(packet).map(Network::Ip),
        0x86dd => ipv6_by_etherparse(packet).map(Network::Ip),
        _ => Ok(Network::Other(EtherType(ethertype))),
    }
}

fn ipv4_by_etherparse(packet: &[u8]) -> Result<Ip, DropReason> {
    let (sliced, _) = LaxIpv4Slice::from_slice(packet).map_err(|error| match error {
        ipv4::HeaderSliceError::Len(_) => DropReason::InnerTruncated,
        ipv4::HeaderSliceError::Content(_) => DropReason::InnerIpHeader,
    })?;
    let header = sliced.header();
    let header_length = header.slice().len();
    let length = match usize::from(header.total_len()) {
        0 => packet.len(),
        length if length < header_length => return Err(DropReason::InnerIpHeader),
        length => length,
    };
    let fragment = header.is_fragmenting_payload().then_some(Fragment {
        identification: u32::from(header.identification()),
        offset: header.fragments_offset().byte_offset(),
        more: header.more_fragments(),
    });
    let protocol = header.protocol().0;
    let payload = sliced.payload().payload;
    Ok(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: IpProtocol(protocol),
        length: u32::try_from(length).unwrap(),
        hop_limit: header.ttl(),
        fragment,
        transport: transport_by_etherparse(protocol, fragment, payload, length - header_length),
    })
}

fn ipv6_by_etherparse(packet: &[u8]) -> Result<Ip, DropReason> {
    let (sliced, stopped) = LaxIpv6Slice::from_slice(packet).map_err(|error| match error {
        ipv6::HeaderSliceError::Len(_) => DropReason::InnerTruncated,
        ipv6::HeaderSliceError::Content(_) => DropReason::InnerIpHeader,
    })?;
    let extensions = extension_headers(sliced.extensions());
    // Of a header beyond the maximum, it does not matter whether it is there.
    if extensions.len() + usize::from(stopped.is_some()) > MAX_EXTENSION_HEADERS {
        return Err(DropReason::InnerExtensionHeaders);
    }
    if stopped.is_some() {
        return Err(DropReason::InnerTruncated);
    }
    let header = sliced.header();
    let length = match usize::from(header.payload_length()) {
        0 => packet.len(),
        length => 40 + length,
    };
    let fragment = extensions.iter().find_map(|extension| match extension {
        Ipv6ExtensionSlice::Fragment(fragment) if fragment.is_fragmenting_payload() => Some(Fragment {
            identification: fragment.identification(),
            offset: fragment.fragment_offset().byte_offset(),
            more: fragment.more_fragments(),
        }),
        _ => None,
    });
    let protocol = sliced.payload().ip_number.0;
    let payload = sliced.payload().payload;
    let payload_length = length - 40 - sliced.extensions().slice().len();
    Ok(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: IpProtocol(protocol),
        length: u32::try_from(length).unwrap(),
        hop_limit: header.hop_limit(),
        fragment,
        transport: transport_by_etherparse(protocol, fragment, payload, payload_length),
    })
}

/// The headers in `extensions`. etherparse's own iterator reads past the end of a chain that is cut off, and is not
/// asked for more than what the chain's bytes hold.
fn extension_headers<'a>(extensions: &Ipv6ExtensionsSlice<'a>) -> Vec<Ipv6ExtensionSlice<'a>> {
    let mut left = extensions.slice().len();
    let mut headers = extensions.clone().into_iter();
    std::iter::from_fn(|| {
        let header = if left == 0 { None } else { headers.next() };
        left -= header.as_ref().map_or(0, |header| match header {
            Ipv6ExtensionSlice::HopByHop(header)
            | Ipv6ExtensionSlice::Routing(header)
            | Ipv6ExtensionSlice::DestinationOptions(header) => header.slice().len(),
            Ipv6ExtensionSlice::Fragment(header) => header.slice().len(),
            Ipv6ExtensionSlice::Authentication(header) => header.slice().len(),
        });
        header
    })
    .collect()
}

/// The transport header in `payload`, of which `length` bytes were there before any truncation. What was not captured is
/// zero to etherparse, and not described.
fn transport_by_etherparse(
    protocol: u8,
    fragment: Option<Fragment>,
    payload: &[u8],
    length: usize,
) -> Transport {
    if fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Transport::Unread;
    }
    let captured = payload.len();
    let mut bytes = [payload, &[0; 60]].concat();
    match protocol {
        6 if captured >= 4 => {
            let header_length = usize::from(bytes[12] >> 4) * 4;
            bytes[12] |= 0xf0; // a data offset that etherparse accepts
            let header = TcpHeaderSlice::from_slice(&bytes).unwrap();
            let ports = Ports { source: header.source_port(), destination: header.destination_port() };
            let state = (captured >= 16).then(|| TcpState {
                sequence: header.sequence_number(),
                acknowledgment: header.acknowledgment_number(),
                flags: header.slice()[13],
                window: header.window_size(),
                payload_length: u32::try_from(length.saturating_sub(header_length.max(20))).unwrap(),
            });
            Transport::Tcp(Tcp { ports, state })
        }
        17 | 132 if captured >= 4 => {
            let header = UdpHeaderSlice::from_slice(&bytes).unwrap();
            let ports = Ports { source: header.source_port(), destination: header.destination_port() };
            if protocol == 17 { Transport::Udp(ports) } else { Transport::Sctp(ports) }
        }
        1 if captured >= 2 => {
            // etherparse wants timestamp messages to have their exact length.
            let header = Icmpv4Slice::from_slice(&bytes[..20]).unwrap();
            let identifier = match header.icmp_type() {
                Icmpv4Type::EchoRequest(echo) | Icmpv4Type::EchoReply(echo) => Some(echo.id),
                Icmpv4Type::TimestampRequest(message) | Icmpv4Type::TimestampReply(message) => {
                    Some(message.id)
                }
                // It knows the types with a code of 0 only, and not all of them.
                _ if matches!(bytes[0], 0 | 8 | 13..=18 | 42 | 43) => {
                    Some(u16::from_be_bytes([bytes[4], bytes[5]]))
                }
                _ => None,
            };
            let identifier = identifier.filter(|_| captured >= 6);
            Transport::Icmp(Icmp { kind: header.type_u8(), code: header.code_u8(), identifier })
        }
        58 if captured >= 2 => {
            let header = Icmpv6Slice::from_slice(&bytes).unwrap();
            let identifier = match header.icmp_type() {
                Icmpv6Type::EchoRequest(echo) | Icmpv6Type::EchoReply(echo) => Some(echo.id),
                _ if matches!(bytes[0], 128 | 129 | 160 | 161) => {
                    Some(u16::from_be_bytes([bytes[4], bytes[5]]))
                }
                _ => None,
            };
            let identifier = identifier.filter(|_| captured >= 6);
            Transport::Icmpv6(Icmp { kind: header.type_u8(), code: header.code_u8(), identifier })
        }
        _ => Transport::Unread,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn agrees_with_etherparse_on_the_mirrored_packet(frame in mirrored_frames()) {
        let config = DecapConfig { max_depth: 1, ..CONFIG };
        let bytes = outer(&udp(6081, &geneve(EtherType::ETHERNET, &[], &frame)));
        let network = decapsulate(&super::frame(&bytes), &config).map(|packet| packet.network);
        prop_assert_eq!(network, by_etherparse(&frame));
    }
}

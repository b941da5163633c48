//! The fast path, for mirrored packets in the most frequent form: IPv4 without options, not fragmented, with a TCP or UDP
//! header behind it, carried by GENEVE directly or in the VXLAN of a mirror session. Each field is at a fixed offset, and
//! goes into a [`PlainPacket`].

use std::net::Ipv4Addr;

use super::config::DecapConfig;
use super::layer::{narrow, whole_tcp};
use super::load_balancer::{self, Carried};
use crate::number::{EtherType, IpProtocol, Vni};
use crate::packet::{PlainPacket, PlainTunnel};
use crate::wire::reader::Reader;
use crate::wire::{ethernet, ipv4, tcp, udp, vxlan};

/// Version 4, five words of header.
const VERSION_AND_LENGTH: u8 = 0x45;
/// The bits of fragmentation of which a whole packet has none.
const FRAGMENT: u16 = 0x3fff;

/// The fields of an IPv4 header without options and fragmentation.
pub(super) struct Header {
    pub(super) total_length: u16,
    pub(super) hop_limit: u8,
    pub(super) protocol: IpProtocol,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
}

impl Header {
    /// Takes the header; [`None`] where it has another form.
    #[inline(always)]
    pub(super) fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let [version_and_length, _, l0, l1, _, _, f0, f1, hop_limit, protocol, _, _, addresses @ ..] =
            reader.array::<{ ipv4::Header::LENGTH }>()?;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let fragmentation = u16::from_be_bytes([f0, f1]);
        (version_and_length == VERSION_AND_LENGTH && fragmentation & FRAGMENT == 0).then_some(Self {
            total_length: u16::from_be_bytes([l0, l1]),
            hop_limit,
            protocol: IpProtocol(protocol),
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
        })
    }
}

/// A packet whose headers are read: the bytes that were captured, and where they come from.
#[derive(Clone, Copy)]
struct Whole<'a> {
    captured: &'a [u8],
    /// Offset in the frame.
    offset: usize,
    /// Bytes before any truncation, by the enclosing headers.
    length: usize,
}

/// The mirrored packet in what a load balancer's tunnel carries. [`None`] where it has another form, which is no fault.
#[inline(always)]
pub(super) fn find(carried: Carried<'_>, config: &DecapConfig) -> Option<PlainPacket> {
    let Carried { tunnel, protocol, payload } = carried;
    let mut reader = payload.reader;
    let captured = reader.bytes(reader.remaining())?;
    let whole = Whole { captured, offset: load_balancer::LENGTH, length: payload.original_length() };
    if protocol == EtherType::IPV4 {
        return match session(whole, config) {
            Some((vni, source, frame)) => {
                let tunnel = PlainTunnel { vxlan_vni: Some(vni), vxlan_source: Some(source), ..tunnel };
                in_frame(tunnel, frame, config)
            }
            None => in_ip(tunnel, None, whole, Reader::new(captured), config),
        };
    }
    if protocol == EtherType::ETHERNET { in_frame(tunnel, whole, config) } else { None }
}

/// The VNI of a mirror session's VXLAN, its source, and the frame in it.
#[inline(always)]
fn session<'a>(carried: Whole<'a>, config: &DecapConfig) -> Option<(Vni, Ipv4Addr, Whole<'a>)> {
    const LENGTH: usize = ipv4::Header::LENGTH + udp::Header::LENGTH + vxlan::Header::LENGTH;

    let (headers, captured) = carried.captured.split_first_chunk::<LENGTH>()?;
    // Of known length, so that no field needs a check of its own.
    let mut headers = Reader::new(headers);
    let header = Header::take(&mut headers)?;
    let udp = udp::Header::parse(&mut headers)?;
    let vxlan = vxlan::Header::parse(&mut headers);
    let total_length = usize::from(header.total_length);
    let is_session = header.protocol == IpProtocol::UDP
        && config.max_depth >= 2
        && udp.ports.destination == config.vxlan_port
        && usize::from(udp.length) + ipv4::Header::LENGTH == total_length;
    if !is_session {
        return None;
    }
    let length = total_length.checked_sub(LENGTH)?;
    let captured = captured.get(..length).unwrap_or(captured);
    Some((vxlan.ok()?.vni, header.source, Whole { captured, offset: carried.offset + LENGTH, length }))
}

#[inline(always)]
fn in_frame(tunnel: PlainTunnel, frame: Whole<'_>, config: &DecapConfig) -> Option<PlainPacket> {
    let mut reader = Reader::new(frame.captured);
    let header = ethernet::Header::parse(&mut reader)?;
    if header.ethertype != EtherType::IPV4 {
        return None;
    }
    in_ip(tunnel, Some(header.link.vlans), frame, reader, config)
}

/// The packet `whole`, whose IP header `reader` comes to next: behind an Ethernet header with these VLANs, where there is one.
#[inline(always)]
fn in_ip(
    tunnel: PlainTunnel,
    vlans: Option<[Option<u16>; 2]>,
    whole: Whole<'_>,
    mut reader: Reader<'_>,
    config: &DecapConfig,
) -> Option<PlainPacket> {
    let link_length = reader.position();
    let header = Header::take(&mut reader)?;
    let total_length = usize::from(header.total_length);
    let payload_length = total_length.checked_sub(ipv4::Header::LENGTH)?;
    let (ports, tcp) = match header.protocol {
        IpProtocol::TCP if payload_length >= tcp::Header::PARSED => {
            let tcp = whole_tcp(tcp::Header::parse(&mut reader)?, payload_length);
            (tcp.ports, tcp.state)
        }
        IpProtocol::UDP if payload_length >= udp::PORTS => (udp::ports(&mut reader)?, None),
        _ => return None,
    };
    if tcp.is_none() && config.is_tunnel(ports.destination) {
        return None;
    }
    Some(PlainPacket {
        tunnel,
        offset: narrow(whole.offset),
        captured_length: narrow(whole.captured.len()),
        original_length: narrow(whole.length.max(link_length + total_length)),
        is_frame: vlans.is_some(),
        vlans: vlans.unwrap_or_default(),
        source: header.source,
        destination: header.destination,
        length: header.total_length,
        hop_limit: header.hop_limit,
        ports,
        tcp,
    })
}

//! The fast path, for mirrored packets in the most frequent form: IPv4 without options, not fragmented, with a TCP or UDP
//! header behind it, carried by GENEVE directly or in the VXLAN of a mirror session. Each field is at a fixed offset, and
//! goes into a [`PlainPacket`].

use std::net::Ipv4Addr;

use super::config::DecapConfig;
use super::layer::{narrow, whole_tcp};
use super::load_balancer::Carried;
use super::payload::Payload;
use crate::number::{EtherType, IpProtocol, Vni};
use crate::packet::{Link, PlainPacket, PlainTunnel};
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

/// The mirrored packet in what a load balancer's tunnel carries. [`None`] where it has another form, which is no fault.
#[inline(always)]
pub(super) fn find(carried: Carried<'_>, config: &DecapConfig) -> Option<PlainPacket> {
    let Carried { tunnel, protocol, payload } = carried;
    if protocol == EtherType::IPV4 {
        return match session(payload, config) {
            Some((vni, frame)) => in_frame(PlainTunnel { vxlan_vni: Some(vni), ..tunnel }, frame, config),
            None => in_ip(tunnel, None, payload, payload.reader, config),
        };
    }
    if protocol == EtherType::ETHERNET { in_frame(tunnel, payload, config) } else { None }
}

/// The frame in the VXLAN of a mirror session.
#[inline(always)]
fn session<'a>(carried: Payload<'a>, config: &DecapConfig) -> Option<(Vni, Payload<'a>)> {
    let mut reader = carried.reader;
    let header = Header::take(&mut reader)?;
    if header.protocol != IpProtocol::UDP || config.max_depth < 2 {
        return None;
    }
    let udp = udp::Header::parse(&mut reader)?;
    let total_length = usize::from(header.total_length);
    if udp.ports.destination != config.vxlan_port
        || usize::from(udp.length) + ipv4::Header::LENGTH != total_length
    {
        return None;
    }
    let mut frame = carried;
    frame.end(total_length);
    frame.reader.skip(ipv4::Header::LENGTH + udp::Header::LENGTH)?;
    let vxlan = vxlan::Header::parse(&mut frame.reader).ok()?;
    Some((vxlan.vni, frame))
}

#[inline(always)]
fn in_frame(tunnel: PlainTunnel, frame: Payload<'_>, config: &DecapConfig) -> Option<PlainPacket> {
    let mut reader = frame.reader;
    let header = ethernet::Header::parse(&mut reader)?;
    if header.ethertype != EtherType::IPV4 {
        return None;
    }
    in_ip(tunnel, Some(header.link), frame, reader, config)
}

/// The packet `whole`, whose IP header `reader` comes to next.
#[inline(always)]
fn in_ip(
    tunnel: PlainTunnel,
    link: Option<Link>,
    whole: Payload<'_>,
    mut reader: Reader<'_>,
    config: &DecapConfig,
) -> Option<PlainPacket> {
    let link_length = reader.position() - whole.offset();
    let header = Header::take(&mut reader)?;
    let total_length = usize::from(header.total_length);
    let payload_length = total_length.checked_sub(ipv4::Header::LENGTH)?;
    reader.limit(payload_length);
    let (ports, tcp) = match header.protocol {
        IpProtocol::TCP => {
            let tcp = whole_tcp(tcp::Header::parse(&mut reader)?, payload_length);
            (tcp.ports, tcp.state)
        }
        IpProtocol::UDP => (udp::ports(&mut reader)?, None),
        _ => return None,
    };
    if tcp.is_none() && config.is_tunnel(ports.destination) {
        return None;
    }
    Some(PlainPacket {
        tunnel,
        offset: narrow(whole.offset()),
        captured_length: narrow(whole.captured_length()),
        original_length: narrow(whole.original_length().max(link_length + total_length)),
        link,
        source: header.source,
        destination: header.destination,
        length: header.total_length,
        hop_limit: header.hop_limit,
        ports,
        tcp,
    })
}

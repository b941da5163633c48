//! The fast path, for mirrored packets in the most frequent form: IPv4 without options, not fragmented, with a TCP or UDP
//! header behind it, carried by GENEVE directly or in the VXLAN of a mirror session. Each field is at a fixed offset.

use std::net::IpAddr;

use super::config::DecapConfig;
use super::layer::{narrow, whole_tcp};
use super::payload::Payload;
use crate::number::{EtherType, IpProtocol, Vni};
use crate::packet::{Ip, Link, Network, Packet, Transport};
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
    pub(super) source: [u8; 4],
    pub(super) destination: [u8; 4],
}

impl Header {
    /// Takes the header; [`None`] where it has another form.
    #[inline(always)]
    pub(super) fn take(reader: &mut Reader<'_>) -> Option<Self> {
        let [version_and_length, _, l0, l1, _, _, f0, f1, hop_limit, protocol, _, _, addresses @ ..] =
            reader.array::<{ ipv4::Header::LENGTH }>()?;
        let [s0, s1, s2, s3, destination @ ..] = addresses;
        let fragmentation = u16::from_be_bytes([f0, f1]);
        (version_and_length == VERSION_AND_LENGTH && fragmentation & FRAGMENT == 0).then_some(Self {
            total_length: u16::from_be_bytes([l0, l1]),
            hop_limit,
            protocol: IpProtocol(protocol),
            source: [s0, s1, s2, s3],
            destination,
        })
    }
}

/// Describes the mirrored packet in `carried`, but for the fields of its tunnel that the load balancer gives. [`None`] where
/// it has another form, which is no fault: then nothing is described.
#[inline(always)]
pub(super) fn describe(
    packet: &mut Packet,
    protocol: EtherType,
    carried: Payload<'_>,
    config: &DecapConfig,
) -> Option<()> {
    if protocol == EtherType::IPV4 {
        if let Some((vni, frame)) = session(carried, config) {
            describe_frame(packet, frame, config)?;
            packet.tunnel.vxlan_vni = Some(vni);
            return Some(());
        }
        return describe_ip(packet, None, carried, carried.reader, config);
    }
    if protocol == EtherType::ETHERNET { describe_frame(packet, carried, config) } else { None }
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
fn describe_frame(packet: &mut Packet, frame: Payload<'_>, config: &DecapConfig) -> Option<()> {
    let mut reader = frame.reader;
    let header = ethernet::Header::parse(&mut reader)?;
    if header.ethertype != EtherType::IPV4 {
        return None;
    }
    describe_ip(packet, Some(header.link), frame, reader, config)
}

/// Describes the packet `whole`, whose IP header `reader` comes to next.
#[inline(always)]
fn describe_ip(
    packet: &mut Packet,
    link: Option<Link>,
    whole: Payload<'_>,
    mut reader: Reader<'_>,
    config: &DecapConfig,
) -> Option<()> {
    let link_length = reader.position() - whole.offset();
    let header = Header::take(&mut reader)?;
    let total_length = usize::from(header.total_length);
    let payload_length = total_length.checked_sub(ipv4::Header::LENGTH)?;
    reader.limit(payload_length);
    let transport = match header.protocol {
        IpProtocol::TCP => Transport::Tcp(whole_tcp(tcp::Header::parse(&mut reader)?, payload_length)),
        IpProtocol::UDP => {
            let ports = udp::ports(&mut reader)?;
            if config.is_tunnel(ports.destination) {
                return None;
            }
            Transport::Udp(ports)
        }
        _ => return None,
    };
    packet.offset = narrow(whole.offset());
    packet.captured_length = narrow(whole.captured_length());
    packet.original_length = narrow(whole.original_length().max(link_length + total_length));
    packet.link = link;
    packet.network = Network::Ip(Ip {
        source: IpAddr::from(header.source),
        destination: IpAddr::from(header.destination),
        protocol: header.protocol,
        length: header.total_length.into(),
        hop_limit: header.hop_limit,
        fragment: None,
        transport,
    });
    Some(())
}

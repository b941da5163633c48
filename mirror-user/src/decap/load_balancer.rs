//! The headers that a Gateway Load Balancer puts in front of a packet, in the one form that it gives them: each field is at
//! a fixed offset. Reading them so halves the instructions of decapsulation.

use super::config::DecapConfig;
use super::fast_path;
use super::payload::Payload;
use crate::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, Vni};
use crate::packet::PlainTunnel;
use crate::source::{Frame, LinkType};
use crate::wire::reader::Reader;
use crate::wire::{ethernet, geneve, gwlb, ipv4, udp};

/// Bytes of all headers.
pub(super) const LENGTH: usize = ethernet::Header::LENGTH
    + ipv4::Header::LENGTH
    + udp::Header::LENGTH
    + geneve::Header::LENGTH
    + gwlb::Identity::LENGTH;
/// Version 0, eight words of options; neither the O bit nor the C bit.
const GENEVE_WITH_OPTIONS: u16 = 0x0800;

/// The payload of GENEVE.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    /// The tunnel by these headers.
    pub(super) tunnel: PlainTunnel,
    pub(super) protocol: EtherType,
    pub(super) payload: Payload<'a>,
}

/// Opens `frame` up to the payload of GENEVE. [`None`] where the headers have another form, which is no fault: they are
/// then parsed one by one.
#[inline(always)]
pub(super) fn open<'a>(frame: &Frame<'a>, config: &DecapConfig) -> Option<Carried<'a>> {
    if frame.link_type != LinkType::Ethernet || frame.captured_length as usize != frame.data.len() {
        return None;
    }
    // Of known length, so that no field needs a check of its own.
    let mut headers = Reader::new(frame.data.first_chunk::<LENGTH>()?);
    headers.skip(ethernet::Header::LENGTH - 2)?;
    let ethertype = headers.u16()?;
    let ip = fast_path::Header::take(&mut headers)?;
    headers.skip(2)?;
    let port = headers.u16()?;
    let udp_length = headers.u16()?;
    headers.skip(2)?;
    let geneve = headers.u16()?;
    let carried = EtherType(headers.u16()?);
    let vni = Vni::from_bytes(headers.array()?);
    headers.skip(1)?;
    let endpoint = (headers.u32()?, EndpointId(headers.u64()?));
    let attachment = (headers.u32()?, AttachmentId(headers.u64()?));
    let cookie = (headers.u32()?, FlowCookie(headers.u32()?));

    let has_form = EtherType(ethertype) == EtherType::IPV4
        && ip.protocol == IpProtocol::UDP
        && port == config.geneve_port
        && geneve == GENEVE_WITH_OPTIONS
        && matches!(carried, EtherType::IPV4 | EtherType::IPV6 | EtherType::ETHERNET)
        && endpoint.0 == gwlb::ENDPOINT_HEADER
        && attachment.0 == gwlb::ATTACHMENT_HEADER
        && cookie.0 == gwlb::COOKIE_HEADER;
    let total_length = usize::from(ip.total_length);
    let end = ethernet::Header::LENGTH + total_length;
    let has_length = total_length == usize::from(udp_length) + ipv4::Header::LENGTH
        && (LENGTH..=frame.original_length as usize).contains(&end);
    if !has_form || !has_length {
        return None;
    }
    let payload = Payload::behind(frame.data, LENGTH, end)?;
    let tunnel = PlainTunnel {
        outer_source: ip.source,
        outer_destination: ip.destination,
        geneve_vni: vni,
        vxlan_vni: None,
        vxlan_source: None,
        endpoint: endpoint.1,
        attachment: attachment.1,
        cookie: cookie.1,
    };
    Some(Carried { tunnel, protocol: carried, payload })
}

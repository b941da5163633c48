//! The headers in front of the outer tunnel.

use super::config::DecapConfig;
use super::geneve::Geneve;
use super::payload::Payload;
use crate::DropReason;
use crate::number::IpProtocol;
use crate::packet::Tunnel;
use crate::source::LinkType;
use crate::wire::error::IpHeaderError;
use crate::wire::ip::{Addresses, Version};
use crate::wire::{ethernet, udp};

/// Fields of the link, IP and UDP header of a frame.
pub(super) struct Outer<'a> {
    pub(super) addresses: Addresses<'a>,
    /// UDP destination port: one of the tunnel ports.
    pub(super) port: u16,
}

impl<'a> Outer<'a> {
    /// Takes the headers, and leaves the payload of the UDP datagram.
    #[inline]
    pub(super) fn open(
        payload: &mut Payload<'a>,
        link_type: LinkType,
        config: &DecapConfig,
    ) -> Result<Self, DropReason> {
        let version = version(payload, link_type)?;
        let available = payload.original_length();
        let ip = payload.ip(version).map_err(|error| match error {
            IpHeaderError::Truncated => DropReason::OuterTruncated,
            IpHeaderError::Malformed => DropReason::OuterIpHeader,
            IpHeaderError::ExtensionHeaders => DropReason::NotTunnel,
        })?;
        if ip.length.is_some_and(|length| length > available) {
            return Err(DropReason::OuterIpHeader);
        }
        if ip.protocol != IpProtocol::UDP {
            return Err(DropReason::NotTunnel);
        }
        if ip.fragment.is_some() {
            return Err(DropReason::OuterFragment);
        }
        let udp = udp::Header::parse(&mut payload.reader).ok_or(DropReason::OuterTruncated)?;
        let port = udp.ports.destination;
        if !config.is_tunnel(port) {
            return Err(DropReason::NotTunnel);
        }
        match udp.payload_length() {
            Some(length) if length <= payload.original_length() => payload.end(length),
            _ => return Err(DropReason::OuterUdpLength),
        }
        Ok(Self { addresses: ip.addresses, port })
    }

    /// The identity of the tunnel by these headers and GENEVE.
    #[inline(always)]
    pub(super) fn tunnel(&self, geneve: Option<Geneve>) -> Tunnel {
        Tunnel {
            outer_source: self.addresses.source(),
            outer_destination: self.addresses.destination(),
            geneve_vni: geneve.map(|geneve| geneve.vni),
            vxlan_vni: None,
            vxlan_source: None,
            endpoint: geneve.and_then(|geneve| geneve.gwlb.endpoint),
            attachment: geneve.and_then(|geneve| geneve.gwlb.attachment),
            cookie: geneve.and_then(|geneve| geneve.gwlb.cookie),
        }
    }
}

/// Takes the headers in front of the IP header, and finds its version.
#[inline]
fn version(payload: &mut Payload<'_>, link_type: LinkType) -> Result<Version, DropReason> {
    match link_type {
        LinkType::Ethernet => {
            let ethernet = ethernet::Header::parse(&mut payload.reader).ok_or(DropReason::OuterTruncated)?;
            Version::of_ethertype(ethernet.ethertype).ok_or(DropReason::OuterNotIp)
        }
        LinkType::EtherType => {
            let ethertype = ethernet::tagged(&mut payload.reader).ok_or(DropReason::OuterTruncated)?;
            Version::of_ethertype(ethertype).ok_or(DropReason::OuterNotIp)
        }
        LinkType::Ip => {
            let mut ahead = payload.reader;
            let first_byte = ahead.u8().ok_or(DropReason::OuterTruncated)?;
            Version::of_packet(first_byte).ok_or(DropReason::OuterNotIp)
        }
    }
}

//! The headers in front of the outer tunnel.

use std::net::IpAddr;

use super::DecapConfig;
use super::payload::Payload;
use crate::DropReason;
use crate::source::LinkType;
use crate::wire::ip::{self, Version};
use crate::wire::number::IpProtocol;
use crate::wire::{ethernet, udp};

/// What is kept of the link, IP and UDP header of a frame.
pub(super) struct Outer {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// UDP destination port: one of the tunnel ports.
    pub(super) port: u16,
}

impl Outer {
    /// Takes the headers, and leaves the payload of the UDP datagram.
    #[inline]
    pub(super) fn open(
        payload: &mut Payload<'_>,
        link_type: LinkType,
        config: &DecapConfig,
    ) -> Result<Self, DropReason> {
        let version = version(payload, link_type)?;
        let frame_end = payload.original_end;
        let ip = payload.ip(version).map_err(|error| match error {
            ip::Error::Truncated => DropReason::OuterTruncated,
            ip::Error::Malformed => DropReason::OuterIpHeader,
            ip::Error::ExtensionHeaders => DropReason::NotTunnel,
        })?;
        if payload.original_end > frame_end {
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
        if port != config.geneve_port && port != config.vxlan_port {
            return Err(DropReason::NotTunnel);
        }
        match udp.payload_length() {
            Some(length) if length <= payload.original_length() => payload.limit(length),
            _ => return Err(DropReason::OuterUdpLength),
        }
        Ok(Self { source: ip.source, destination: ip.destination, port })
    }
}

/// Takes what is in front of the IP header, and finds the version of that.
#[inline]
fn version(payload: &mut Payload<'_>, link_type: LinkType) -> Result<Version, DropReason> {
    match link_type {
        LinkType::Ethernet => {
            let ethernet = ethernet::Header::parse(&mut payload.reader).ok_or(DropReason::OuterTruncated)?;
            Version::of_ethertype(ethernet.ethertype).ok_or(DropReason::OuterNotIp)
        }
        LinkType::Ip => {
            let mut ahead = payload.reader;
            let first_byte = ahead.u8().ok_or(DropReason::OuterTruncated)?;
            Version::of_packet(first_byte).ok_or(DropReason::OuterNotIp)
        }
    }
}

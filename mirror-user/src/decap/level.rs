//! One packet in its tunnel: link, IP and transport header.

use super::payload::Payload;
use crate::DropReason;
use crate::packet::{Ip, Link, Network, Packet, Tcp, TcpState, Transport, Tunnel};
use crate::wire::ip::{self, Version};
use crate::wire::number::{EtherType, IpProtocol};
use crate::wire::{ethernet, icmp, sctp, tcp, udp};

/// A packet that a tunnel carries, opened up to its IP header.
#[derive(Clone, Copy)]
pub(super) struct Level<'a> {
    /// All of it, link header included.
    whole: Payload<'a>,
    link: Option<Link>,
    network: Layer<'a>,
}

#[derive(Clone, Copy)]
enum Layer<'a> {
    Ip {
        /// Where the header begins in the frame.
        start: u32,
        header: ip::Header,
        payload: Payload<'a>,
    },
    Other(EtherType),
}

/// A whole UDP datagram.
pub(super) struct Datagram<'a> {
    /// Destination port.
    pub(super) port: u16,
    /// Payload; [`None`] where the header is cut off behind the ports, or its length is below its own.
    pub(super) payload: Option<Payload<'a>>,
}

impl<'a> Level<'a> {
    /// Opens the packet that a tunnel carries as `protocol`: [`EtherType::ETHERNET`] where that is a frame.
    #[inline]
    pub(super) fn open(whole: Payload<'a>, protocol: EtherType) -> Result<Self, DropReason> {
        let mut payload = whole;
        let (link, ethertype) = if protocol == EtherType::ETHERNET {
            let header = ethernet::Header::parse(&mut payload.reader).ok_or(DropReason::InnerTruncated)?;
            (Some(header.link), header.ethertype)
        } else {
            (None, protocol)
        };
        let Some(version) = Version::of_ethertype(ethertype) else {
            return Ok(Self { whole, link, network: Layer::Other(ethertype) });
        };
        let start = payload.start();
        let header = payload.ip(version).map_err(|error| match error {
            ip::Error::Truncated => DropReason::InnerTruncated,
            ip::Error::Malformed => DropReason::InnerIpHeader,
            ip::Error::ExtensionHeaders => DropReason::InnerExtensionHeaders,
        })?;
        Ok(Self { whole, link, network: Layer::Ip { start, header, payload } })
    }

    /// The UDP datagram that the packet is; [`None`] where it is something else, a fragment, or cut off before the
    /// destination port.
    #[inline]
    pub(super) fn datagram(&self) -> Option<Datagram<'a>> {
        let Layer::Ip { header, payload, .. } = self.network else { return None };
        if header.protocol != IpProtocol::UDP || header.fragment.is_some() {
            return None;
        }
        let port = udp::ports(&mut { payload.reader })?.destination;
        let mut payload = payload;
        let length = udp::Header::parse(&mut payload.reader).and_then(|header| header.payload_length());
        let payload = length.map(|length| {
            payload.limit(length);
            payload
        });
        Some(Datagram { port, payload })
    }

    /// The packet, with its transport header.
    #[inline]
    pub(super) fn packet(&self, tunnel: Tunnel) -> Packet {
        let offset = self.whole.start();
        let mut original_end = self.whole.original_end;
        let network = match self.network {
            Layer::Ip { start, header, payload } => {
                original_end = original_end.max(payload.original_end);
                Network::Ip(Ip {
                    source: header.source,
                    destination: header.destination,
                    protocol: header.protocol,
                    length: payload.original_end.saturating_sub(start),
                    hop_limit: header.hop_limit,
                    fragment: header.fragment,
                    transport: transport(&header, payload),
                })
            }
            Layer::Other(ethertype) => Network::Other(ethertype),
        };
        Packet {
            tunnel,
            offset,
            captured_length: self.whole.captured_end.saturating_sub(offset),
            original_length: original_end.saturating_sub(offset),
            link: self.link,
            network,
        }
    }
}

/// The transport header in the payload of an IP packet.
#[inline]
fn transport(header: &ip::Header, payload: Payload<'_>) -> Transport {
    if header.fragment.is_some_and(|fragment| fragment.offset != 0) {
        return Transport::Unread;
    }
    let mut reader = payload.reader;
    let transport = match header.protocol {
        IpProtocol::TCP => tcp(payload).map(Transport::Tcp),
        IpProtocol::UDP => udp::ports(&mut reader).map(Transport::Udp),
        IpProtocol::SCTP => sctp::parse(&mut reader).map(Transport::Sctp),
        IpProtocol::ICMP => icmp::parse_v4(&mut reader).map(Transport::Icmp),
        IpProtocol::ICMPV6 => icmp::parse_v6(&mut reader).map(Transport::Icmpv6),
        _ => None,
    };
    transport.unwrap_or(Transport::Unread)
}

/// A TCP header, or its ports where no more was captured.
#[inline]
fn tcp(segment: Payload<'_>) -> Option<Tcp> {
    let Some(header) = tcp::Header::parse(&mut { segment.reader }) else {
        let ports = udp::ports(&mut { segment.reader })?;
        return Some(Tcp { ports, state: None });
    };
    let header_length = u32::from(header.header_length).max(tcp::Header::LENGTH as u32);
    let state = TcpState {
        sequence: header.sequence,
        acknowledgment: header.acknowledgment,
        flags: header.flags,
        window: header.window,
        payload_length: segment.original_length().saturating_sub(header_length),
    };
    Some(Tcp { ports: header.ports, state: Some(state) })
}

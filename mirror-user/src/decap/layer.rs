//! One packet in its tunnel: link, IP and transport header.

use std::net::IpAddr;

use super::payload::Payload;
use crate::DropReason;
use crate::number::{EtherType, IpProtocol};
use crate::packet::{Ip, Link, Network, Packet, Tcp, TcpState, Transport};
use crate::wire::error::IpHeaderError;
use crate::wire::ip::{self, Version};
use crate::wire::{ethernet, icmp, sctp, tcp, udp};

/// A packet that a tunnel carries, opened up to its IP header.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a> {
    /// Offset in the frame: of the link header, where there is one.
    offset: usize,
    /// Bytes of it that were captured.
    captured_length: usize,
    /// Bytes that it had before any truncation, by the enclosing headers.
    original_length: usize,
    link: Option<Link>,
    network: NetworkHeader<'a>,
}

#[derive(Clone, Copy)]
enum NetworkHeader<'a> {
    Ip {
        /// Offset of the IP header in the frame.
        offset: usize,
        header: ip::Header<'a>,
        payload: Payload<'a>,
    },
    Other(EtherType),
}

/// A whole UDP datagram.
#[derive(Clone, Copy)]
pub(super) struct Datagram<'a> {
    /// Source address.
    pub(super) source: IpAddr,
    /// Destination port.
    pub(super) port: u16,
    /// Payload; [`None`] where the header is cut off behind the ports, or its length is below its own.
    pub(super) payload: Option<Payload<'a>>,
}

impl<'a> Layer<'a> {
    /// Opens the packet that a tunnel carries as `protocol`: [`EtherType::ETHERNET`] where that is a frame.
    #[inline(always)]
    pub(super) fn open(whole: Payload<'a>, protocol: EtherType) -> Result<Self, DropReason> {
        let mut payload = whole;
        let (offset, captured_length, original_length) =
            (whole.offset(), whole.captured_length(), whole.original_length());
        let (link, ethertype) = if protocol == EtherType::ETHERNET {
            let header = ethernet::Header::parse(&mut payload.reader).ok_or(DropReason::InnerTruncated)?;
            (Some(header.link), header.ethertype)
        } else {
            (None, protocol)
        };
        let Some(version) = Version::of_ethertype(ethertype) else {
            let network = NetworkHeader::Other(ethertype);
            return Ok(Self { offset, captured_length, original_length, link, network });
        };
        let ip_offset = payload.offset();
        let header = payload.ip(version).map_err(|error| match error {
            IpHeaderError::Truncated => DropReason::InnerTruncated,
            IpHeaderError::Malformed => DropReason::InnerIpHeader,
            IpHeaderError::ExtensionHeaders => DropReason::InnerExtensionHeaders,
        })?;
        let network = NetworkHeader::Ip { offset: ip_offset, header, payload };
        Ok(Self { offset, captured_length, original_length, link, network })
    }

    /// The packet as a UDP datagram; [`None`] where it is something else, a fragment, or cut off before the destination
    /// port.
    #[inline(always)]
    pub(super) fn datagram(&self) -> Option<Datagram<'a>> {
        let NetworkHeader::Ip { header, mut payload, .. } = self.network else { return None };
        if header.protocol != IpProtocol::UDP || header.fragment.is_some() {
            return None;
        }
        let port = udp::ports(&mut { payload.reader })?.destination;
        let length = udp::Header::parse(&mut payload.reader).and_then(|header| header.payload_length());
        let payload = length.map(|length| {
            payload.end(length.min(payload.original_length()));
            payload
        });
        Some(Datagram { source: header.addresses.source(), port, payload })
    }

    /// Describes the packet, transport header included, but not its tunnel.
    #[inline(always)]
    pub(super) fn describe(&self, packet: &mut Packet) {
        let Self { offset, captured_length, original_length, link, network } = *self;
        packet.offset = narrow(offset);
        packet.captured_length = narrow(captured_length);
        packet.original_length = narrow(original_length);
        packet.link = link;
        packet.network = match network {
            NetworkHeader::Ip { offset: ip_offset, header, payload } => {
                let end = payload.offset() + payload.original_length();
                packet.original_length = packet.original_length.max(narrow(end - offset));
                let transport = transport(&header, payload);
                Network::Ip(Ip {
                    source: header.addresses.source(),
                    destination: header.addresses.destination(),
                    protocol: header.protocol,
                    length: narrow(end - ip_offset),
                    hop_limit: header.hop_limit,
                    fragment: header.fragment,
                    transport,
                })
            }
            NetworkHeader::Other(ethertype) => Network::Other(ethertype),
        };
    }
}

/// A length or an offset in a frame, as a packet holds it.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the length of a frame has 32 bits, that of an IP packet fewer"
)]
#[inline(always)]
pub(super) const fn narrow(length: usize) -> u32 {
    length as u32
}

/// The transport header in the payload of an IP packet.
#[inline(always)]
fn transport(header: &ip::Header<'_>, payload: Payload<'_>) -> Transport {
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
#[inline(always)]
fn tcp(segment: Payload<'_>) -> Option<Tcp> {
    let Some(header) = tcp::Header::parse(&mut { segment.reader }) else {
        let ports = udp::ports(&mut { segment.reader })?;
        return Some(Tcp { ports, state: None });
    };
    Some(whole_tcp(header, segment.original_length()))
}

/// A TCP header that begins a segment of `length` bytes.
#[inline(always)]
pub(super) fn whole_tcp(header: tcp::Header, length: usize) -> Tcp {
    let header_length = usize::from(header.header_length).max(tcp::Header::LENGTH);
    let state = TcpState {
        sequence: header.sequence,
        acknowledgment: header.acknowledgment,
        flags: header.flags,
        window: header.window,
        payload_length: narrow(length.saturating_sub(header_length)),
    };
    Tcp { ports: header.ports, state: Some(state) }
}

//! Survey of the packets of a capture, for the case that none of them is a tunnel packet.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write as _;

use super::report::link_name;
use crate::number::{EtherType, IpProtocol};
use crate::source::{Frame, LinkType};
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;
use crate::wire::{ethernet, geneve, udp, vxlan};

/// Most packets that are surveyed.
const MOST_PACKETS: u64 = 10_000;
/// Most different ports that are counted.
const MOST_PORTS: usize = 4096;
/// Most ports that the text names.
const NAMED: usize = 3;

/// The protocols and ports of the first packets.
#[derive(Debug, Default)]
pub struct Survey {
    packets: u64,
    not_ip: u64,
    fragments: u64,
    /// IP packets without ports, and those of ports that were not counted any more.
    other: u64,
    ports: HashMap<(IpProtocol, u16), Port>,
}

/// Packets on a port, and those of them whose payload has the form of a tunnel header.
#[derive(Clone, Copy, Debug, Default)]
struct Port {
    packets: u64,
    geneve: u64,
    vxlan: u64,
}

/// Tunnel that the packets on a port look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TunnelLikeness {
    Geneve,
    Vxlan,
}

impl Port {
    /// The tunnel that nearly all of the packets look like.
    const fn likeness(self) -> Option<TunnelLikeness> {
        let nearly_all = self.packets - self.packets / 10;
        if self.geneve >= nearly_all {
            Some(TunnelLikeness::Geneve)
        } else if self.vxlan >= nearly_all {
            Some(TunnelLikeness::Vxlan)
        } else {
            None
        }
    }
}

impl Survey {
    /// Adds a packet, if it is one of the first.
    pub(super) fn add(&mut self, frame: &Frame<'_>) {
        if self.packets == MOST_PACKETS {
            return;
        }
        self.packets += 1;
        let mut reader = Reader::new(frame.data);
        let Some(header) = network(&mut reader, frame.link_type) else {
            self.not_ip += 1;
            return;
        };
        if header.fragment.is_some_and(|fragment| fragment.offset != 0) {
            self.fragments += 1;
            return;
        }
        let seen = match header.protocol {
            IpProtocol::UDP => udp::Header::parse(&mut reader).map(|header| {
                let geneve = u64::from(looks_like_geneve(reader));
                (
                    header.ports.destination,
                    Port { packets: 1, geneve, vxlan: u64::from(looks_like_vxlan(reader)) },
                )
            }),
            // The server's port is the lower one as a rule, in either direction.
            IpProtocol::TCP => udp::ports(&mut reader)
                .map(|ports| (ports.source.min(ports.destination), Port { packets: 1, ..Port::default() })),
            _ => None,
        };
        let Some((number, seen)) = seen else {
            self.other += 1;
            return;
        };
        let key = (header.protocol, number);
        if self.ports.len() == MOST_PORTS && !self.ports.contains_key(&key) {
            self.other += 1;
            return;
        }
        let port = self.ports.entry(key).or_default();
        port.packets += seen.packets;
        port.geneve += seen.geneve;
        port.vxlan += seen.vxlan;
    }

    /// Description of a capture that has no tunnel packet, and what to try. The capture has `link_types`, and was searched for
    /// GENEVE and VXLAN on these ports.
    pub fn without_tunnels(&self, link_types: &[u32], geneve_port: u16, vxlan_port: u16) -> String {
        let links: Vec<String> = link_types.iter().map(|&number| link_name(number)).collect();
        let mut text = format!(
            "no tunnel packet: GENEVE is looked for on UDP port {geneve_port}, VXLAN on UDP port {vxlan_port}. \
             The capture has link type {}, and ",
            links.join(" and ")
        );
        let which = if self.packets == MOST_PACKETS { " of the first 10000" } else { "" };
        let mut ports: Vec<_> =
            self.ports.iter().map(|(&(protocol, number), &port)| (protocol, number, port)).collect();
        ports.sort_by_key(|(protocol, number, port)| (Reverse(port.packets), protocol.0, *number));
        let mut parts: Vec<String> = Vec::new();
        for &(protocol, number, port) in ports.iter().take(NAMED) {
            let protocol = if protocol == IpProtocol::UDP { "UDP" } else { "TCP" };
            let likeness = match port.likeness() {
                Some(TunnelLikeness::Geneve) => ", which look like GENEVE",
                Some(TunnelLikeness::Vxlan) => ", which look like VXLAN",
                None => "",
            };
            parts.push(format!("{} on {protocol} port {number}{likeness}", port.packets));
        }
        let rest: u64 = ports.iter().skip(NAMED).map(|(_, _, port)| port.packets).sum();
        for (count, what) in [
            (rest, "on other ports"),
            (self.other, "of other IP protocols"),
            (self.fragments, "IP fragments"),
            (self.not_ip, "that are not IP"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{} packets{which}: {}. ", self.packets, parts.join("; "));
        text + &self.advice(&ports)
    }

    fn advice(&self, ports: &[(IpProtocol, u16, Port)]) -> String {
        let like = |likeness| {
            ports.iter().find(|(_, _, port)| port.likeness() == Some(likeness)).map(|(_, number, _)| *number)
        };
        let udp = ports.iter().find(|(protocol, ..)| *protocol == IpProtocol::UDP);
        if let Some(number) = like(TunnelLikeness::Geneve) {
            format!("Try --geneve-port {number}")
        } else if let Some(number) = like(TunnelLikeness::Vxlan) {
            format!("Try --vxlan-port {number}")
        } else if self.packets == self.not_ip {
            "Is it a capture of the interface that the tunnel packets arrive on?".to_owned()
        } else if let Some((_, number, _)) = udp {
            format!(
                "If a tunnel is on another port, try --geneve-port or --vxlan-port with it, such as {number}; traffic that is \
                 not in a tunnel is not recorded"
            )
        } else {
            "It seems to be of traffic that is not in a tunnel, which is not recorded; capture where the mirrored packets \
             arrive"
                .to_owned()
        }
    }
}

/// The IP header of a packet, and its payload in `reader`.
fn network<'a>(reader: &mut Reader<'a>, link_type: LinkType) -> Option<ip::Header<'a>> {
    let version = match link_type {
        LinkType::Ethernet => Version::of_ethertype(ethernet::Header::parse(reader)?.ethertype),
        LinkType::EtherType => Version::of_ethertype(ethernet::tagged(reader)?),
        LinkType::Ip => Version::of_packet({ *reader }.u8()?),
    };
    ip::Header::parse(reader, version?).ok()
}

/// `true` if a UDP payload has the form of GENEVE around IP or Ethernet.
fn looks_like_geneve(mut reader: Reader<'_>) -> bool {
    geneve::Header::parse(&mut reader).is_ok_and(|header| {
        let is_around = match header.protocol {
            EtherType::ETHERNET => reader.remaining() >= ethernet::Header::LENGTH,
            EtherType::IPV4 | EtherType::IPV6 => reader
                .u8()
                .is_some_and(|byte| Version::of_packet(byte) == Version::of_ethertype(header.protocol)),
            _ => false,
        };
        is_around && header.options.walk().all(|option| option.is_ok())
    })
}

/// `true` if a UDP payload has the form of VXLAN, with nothing in its reserved bits.
fn looks_like_vxlan(mut reader: Reader<'_>) -> bool {
    let reserved =
        { reader }.array().is_some_and(|[flags, a, b, c, _, _, _, d]| [flags, a, b, c, d] == [8, 0, 0, 0, 0]);
    reserved
        && vxlan::Header::parse(&mut reader).is_ok()
        && ethernet::Header::parse(&mut reader).is_some_and(|header| header.ethertype.0 >= 0x0600)
}

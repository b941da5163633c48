//! One packet: from its number to its header.
#![expect(
    clippy::cast_possible_truncation,
    reason = "choices are cut out of hashes, counts are below 2^32, sequence numbers wrap"
)]

use crate::count::{BARE, SIZES, VALID_TEMPLATES};
use crate::flow::{Flow, Protocol};
use crate::hash::scramble;
use crate::header::{Header, place, words};
use crate::lifetime::Lifetime;
use crate::mix::Mix;
use crate::position::Position;

/// One packet: its flow, and its own choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The flow it belongs to.
    pub flow: Flow,
    /// Its place in the flow.
    pub lifetime: Lifetime,
    /// 0 for a valid packet, otherwise the number of its fault, from 1.
    pub kind: u32,
    size: u32,
    protocol: Protocol,
    vxlan: bool,
    ipv6: bool,
    stride: u32,
    /// False where the flow lasts for ever; its SYNs carry payload then.
    ends: bool,
}

impl Packet {
    /// The packet at `position` in the traffic of `mix`.
    #[inline(always)]
    pub fn new(mix: &Mix, position: &Position) -> Self {
        let lifetime = Lifetime::new(mix, position);
        let flow = Flow::new(mix, lifetime.flow);
        let mut packet = Self {
            flow,
            lifetime,
            kind: 0,
            size: 0,
            protocol: flow.protocol,
            vxlan: flow.vxlan,
            ipv6: flow.ipv6,
            stride: mix.stride as u32,
            ends: mix.ends != 0,
        };
        if packet.is_control() {
            packet.size = BARE;
        }
        if mix.malformed == 0 && mix.internet_mix == 0 {
            return packet;
        }
        let chance = scramble(mix.seed ^ position.number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        if (chance & 0xffff_ffff) < mix.malformed {
            packet.kind = 1 + (((chance >> 48) * mix.faults) >> 16) as u32;
            packet.vxlan = mix.vxlan != 0;
            packet.ipv6 = false;
            packet.protocol = Protocol::Tcp;
        } else if mix.internet_mix != 0 && packet.size != BARE {
            // 7:4:1. A connection of 20 packets has 5 without payload, which are small: 4:4:1 is left for the others.
            let (small, others) = if packet.ends && packet.is_tcp() { (4, 5) } else { (7, 5) };
            let choice = ((chance >> 32 & 0xffff) * (small + others)) >> 16;
            packet.size = if choice < small {
                0
            } else if choice < small + 4 {
                1
            } else {
                2
            };
        }
        packet
    }

    /// True for a TCP segment.
    #[inline(always)]
    pub const fn is_tcp(&self) -> bool {
        matches!(self.protocol, Protocol::Tcp)
    }

    /// True for a segment that opens or closes a TCP connection and carries nothing else: both SYNs, both FINs, and the
    /// acknowledgment after them. Flows that last for ever have none.
    #[inline(always)]
    pub const fn is_control(&self) -> bool {
        self.ends && self.is_tcp() && (self.lifetime.before < 2 || self.lifetime.after < 3)
    }

    /// True for a packet from the mirrored interface to the other end.
    #[inline(always)]
    pub const fn reply(&self) -> bool {
        self.lifetime.before & 1 != 0
    }

    /// Index of its template.
    #[inline(always)]
    pub const fn template(&self) -> u32 {
        if self.kind == 0 {
            valid_template(self.vxlan, self.ipv6, self.protocol, self.size)
        } else {
            VALID_TEMPLATES as u32 + self.kind - 1
        }
    }

    /// Makes the header of the packet from its template, in which varying fields are zero, and a checksum is the sum over
    /// the fields that do not vary, not yet complemented.
    #[inline(always)]
    pub const fn write(&self, template: &Header, header: &mut Header) {
        *header = *template;
        header.put(place::OUTER_PORT, self.flow.outer_port(self.reply()));
        header.put_u64(place::ENDPOINT, self.flow.endpoint);
        header.put_u64(place::ATTACHMENT, self.flow.attachment);
        header.put_u32(place::COOKIE, self.flow.cookie);
        if self.vxlan {
            self.write_vxlan(header);
            self.write_ip(header, place::VXLAN_PAYLOAD);
        } else {
            self.write_ip(header, place::PAYLOAD);
        }
    }

    /// Writes the headers that the mirror puts around a packet: from the mirrored interface to the endpoint.
    #[inline(always)]
    const fn write_vxlan(&self, header: &mut Header) {
        let ip = place::PAYLOAD;
        header.put_u32(ip + 6, self.flow.local);
        header.put_checksum(ip + 5, words(self.flow.local));
        header.put(place::VXLAN_PORT, self.flow.vxlan_port(self.reply()));
        header.put_u32(place::VXLAN_VNI, self.flow.vni() << 8);
        let ethernet = place::VXLAN_ETHERNET;
        let (interface, router) =
            if self.reply() { (ethernet + 3, ethernet) } else { (ethernet, ethernet + 3) };
        header.put_u32(interface, INTERFACE_MAC);
        header.put(interface + 2, self.flow.interface);
        header.put_u32(router, ROUTER_MAC);
        header.put(router + 2, 0);
    }

    #[inline(always)]
    const fn write_ip(&self, header: &mut Header, ip: usize) {
        let Flow { local, remote, .. } = self.flow;
        let (source, destination) = if self.reply() { (local, remote) } else { (remote, local) };
        let addresses = words(local) + words(remote);
        if self.ipv6 {
            header.put_u32(ip + 10, source);
            header.put_u32(ip + 18, destination);
            self.write_transport(header, ip + 20, addresses);
        } else {
            header.put_u32(ip + 6, source);
            header.put_u32(ip + 8, destination);
            header.put_checksum(ip + 5, addresses);
            self.write_transport(header, ip + 10, addresses);
        }
    }

    #[inline(always)]
    const fn write_transport(&self, header: &mut Header, at: usize, addresses: u64) {
        let remote_port = self.flow.remote_port;
        let local_port = self.protocol.local_port();
        let (source, destination) =
            if self.reply() { (local_port, remote_port) } else { (remote_port, local_port) };
        let ports = remote_port as u64 + local_port as u64;
        match self.protocol {
            Protocol::Tcp => {
                let (sequence, acknowledgment) = self.sequence_numbers();
                let flags = match (self.lifetime.before, self.lifetime.after) {
                    (0, _) => SYN,
                    (1, _) => SYN | ACK,
                    (_, 1 | 2) => FIN | ACK,
                    (_, 0) => ACK,
                    _ => PSH | ACK,
                };
                header.put(at, source);
                header.put(at + 1, destination);
                header.put_u32(at + 2, sequence);
                header.put_u32(at + 4, acknowledgment);
                header.put(at + 6, NO_OPTIONS | flags);
                let varied = addresses + ports + words(sequence) + words(acknowledgment) + flags as u64;
                header.put_checksum(at + 8, varied);
            }
            Protocol::Udp => {
                header.put(at, source);
                header.put(at + 1, destination);
                header.put_checksum(at + 3, addresses + ports);
                if header.0[at + 3] == 0 {
                    header.0[at + 3] = 0xffff; // 0 would mean that there is none (RFC 768)
                }
            }
            Protocol::Icmp => {
                let kind = match (self.ipv6, self.reply()) {
                    (false, false) => 8 << 8,
                    (false, true) => 0,
                    (true, false) => 128 << 8,
                    (true, true) => 129 << 8,
                };
                let sequence = (self.lifetime.before >> 1) as u16;
                header.put(at, kind);
                header.put(at + 2, remote_port);
                header.put(at + 3, sequence);
                let varied = kind as u64 + remote_port as u64 + sequence as u64;
                header.put_checksum(at + 1, if self.ipv6 { varied + addresses } else { varied });
            }
        }
    }

    /// Sequence and acknowledgment number, as if every packet arrived and all with payload had the longest. In flows that last
    /// for ever, both SYNs carry payload.
    #[inline(always)]
    const fn sequence_numbers(&self) -> (u32, u32) {
        let initial = [self.flow.hash as u32, (self.flow.hash >> 32) as u32];
        let (own, other) = if self.reply() { (initial[1], initial[0]) } else { (initial[0], initial[1]) };
        let Lifetime { before, after, .. } = self.lifetime;
        let own_sent = before >> 1;
        let other_sent = (before + 1) >> 1;
        let own = self.sequence_number(own, own_sent, after == 0);
        let acknowledgment =
            if other_sent == 0 { 0 } else { self.sequence_number(other, other_sent, after <= 1) };
        (own, acknowledgment)
    }

    /// The sequence number that follows `sent` packets of a direction that began with `initial`, and whose FIN was sent or
    /// not.
    #[inline(always)]
    const fn sequence_number(&self, initial: u32, sent: u32, fin: bool) -> u32 {
        // SYN and FIN take one number each (RFC 9293, section 3.4).
        let flags = (sent != 0) as u32 + fin as u32;
        let payloads = if self.ends { sent - flags } else { sent };
        initial.wrapping_add(payloads.wrapping_mul(self.stride)).wrapping_add(flags)
    }
}

/// Flags of a TCP header.
const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
/// Data offset of a TCP header without options, in the word that also holds the flags. The template has it.
const NO_OPTIONS: u16 = 0x5000;

/// First four bytes of the MAC addresses of mirrored interfaces; the number of the interface follows.
const INTERFACE_MAC: u32 = 0x0a00_0000;
/// First four bytes of the router's MAC address; zeros follow.
const ROUTER_MAC: u32 = 0x0aff_0000;

/// Index of the template of valid packets.
#[inline(always)]
pub const fn valid_template(vxlan: bool, ipv6: bool, protocol: Protocol, size: u32) -> u32 {
    ((vxlan as u32 * 2 + ipv6 as u32) * 3 + protocol as u32) * SIZES as u32 + size
}

//! What the traffic is made of, and which packet has which number.
#![expect(clippy::cast_possible_truncation, reason = "choices are cut out of hashes")]

use super::flow::{Flow, Protocol, scramble};
use super::packet::Packet;

/// Parts of the whole in which [`Mix`] gives the shares of flows.
pub const FLOW_SHARE: u64 = 1 << 16;
/// Parts of the whole in which [`Mix`] gives the share of malformed packets.
pub const PACKET_SHARE: u64 = 1 << 32;

/// What the traffic is made of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Everything that looks random follows from this.
    pub seed: u64,
    /// Number of flows: 1 to 2^32.
    pub flows: u64,
    /// Number of Gateway Load Balancer endpoints: 1 to 2^16.
    pub endpoints: u64,
    /// Share of flows inside VXLAN, of [`FLOW_SHARE`].
    pub vxlan: u64,
    /// Share of flows of IPv6, of [`FLOW_SHARE`].
    pub ipv6: u64,
    /// Share of flows of UDP, of [`FLOW_SHARE`].
    pub udp: u64,
    /// Share of flows of ICMP, of [`FLOW_SHARE`]; the rest is TCP.
    pub icmp: u64,
    /// Share of malformed packets, of [`PACKET_SHARE`].
    pub malformed: u64,
    /// Number of faults among which malformed packets are spread evenly: at most [`KINDS`](super::KINDS) - 1.
    pub faults: u64,
    /// 1 where packets have the three sizes of an internet mix, in the ratio 7:4:1; 0 where they have one.
    pub internet_mix: u64,
    /// Bytes by which TCP sequence numbers advance from packet to packet.
    pub stride: u64,
    /// 1 where the flow cookie of a packet is its [stamp](super::Header::stamp); 0 where it is that of its flow.
    pub stamped: u64,
}

/// A [`Mix`] as the words that it is made of.
pub const MIX_WORDS: usize = size_of::<Mix>() / 8;

impl Mix {
    /// The mix as it lies in memory.
    pub const fn words(&self) -> [u64; MIX_WORDS] {
        let Self {
            seed,
            flows,
            endpoints,
            vxlan,
            ipv6,
            udp,
            icmp,
            malformed,
            faults,
            internet_mix,
            stride,
            stamped,
        } = *self;
        [seed, flows, endpoints, vxlan, ipv6, udp, icmp, malformed, faults, internet_mix, stride, stamped]
    }

    /// The packet at `position`.
    #[inline(always)]
    pub const fn packet(&self, position: &Position) -> Packet {
        let flow = Flow::new(self, position.flow);
        let mut packet = Packet {
            flow,
            round: position.round as u32,
            kind: 0,
            size: 0,
            protocol: flow.protocol,
            vxlan: flow.vxlan,
            ipv6: flow.ipv6,
            stride: self.stride as u32,
        };
        if self.malformed == 0 && self.internet_mix == 0 {
            return packet;
        }
        let chance = scramble(self.seed ^ position.number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        if (chance & 0xffff_ffff) < self.malformed {
            packet.kind = 1 + (((chance >> 48) * self.faults) >> 16) as u32;
            packet.vxlan = self.vxlan != 0;
            packet.ipv6 = false;
            packet.protocol = Protocol::Tcp;
        } else if self.internet_mix != 0 {
            packet.size = match ((chance >> 32 & 0xffff) * 12) >> 16 {
                0..7 => 0,
                7..11 => 1,
                _ => 2,
            };
        }
        packet
    }
}

/// A packet number, and where it stands in the flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the packet, from 0.
    pub number: u64,
    /// Its flow: number modulo flows.
    pub flow: u64,
    /// How many packets of that flow went before: number divided by flows.
    pub round: u64,
}

impl Position {
    /// Position of packet `number` among `flows` flows, at least 1.
    pub const fn new(number: u64, flows: u64) -> Self {
        Self { number, flow: number % flows, round: number / flows }
    }

    /// Goes on to the next packet. Without the division of [`new`](Self::new), which costs more than the rest.
    #[inline(always)]
    pub const fn advance(&mut self, flows: u64) {
        self.number += 1;
        self.flow += 1;
        if self.flow >= flows {
            self.flow = 0;
            self.round += 1;
        }
    }
}

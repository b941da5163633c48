//! The composition of the traffic, as its user gives it.

use std::fmt;
use std::str::FromStr;

use mirror_traffic::count::SIZES;
use mirror_traffic::mix::{FLOW_SHARE, PACKET_SHARE};
use mirror_traffic::{Mix, Protocol};
use thiserror::Error;

use super::addresses::Addresses;
use super::fault::Fault;
use super::layout::Layout;
use super::share::Share;

/// The composition of the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Number of flows at a time, in which packets take turns: 1 to 2^32.
    pub flows: u64,
    /// Lifetimes of the flows.
    pub lifetimes: Lifetimes,
    /// Sizes of valid packets' frames, but for TCP segments without payload.
    pub frame_size: FrameSize,
    /// Share of flows inside VXLAN, as traffic mirroring wraps them. The others stand directly in GENEVE.
    pub vxlan: Share,
    /// Share of flows of IPv6.
    pub ipv6: Share,
    /// Share of flows of UDP.
    pub udp: Share,
    /// Share of flows of ICMP echo. The rest is TCP.
    pub icmp: Share,
    /// Share of malformed packets, spread evenly over the kinds of [`Fault`].
    pub malformed: Share,
    /// Number of Gateway Load Balancer endpoints: 1 to 2^16.
    pub endpoints: u32,
    /// Number of mirrored interfaces behind each endpoint, each a tunnel of its own inside VXLAN: 1 to 2^16.
    pub interfaces: u32,
    /// Everything that looks random follows from this.
    pub seed: u64,
    /// True where the flow cookie of a packet is the time for which it was meant
    /// ([`Header::stamp`](mirror_traffic::Header::stamp)). Only paced live frames can have it.
    pub stamped: bool,
    /// Addresses of the outer headers.
    pub addresses: Addresses,
}

impl Default for Profile {
    /// Mirrored TCP and UDP over IPv4 in frames of 256 bytes.
    fn default() -> Self {
        Self {
            flows: 1000,
            lifetimes: Lifetimes::Endless,
            frame_size: FrameSize::Bytes(256),
            vxlan: Share::ALL,
            ipv6: Share::NONE,
            udp: Share::FIFTH,
            icmp: Share::NONE,
            malformed: Share::NONE,
            endpoints: 4,
            interfaces: 256,
            seed: 1,
            stamped: false,
            addresses: Addresses::default(),
        }
    }
}

impl Profile {
    /// Sessions mirrored to a Gateway Load Balancer, as the program is meant for them: 64,000 flows at a time, each with a beginning
    /// and an end, in VXLAN within GENEVE, from 1,000 interfaces behind 8 endpoints. 70 % of the flows are TCP, 30 % UDP, and 10 %
    /// of IPv6, in packets of an internet mix.
    pub fn mirrored() -> Self {
        Self {
            flows: 64_000,
            lifetimes: Lifetimes::HeavyTailed,
            frame_size: FrameSize::InternetMix,
            ipv6: Share::TENTH,
            udp: Share::THREE_TENTHS,
            endpoints: 8,
            interfaces: 125,
            ..Self::default()
        }
    }

    /// Packets directly in GENEVE, as a Gateway Load Balancer sends those of its own endpoints: TCP over IPv4 in frames of 128
    /// bytes, in 64,000 flows that do not end.
    pub fn geneve() -> Self {
        Self {
            flows: 64_000,
            frame_size: FrameSize::Bytes(128),
            vxlan: Share::NONE,
            udp: Share::NONE,
            ..Self::default()
        }
    }

    /// Number of tunnels: pairs of an endpoint and a VNI inside VXLAN, and endpoints alone without it.
    pub fn tunnels(&self) -> u64 {
        let interfaces = if self.vxlan.has(true) { self.interfaces } else { 1 };
        u64::from(self.endpoints) * u64::from(interfaces)
    }
}

/// Lifetimes of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lifetimes {
    /// They never end: TCP connections have no FIN, and their SYNs carry payload.
    Endless,
    /// From 6 to 253 packets, 20 on average, half of them 10 or fewer
    /// ([`LENGTHS`](mirror_traffic::lifetime::LENGTHS)). TCP connections have SYN and FIN of both sides. Where one ends, the
    /// next begins.
    HeavyTailed,
}

/// Sizes of valid packets' frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// One size in bytes, from the outer Ethernet header on.
    Bytes(u16),
    /// Mirrored IP packets of 64, 576 and 1,500 bytes in the ratio 7:4:1.
    InternetMix,
}

impl FrameSize {
    /// Bytes of a frame of `layout` in each size class: those of an internet mix, from small to large, and
    /// [`BARE`](mirror_traffic::count::BARE).
    pub(super) fn lengths(self, layout: Layout) -> [usize; SIZES] {
        let [small, medium, large] = match self {
            Self::Bytes(bytes) => [usize::from(bytes); 3],
            Self::InternetMix => [64, 576, 1500].map(|packet| layout.packet_offset() + packet),
        };
        [small, medium, large, layout.headers_length()]
    }
}

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "imix" {
            return Ok(Self::InternetMix);
        }
        text.parse()
            .map(Self::Bytes)
            .map_err(|_| "expected a number of bytes up to 65535, or `imix`".to_owned())
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(formatter),
            Self::InternetMix => formatter.write_str("imix"),
        }
    }
}

/// A profile that contradicts itself or is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// Frames too small for their headers.
    #[error(
        "frames of {size} bytes are too small: the headers of this traffic need {minimum}; \
         make --frame-size {minimum} or more"
    )]
    FrameTooSmall {
        /// Size asked for, in bytes.
        size: usize,
        /// Smallest possible size, in bytes.
        minimum: usize,
    },
    /// Shares of protocols that exceed the whole.
    #[error("--udp and --icmp together exceed 1: lower one of them; the rest is TCP")]
    Protocols,
    /// Number of flows out of range.
    #[error("{0} flows are out of range: make --flows 1 to 4294967296")]
    Flows(u64),
    /// Number of endpoints out of range.
    #[error("{0} endpoints are out of range: make --endpoints 1 to 65536")]
    Endpoints(u32),
    /// Number of interfaces out of range.
    #[error("{0} interfaces behind each endpoint are out of range: make --interfaces 1 to 65536")]
    Interfaces(u32),
}

impl Profile {
    /// The profile in numbers.
    pub(super) fn mix(&self) -> Result<Mix, ProfileError> {
        if !(1..=1 << 32).contains(&self.flows) {
            return Err(ProfileError::Flows(self.flows));
        }
        if !(1..=1 << 16).contains(&self.endpoints) {
            return Err(ProfileError::Endpoints(self.endpoints));
        }
        if !(1..=1 << 16).contains(&self.interfaces) {
            return Err(ProfileError::Interfaces(self.interfaces));
        }
        let udp_or_icmp = self.udp.plus(self.icmp).ok_or(ProfileError::Protocols)?;
        let layouts = || Layout::all().filter(|layout| self.has(*layout));
        let minimum = layouts().map(Layout::headers_length).max().unwrap_or(0);
        if let FrameSize::Bytes(size) = self.frame_size
            && usize::from(size) < minimum
        {
            return Err(ProfileError::FrameTooSmall { size: size.into(), minimum });
        }
        // The payload of the longest packets, which all advance the sequence number by as much.
        let stride = layouts().filter(|layout| layout.protocol == Protocol::Tcp).map(|layout| {
            let [.., longest, _bare] = self.frame_size.lengths(layout);
            (longest - layout.headers_length()) as u64
        });
        let vxlan = self.vxlan.of(FLOW_SHARE);
        let udp = self.udp.of(FLOW_SHARE);
        let faults = match (self.malformed == Share::NONE, vxlan) {
            (true, _) => 0,
            (false, 0) => Fault::WITHOUT_VXLAN,
            (false, _) => Fault::ALL.len(),
        };
        Ok(Mix {
            seed: self.seed,
            flows: self.flows,
            ends: u64::from(self.lifetimes == Lifetimes::HeavyTailed),
            endpoints: self.endpoints.into(),
            interfaces: self.interfaces.into(),
            vxlan,
            ipv6: self.ipv6.of(FLOW_SHARE),
            udp,
            icmp: udp_or_icmp.of(FLOW_SHARE) - udp,
            malformed: self.malformed.of(PACKET_SHARE),
            faults: faults as u64,
            internet_mix: u64::from(self.frame_size == FrameSize::InternetMix),
            stride: stride.max().unwrap_or(0),
            stamped: u64::from(self.stamped),
        })
    }

    /// True where some packets may have `layout`.
    pub(super) fn has(&self, layout: Layout) -> bool {
        let valid = self.vxlan.has(layout.vxlan)
            && self.ipv6.has(layout.ipv6)
            && match layout.protocol {
                Protocol::Tcp => self.udp.plus(self.icmp).is_some_and(|share| share.has(false)),
                Protocol::Udp => self.udp.has(true),
                Protocol::Icmp => self.icmp.has(true),
            };
        let malformed = self.malformed.has(true)
            && layout.vxlan == self.vxlan.has(true)
            && !layout.ipv6
            && layout.protocol == Protocol::Tcp;
        valid || malformed
    }
}

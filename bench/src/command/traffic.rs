//! Arguments that describe traffic.

use clap::{Args, ValueEnum};
use mirror_testkit::traffic::{FrameSize, Lifetimes, Profile, Share};

/// Traffic that has a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TrafficKind {
    /// Mirrored sessions in VXLAN within GENEVE, from 1,000 interfaces behind 8 endpoints; TCP, UDP and some IPv6 in an
    /// internet mix; 64,000 flows at a time that begin and end, with 20 packets on average
    #[default]
    Mirrored,
    /// TCP directly in GENEVE, in frames of 128 bytes and 64,000 flows that do not end
    Geneve,
}

impl TrafficKind {
    /// The traffic.
    pub fn profile(self) -> Profile {
        match self {
            Self::Mirrored => Profile::mirrored(),
            Self::Geneve => Profile::geneve(),
        }
    }
}

/// The traffic of a measurement.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Traffic")]
pub struct TrafficArguments {
    /// The traffic from which the other options depart
    #[arg(long, value_enum, default_value_t)]
    pub traffic: TrafficKind,
    /// Options that depart from it.
    #[command(flatten)]
    pub shape: Shape,
}

impl TrafficArguments {
    /// The traffic.
    pub fn profile(&self) -> Profile {
        self.shape.of(&self.traffic.profile())
    }
}

/// Departures from a named traffic.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Traffic")]
pub struct Shape {
    /// Number of flows at a time, which take turns
    #[arg(long)]
    pub flows: Option<u64>,
    /// Lifetimes of flows
    #[arg(long, value_enum)]
    pub lifetimes: Option<Lifetimes>,
    /// Bytes of the frames from the outer Ethernet header on, or `imix`: mirrored packets of 64, 576 and 1500 bytes, 7:4:1
    #[arg(long, value_name = "BYTES|imix")]
    pub frame_size: Option<FrameSize>,
    /// Share of flows inside VXLAN, as traffic mirroring has them: `on`, `off` or a fraction
    #[arg(long, value_name = "SHARE")]
    pub vxlan: Option<Share>,
    /// Share of flows of IPv6
    #[arg(long, value_name = "SHARE")]
    pub ipv6: Option<Share>,
    /// Share of flows of UDP; the rest is TCP
    #[arg(long, value_name = "SHARE")]
    pub udp: Option<Share>,
    /// Number of Gateway Load Balancer endpoints
    #[arg(long)]
    pub endpoints: Option<u32>,
    /// Number of mirrored interfaces behind each endpoint, each of which is a tunnel inside VXLAN
    #[arg(long)]
    pub interfaces: Option<u32>,
}

impl Shape {
    /// `traffic`, with what departs from it.
    pub fn of(&self, traffic: &Profile) -> Profile {
        let Self { flows, lifetimes, frame_size, vxlan, ipv6, udp, endpoints, interfaces } = *self;
        Profile {
            flows: flows.unwrap_or(traffic.flows),
            lifetimes: lifetimes.unwrap_or(traffic.lifetimes),
            frame_size: frame_size.unwrap_or(traffic.frame_size),
            vxlan: vxlan.unwrap_or(traffic.vxlan),
            ipv6: ipv6.unwrap_or(traffic.ipv6),
            udp: udp.unwrap_or(traffic.udp),
            endpoints: endpoints.unwrap_or(traffic.endpoints),
            interfaces: interfaces.unwrap_or(traffic.interfaces),
            ..traffic.clone()
        }
    }
}

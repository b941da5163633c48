//! Records of flows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mirror_app::Summary;

use super::community_id::CommunityId;
use super::transport::FlowTransport;
use crate::number::SamplingRate;
use crate::number::{FlowCookie, IpProtocol, QueueId};
use crate::packet::Tunnel;
use crate::time::Timestamp;

/// The record of a flow, or of one interval of it.
///
/// Counters, TCP flags, times and TTLs are those of the packets since the last record, so that sums over
/// records are exact: each packet of a flow is in exactly one record. A short flow has one record,
/// [`Action::End`]. A longer one has [`Action::Open`] when its first interval is over, [`Action::Update`] for
/// each further one, and at last [`Action::End`], whose counters are 0 if no packet came since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Queue that the packets came by.
    pub queue: QueueId,
    /// Sampling rate: this flow stands for so many, and a reader multiplies the counters by it.
    pub sampling_rate: SamplingRate,
    /// Place of the record among those of the flow.
    pub action: Action,
    /// Time of the first packet that is counted here; if there is none, of the last one that was counted before.
    pub start: Timestamp,
    /// Time of the last packet that is counted here; if there is none, of the last one that was counted before.
    pub end: Timestamp,
    /// Tunnel of the latest packet, with the latest cookie.
    pub tunnel: Tunnel,
    /// The first cookie of the flow.
    pub first_cookie: Option<FlowCookie>,
    /// VLAN ids (12 bits), outermost first.
    pub vlans: [Option<u16>; 2],
    /// Address of the initiator.
    pub source: IpAddr,
    /// Address of the other end; of the same family.
    pub destination: IpAddr,
    /// Protocol.
    pub protocol: IpProtocol,
    /// Ports, or the fields that stand for them.
    pub transport: FlowTransport,
    /// Evidence of the initiator.
    pub initiator: Initiator,
    /// Packets of the initiator.
    pub forward: Traffic,
    /// Packets of the other end.
    pub reverse: Traffic,
    /// Packets that this record accounts for: all but those that have a record of their own.
    pub accounted: u64,
    /// State of the TCP connection; none where the flow is not TCP, or no packet had its TCP header.
    pub connection: Option<Connection>,
    /// From SYN to the initiator's first acknowledgment: the round trip between both ends. None where the
    /// handshake was not seen, or SYN was repeated, so that it is not known which one was answered.
    /// In whole microseconds.
    pub handshake: Option<Duration>,
    /// What its payload has told of its application so far.
    pub application: Option<Arc<Summary>>,
}

impl FlowRecord {
    /// Time between first and last packet.
    pub const fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.0.saturating_sub(self.start.0))
    }

    /// Packets of both directions.
    pub const fn packets(&self) -> u64 {
        self.forward.packets + self.reverse.packets
    }

    /// `true` if retransmissions and segments out of order may be artefacts of mirroring: packets behind a Gateway Load
    /// Balancer endpoint may be delivered out of order (AWS, "Traffic Mirroring considerations"), and a packet that is
    /// mirrored at two interfaces comes twice.
    pub const fn has_doubtful_order(&self) -> bool {
        let Self { forward, reverse, tunnel, .. } = self;
        let is_mirrored = tunnel.endpoint.is_some() || tunnel.vxlan_vni.is_some();
        let disorder =
            forward.retransmissions | forward.out_of_order | reverse.retransmissions | reverse.out_of_order;
        is_mirrored && disorder > 0
    }

    /// Original bytes of both directions.
    pub const fn bytes(&self) -> u64 {
        self.forward.bytes + self.reverse.bytes
    }

    /// The Community ID, by which records of this flow from other workers, appliances and tools are joined.
    /// None for protocols whose ports it needs, where they were cut off.
    pub fn community_id(&self) -> Option<CommunityId> {
        CommunityId::of(self.source, self.destination, self.protocol, self.transport)
    }
}

/// Place of a record among those of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The first of several.
    Open,
    /// A further one.
    Update,
    /// The last one, or the only one.
    End(EndReason),
}

impl Action {
    /// The value of `event.action`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Update => "update",
            Self::End(_) => "end",
        }
    }
}

/// Reason for which a flow has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// No packet for the idle timeout.
    Idle,
    /// The TCP connection was closed by both ends.
    Closed,
    /// The TCP connection was reset, or refused.
    Reset,
    /// The next packet on its addresses and ports came with a time so far before this flow that they are none: the
    /// clock was set back, or captures are read out of order.
    ClockStep,
    /// A new TCP connection began on its addresses and ports before this one had ended.
    Reused,
    /// The table was full, and this flow, or its tunnel, had been idle longest.
    Evicted,
    /// The capture ended.
    Shutdown,
}

impl EndReason {
    /// Name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::ClockStep => "clock_step",
            Self::Reused => "reused",
            Self::Evicted => "evicted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Evidence of a flow's initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// It sent SYN, or was sent an answer to it: SYN and ACK, or the RST of a refusal.
    Syn,
    /// It sent an ICMP request, or was sent a reply.
    Request,
    /// It was the initiator of an earlier flow on the same addresses and ports, which was known from SYN.
    Earlier,
    /// It sent the first packet that was seen, which is a guess.
    FirstPacket,
}

impl Initiator {
    /// Name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Request => "request",
            Self::Earlier => "earlier_flow",
            Self::FirstPacket => "first_packet",
        }
    }
}

/// State of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// SYN was seen, and nothing that completes the handshake.
    Attempted,
    /// Data may flow.
    Open,
    /// One end has sent FIN.
    Closing,
    /// Both ends have sent FIN, or the only one that is seen.
    Closed,
    /// RST ended it.
    Reset,
    /// RST was the answer to SYN.
    Refused,
    /// It was none of closed, reset and refused when the flow's idle timeout passed.
    TimedOut,
}

impl Connection {
    /// Name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempted => "attempted",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of the mirrored packets, from Ethernet header on where there is one, as they originally were.
    pub bytes: u64,
    /// Bytes of them that were captured.
    pub captured_bytes: u64,
    /// Times of the first and of the last packet; none if there was no packet.
    pub times: Option<(Timestamp, Timestamp)>,
    /// Lowest and highest TTL or hop limit; none if there was no packet.
    pub hop_limits: Option<(u8, u8)>,
    /// TCP flags seen, as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub tcp_flags: u8,
    /// Retransmitted TCP segments, up to 65,535 per record.
    pub retransmissions: u16,
    /// TCP segments that came later than their successors, up to 65,535 per record.
    pub out_of_order: u16,
}

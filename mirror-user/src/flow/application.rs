//! Records of what flows tell of their applications.

use std::net::IpAddr;

use mirror_app::{Event, dns, http, tls};

use super::transport::FlowTransport;
use crate::number::{IpProtocol, QueueId, SamplingRate};
use crate::packet::Tunnel;
use crate::rules::{ApplicationKinds, RecordKind};
use crate::time::Timestamp;

/// The ends of a flow, and the tunnel that its packets come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowIdentity {
    /// Tunnel of the latest packet, with the latest cookie.
    pub tunnel: Tunnel,
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
}

/// A record of a message or handshake of an application. It accounts for no packets: those are in records of flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationRecord {
    /// Time of the packet that completed it.
    pub timestamp: Timestamp,
    /// Queue that the packets came by.
    pub queue: QueueId,
    /// Sampling rate of the flow: it stands for so many.
    pub sampling_rate: SamplingRate,
    /// The flow.
    pub flow: FlowIdentity,
    /// The message or handshake.
    pub application: Application,
}

/// A message or handshake of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Application {
    /// A TLS handshake, over TCP or QUIC.
    Tls(Box<tls::Handshake>),
    /// A DNS message.
    Dns(Box<dns::Message>),
    /// An HTTP request and its response, at least one of them.
    Http(Box<(Option<http::Request>, Option<http::Response>)>),
}

impl Application {
    /// What a record of its own tells of an event; [`None`] where only the record of the flow does, as other `kinds` are asked for.
    pub fn of(event: Event<'_>, kinds: ApplicationKinds) -> Option<Self> {
        match event {
            Event::Tls(handshake) if kinds.has(RecordKind::Tls) => {
                Some(Self::Tls(Box::new(handshake.clone())))
            }
            Event::Dns { message, .. } if kinds.has(RecordKind::Dns) => {
                Some(Self::Dns(Box::new(message.clone())))
            }
            Event::Http { request, response, .. } if kinds.has(RecordKind::Http) => {
                Some(Self::Http(Box::new((request.cloned(), response))))
            }
            Event::Tls(_) | Event::Dns { .. } | Event::Http { .. } | Event::Dhcp { .. } => None,
        }
    }

    /// The kind of record that tells of it.
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Tls(_) => RecordKind::Tls,
            Self::Dns(_) => RecordKind::Dns,
            Self::Http(_) => RecordKind::Http,
        }
    }
}

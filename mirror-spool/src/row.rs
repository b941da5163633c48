//! Rows: the records as plain values, which the daemon fills in and the reader gives back.

use std::net::IpAddr;
use std::sync::Arc;

/// A code of one byte in a column, with its name.
macro_rules! codes {
    ($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $code:literal $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])+ $variant = $code,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// Codes and names, as the column's metadata tells them.
            pub(crate) const LEGEND: &'static str = concat!($($code, "=", $text, " ",)+);

            /// Number in the column.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// Name in records.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The value of a code; none for a code that this version does not know.
            pub const fn of_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Place of a record among those of its flow, and why the flow ended.
    Action {
        /// The first of several.
        Open = 0 "open",
        /// A further one.
        Update = 1 "update",
        /// The last: no packet for the idle timeout.
        Idle = 2 "idle",
        /// The last: both ends closed the TCP connection.
        Closed = 3 "closed",
        /// The last: the TCP connection was reset, or refused.
        Reset = 4 "reset",
        /// The last: the next packet was far older.
        ClockStep = 5 "clock_step",
        /// The last: a new TCP connection began on the same addresses and ports.
        Reused = 6 "reused",
        /// The last: the flow table was full.
        Evicted = 7 "evicted",
        /// The last: the capture ended.
        Shutdown = 8 "shutdown",
    }
}

impl Action {
    /// `true` for the last or only record of a flow.
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Open | Self::Update)
    }
}

codes! {
    /// Evidence of a flow's initiator.
    Initiator {
        /// SYN, or an answer to it.
        Syn = 0 "syn",
        /// An ICMP request, or a reply.
        Request = 1 "request",
        /// An earlier flow on the same addresses and ports.
        Earlier = 2 "earlier_flow",
        /// The first packet that was seen, which is a guess.
        FirstPacket = 3 "first_packet",
    }
}

codes! {
    /// State of a TCP connection.
    Connection {
        /// SYN was seen, and nothing that completes the handshake.
        Attempted = 0 "attempted",
        /// Data may flow.
        Open = 1 "open",
        /// One end has sent FIN.
        Closing = 2 "closing",
        /// Both ends have sent FIN, or the only one that is seen.
        Closed = 3 "closed",
        /// RST ended it.
        Reset = 4 "reset",
        /// RST was the answer to SYN.
        Refused = 5 "refused",
        /// It was neither closed nor reset when the idle timeout passed.
        TimedOut = 6 "timed_out",
    }
}

codes! {
    /// Direction of a flow, as `network.direction` of ECS.
    Direction {
        /// Between private addresses.
        Internal = 0 "internal",
        /// From outside to a private address.
        Inbound = 1 "inbound",
        /// From a private address to outside.
        Outbound = 2 "outbound",
        /// Between public addresses.
        External = 3 "external",
        /// To the monitored host.
        Ingress = 4 "ingress",
        /// From the monitored host.
        Egress = 5 "egress",
    }
}

codes! {
    /// Evidence of the name of a flow's destination.
    Evidence {
        /// Server name of a TLS handshake.
        Sni = 0 "sni",
        /// Host of an HTTP request.
        Http = 1 "http",
        /// Server name of a QUIC handshake.
        Quic = 2 "quic",
        /// A DNS answer that this client got.
        Dns = 3 "dns",
    }
}

codes! {
    /// Verdict of an egress rule.
    Outcome {
        /// The rule allows it.
        Allow = 0 "allow",
        /// The rule asks for an alert.
        Alert = 1 "alert",
        /// The rule would deny it.
        Deny = 2 "deny",
    }
}

/// A flow, or one interval of it.
///
/// Counters are those of the interval, so that sums over records are exact. Times are nanoseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow<'a> {
    /// Time of the first packet.
    pub start: u64,
    /// Time of the last packet.
    pub end: u64,
    /// Tunnel, and who is behind it.
    pub tunnel: Tunnel<'a>,
    /// The latest flow cookie of the load balancer.
    pub cookie: Option<u32>,
    /// The first one.
    pub first_cookie: Option<u32>,
    /// VLAN ids, outermost first.
    pub vlans: [Option<u16>; 2],
    /// Address of the initiator.
    pub source: IpAddr,
    /// Address of the other end.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Ports, or the fields that stand for them.
    pub transport: Transport,
    /// Place among the records of the flow.
    pub action: Action,
    /// Evidence of the initiator.
    pub initiator: Initiator,
    /// State of the TCP connection, where it was followed.
    pub connection: Option<Connection>,
    /// Round trip of the TCP handshake in microseconds.
    pub handshake: Option<u32>,
    /// Packets of the initiator.
    pub forward: Traffic,
    /// Packets of the other end.
    pub reverse: Traffic,
    /// Packets that this record accounts for in the ledger.
    pub accounted: u64,
    /// Queue that the packets came by.
    pub queue: u32,
    /// One flow of so many was recorded.
    pub sampling_rate: u32,
    /// Direction, where more is known than the addresses tell.
    pub direction: Option<Direction>,
    /// The host at the source address.
    pub source_host: Option<&'a Arc<Host>>,
    /// The host at the destination address.
    pub destination_host: Option<&'a Arc<Host>>,
    /// What the first payload bytes told.
    pub application: Application<'a>,
    /// Egress rule that matched, and its verdict.
    pub verdict: Option<(Outcome, &'a str)>,
}

impl Flow<'_> {
    /// Packets of both directions.
    pub const fn packets(&self) -> u64 {
        self.forward.packets.saturating_add(self.reverse.packets)
    }

    /// Original bytes of both directions.
    pub const fn bytes(&self) -> u64 {
        self.forward.bytes.saturating_add(self.reverse.bytes)
    }

    /// Account that the record is about, where enrichment told it.
    pub fn account(&self) -> Option<&str> {
        self.tunnel.host.and_then(|host| host.account.as_deref())
    }
}

/// Ports of a flow, or the fields that stand for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Ports of TCP, UDP or SCTP.
    Ports {
        /// Port of the initiator.
        source: u16,
        /// Port of the other end.
        destination: u16,
    },
    /// Fields of ICMP.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Identifier, for requests and replies.
        identifier: Option<u16>,
    },
    /// The protocol has no ports, or they were cut off.
    Unread,
}

/// The packets of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Original bytes.
    pub bytes: u64,
    /// Captured bytes.
    pub captured_bytes: u64,
    /// Times of the first and of the last packet.
    pub times: Option<(u64, u64)>,
    /// Lowest and highest TTL or hop limit.
    pub hop_limits: Option<(u8, u8)>,
    /// TCP flags, as on the wire: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub tcp_flags: u8,
    /// Retransmitted TCP segments.
    pub retransmissions: u16,
    /// TCP segments out of order.
    pub out_of_order: u16,
}

/// Identity of a tunnel, and the host that is mirrored through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel<'a> {
    /// Source of the outermost IP header.
    pub outer_source: IpAddr,
    /// Destination of the outermost IP header.
    pub outer_destination: IpAddr,
    /// VNI of GENEVE.
    pub geneve_vni: Option<u32>,
    /// VNI of VXLAN: the mirror session's virtual network id.
    pub vxlan_vni: Option<u32>,
    /// Gateway Load Balancer endpoint.
    pub endpoint: Option<u64>,
    /// Attachment of the Gateway Load Balancer.
    pub attachment: Option<u64>,
    /// Id of the key that addresses and names are pseudonyms by.
    pub pseudonym_key: Option<&'a str>,
    /// The mirrored host.
    pub host: Option<&'a Arc<Host>>,
}

/// A host, as the enrichment map knows it. Empty text is not stored: use `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host {
    /// Account.
    pub account: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Availability zone.
    pub zone: Option<String>,
    /// Instance id.
    pub instance: Option<String>,
    /// Instance type.
    pub instance_type: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// VPC.
    pub vpc: Option<String>,
    /// Subnet.
    pub subnet: Option<String>,
    /// Network interface.
    pub interface: Option<String>,
    /// Mirror session.
    pub session: Option<String>,
    /// Chosen tags, by key.
    pub tags: Vec<(String, String)>,
}

/// What the first payload bytes of a flow told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Application<'a> {
    /// Protocol, by its ECS name: `tls`, `quic`, `dns`, `http`, `ssh`.
    pub protocol: Option<&'a str>,
    /// Server name that the client asked for.
    pub server_name: Option<&'a str>,
    /// Name of the destination, and how it is known.
    pub domain: Option<(Evidence, &'a str)>,
    /// `true` if the name was claimed for an address that no DNS answer gave.
    pub domain_mismatch: bool,
    /// TLS version, as on the wire.
    pub tls_version: Option<u16>,
    /// Cipher suite chosen, as on the wire.
    pub tls_cipher: Option<u16>,
    /// Application protocol chosen, else the first one offered.
    pub alpn: Option<&'a str>,
    /// JA4 fingerprint of the client.
    pub ja4: Option<&'a str>,
    /// Queries of DNS.
    pub dns_queries: Option<u32>,
    /// Method of the first HTTP request.
    pub http_method: Option<&'a str>,
    /// Status of the first HTTP response.
    pub http_status: Option<u16>,
    /// User agent of the first HTTP request.
    pub user_agent: Option<&'a str>,
}

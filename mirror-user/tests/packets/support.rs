//! Packets and flow tables for tests.

use std::net::IpAddr;
use std::time::Duration;

use mirror_user::flow::{FlowConfig, FlowRecord, FlowTable};
use mirror_user::number::{AttachmentId, EndpointId, FlowCookie, IpProtocol, MacAddress, QueueId, Vni};
use mirror_user::packet::{
    Fragment, Icmp, Ip, Link, Network, Packet, Ports, Tcp, TcpState, Transport, Tunnel,
};
use mirror_user::time::Timestamp;

pub const SECOND: u64 = 1_000_000_000;
pub const MILLISECOND: u64 = 1_000_000;
/// 2027-01-15, 08:00 UTC.
pub const START: u64 = 1_800_000_000 * SECOND;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A small table with the default timeouts.
pub fn config() -> FlowConfig {
    FlowConfig { max_flows: 1000, max_tunnels: 100, seed: 7, queue: QueueId(3), ..FlowConfig::default() }
}

/// The tunnel of a mirror session.
pub fn tunnel() -> Tunnel {
    Tunnel {
        outer_source: "10.200.0.1".parse().unwrap(),
        outer_destination: "10.200.0.2".parse().unwrap(),
        geneve_vni: Some(Vni::from_bytes([0; 3])),
        vxlan_vni: Some(Vni::from_bytes([0x54, 0xf9, 0xd1])),
        vxlan_source: Some([10, 0, 9, 1].into()),
        endpoint: Some(EndpointId(0x1111_2222_3333_4444)),
        attachment: Some(AttachmentId(0x5555_6666_7777_8888)),
        cookie: Some(FlowCookie(0x0bad_cafe)),
    }
}

/// A packet of 100 bytes, of which 80 were captured.
pub fn packet(source: &str, destination: &str, protocol: IpProtocol, transport: Transport) -> Packet {
    Packet {
        tunnel: tunnel(),
        offset: 118,
        captured_length: 80,
        original_length: 100,
        link: Some(Link {
            source: MacAddress([2, 0, 0, 0, 0, 1]),
            destination: MacAddress([2, 0, 0, 0, 0, 2]),
            vlans: [None; 2],
        }),
        network: Network::Ip(Ip {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            length: 86,
            hop_limit: 64,
            fragment: None,
            transport,
        }),
    }
}

pub fn udp(source: (&str, u16), destination: (&str, u16)) -> Packet {
    let ports = Ports { source: source.1, destination: destination.1 };
    packet(source.0, destination.0, IpProtocol::UDP, Transport::Udp(ports))
}

pub fn icmp(source: &str, destination: &str, kind: u8, code: u8, identifier: Option<u16>) -> Packet {
    let transport = Transport::Icmp(Icmp { kind, code, identifier });
    packet(source, destination, IpProtocol::ICMP, transport)
}

/// A TCP segment of the client 10.0.0.1:40000 or of the server 10.0.0.2:443.
#[derive(Clone, Copy)]
pub struct Segment {
    pub from_client: bool,
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub window: u16,
    pub length: u32,
}

/// Of the client, whose SYN has the number 100. It acknowledges the server's.
pub const fn client(flags: u8, sequence: u32, length: u32) -> Segment {
    Segment { from_client: true, flags, sequence, acknowledgment: 901, window: 500, length }
}

/// Of the server, whose SYN has the number 900. It acknowledges the client's.
pub const fn server(flags: u8, sequence: u32, length: u32) -> Segment {
    Segment { from_client: false, flags, sequence, acknowledgment: 101, window: 500, length }
}

impl Segment {
    pub const fn acknowledging(self, acknowledgment: u32) -> Self {
        Self { acknowledgment, ..self }
    }

    pub const fn with_window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub fn packet(self) -> Packet {
        let (client, server) = (("10.0.0.1", 40000), ("10.0.0.2", 443));
        let (source, destination) = if self.from_client { (client, server) } else { (server, client) };
        let state = TcpState {
            sequence: self.sequence,
            acknowledgment: self.acknowledgment,
            flags: self.flags,
            window: self.window,
            payload_length: self.length,
        };
        let ports = Ports { source: source.1, destination: destination.1 };
        let transport = Transport::Tcp(Tcp { ports, state: Some(state) });
        packet(source.0, destination.0, IpProtocol::TCP, transport)
    }
}

pub fn with_ip(mut packet: Packet, change: impl FnOnce(&mut Ip)) -> Packet {
    if let Network::Ip(ip) = &mut packet.network {
        change(ip);
    }
    packet
}

pub fn with_tunnel(mut packet: Packet, change: impl FnOnce(&mut Tunnel)) -> Packet {
    change(&mut packet.tunnel);
    packet
}

pub fn with_fragment(packet: Packet, identification: u32, offset: u16, more: bool) -> Packet {
    with_ip(packet, |ip| {
        ip.fragment = Some(Fragment { identification, offset, more });
        if offset > 0 {
            ip.transport = Transport::Unread;
        }
    })
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A table with what came out of it.
pub struct Run {
    pub table: FlowTable,
    pub records: Vec<FlowRecord>,
    /// The latest time of a packet.
    latest: Timestamp,
}

impl Run {
    pub fn new(config: FlowConfig) -> Self {
        Self { table: FlowTable::new(config).unwrap(), records: Vec::new(), latest: Timestamp(0) }
    }

    /// Gives one packet, `after` nanoseconds after [`START`].
    pub fn packet(&mut self, after: u64, packet: &Packet) {
        self.packets(&[(Timestamp(START + after), *packet)]);
    }

    /// Gives packets in one call.
    pub fn packets(&mut self, packets: &[(Timestamp, Packet)]) {
        let records = &mut self.records;
        self.latest = packets.iter().map(|(time, _)| *time).fold(self.latest, Timestamp::max);
        let packets = packets.iter().map(|(time, packet)| (*time, packet));
        self.table.update(packets, &mut |record| records.push(record.clone()));
    }

    pub fn expire(&mut self, after: u64) {
        let records = &mut self.records;
        self.table.expire(Timestamp(START + after), &mut |record| records.push(record.clone()));
    }

    /// The records since the last call.
    pub fn take(&mut self) -> Vec<FlowRecord> {
        std::mem::take(&mut self.records)
    }

    /// The one record since the last call.
    #[track_caller]
    pub fn take_one(&mut self) -> FlowRecord {
        let [record] = self.take().try_into().expect("one record");
        record
    }

    /// All records, when the capture has ended with its latest packet.
    pub fn finish(mut self) -> (Vec<FlowRecord>, FlowTable) {
        let records = &mut self.records;
        self.table.drain(self.latest, &mut |record| records.push(record.clone()));
        (self.records, self.table)
    }

    #[track_caller]
    pub fn finish_one(self) -> FlowRecord {
        let [record] = self.finish().0.try_into().expect("one record");
        record
    }
}

/// The one flow of segments that come so many microseconds after [`START`].
#[track_caller]
pub fn connection(segments: &[(u64, Segment)]) -> FlowRecord {
    let mut run = Run::new(config());
    for (microseconds, segment) in segments {
        run.packet(microseconds * 1000, &segment.packet());
    }
    run.finish_one()
}

pub const fn at(after: u64) -> Timestamp {
    Timestamp(START + after)
}

pub const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

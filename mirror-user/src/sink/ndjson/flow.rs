//! The record of a flow, or of one interval of it.
//!
//! ```json
//! {"@timestamp":"2026-11-21T09:05:12.000000000Z","ecs":{"version":"8.17.0"},
//!  "event":{"dataset":"mirror.flow","kind":"event","category":["network"],"type":["connection","end"],
//!           "action":"end","reason":"closed","start":"2026-11-21T09:04:12.000000000Z",
//!           "end":"2026-11-21T09:05:12.000000000Z","duration":60000000000},
//!  "source":{"ip":"10.0.0.1","port":40000,"bytes":1500,"packets":10},
//!  "destination":{"ip":"10.0.0.2","port":443,"bytes":64000,"packets":50},
//!  "network":{"type":"ipv4","transport":"tcp","iana_number":"6","community_id":"1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=",
//!             "bytes":65500,"packets":60,"direction":"internal","vlan":{"id":"10"},"inner":{"vlan":{"id":"20"}}},
//!  "mirror":{"gwlbe_id":"vpce-00123456789abcdef","attachment_id":"fedcba9876543210","flow_cookie":"01234567",
//!            "first_flow_cookie":"01234567","geneve_vni":0,"vxlan_vni":7,
//!            "outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},
//!            "initiator":"syn","icmp":{"type":8,"code":0,"identifier":7},
//!            "tcp":{"state":"closed","handshake":1250000,"order_doubtful":true},
//!            "source":{"captured_bytes":1500,"start":"2026-11-21T09:04:12.000000000Z",
//!                      "end":"2026-11-21T09:05:11.000000000Z","ttl":{"min":64,"max":64},
//!                      "tcp":{"flags":["fin","syn","psh","ack"],"retransmissions":1,"out_of_order":0}},
//!            "destination":{"captured_bytes":64000},
//!            "sampling_rate":1,"queue":0}}
//! ```
//!
//! Those are all members, on one line; `destination` under `mirror` has the members that `source` has.
//!
//! - `@timestamp` is that of the last packet, `event.end`: the time at which the record is known, so that records are
//!   roughly in the order of time however long their flows are.
//! - `source` is the initiator; `mirror.initiator` gives the evidence.
//! - Counters, times, TTLs and TCP flags are those of the interval since the flow's record before. `event.type` is
//!   `start` for the first of several records, `info` for further ones and `end` for the last or only one.
//! - Bytes are those of the mirrored packets from their Ethernet header on.
//! - Durations are in nanoseconds, as `event.duration` is in ECS; `mirror.tcp.handshake` is the round trip of SYN.
//! - `mirror.tcp.order_doubtful` is there, and true, where `retransmissions` or `out_of_order` may be artefacts of
//!   mirroring: see [`FlowRecord::has_doubtful_order`].
//! - `mirror.source` and `mirror.destination` are there only for an end that sent packets, `retransmissions` and
//!   `out_of_order` only where TCP was followed.
//! - By the [enrichment map](crate::enrichment) there are `cloud`, `host` and `labels` in front of `mirror`, `session`, `interface`,
//!   `vpc` and `subnet` in `mirror` behind `outer`, and `account`, `instance`, `interface` and `subnet` at the front of
//!   `mirror.source` and `mirror.destination` where the address is that of a known interface of the VPC. `network.direction` is then
//!   across the border of the VPC, and else across that of the private addresses.
//! - A reader scales the flow's counters by `mirror.sampling_rate`: one of so many flows was recorded.

use mirror_app::Summary;

use super::application;
use super::common::{address, begin, close, end, icmp, known_end, protocol, tunnel, vlans};
use crate::enrichment::Enriched;
use crate::flow::{Action, CommunityId, Connection, FlowRecord, FlowTransport, NetworkDirection, Traffic};
use crate::sink::notation::{self, TimestampWriter};

/// No record is longer than this many bytes.
pub(super) const LONGEST_RECORD: usize = 2048;

/// Appends the line for one flow.
pub(in crate::sink) fn flow(
    record: &FlowRecord,
    enriched: &Enriched<'_>,
    clock: &mut TimestampWriter,
    out: &mut Vec<u8>,
) {
    let ports = match record.transport {
        FlowTransport::Ports { source, destination } => Some((source, destination)),
        FlowTransport::Icmp { .. } | FlowTransport::Unread => None,
    };
    // Before it is needed: its hash is one long chain of dependent steps, beside which the CPU encodes.
    let community_id = record.community_id();
    begin(record.end, clock, out);
    event(record, clock, out);
    out.extend_from_slice(br#""source":{"#);
    address(record.source, ports.map(|(source, _)| source), out);
    counts(record.forward.bytes, record.forward.packets, out);
    out.extend_from_slice(br#"},"destination":{"#);
    address(record.destination, ports.map(|(_, destination)| destination), out);
    let application = record.application.as_deref();
    if let Some((name, _)) = application.and_then(Summary::server_name) {
        application::text(br#""domain":"#, name, out);
    }
    counts(record.reverse.bytes, record.reverse.packets, out);
    out.extend_from_slice(br#"},"#);
    network(record, community_id, enriched.direction, out);
    if let Some(summary) = application {
        application::of_flow(summary, out);
    }
    out.extend_from_slice(enriched.record);
    out.extend_from_slice(br#""mirror":{"#);
    tunnel(&record.tunnel, record.first_cookie, out);
    out.extend_from_slice(enriched.mirror);
    out.extend_from_slice(br#""initiator":""#);
    out.extend_from_slice(record.initiator.name().as_bytes());
    out.extend_from_slice(br#"","#);
    if let FlowTransport::Icmp { kind, code, identifier } = record.transport {
        icmp(kind, code, out);
        if let Some(identifier) = identifier {
            out.extend_from_slice(br#""identifier":"#);
            notation::decimal(identifier, out);
            out.push(b',');
        }
        close(out);
    }
    if let Some(connection) = record.connection {
        tcp(record, connection, out);
    }
    if let Some(summary) = application {
        application::of_flow_in_mirror(summary, out);
    }
    let is_followed = record.connection.is_some();
    end_of_flow(br#""source":{"#, &record.forward, enriched.source, is_followed, clock, out);
    end_of_flow(br#""destination":{"#, &record.reverse, enriched.destination, is_followed, clock, out);
    end(record.sampling_rate.get(), record.queue, out);
}

/// `event`.
fn event(record: &FlowRecord, clock: &mut TimestampWriter, out: &mut Vec<u8>) {
    out.extend_from_slice(
        br#""event":{"dataset":"mirror.flow","kind":"event","category":["network"],"type":["connection",""#,
    );
    let (kind, action): (&[u8], _) = match record.action {
        Action::Open => (b"start", record.action.name()),
        Action::Update => (b"info", record.action.name()),
        Action::End(_) => (b"end", record.action.name()),
    };
    out.extend_from_slice(kind);
    out.extend_from_slice(br#""],"action":""#);
    out.extend_from_slice(action.as_bytes());
    if let Action::End(reason) = record.action {
        out.extend_from_slice(br#"","reason":""#);
        out.extend_from_slice(reason.name().as_bytes());
    }
    out.extend_from_slice(br#"","start":""#);
    clock.write(record.start, out);
    out.extend_from_slice(br#"","end":""#);
    clock.write(record.end, out);
    out.extend_from_slice(br#"","duration":"#);
    notation::decimal(record.end.0.saturating_sub(record.start.0), out);
    out.extend_from_slice(br#"},"#);
}

/// `bytes` and `packets`, without a comma behind.
fn counts(bytes: u64, packets: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""bytes":"#);
    notation::decimal(bytes, out);
    out.extend_from_slice(br#","packets":"#);
    notation::decimal(packets, out);
}

/// `network`.
fn network(
    record: &FlowRecord,
    community_id: Option<CommunityId>,
    direction: Option<NetworkDirection>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#""network":{"#);
    protocol(record.source, record.protocol, out);
    if let Some(community_id) = community_id {
        out.extend_from_slice(br#""community_id":""#);
        out.extend_from_slice(&community_id.text());
        out.extend_from_slice(br#"","#);
    }
    if let Some(protocol) = record.application.as_ref().and_then(|summary| summary.protocol) {
        application::text(br#""protocol":"#, protocol.name(), out);
    }
    counts(record.bytes(), record.packets(), out);
    out.extend_from_slice(br#","direction":""#);
    let direction = direction.unwrap_or_else(|| NetworkDirection::of(record.source, record.destination));
    out.extend_from_slice(direction.name().as_bytes());
    out.extend_from_slice(br#"","#);
    vlans(record.vlans, out);
    close(out);
}

/// `mirror.tcp`.
fn tcp(record: &FlowRecord, connection: Connection, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""tcp":{"state":""#);
    out.extend_from_slice(connection.name().as_bytes());
    out.push(b'"');
    if let Some(handshake) = record.handshake {
        out.extend_from_slice(br#","handshake":"#);
        notation::decimal(u64::try_from(handshake.as_nanos()).unwrap_or(u64::MAX), out);
    }
    if record.has_doubtful_order() {
        out.extend_from_slice(br#","order_doubtful":true"#);
    }
    out.extend_from_slice(br#"},"#);
}

/// `mirror.source` or `mirror.destination`, which begins with `name`, if that end sent packets or is `known`.
fn end_of_flow(
    name: &[u8],
    traffic: &Traffic,
    known: &[u8],
    is_followed: bool,
    clock: &mut TimestampWriter,
    out: &mut Vec<u8>,
) {
    let (Some((first, last)), Some((lowest, highest))) = (traffic.times, traffic.hop_limits) else {
        known_end(name, known, out);
        return;
    };
    out.extend_from_slice(name);
    out.extend_from_slice(known);
    out.extend_from_slice(br#""captured_bytes":"#);
    notation::decimal(traffic.captured_bytes, out);
    out.extend_from_slice(br#","start":""#);
    clock.write(first, out);
    out.extend_from_slice(br#"","end":""#);
    clock.write(last, out);
    out.extend_from_slice(br#"","ttl":{"min":"#);
    notation::decimal(lowest, out);
    out.extend_from_slice(br#","max":"#);
    notation::decimal(highest, out);
    out.push(b'}');
    if is_followed {
        out.extend_from_slice(br#","tcp":{"flags":["#);
        let Names { text, length } = &FLAGS[usize::from(traffic.tcp_flags)];
        notation::first_of(text, usize::from(*length), out);
        out.extend_from_slice(br#"],"retransmissions":"#);
        notation::decimal(traffic.retransmissions, out);
        out.extend_from_slice(br#","out_of_order":"#);
        notation::decimal(traffic.out_of_order, out);
        out.push(b'}');
    }
    out.extend_from_slice(br#"},"#);
}

/// The names of TCP flags that are set, separated by commas, for each value of the flags' byte.
static FLAGS: [Names; 256] = {
    let mut all = [Names { text: [0; 47], length: 0 }; 256];
    let mut bits = 0;
    while bits < all.len() {
        all[bits] = Names::of(bits);
        bits += 1;
    }
    all
};

/// A value of [`FLAGS`].
#[derive(Clone, Copy)]
struct Names {
    text: [u8; 47],
    length: u8,
}

impl Names {
    const fn of(bits: usize) -> Self {
        /// From the lowest bit on, each as long as the others.
        const NAMES: &[u8; 48] = br#""fin","syn","rst","psh","ack","urg","ece","cwr","#;
        let (mut text, mut length) = ([0; 47], 0_u8);
        let mut position = 0;
        while position < text.len() {
            let bit = position / 6;
            if bits >> bit & 1 != 0 && (position % 6 < 5 || bits >> (bit + 1) != 0) {
                text[length as usize] = NAMES[position];
                length += 1;
            }
            position += 1;
        }
        Self { text, length }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde::ser::{Serialize, SerializeMap, Serializer};
    use serde_json::Value;

    use super::*;
    use crate::flow::{EndReason, Initiator};
    use crate::number::SamplingRate;
    use crate::number::{FlowCookie, IpProtocol, QueueId, Vni};
    use crate::sink::arbitrary;
    use crate::sink::ndjson::common::{protocol_name, samples};
    use crate::time::Timestamp;

    /// JSON whose members stay in order, as serde_json writes it.
    enum Json {
        Absent,
        Value(Value),
        Object(Vec<(&'static str, Json)>),
    }

    impl Serialize for Json {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::Absent => unreachable!("left out of its object"),
                Self::Value(value) => value.serialize(serializer),
                Self::Object(members) => {
                    let mut map = serializer.serialize_map(None)?;
                    for (name, member) in members {
                        if !matches!(member, Self::Absent) {
                            map.serialize_entry(name, member)?;
                        }
                    }
                    map.end()
                }
            }
        }
    }

    fn object<const N: usize>(members: [(&'static str, Json); N]) -> Json {
        Json::Object(members.into())
    }

    fn value(value: impl Into<Value>) -> Json {
        Json::Value(value.into())
    }

    fn maybe(value: Option<impl Into<Value>>) -> Json {
        value.map_or(Json::Absent, |value| Json::Value(value.into()))
    }

    fn direction_of(traffic: &Traffic, is_followed: bool) -> Json {
        let (Some(times), Some(hop_limits)) = (traffic.times, traffic.hop_limits) else {
            return Json::Absent;
        };
        let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
        let flags: Vec<_> =
            (0..8).filter(|bit| traffic.tcp_flags & 1 << bit != 0).map(|bit| names[bit]).collect();
        object([
            ("captured_bytes", value(traffic.captured_bytes)),
            ("start", value(samples::time(times.0))),
            ("end", value(samples::time(times.1))),
            ("ttl", object([("min", value(hop_limits.0)), ("max", value(hop_limits.1))])),
            (
                "tcp",
                if is_followed {
                    object([
                        ("flags", value(flags)),
                        ("retransmissions", value(traffic.retransmissions)),
                        ("out_of_order", value(traffic.out_of_order)),
                    ])
                } else {
                    Json::Absent
                },
            ),
        ])
    }

    fn vlan(id: Option<u16>) -> Json {
        id.map_or(Json::Absent, |id| object([("id", value(id.to_string()))]))
    }

    /// The record as serde_json must write it.
    fn expected(record: &FlowRecord) -> Json {
        let tunnel = &record.tunnel;
        let ports = match record.transport {
            FlowTransport::Ports { source, destination } => [Some(source), Some(destination)],
            _ => [None; 2],
        };
        let (action, kind, reason) = match record.action {
            Action::Open => ("open", "start", None),
            Action::Update => ("update", "info", None),
            Action::End(reason) => ("end", "end", Some(reason.name())),
        };
        let end = |address: IpAddr, port, traffic: &Traffic| {
            object([
                ("ip", value(address.to_string())),
                ("port", maybe(port)),
                ("bytes", value(traffic.bytes)),
                ("packets", value(traffic.packets)),
            ])
        };
        let outer = |address: IpAddr| object([("ip", value(address.to_string()))]);
        let is_followed = record.connection.is_some();
        object([
            ("@timestamp", value(samples::time(record.end))),
            ("ecs", object([("version", value("8.17.0"))])),
            (
                "event",
                object([
                    ("dataset", value("mirror.flow")),
                    ("kind", value("event")),
                    ("category", value(vec!["network"])),
                    ("type", value(vec!["connection", kind])),
                    ("action", value(action)),
                    ("reason", maybe(reason)),
                    ("start", value(samples::time(record.start))),
                    ("end", value(samples::time(record.end))),
                    ("duration", value(record.end.0 - record.start.0)),
                ]),
            ),
            ("source", end(record.source, ports[0], &record.forward)),
            ("destination", end(record.destination, ports[1], &record.reverse)),
            (
                "network",
                object([
                    ("type", value(if record.source.is_ipv4() { "ipv4" } else { "ipv6" })),
                    ("transport", maybe(protocol_name(record.protocol))),
                    ("iana_number", value(record.protocol.0.to_string())),
                    ("community_id", maybe(record.community_id().map(|id| id.to_string()))),
                    ("bytes", value(record.forward.bytes + record.reverse.bytes)),
                    ("packets", value(record.forward.packets + record.reverse.packets)),
                    ("direction", value(NetworkDirection::of(record.source, record.destination).name())),
                    ("vlan", vlan(record.vlans[0])),
                    ("inner", record.vlans[1].map_or(Json::Absent, |id| object([("vlan", vlan(Some(id)))]))),
                ]),
            ),
            (
                "mirror",
                object([
                    ("gwlbe_id", maybe(tunnel.endpoint.map(|id| id.to_string()))),
                    ("attachment_id", maybe(tunnel.attachment.map(|id| id.to_string()))),
                    ("flow_cookie", maybe(tunnel.cookie.map(|cookie| cookie.to_string()))),
                    ("first_flow_cookie", maybe(record.first_cookie.map(|cookie| cookie.to_string()))),
                    ("geneve_vni", maybe(tunnel.geneve_vni.map(Vni::get))),
                    ("vxlan_vni", maybe(tunnel.vxlan_vni.map(Vni::get))),
                    (
                        "outer",
                        object([
                            ("source", outer(tunnel.outer_source)),
                            ("destination", outer(tunnel.outer_destination)),
                        ]),
                    ),
                    ("initiator", value(record.initiator.name())),
                    (
                        "icmp",
                        match record.transport {
                            FlowTransport::Icmp { kind, code, identifier } => object([
                                ("type", value(kind)),
                                ("code", value(code)),
                                ("identifier", maybe(identifier)),
                            ]),
                            _ => Json::Absent,
                        },
                    ),
                    (
                        "tcp",
                        record.connection.map_or(Json::Absent, |connection| {
                            let handshake =
                                record.handshake.map(|time| u64::try_from(time.as_nanos()).unwrap());
                            let is_doubtful = record.has_doubtful_order();
                            object([
                                ("state", value(connection.name())),
                                ("handshake", maybe(handshake)),
                                ("order_doubtful", maybe(is_doubtful.then_some(true))),
                            ])
                        }),
                    ),
                    ("source", direction_of(&record.forward, is_followed)),
                    ("destination", direction_of(&record.reverse, is_followed)),
                    ("sampling_rate", value(record.sampling_rate.get())),
                    ("queue", value(record.queue.0)),
                ]),
            ),
        ])
    }

    fn line(record: &FlowRecord) -> String {
        enriched_line(record, &Enriched::default())
    }

    fn enriched_line(record: &FlowRecord, enriched: &Enriched<'_>) -> String {
        let mut out = Vec::new();
        flow(record, enriched, &mut TimestampWriter::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn records_are_what_serde_json_writes(record in arbitrary::flow()) {
            let expected = serde_json::to_string(&expected(&record)).unwrap() + "\n";
            prop_assert_eq!(line(&record), expected);
        }

        #[test]
        fn what_the_map_adds_stands_in_its_place(record in arbitrary::flow()) {
            let enriched = enriched_line(&record, &samples::ENRICHED);
            samples::check_enriched(&enriched, &line(&record), true);
        }
    }

    /// A record that has every member, each as long as it can be.
    fn longest() -> FlowRecord {
        let address = IpAddr::from([0xffff; 8]);
        let traffic = Traffic {
            packets: u64::MAX / 2,
            bytes: u64::MAX / 2,
            captured_bytes: u64::MAX,
            times: Some((Timestamp(u64::MAX), Timestamp(u64::MAX))),
            hop_limits: Some((255, 255)),
            tcp_flags: 255,
            retransmissions: u16::MAX,
            out_of_order: u16::MAX,
        };
        FlowRecord {
            queue: QueueId(u32::MAX),
            sampling_rate: SamplingRate::HIGHEST,
            action: Action::End(EndReason::Shutdown),
            start: Timestamp(0),
            end: Timestamp(u64::MAX),
            tunnel: samples::longest_tunnel(),
            first_cookie: Some(FlowCookie(u32::MAX)),
            vlans: [Some(4095); 2],
            source: address,
            destination: address,
            protocol: IpProtocol::ICMPV6,
            transport: FlowTransport::Icmp { kind: 255, code: 255, identifier: Some(u16::MAX) },
            initiator: Initiator::FirstPacket,
            forward: traffic,
            reverse: traffic,
            accounted: u64::MAX,
            connection: Some(Connection::Attempted),
            handshake: Some(Duration::from_micros(u32::MAX.into())),
            application: None,
        }
    }

    #[test]
    fn the_longest_record_fits() {
        let spare = LONGEST_RECORD - line(&longest()).len();
        // Longer names and ports in the place of ICMP need less than this.
        assert!(spare > 100, "{spare} bytes to spare");
        let enriched = enriched_line(&longest(), &samples::ENRICHED).len();
        let Enriched { record, mirror, source, destination, .. } = samples::ENRICHED;
        let members = record.len() + mirror.len() + source.len() + destination.len();
        assert!(enriched <= LONGEST_RECORD + members, "with the room that the members take by themselves");
    }

    #[test]
    fn a_record_reads_as_documented() {
        let start = 1_795_251_852_000_000_000;
        let after = |seconds: u64| Timestamp(start + seconds * 1_000_000_000);
        let record = FlowRecord {
            queue: QueueId(3),
            sampling_rate: SamplingRate::one_in(8).unwrap(),
            action: Action::End(EndReason::Closed),
            start: after(0),
            end: after(60),
            tunnel: samples::tunnel(),
            first_cookie: Some(FlowCookie(0x89ab_cdef)),
            vlans: [Some(10), None],
            source: IpAddr::from([10, 0, 0, 1]),
            destination: IpAddr::from([10, 0, 0, 2]),
            protocol: IpProtocol::TCP,
            transport: FlowTransport::Ports { source: 40_000, destination: 443 },
            initiator: Initiator::Syn,
            forward: Traffic {
                packets: 10,
                bytes: 1500,
                captured_bytes: 1400,
                times: Some((after(0), after(59))),
                hop_limits: Some((63, 64)),
                tcp_flags: 0b1_1011,
                retransmissions: 1,
                out_of_order: 0,
            },
            reverse: Traffic::default(),
            accounted: 10,
            connection: Some(Connection::Closed),
            handshake: Some(Duration::from_micros(1250)),
            application: None,
        };
        let expected = concat!(
            r#"{"@timestamp":"2026-11-21T09:05:12.000000000Z","ecs":{"version":"8.17.0"},"#,
            r#""event":{"dataset":"mirror.flow","kind":"event","category":["network"],"type":["connection","end"],"#,
            r#""action":"end","reason":"closed","start":"2026-11-21T09:04:12.000000000Z","#,
            r#""end":"2026-11-21T09:05:12.000000000Z","duration":60000000000},"#,
            r#""source":{"ip":"10.0.0.1","port":40000,"bytes":1500,"packets":10},"#,
            r#""destination":{"ip":"10.0.0.2","port":443,"bytes":0,"packets":0},"#,
            r#""network":{"type":"ipv4","transport":"tcp","iana_number":"6","#,
            r#""community_id":"1:UWHKJ/x6OQ1YiVv4rIl0t3yhjg8=","#,
            r#""bytes":1500,"packets":10,"direction":"internal","vlan":{"id":"10"}},"#,
            r#""mirror":{"gwlbe_id":"vpce-00123456789abcdef","attachment_id":"fedcba9876543210","#,
            r#""flow_cookie":"01234567","first_flow_cookie":"89abcdef","geneve_vni":0,"vxlan_vni":7,"#,
            r#""outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},"#,
            r#""initiator":"syn","tcp":{"state":"closed","handshake":1250000,"order_doubtful":true},"#,
            r#""source":{"captured_bytes":1400,"start":"2026-11-21T09:04:12.000000000Z","#,
            r#""end":"2026-11-21T09:05:11.000000000Z","ttl":{"min":63,"max":64},"#,
            r#""tcp":{"flags":["fin","syn","psh","ack"],"retransmissions":1,"out_of_order":0}},"#,
            r#""sampling_rate":8,"queue":3}}"#,
            "\n",
        );
        assert_eq!(line(&record), expected);
    }
}

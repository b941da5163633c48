//! The record of a flow, or of one interval of it.
//!
//! ```json
//! {"@timestamp":"2026-11-21T09:05:12.000000000Z","ecs":{"version":"8.17.0"},
//!  "event":{"dataset":"mirror.flow","kind":"event","category":["network"],"type":["connection","end"],
//!           "action":"end","reason":"closed","start":"2026-11-21T09:04:12.000000000Z",
//!           "end":"2026-11-21T09:05:12.000000000Z","duration":60000000000},
//!  "source":{"ip":"10.0.0.1","port":40000,"bytes":1500,"packets":10},
//!  "destination":{"ip":"10.0.0.2","port":443,"bytes":64000,"packets":50},
//!  "network":{"type":"ipv4","transport":"tcp","iana_number":"6","community_id":"1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
//!             "bytes":65500,"packets":60,"direction":"internal","vlan":{"id":"10"},"inner":{"vlan":{"id":"20"}}},
//!  "mirror":{"gwlbe_id":"0123456789abcdef","attachment_id":"fedcba9876543210","flow_cookie":"01234567",
//!            "first_flow_cookie":"01234567","geneve_vni":0,"vxlan_vni":7,
//!            "outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},
//!            "initiator":"syn","icmp":{"type":8,"code":0,"identifier":7},
//!            "tcp":{"state":"closed","handshake":1250000},
//!            "source":{"captured_bytes":1500,"start":"2026-11-21T09:04:12.000000000Z",
//!                      "end":"2026-11-21T09:05:11.000000000Z","ttl":{"min":64,"max":64},
//!                      "tcp":{"flags":["fin","syn","psh","ack"],"retransmissions":1,"out_of_order":0}},
//!            "destination":{"captured_bytes":64000},
//!            "sampling_rate":1,"queue":0}}
//! ```
//!
//! That is all there can be, on one line; `destination` under `mirror` has the members that `source` has.
//!
//! - `@timestamp` is that of the last packet, `event.end`: the time at which the record is known, so that records come
//!   about in the order of time however long their flows are.
//! - `source` is the initiator; `mirror.initiator` says how that is known.
//! - Counters, times, TTLs and TCP flags are those of the interval since the flow's record before. `event.type` is
//!   `start` for the first of several records, `info` for further ones and `end` for the last or only one.
//! - Bytes are those of the mirrored packets from their Ethernet header on.
//! - Durations are in nanoseconds, as `event.duration` is in ECS; `mirror.tcp.handshake` is the round trip of SYN.
//! - `mirror.source` and `mirror.destination` are there only for an end that sent packets, `retransmissions` and
//!   `out_of_order` only where TCP was followed.
//! - A reader scales the flow's counters by `mirror.sampling_rate`: one of so many flows was recorded.

use super::common::{address, begin, close, end, icmp, protocol, tunnel, vlans};
use crate::flow::{Action, Connection, FlowRecord, FlowTransport, NetworkDirection, Traffic};
use crate::sink::text;

/// No record is longer than this many bytes.
pub(super) const LONGEST_RECORD: usize = 2048;

/// Appends the line for one flow.
pub(in crate::sink) fn flow(record: &FlowRecord, out: &mut Vec<u8>) {
    let ports = match record.transport {
        FlowTransport::Ports { source, destination } => Some((source, destination)),
        FlowTransport::Icmp { .. } | FlowTransport::Unread => None,
    };
    begin(record.end, out);
    event(record, out);
    out.extend_from_slice(br#""source":{"#);
    address(record.source, ports.map(|(source, _)| source), out);
    counts(record.forward.bytes, record.forward.packets, out);
    out.extend_from_slice(br#"},"destination":{"#);
    address(record.destination, ports.map(|(_, destination)| destination), out);
    counts(record.reverse.bytes, record.reverse.packets, out);
    out.extend_from_slice(br#"},"#);
    network(record, out);
    out.extend_from_slice(br#""mirror":{"#);
    tunnel(&record.tunnel, record.first_cookie, out);
    out.extend_from_slice(br#""initiator":""#);
    out.extend_from_slice(record.initiator.name().as_bytes());
    out.extend_from_slice(br#"","#);
    if let FlowTransport::Icmp { kind, code, identifier } = record.transport {
        icmp(kind, code, out);
        if let Some(identifier) = identifier {
            out.extend_from_slice(br#""identifier":"#);
            text::decimal(identifier, out);
            out.push(b',');
        }
        close(out);
    }
    if let Some(connection) = record.connection {
        tcp(record, connection, out);
    }
    let is_followed = record.connection.is_some();
    direction(br#""source":{"#, &record.forward, is_followed, out);
    direction(br#""destination":{"#, &record.reverse, is_followed, out);
    end(record.sampling_rate.get(), record.queue, out);
}

/// `event`.
fn event(record: &FlowRecord, out: &mut Vec<u8>) {
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
    text::timestamp(record.start, out);
    out.extend_from_slice(br#"","end":""#);
    text::timestamp(record.end, out);
    out.extend_from_slice(br#"","duration":"#);
    text::decimal(record.end.0.saturating_sub(record.start.0), out);
    out.extend_from_slice(br#"},"#);
}

/// `bytes` and `packets`, without a comma behind.
fn counts(bytes: u64, packets: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""bytes":"#);
    text::decimal(bytes, out);
    out.extend_from_slice(br#","packets":"#);
    text::decimal(packets, out);
}

/// `network`.
fn network(record: &FlowRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""network":{"#);
    protocol(record.source, record.protocol, out);
    if let Some(community_id) = record.community_id() {
        out.extend_from_slice(br#""community_id":""#);
        out.extend_from_slice(community_id.as_bytes());
        out.extend_from_slice(br#"","#);
    }
    counts(record.bytes(), record.packets(), out);
    out.extend_from_slice(br#","direction":""#);
    out.extend_from_slice(NetworkDirection::of(record.source, record.destination).name().as_bytes());
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
        text::decimal(handshake.as_nanos(), out);
    }
    out.extend_from_slice(br#"},"#);
}

/// `mirror.source` or `mirror.destination`, which begins with `name`, if that end sent packets.
fn direction(name: &[u8], traffic: &Traffic, is_followed: bool, out: &mut Vec<u8>) {
    let (Some((first, last)), Some((lowest, highest))) = (traffic.times, traffic.hop_limits) else { return };
    out.extend_from_slice(name);
    out.extend_from_slice(br#""captured_bytes":"#);
    text::decimal(traffic.captured_bytes, out);
    out.extend_from_slice(br#","start":""#);
    text::timestamp(first, out);
    out.extend_from_slice(br#"","end":""#);
    text::timestamp(last, out);
    out.extend_from_slice(br#"","ttl":{"min":"#);
    text::decimal(lowest, out);
    out.extend_from_slice(br#","max":"#);
    text::decimal(highest, out);
    out.push(b'}');
    if is_followed {
        out.extend_from_slice(br#","tcp":{"flags":["#);
        flags(traffic.tcp_flags, out);
        out.extend_from_slice(br#"],"retransmissions":"#);
        text::decimal(traffic.retransmissions, out);
        out.extend_from_slice(br#","out_of_order":"#);
        text::decimal(traffic.out_of_order, out);
        out.push(b'}');
    }
    out.extend_from_slice(br#"},"#);
}

/// Names of TCP flags, from the lowest bit on.
const FLAGS: [&[u8]; 8] = [
    br#""fin","#,
    br#""syn","#,
    br#""rst","#,
    br#""psh","#,
    br#""ack","#,
    br#""urg","#,
    br#""ece","#,
    br#""cwr","#,
];

/// The names of the flags that are set, separated by commas.
fn flags(bits: u8, out: &mut Vec<u8>) {
    for (bit, name) in FLAGS.into_iter().enumerate() {
        if bits >> bit & 1 != 0 {
            out.extend_from_slice(name);
        }
    }
    if bits != 0 {
        out.pop();
    }
}

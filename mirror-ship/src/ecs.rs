//! Flow records in the Elastic Common Schema 8.17, with the names that the daemon's own NDJSON has.

use mirror_spool::{Action, Flow, Host, Traffic, Transport};

use crate::community_id;
use crate::table::{Cell, Kind, Leaf, leaf};

use Kind::{Flag, Long, Text, Texts, Time};

fn text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Null, Cell::Text)
}

fn long<T: Into<u64>>(value: Option<T>) -> Cell<'static> {
    value.map_or(Cell::Null, |number| Cell::count(number.into()))
}

fn host<'a>(flow: &Flow<'a>, of: impl Fn(&'a Host) -> &'a Option<String>) -> Cell<'a> {
    text(flow.tunnel.host.and_then(|host| of(host).as_deref()))
}

/// A field of the host at the source, or at the destination.
fn end_host<'a>(
    end: Option<&'a std::sync::Arc<Host>>,
    of: impl Fn(&'a Host) -> &'a Option<String>,
) -> Cell<'a> {
    text(end.and_then(|host| of(host).as_deref()))
}

fn ports(flow: &Flow<'_>) -> Option<(u16, u16)> {
    match flow.transport {
        Transport::Ports { source, destination } => Some((source, destination)),
        _ => None,
    }
}

fn icmp(flow: &Flow<'_>) -> Option<(u8, u8, Option<u16>)> {
    match flow.transport {
        Transport::Icmp { kind, code, identifier } => Some((kind, code, identifier)),
        _ => None,
    }
}

/// Names of transport protocols, as ECS has them: lower-case keywords of IANA.
pub fn transport(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        132 => "sctp",
        _ => return None,
    })
}

fn first(traffic: &Traffic) -> Cell<'static> {
    traffic.times.map_or(Cell::Null, |times| Cell::Time(times.0))
}

fn last(traffic: &Traffic) -> Cell<'static> {
    traffic.times.map_or(Cell::Null, |times| Cell::Time(times.1))
}

fn is_followed(flow: &Flow<'_>, traffic: &Traffic) -> bool {
    flow.connection.is_some() && traffic.packets > 0
}

/// The version of TLS as ECS writes it, for the numbers of RFC 8446 and its predecessors.
pub fn tls_version(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0300 => "3.0",
        0x0301 => "1.0",
        0x0302 => "1.1",
        0x0303 => "1.2",
        0x0304 => "1.3",
        _ => return None,
    })
}

/// The mapping.
pub const FLOW: &[Leaf] = &[
    leaf("@timestamp", Time, |r| Cell::Time(r.flow.end)),
    leaf("ecs.version", Text, |_| Cell::Text("8.17.0")),
    leaf("event.dataset", Text, |_| Cell::Text("mirror.flow")),
    leaf("event.id", Text, |r| Cell::Identity(r.run, r.sequence, r.row)),
    leaf("event.kind", Text, |_| Cell::Text("event")),
    leaf("event.category", Texts, |_| Cell::Texts(&["network"])),
    leaf("event.type", Texts, |r| {
        Cell::Texts(match r.flow.action {
            Action::Open => &["connection", "start"],
            Action::Update => &["connection", "info"],
            _ => &["connection", "end"],
        })
    }),
    leaf("event.action", Text, |r| {
        Cell::Text(if r.flow.action.is_end() { "end" } else { r.flow.action.name() })
    }),
    leaf("event.reason", Text, |r| {
        if r.flow.action.is_end() { Cell::Text(r.flow.action.name()) } else { Cell::Null }
    }),
    leaf("event.start", Time, |r| Cell::Time(r.flow.start)),
    leaf("event.end", Time, |r| Cell::Time(r.flow.end)),
    leaf("event.duration", Long, |r| Cell::count(r.flow.end.saturating_sub(r.flow.start))),
    leaf("source.ip", Text, |r| Cell::Address(r.flow.source)),
    leaf("source.port", Long, |r| long(ports(&r.flow).map(|ports| ports.0))),
    leaf("source.bytes", Long, |r| Cell::count(r.flow.forward.bytes)),
    leaf("source.packets", Long, |r| Cell::count(r.flow.forward.packets)),
    leaf("destination.ip", Text, |r| Cell::Address(r.flow.destination)),
    leaf("destination.port", Long, |r| long(ports(&r.flow).map(|ports| ports.1))),
    leaf("destination.domain", Text, |r| text(r.flow.application.domain.map(|(_, domain)| domain))),
    leaf("destination.bytes", Long, |r| Cell::count(r.flow.reverse.bytes)),
    leaf("destination.packets", Long, |r| Cell::count(r.flow.reverse.packets)),
    leaf("network.type", Text, |r| Cell::Text(if r.flow.source.is_ipv4() { "ipv4" } else { "ipv6" })),
    leaf("network.transport", Text, |r| text(transport(r.flow.protocol))),
    leaf("network.iana_number", Text, |r| Cell::Digits(r.flow.protocol.into())),
    leaf("network.protocol", Text, |r| text(r.flow.application.protocol)),
    leaf("network.community_id", Text, |r| text(r.community_id.as_deref())),
    leaf("network.bytes", Long, |r| Cell::count(r.flow.bytes())),
    leaf("network.packets", Long, |r| Cell::count(r.flow.packets())),
    leaf("network.direction", Text, |r| Cell::Text(community_id::direction(&r.flow).name())),
    leaf("network.vlan.id", Text, |r| r.flow.vlans[0].map_or(Cell::Null, |id| Cell::Digits(id.into()))),
    leaf("network.inner.vlan.id", Text, |r| r.flow.vlans[1].map_or(Cell::Null, |id| Cell::Digits(id.into()))),
    leaf(
        "cloud.provider",
        Text,
        |r| if r.flow.tunnel.host.is_some() { Cell::Text("aws") } else { Cell::Null },
    ),
    leaf("cloud.account.id", Text, |r| host(&r.flow, |host| &host.account)),
    leaf("cloud.region", Text, |r| host(&r.flow, |host| &host.region)),
    leaf("cloud.availability_zone", Text, |r| host(&r.flow, |host| &host.zone)),
    leaf("cloud.instance.id", Text, |r| host(&r.flow, |host| &host.instance)),
    leaf("cloud.machine.type", Text, |r| host(&r.flow, |host| &host.instance_type)),
    leaf("host.name", Text, |r| host(&r.flow, |host| &host.name)),
    leaf("tls.client.server_name", Text, |r| text(r.flow.application.server_name)),
    leaf("tls.version", Text, |r| text(r.flow.application.tls_version.and_then(tls_version))),
    leaf("tls.version_protocol", Text, |r| {
        if r.flow.application.tls_version.and_then(tls_version).is_some() {
            Cell::Text("tls")
        } else {
            Cell::Null
        }
    }),
    leaf("tls.next_protocol", Text, |r| text(r.flow.application.alpn)),
    leaf("http.request.method", Text, |r| text(r.flow.application.http_method)),
    leaf("http.response.status_code", Long, |r| long(r.flow.application.http_status)),
    leaf("user_agent.original", Text, |r| text(r.flow.application.user_agent)),
    leaf("rule.name", Text, |r| text(r.flow.verdict.map(|(_, rule)| rule))),
    leaf("mirror.gwlbe_id", Text, |r| r.flow.tunnel.endpoint.map_or(Cell::Null, |id| Cell::Hex(id, 16))),
    leaf("mirror.attachment_id", Text, |r| {
        r.flow.tunnel.attachment.map_or(Cell::Null, |id| Cell::Hex(id, 16))
    }),
    leaf("mirror.flow_cookie", Text, |r| r.flow.cookie.map_or(Cell::Null, |id| Cell::Hex(id.into(), 8))),
    leaf("mirror.first_flow_cookie", Text, |r| {
        r.flow.first_cookie.map_or(Cell::Null, |id| Cell::Hex(id.into(), 8))
    }),
    leaf("mirror.geneve_vni", Long, |r| long(r.flow.tunnel.geneve_vni)),
    leaf("mirror.vxlan_vni", Long, |r| long(r.flow.tunnel.vxlan_vni)),
    leaf("mirror.outer.source.ip", Text, |r| Cell::Address(r.flow.tunnel.outer_source)),
    leaf("mirror.outer.destination.ip", Text, |r| Cell::Address(r.flow.tunnel.outer_destination)),
    leaf("mirror.vpc.id", Text, |r| host(&r.flow, |host| &host.vpc)),
    leaf("mirror.subnet.id", Text, |r| host(&r.flow, |host| &host.subnet)),
    leaf("mirror.interface.id", Text, |r| host(&r.flow, |host| &host.interface)),
    leaf("mirror.session.id", Text, |r| host(&r.flow, |host| &host.session)),
    leaf("mirror.pseudonym_key", Text, |r| text(r.flow.tunnel.pseudonym_key)),
    leaf("mirror.initiator", Text, |r| Cell::Text(r.flow.initiator.name())),
    leaf("mirror.icmp.type", Long, |r| long(icmp(&r.flow).map(|icmp| icmp.0))),
    leaf("mirror.icmp.code", Long, |r| long(icmp(&r.flow).map(|icmp| icmp.1))),
    leaf("mirror.icmp.identifier", Long, |r| long(icmp(&r.flow).and_then(|icmp| icmp.2))),
    leaf("mirror.tcp.state", Text, |r| text(r.flow.connection.map(mirror_spool::Connection::name))),
    leaf("mirror.tcp.handshake", Long, |r| long(r.flow.handshake.map(|time| u64::from(time) * 1000))),
    leaf("mirror.tls.ja4", Text, |r| text(r.flow.application.ja4)),
    leaf("mirror.domain.evidence", Text, |r| {
        text(r.flow.application.domain.map(|(evidence, _)| evidence.name()))
    }),
    leaf("mirror.domain.mismatch", Flag, |r| {
        if r.flow.application.domain_mismatch { Cell::Flag(true) } else { Cell::Null }
    }),
    leaf("mirror.dns.queries", Long, |r| long(r.flow.application.dns_queries)),
    leaf("mirror.verdict", Text, |r| text(r.flow.verdict.map(|(outcome, _)| outcome.name()))),
    leaf("mirror.source.account", Text, |r| end_host(r.flow.source_host, |host| &host.account)),
    leaf("mirror.source.instance", Text, |r| end_host(r.flow.source_host, |host| &host.instance)),
    leaf("mirror.source.interface", Text, |r| end_host(r.flow.source_host, |host| &host.interface)),
    leaf("mirror.source.captured_bytes", Long, |r| Cell::count(r.flow.forward.captured_bytes)),
    leaf("mirror.source.start", Time, |r| first(&r.flow.forward)),
    leaf("mirror.source.end", Time, |r| last(&r.flow.forward)),
    leaf("mirror.source.ttl.min", Long, |r| long(r.flow.forward.hop_limits.map(|limits| limits.0))),
    leaf("mirror.source.ttl.max", Long, |r| long(r.flow.forward.hop_limits.map(|limits| limits.1))),
    leaf("mirror.source.tcp.flags", Texts, |r| flags(&r.flow, &r.flow.forward)),
    leaf("mirror.source.tcp.retransmissions", Long, |r| {
        long(is_followed(&r.flow, &r.flow.forward).then_some(r.flow.forward.retransmissions))
    }),
    leaf("mirror.source.tcp.out_of_order", Long, |r| {
        long(is_followed(&r.flow, &r.flow.forward).then_some(r.flow.forward.out_of_order))
    }),
    leaf("mirror.destination.account", Text, |r| end_host(r.flow.destination_host, |host| &host.account)),
    leaf("mirror.destination.instance", Text, |r| end_host(r.flow.destination_host, |host| &host.instance)),
    leaf("mirror.destination.interface", Text, |r| end_host(r.flow.destination_host, |host| &host.interface)),
    leaf("mirror.destination.captured_bytes", Long, |r| Cell::count(r.flow.reverse.captured_bytes)),
    leaf("mirror.destination.start", Time, |r| first(&r.flow.reverse)),
    leaf("mirror.destination.end", Time, |r| last(&r.flow.reverse)),
    leaf("mirror.destination.ttl.min", Long, |r| long(r.flow.reverse.hop_limits.map(|limits| limits.0))),
    leaf("mirror.destination.ttl.max", Long, |r| long(r.flow.reverse.hop_limits.map(|limits| limits.1))),
    leaf("mirror.destination.tcp.flags", Texts, |r| flags(&r.flow, &r.flow.reverse)),
    leaf("mirror.destination.tcp.retransmissions", Long, |r| {
        long(is_followed(&r.flow, &r.flow.reverse).then_some(r.flow.reverse.retransmissions))
    }),
    leaf("mirror.destination.tcp.out_of_order", Long, |r| {
        long(is_followed(&r.flow, &r.flow.reverse).then_some(r.flow.reverse.out_of_order))
    }),
    leaf("mirror.sampling_rate", Long, |r| Cell::count(r.flow.sampling_rate.into())),
    leaf("mirror.queue", Long, |r| Cell::count(r.flow.queue.into())),
];

fn flags(flow: &Flow<'_>, traffic: &Traffic) -> Cell<'static> {
    if is_followed(flow, traffic) { Cell::TcpFlags(traffic.tcp_flags) } else { Cell::Null }
}

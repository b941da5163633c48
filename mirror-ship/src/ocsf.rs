//! Flow records as Network Activity (class 4001) of the Open Cybersecurity Schema Framework: one table per version.

use mirror_spool::{Action, Connection, Direction, Flow, Host, Initiator, Outcome, Transport};
use serde::Deserialize;

use crate::community_id;
use crate::ecs;
use crate::table::{Cell, Kind, Leaf, leaf};

use Kind::{Flag, Int, Long, Text, Texts};

/// A version of OCSF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// 1.1.0.
    #[serde(rename = "1.1")]
    V1_1,
    /// 1.3.0, the newest that Security Lake takes from custom sources.
    #[default]
    #[serde(rename = "1.3")]
    V1_3,
    /// 1.8.0.
    #[serde(rename = "1.8")]
    V1_8,
}

impl Version {
    /// The mapping.
    pub const fn table(self) -> &'static [Leaf] {
        match self {
            Self::V1_1 => V1_1,
            Self::V1_3 => V1_3,
            Self::V1_8 => V1_8,
        }
    }
}

/// The class, Network Activity.
const CLASS: i64 = 4001;
const MILLISECOND: u64 = 1_000_000;

fn text(value: Option<&str>) -> Cell<'_> {
    value.map_or(Cell::Null, Cell::Text)
}

fn host<'a>(flow: &Flow<'a>, of: impl Fn(&'a Host) -> &'a Option<String>) -> Cell<'a> {
    text(flow.tunnel.host.and_then(|host| of(host).as_deref()))
}

fn end<'a>(end: Option<&'a std::sync::Arc<Host>>, of: impl Fn(&'a Host) -> &'a Option<String>) -> Cell<'a> {
    text(end.and_then(|host| of(host).as_deref()))
}

fn milliseconds(nanoseconds: u64) -> Cell<'static> {
    Cell::count(nanoseconds / MILLISECOND)
}

/// `activity_id`: 1 Open, 2 Close, 3 Reset, 4 Fail, 5 Refuse, 6 Traffic.
fn activity(flow: &Flow<'_>) -> i32 {
    match (flow.action, flow.connection) {
        (Action::Open, _) => 1,
        (Action::Update, _) => 6,
        (_, Some(Connection::Refused)) => 5,
        (_, Some(Connection::Reset)) | (Action::Reset, _) => 3,
        (_, Some(Connection::Attempted)) => 4,
        (_, Some(_)) => 2,
        // Without a connection nothing is closed.
        (_, None) => 6,
    }
}

/// `connection_info.direction_id`: 0 Unknown, 1 Inbound, 2 Outbound, 3 Lateral.
fn direction(flow: &Flow<'_>) -> i32 {
    match community_id::direction(flow) {
        Direction::Inbound | Direction::Ingress => 1,
        Direction::Outbound | Direction::Egress => 2,
        Direction::Internal => 3,
        Direction::External => 0,
    }
}

fn port(flow: &Flow<'_>, of: impl Fn((u16, u16)) -> u16) -> Cell<'static> {
    match flow.transport {
        Transport::Ports { source, destination } => Cell::Int(of((source, destination)).into()),
        _ => Cell::Null,
    }
}

fn has_cloud(flow: &Flow<'_>) -> bool {
    flow.tunnel.host.is_some()
}

/// The object `tls` needs its version.
fn tls<'a>(flow: &Flow<'a>, value: Option<&'a str>) -> Cell<'a> {
    match flow.application.tls_version.and_then(ecs::tls_version) {
        Some(_) => text(value),
        None => Cell::Null,
    }
}

/// `severity_id`: 1 Informational, 3 Medium where an egress rule asks for an alert or a denial.
fn severity(flow: &Flow<'_>) -> i32 {
    match flow.verdict {
        Some((Outcome::Alert | Outcome::Deny, _)) => 3,
        _ => 1,
    }
}

/// `true` if a name has the form of `hostname_t`: labels of letters, digits and hyphens. Names from packets may have any.
fn is_hostname(name: &str) -> bool {
    name.split('.').all(|label| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inner) && !label.starts_with('-') && !label.ends_with('-')
    })
}

macro_rules! network_activity {
    ($version:literal, connection [$($connection:expr),*], traffic [$($traffic:expr),*], class [$($class:expr),*],
     unmapped [$($unmapped:expr),*]) => {
        &[
            leaf("activity_id", Int, |r| Cell::Int(activity(&r.flow))),
            leaf("category_uid", Int, |_| Cell::Int(4)),
            leaf("class_uid", Int, |_| Cell::Int(4001)),
            leaf("type_uid", Long, |r| Cell::Long(CLASS * 100 + i64::from(activity(&r.flow)))),
            leaf("severity_id", Int, |r| Cell::Int(severity(&r.flow))),
            leaf("time", Long, |r| milliseconds(r.flow.end)),
            leaf("start_time", Long, |r| milliseconds(r.flow.start)),
            leaf("end_time", Long, |r| milliseconds(r.flow.end)),
            leaf("app_name", Text, |r| text(r.flow.application.protocol)),
            $($class,)*
            leaf("metadata.version", Text, |_| Cell::Text($version)),
            leaf("metadata.uid", Text, |r| Cell::Identity(r.run, r.sequence, r.row)),
            leaf("metadata.profiles", Texts, |r| if has_cloud(&r.flow) { Cell::Texts(&["cloud"]) } else { Cell::Null }),
            leaf("metadata.product.name", Text, |_| Cell::Text("mirror-capture")),
            leaf("metadata.product.vendor_name", Text, |_| Cell::Text("mirror-capture")),
            leaf("metadata.product.version", Text, |_| Cell::Text(env!("CARGO_PKG_VERSION"))),
            leaf("cloud.provider", Text, |r| if has_cloud(&r.flow) { Cell::Text("AWS") } else { Cell::Null }),
            leaf("cloud.region", Text, |r| host(&r.flow, |host| &host.region)),
            leaf("cloud.zone", Text, |r| host(&r.flow, |host| &host.zone)),
            leaf("cloud.account.uid", Text, |r| host(&r.flow, |host| &host.account)),
            leaf("src_endpoint.ip", Text, |r| Cell::Address(r.flow.source)),
            leaf("src_endpoint.port", Int, |r| port(&r.flow, |ports| ports.0)),
            leaf("src_endpoint.instance_uid", Text, |r| end(r.flow.source_host, |host| &host.instance)),
            leaf("src_endpoint.interface_uid", Text, |r| end(r.flow.source_host, |host| &host.interface)),
            leaf("src_endpoint.vpc_uid", Text, |r| end(r.flow.source_host, |host| &host.vpc)),
            leaf("src_endpoint.subnet_uid", Text, |r| end(r.flow.source_host, |host| &host.subnet)),
            leaf("dst_endpoint.ip", Text, |r| Cell::Address(r.flow.destination)),
            leaf("dst_endpoint.port", Int, |r| port(&r.flow, |ports| ports.1)),
            leaf("dst_endpoint.hostname", Text, |r| {
                text(r.flow.application.domain.map(|(_, domain)| domain).filter(|domain| is_hostname(domain)))
            }),
            leaf("dst_endpoint.instance_uid", Text, |r| end(r.flow.destination_host, |host| &host.instance)),
            leaf("dst_endpoint.interface_uid", Text, |r| end(r.flow.destination_host, |host| &host.interface)),
            leaf("dst_endpoint.vpc_uid", Text, |r| end(r.flow.destination_host, |host| &host.vpc)),
            leaf("dst_endpoint.subnet_uid", Text, |r| end(r.flow.destination_host, |host| &host.subnet)),
            leaf("connection_info.direction_id", Int, |r| Cell::Int(direction(&r.flow))),
            leaf("connection_info.protocol_num", Int, |r| Cell::Int(r.flow.protocol.into())),
            leaf("connection_info.protocol_name", Text, |r| text(ecs::transport(r.flow.protocol))),
            leaf("connection_info.protocol_ver_id", Int, |r| Cell::Int(if r.flow.source.is_ipv4() { 4 } else { 6 })),
            leaf("connection_info.tcp_flags", Int, |r| match r.flow.connection {
                Some(_) => Cell::Int((r.flow.forward.tcp_flags | r.flow.reverse.tcp_flags).into()),
                None => Cell::Null,
            }),
            $($connection,)*
            leaf("traffic.bytes", Long, |r| Cell::count(r.flow.bytes())),
            leaf("traffic.packets", Long, |r| Cell::count(r.flow.packets())),
            // Out is from source to destination.
            leaf("traffic.bytes_out", Long, |r| Cell::count(r.flow.forward.bytes)),
            leaf("traffic.packets_out", Long, |r| Cell::count(r.flow.forward.packets)),
            leaf("traffic.bytes_in", Long, |r| Cell::count(r.flow.reverse.bytes)),
            leaf("traffic.packets_in", Long, |r| Cell::count(r.flow.reverse.packets)),
            $($traffic,)*
            leaf("tls.version", Text, |r| text(r.flow.application.tls_version.and_then(ecs::tls_version))),
            leaf("tls.sni", Text, |r| tls(&r.flow, r.flow.application.server_name)),
            $($unmapped,)*
            leaf("unmapped.domain", Text, |r| {
                text(r.flow.application.domain.map(|(_, domain)| domain).filter(|domain| !is_hostname(domain)))
            }),
            leaf("unmapped.ja4", Text, |r| text(r.flow.application.ja4)),
            leaf("unmapped.alpn", Text, |r| text(r.flow.application.alpn)),
            leaf("unmapped.rule", Text, |r| text(r.flow.verdict.map(|(_, rule)| rule))),
            leaf("unmapped.verdict", Text, |r| text(r.flow.verdict.map(|(outcome, _)| outcome.name()))),
            leaf("unmapped.gwlbe_id", Text, |r| r.flow.tunnel.endpoint.map_or(Cell::Null, |id| Cell::Hex(id, 16))),
            leaf("unmapped.vxlan_vni", Long, |r| {
                r.flow.tunnel.vxlan_vni.map_or(Cell::Null, |vni| Cell::count(vni.into()))
            }),
            leaf("unmapped.session", Text, |r| host(&r.flow, |host| &host.session)),
            leaf("unmapped.end_reason", Text, |r| {
                if r.flow.action.is_end() { Cell::Text(r.flow.action.name()) } else { Cell::Null }
            }),
            leaf("unmapped.sampling_rate", Long, |r| Cell::count(r.flow.sampling_rate.into())),
        ]
    };
}

const V1_1: &[Leaf] = network_activity!(
    "1.1.0", connection [], traffic [], class [],
    unmapped [leaf("unmapped.community_id", Text, |r| text(r.community_id.as_deref()))]
);
const V1_3: &[Leaf] = network_activity!(
    "1.3.0", connection [], traffic [], class [],
    unmapped [leaf("unmapped.community_id", Text, |r| text(r.community_id.as_deref()))]
);
const V1_8: &[Leaf] = network_activity!(
    "1.8.0",
    connection [leaf("connection_info.community_uid", Text, |r| text(r.community_id.as_deref()))],
    traffic [
        leaf("traffic.start_time", Long, |r| milliseconds(r.flow.start)),
        leaf("traffic.end_time", Long, |r| milliseconds(r.flow.end))
    ],
    class [leaf("is_src_dst_assignment_known", Flag, |r| Cell::Flag(r.flow.initiator != Initiator::FirstPacket))],
    unmapped []
);

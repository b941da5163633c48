//! One JSON object per line, with the names of the Elastic Common Schema (ECS) as nested objects.
//!
//! What ECS has no name for stands under `mirror`, as ECS asks of fields that are a program's own: the tunnel, the
//! lengths, the queue, and also ICMP's type and code. A member that a packet does not have is absent.
//!
//! ```json
//! {"@timestamp":"2026-11-21T09:04:12.123456789Z","ecs":{"version":"8.17.0"},
//!  "event":{"dataset":"mirror.packet","kind":"event"},
//!  "source":{"ip":"10.0.0.1","port":40000,"mac":"02-00-00-00-00-01"},
//!  "destination":{"ip":"10.0.0.2","port":443,"mac":"02-00-00-00-00-02"},
//!  "network":{"type":"ipv4","transport":"tcp","iana_number":"6","bytes":60,
//!             "vlan":{"id":"10"},"inner":{"vlan":{"id":"20"}}},
//!  "mirror":{"gwlbe_id":"0123456789abcdef","attachment_id":"fedcba9876543210","flow_cookie":"01234567",
//!            "geneve_vni":0,"vxlan_vni":7,
//!            "outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},
//!            "icmp":{"type":8,"code":0},"ethertype":"0806",
//!            "captured_bytes":74,"original_bytes":74,"truncated":false,"queue":0}}
//! ```
//!
//! That is all there can be, on one line; `icmp` is there only for ICMP, and `ethertype` only where the packet is not
//! IP.

use std::net::IpAddr;

use super::text;
use crate::packet::{Ip, Link, Network, Packet, Ports, Transport, Tunnel};
use crate::record::PacketRecord;
use crate::wire::number::{IpProtocol, MacAddress};

/// No record is longer than this many bytes.
pub(super) const LONGEST_RECORD: usize = 1024;

/// Appends the line for one packet.
pub(super) fn packet(record: &PacketRecord, out: &mut Vec<u8>) {
    let packet = &record.packet;
    let (ip, ethertype) = match &packet.network {
        Network::Ip(ip) => (Some(ip), None),
        Network::Other(ethertype) => (None, Some(ethertype)),
    };
    let link = packet.link.as_ref();

    out.extend_from_slice(br#"{"@timestamp":""#);
    text::timestamp(record.timestamp, out);
    out.extend_from_slice(
        br#"","ecs":{"version":"8.17.0"},"event":{"dataset":"mirror.packet","kind":"event"},"#,
    );
    if ip.is_some() || link.is_some() {
        let ports = ip.and_then(|ip| ports(&ip.transport));
        out.extend_from_slice(br#""source":{"#);
        endpoint(ip.map(|ip| ip.source), ports.map(|ports| ports.source), link.map(|link| link.source), out);
        out.extend_from_slice(br#""destination":{"#);
        endpoint(
            ip.map(|ip| ip.destination),
            ports.map(|ports| ports.destination),
            link.map(|link| link.destination),
            out,
        );
    }
    network(ip, link, out);
    out.extend_from_slice(br#""mirror":{"#);
    tunnel(&packet.tunnel, out);
    if let Some(Transport::Icmp(icmp) | Transport::Icmpv6(icmp)) = ip.map(|ip| ip.transport) {
        out.extend_from_slice(br#""icmp":{"type":"#);
        text::decimal(icmp.kind, out);
        out.extend_from_slice(br#","code":"#);
        text::decimal(icmp.code, out);
        out.extend_from_slice(b"},");
    }
    if let Some(ethertype) = ethertype {
        out.extend_from_slice(br#""ethertype":""#);
        text::hexadecimal(ethertype.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    lengths(packet, out);
    out.extend_from_slice(br#""queue":"#);
    text::decimal(record.queue.0, out);
    out.extend_from_slice(b"}}\n");
}

fn ports(transport: &Transport) -> Option<Ports> {
    match transport {
        Transport::Tcp(tcp) => Some(tcp.ports),
        Transport::Udp(ports) | Transport::Sctp(ports) => Some(*ports),
        Transport::Icmp(_) | Transport::Icmpv6(_) | Transport::Unread => None,
    }
}

/// Ends an object that has members, each with a comma behind it.
fn close(out: &mut Vec<u8>) {
    if let Some(comma) = out.last_mut() {
        *comma = b'}';
    }
    out.push(b',');
}

/// The members of `source` or `destination`, at least one of which is there.
fn endpoint(ip: Option<IpAddr>, port: Option<u16>, mac: Option<MacAddress>, out: &mut Vec<u8>) {
    if let Some(ip) = ip {
        out.extend_from_slice(br#""ip":""#);
        text::ip(ip, out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(port) = port {
        out.extend_from_slice(br#""port":"#);
        text::decimal(port, out);
        out.push(b',');
    }
    if let Some(mac) = mac {
        out.extend_from_slice(br#""mac":""#);
        text::mac(mac, out);
        out.extend_from_slice(br#"","#);
    }
    close(out);
}

/// `network`, unless it would be empty.
fn network(ip: Option<&Ip>, link: Option<&Link>, out: &mut Vec<u8>) {
    let [outer_vlan, inner_vlan] = link.map_or([None; 2], |link| link.vlans);
    if ip.is_none() && outer_vlan.is_none() && inner_vlan.is_none() {
        return;
    }
    out.extend_from_slice(br#""network":{"#);
    if let Some(ip) = ip {
        let kind: &[u8] = match ip.source {
            IpAddr::V4(_) => br#""type":"ipv4","#,
            IpAddr::V6(_) => br#""type":"ipv6","#,
        };
        out.extend_from_slice(kind);
        if let Some(name) = protocol_name(ip.protocol) {
            out.extend_from_slice(br#""transport":""#);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(br#"","#);
        }
        out.extend_from_slice(br#""iana_number":""#);
        text::decimal(ip.protocol.0, out);
        out.extend_from_slice(br#"","bytes":"#);
        text::decimal(ip.length, out);
        out.push(b',');
    }
    if let Some(vlan) = outer_vlan {
        out.extend_from_slice(br#""vlan":{"id":""#);
        text::decimal(vlan, out);
        out.extend_from_slice(br#""},"#);
    }
    if let Some(vlan) = inner_vlan {
        out.extend_from_slice(br#""inner":{"vlan":{"id":""#);
        text::decimal(vlan, out);
        out.extend_from_slice(br#""}},"#);
    }
    close(out);
}

/// The keyword of the IANA registry of protocol numbers, in lower case.
const fn protocol_name(protocol: IpProtocol) -> Option<&'static str> {
    Some(match protocol.0 {
        0 => "hopopt",
        1 => "icmp",
        2 => "igmp",
        4 => "ipv4",
        6 => "tcp",
        8 => "egp",
        9 => "igp",
        17 => "udp",
        27 => "rdp",
        33 => "dccp",
        41 => "ipv6",
        43 => "ipv6-route",
        44 => "ipv6-frag",
        46 => "rsvp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        59 => "ipv6-nonxt",
        60 => "ipv6-opts",
        88 => "eigrp",
        89 => "ospfigp",
        94 => "ipip",
        97 => "etherip",
        98 => "encap",
        103 => "pim",
        108 => "ipcomp",
        112 => "vrrp",
        115 => "l2tp",
        132 => "sctp",
        133 => "fc",
        136 => "udplite",
        137 => "mpls-in-ip",
        139 => "hip",
        140 => "shim6",
        142 => "rohc",
        143 => "ethernet",
        _ => return None,
    })
}

/// The members of `mirror` that say by which tunnel the packet came.
fn tunnel(tunnel: &Tunnel, out: &mut Vec<u8>) {
    if let Some(endpoint) = tunnel.endpoint {
        out.extend_from_slice(br#""gwlbe_id":""#);
        text::hexadecimal(endpoint.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(attachment) = tunnel.attachment {
        out.extend_from_slice(br#""attachment_id":""#);
        text::hexadecimal(attachment.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(cookie) = tunnel.cookie {
        out.extend_from_slice(br#""flow_cookie":""#);
        text::hexadecimal(cookie.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(vni) = tunnel.geneve_vni {
        out.extend_from_slice(br#""geneve_vni":"#);
        text::decimal(vni.get(), out);
        out.push(b',');
    }
    if let Some(vni) = tunnel.vxlan_vni {
        out.extend_from_slice(br#""vxlan_vni":"#);
        text::decimal(vni.get(), out);
        out.push(b',');
    }
    out.extend_from_slice(br#""outer":{"source":{"ip":""#);
    text::ip(tunnel.outer_source, out);
    out.extend_from_slice(br#""},"destination":{"ip":""#);
    text::ip(tunnel.outer_destination, out);
    out.extend_from_slice(br#""}},"#);
}

/// The members of `mirror` that say how much of the packet there is.
fn lengths(packet: &Packet, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""captured_bytes":"#);
    text::decimal(packet.captured_length, out);
    out.extend_from_slice(br#","original_bytes":"#);
    text::decimal(packet.original_length, out);
    let truncated: &[u8] =
        if packet.truncated() { br#","truncated":true,"# } else { br#","truncated":false,"# };
    out.extend_from_slice(truncated);
}

//! Members that the records of packets and of flows have in common.

use std::net::IpAddr;

use crate::number::{FlowCookie, IpProtocol, QueueId};
use crate::packet::Tunnel;
use crate::sink::notation::{self, TimestampWriter};
use crate::time::Timestamp;

/// The first members of a record.
pub(super) fn begin(timestamp: Timestamp, clock: &mut TimestampWriter, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"@timestamp":""#);
    clock.write(timestamp, out);
    out.extend_from_slice(br#"","ecs":{"version":"8.17.0"},"#);
}

/// The last members of `mirror`, and the end of the record.
pub(super) fn end(sampling_rate: u32, queue: QueueId, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""sampling_rate":"#);
    notation::decimal(sampling_rate, out);
    out.extend_from_slice(br#","queue":"#);
    notation::decimal(queue.0, out);
    out.extend_from_slice(b"}}\n");
}

/// Ends an object that has members, each with a comma behind it.
pub(super) fn close(out: &mut Vec<u8>) {
    if let Some(comma) = out.last_mut() {
        *comma = b'}';
    }
    out.push(b',');
}

/// The object that begins with `name`, with the members that say who that end is; nothing where it is not known.
pub(super) fn known_end(name: &[u8], members: &[u8], out: &mut Vec<u8>) {
    if !members.is_empty() {
        out.extend_from_slice(name);
        out.extend_from_slice(members);
        close(out);
    }
}

/// `ip` and `port` of `source` or `destination`.
pub(super) fn address(ip: IpAddr, port: Option<u16>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""ip":""#);
    notation::ip(ip, out);
    out.extend_from_slice(br#"","#);
    if let Some(port) = port {
        out.extend_from_slice(br#""port":"#);
        notation::decimal(port, out);
        out.push(b',');
    }
}

/// The members of `network` that say what protocols are spoken.
pub(super) fn protocol(source: IpAddr, protocol: IpProtocol, out: &mut Vec<u8>) {
    let kind: &[u8] = match source {
        IpAddr::V4(_) => br#""type":"ipv4","#,
        IpAddr::V6(_) => br#""type":"ipv6","#,
    };
    out.extend_from_slice(kind);
    if let Some(name) = protocol_name(protocol) {
        out.extend_from_slice(br#""transport":""#);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(br#"","#);
    }
    out.extend_from_slice(br#""iana_number":""#);
    notation::decimal(protocol.0, out);
    out.extend_from_slice(br#"","#);
}

/// The members of `network` that say in which VLANs.
pub(super) fn vlans([outer, inner]: [Option<u16>; 2], out: &mut Vec<u8>) {
    if let Some(vlan) = outer {
        out.extend_from_slice(br#""vlan":{"id":""#);
        notation::decimal(vlan, out);
        out.extend_from_slice(br#""},"#);
    }
    if let Some(vlan) = inner {
        out.extend_from_slice(br#""inner":{"vlan":{"id":""#);
        notation::decimal(vlan, out);
        out.extend_from_slice(br#""}},"#);
    }
}

/// The keyword of the IANA registry of protocol numbers, in lower case.
pub(super) const fn protocol_name(protocol: IpProtocol) -> Option<&'static str> {
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
pub(super) fn tunnel(tunnel: &Tunnel, first_cookie: Option<FlowCookie>, out: &mut Vec<u8>) {
    if let Some(endpoint) = tunnel.endpoint {
        out.extend_from_slice(br#""gwlbe_id":"vpce-0"#);
        notation::hexadecimal(endpoint.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(attachment) = tunnel.attachment {
        out.extend_from_slice(br#""attachment_id":""#);
        notation::hexadecimal(attachment.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(cookie) = tunnel.cookie {
        out.extend_from_slice(br#""flow_cookie":""#);
        notation::hexadecimal(cookie.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(cookie) = first_cookie {
        out.extend_from_slice(br#""first_flow_cookie":""#);
        notation::hexadecimal(cookie.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    if let Some(vni) = tunnel.geneve_vni {
        out.extend_from_slice(br#""geneve_vni":"#);
        notation::decimal(vni.get(), out);
        out.push(b',');
    }
    if let Some(vni) = tunnel.vxlan_vni {
        out.extend_from_slice(br#""vxlan_vni":"#);
        notation::decimal(vni.get(), out);
        out.push(b',');
    }
    out.extend_from_slice(br#""outer":{"source":{"ip":""#);
    notation::ip(tunnel.outer_source, out);
    out.extend_from_slice(br#""},"destination":{"ip":""#);
    notation::ip(tunnel.outer_destination, out);
    out.extend_from_slice(br#""}},"#);
}

/// Type and code, without the end of the object.
pub(super) fn icmp(kind: u8, code: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""icmp":{"type":"#);
    notation::decimal(kind, out);
    out.extend_from_slice(br#","code":"#);
    notation::decimal(code, out);
    out.push(b',');
}

/// Samples for the tests of both kinds of records.
#[cfg(test)]
pub(super) mod samples {
    use serde_json::{Value, json};

    use super::*;
    use crate::enrichment::Enriched;
    use crate::flow::NetworkDirection;
    use crate::number::{AttachmentId, EndpointId, Vni};

    /// The tunnel of the documented records.
    pub fn tunnel() -> Tunnel {
        Tunnel {
            outer_source: IpAddr::from([10, 1, 0, 1]),
            outer_destination: IpAddr::from([10, 1, 0, 2]),
            geneve_vni: Some(Vni::from_bytes([0, 0, 0])),
            vxlan_vni: Some(Vni::from_bytes([0, 0, 7])),
            vxlan_source: Some([10, 0, 0, 1].into()),
            endpoint: Some(EndpointId(0x0123_4567_89ab_cdef)),
            attachment: Some(AttachmentId(0xfedc_ba98_7654_3210)),
            cookie: Some(FlowCookie(0x0123_4567)),
        }
    }

    /// A tunnel with every member, each as long as it can be.
    pub fn longest_tunnel() -> Tunnel {
        let address = IpAddr::from([0xffff; 8]);
        Tunnel {
            outer_source: address,
            outer_destination: address,
            geneve_vni: Some(Vni::from_bytes([0xff; 3])),
            vxlan_vni: Some(Vni::from_bytes([0xff; 3])),
            vxlan_source: Some([255; 4].into()),
            endpoint: Some(EndpointId(u64::MAX)),
            attachment: Some(AttachmentId(u64::MAX)),
            cookie: Some(FlowCookie(u32::MAX)),
        }
    }

    /// Members that a record may get by the enrichment map.
    pub const ENRICHED: Enriched<'_> = Enriched {
        record: br#""cloud":{"region":"eu-west-1"},"labels":{"env":"prod"},"#,
        mirror: br#""session":{"id":"tms-1","number":1},"#,
        source: br#""interface":{"id":"eni-1"},"#,
        destination: br#""interface":{"id":"eni-2"},"subnet":{"id":"subnet-2"},"#,
        direction: Some(NetworkDirection::External),
    };

    /// Checks that a record with [`ENRICHED`] has its members in their places, and is `plain` besides.
    pub fn check_enriched(enriched: &str, plain: &str, has_direction: bool) {
        assert_eq!(enriched.find('\n'), Some(enriched.len() - 1), "one line");
        let mut expected: Value = serde_json::from_str(plain).unwrap();
        expected["cloud"] = json!({ "region": "eu-west-1" });
        expected["labels"] = json!({ "env": "prod" });
        expected["mirror"]["session"] = json!({ "id": "tms-1", "number": 1 });
        expected["mirror"]["source"]["interface"] = json!({ "id": "eni-1" });
        expected["mirror"]["destination"]["interface"] = json!({ "id": "eni-2" });
        expected["mirror"]["destination"]["subnet"] = json!({ "id": "subnet-2" });
        if has_direction {
            expected["network"]["direction"] = "external".into();
        }
        assert_eq!(serde_json::from_str::<Value>(enriched).unwrap(), expected);
    }

    /// A time as it stands in records.
    pub fn time(timestamp: Timestamp) -> String {
        let mut out = Vec::new();
        TimestampWriter::default().write(timestamp, &mut out);
        String::from_utf8(out).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_names_need_no_escapes() {
        for number in 0..=u8::MAX {
            if let Some(name) = protocol_name(IpProtocol(number)) {
                assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
            }
        }
    }
}

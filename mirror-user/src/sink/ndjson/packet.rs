//! The record of a packet.
//!
//! ```json
//! {"@timestamp":"2026-11-21T09:04:12.123456789Z","ecs":{"version":"8.17.0"},
//!  "event":{"dataset":"mirror.packet","kind":"event"},
//!  "source":{"ip":"10.0.0.1","port":40000,"mac":"02-00-00-00-00-01"},
//!  "destination":{"ip":"10.0.0.2","port":443,"mac":"02-00-00-00-00-02"},
//!  "network":{"type":"ipv4","transport":"tcp","iana_number":"6","bytes":60,
//!             "vlan":{"id":"10"},"inner":{"vlan":{"id":"20"}}},
//!  "mirror":{"gwlbe_id":"vpce-00123456789abcdef","attachment_id":"fedcba9876543210","flow_cookie":"01234567",
//!            "geneve_vni":0,"vxlan_vni":7,
//!            "outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},
//!            "icmp":{"type":8,"code":0},"ethertype":"0806",
//!            "captured_bytes":74,"original_bytes":74,"truncated":false,"sampling_rate":1,"queue":0}}
//! ```
//!
//! Those are all members, on one line; `icmp` is there only for ICMP, and `ethertype` only where the packet is not
//! IP, and has an EtherType, not a length as in IEEE 802.3. `sampling_rate` is 1: packets have records only while every packet has one.
//! What the [enrichment map](crate::enrichment) adds stands where it does in the record of a flow; `mirror.source` and
//! `mirror.destination` are there for it alone.

use std::net::IpAddr;

use super::common::{address, begin, close, end, icmp, known_end, protocol, tunnel, vlans};
use crate::enrichment::Enriched;
use crate::number::MacAddress;
use crate::packet::{Ip, Link, Network, Packet, Ports, Transport};
use crate::record::PacketRecord;
use crate::sink::notation::{self, TimestampWriter};

/// No record is longer than this many bytes.
pub(in crate::sink) const LONGEST_RECORD: usize = 1024;

/// The sampling rate at which every one is recorded.
const UNSAMPLED: u32 = 1;

/// Appends the line for one packet.
pub(in crate::sink) fn packet(
    record: &PacketRecord,
    enriched: &Enriched<'_>,
    clock: &mut TimestampWriter,
    out: &mut Vec<u8>,
) {
    let packet = &record.packet;
    let (ip, ethertype) = match &packet.network {
        Network::Ip(ip) => (Some(ip), None),
        Network::Other(ethertype) => (None, Some(ethertype).filter(|ethertype| !ethertype.is_length())),
    };
    let link = packet.link.as_ref();

    begin(record.timestamp, clock, out);
    out.extend_from_slice(br#""event":{"dataset":"mirror.packet","kind":"event"},"#);
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
    out.extend_from_slice(enriched.record);
    out.extend_from_slice(br#""mirror":{"#);
    tunnel(&packet.tunnel, None, out);
    out.extend_from_slice(enriched.mirror);
    known_end(br#""source":{"#, enriched.source, out);
    known_end(br#""destination":{"#, enriched.destination, out);
    if let Some(Transport::Icmp(header) | Transport::Icmpv6(header)) = ip.map(|ip| ip.transport) {
        icmp(header.kind, header.code, out);
        close(out);
    }
    if let Some(ethertype) = ethertype {
        out.extend_from_slice(br#""ethertype":""#);
        notation::hexadecimal(ethertype.0.to_be_bytes(), out);
        out.extend_from_slice(br#"","#);
    }
    lengths(packet, out);
    end(UNSAMPLED, record.queue, out);
}

fn ports(transport: &Transport) -> Option<Ports> {
    match transport {
        Transport::Tcp(tcp) => Some(tcp.ports),
        Transport::Udp(ports) | Transport::Sctp(ports) => Some(*ports),
        Transport::Icmp(_) | Transport::Icmpv6(_) | Transport::Unread => None,
    }
}

/// The members of `source` or `destination`, at least one of which is there.
fn endpoint(ip: Option<IpAddr>, port: Option<u16>, mac: Option<MacAddress>, out: &mut Vec<u8>) {
    if let Some(ip) = ip {
        address(ip, port, out);
    }
    if let Some(mac) = mac {
        out.extend_from_slice(br#""mac":""#);
        notation::mac(mac, out);
        out.extend_from_slice(br#"","#);
    }
    close(out);
}

/// `network`, unless it would be empty.
fn network(ip: Option<&Ip>, link: Option<&Link>, out: &mut Vec<u8>) {
    let vlan_ids = link.map_or([None; 2], |link| link.vlans);
    if ip.is_none() && vlan_ids == [None; 2] {
        return;
    }
    out.extend_from_slice(br#""network":{"#);
    if let Some(ip) = ip {
        protocol(ip.source, ip.protocol, out);
        out.extend_from_slice(br#""bytes":"#);
        notation::decimal(ip.length, out);
        out.push(b',');
    }
    vlans(vlan_ids, out);
    close(out);
}

/// The members of `mirror` that say how much of the packet there is.
fn lengths(packet: &Packet, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""captured_bytes":"#);
    notation::decimal(packet.captured_length, out);
    out.extend_from_slice(br#","original_bytes":"#);
    notation::decimal(packet.original_length, out);
    let truncated: &[u8] =
        if packet.truncated() { br#","truncated":true,"# } else { br#","truncated":false,"# };
    out.extend_from_slice(truncated);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;
    use crate::number::{EtherType, IpProtocol, QueueId, Vni};
    use crate::packet::{Icmp, Tcp};
    use crate::sink::arbitrary;
    use crate::sink::ndjson::common::{protocol_name, samples};
    use crate::time::Timestamp;

    /// The record as serde sees it; serde_json writes what the encoder must write.
    #[derive(Serialize)]
    struct Record {
        #[serde(rename = "@timestamp")]
        timestamp: String,
        ecs: Ecs,
        event: Event,
        #[serde(skip_serializing_if = "Endpoint::is_empty")]
        source: Endpoint,
        #[serde(skip_serializing_if = "Endpoint::is_empty")]
        destination: Endpoint,
        #[serde(skip_serializing_if = "NetworkFields::is_empty")]
        network: NetworkFields,
        mirror: Mirror,
    }

    #[derive(Serialize)]
    struct Ecs {
        version: &'static str,
    }

    #[derive(Serialize)]
    struct Event {
        dataset: &'static str,
        kind: &'static str,
    }

    #[derive(Serialize)]
    struct Endpoint {
        #[serde(skip_serializing_if = "Option::is_none")]
        ip: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mac: Option<String>,
    }

    impl Endpoint {
        fn is_empty(&self) -> bool {
            self.ip.is_none() && self.port.is_none() && self.mac.is_none()
        }
    }

    #[derive(Serialize)]
    struct NetworkFields {
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        transport: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        iana_number: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        vlan: Option<Id>,
        #[serde(skip_serializing_if = "Option::is_none")]
        inner: Option<Inner>,
    }

    impl NetworkFields {
        fn is_empty(&self) -> bool {
            self.kind.is_none() && self.vlan.is_none() && self.inner.is_none()
        }
    }

    #[derive(Serialize)]
    struct Id {
        id: String,
    }

    #[derive(Serialize)]
    struct Inner {
        vlan: Id,
    }

    #[derive(Serialize)]
    struct Mirror {
        #[serde(skip_serializing_if = "Option::is_none")]
        gwlbe_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        attachment_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        flow_cookie: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        geneve_vni: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        vxlan_vni: Option<u32>,
        outer: Outer,
        #[serde(skip_serializing_if = "Option::is_none")]
        icmp: Option<IcmpFields>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ethertype: Option<String>,
        captured_bytes: u32,
        original_bytes: u32,
        truncated: bool,
        sampling_rate: u32,
        queue: u32,
    }

    #[derive(Serialize)]
    struct Outer {
        source: Address,
        destination: Address,
    }

    #[derive(Serialize)]
    struct Address {
        ip: String,
    }

    #[derive(Serialize)]
    struct IcmpFields {
        #[serde(rename = "type")]
        kind: u8,
        code: u8,
    }

    impl From<&PacketRecord> for Record {
        fn from(record: &PacketRecord) -> Self {
            let packet = &record.packet;
            let tunnel = &packet.tunnel;
            let (ip, ethertype) = match packet.network {
                Network::Ip(ip) => (Some(ip), None),
                Network::Other(EtherType(number)) => {
                    (None, (number >= 0x0600).then(|| format!("{number:04x}")))
                }
            };
            let ports = ip.and_then(|ip| match ip.transport {
                Transport::Tcp(Tcp { ports, .. }) | Transport::Udp(ports) | Transport::Sctp(ports) => {
                    Some(ports)
                }
                _ => None,
            });
            let vlan = |number: usize| {
                packet.link.and_then(|link| link.vlans[number]).map(|id| Id { id: id.to_string() })
            };
            Self {
                timestamp: samples::time(record.timestamp),
                ecs: Ecs { version: "8.17.0" },
                event: Event { dataset: "mirror.packet", kind: "event" },
                source: Endpoint {
                    ip: ip.map(|ip| ip.source.to_string()),
                    port: ports.map(|ports| ports.source),
                    mac: packet.link.map(|link| link.source.to_string()),
                },
                destination: Endpoint {
                    ip: ip.map(|ip| ip.destination.to_string()),
                    port: ports.map(|ports| ports.destination),
                    mac: packet.link.map(|link| link.destination.to_string()),
                },
                network: NetworkFields {
                    kind: ip.map(|ip| if ip.source.is_ipv4() { "ipv4" } else { "ipv6" }),
                    transport: ip.and_then(|ip| protocol_name(ip.protocol)),
                    iana_number: ip.map(|ip| ip.protocol.0.to_string()),
                    bytes: ip.map(|ip| ip.length),
                    vlan: vlan(0),
                    inner: vlan(1).map(|vlan| Inner { vlan }),
                },
                mirror: Mirror {
                    gwlbe_id: tunnel.endpoint.map(|id| id.to_string()),
                    attachment_id: tunnel.attachment.map(|id| id.to_string()),
                    flow_cookie: tunnel.cookie.map(|cookie| cookie.to_string()),
                    geneve_vni: tunnel.geneve_vni.map(Vni::get),
                    vxlan_vni: tunnel.vxlan_vni.map(Vni::get),
                    outer: Outer {
                        source: Address { ip: tunnel.outer_source.to_string() },
                        destination: Address { ip: tunnel.outer_destination.to_string() },
                    },
                    icmp: ip.and_then(|ip| match ip.transport {
                        Transport::Icmp(icmp) | Transport::Icmpv6(icmp) => {
                            Some(IcmpFields { kind: icmp.kind, code: icmp.code })
                        }
                        _ => None,
                    }),
                    ethertype,
                    captured_bytes: packet.captured_length,
                    original_bytes: packet.original_length,
                    truncated: packet.captured_length < packet.original_length,
                    sampling_rate: 1,
                    queue: record.queue.0,
                },
            }
        }
    }

    fn line(record: &PacketRecord) -> String {
        enriched_line(record, &Enriched::default())
    }

    fn enriched_line(record: &PacketRecord, enriched: &Enriched<'_>) -> String {
        let mut out = Vec::new();
        packet(record, enriched, &mut TimestampWriter::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn records_are_what_serde_json_writes(record in arbitrary::record()) {
            let expected = serde_json::to_string(&Record::from(&record)).unwrap() + "\n";
            prop_assert_eq!(line(&record), expected);
        }

        #[test]
        fn what_the_map_adds_stands_in_its_place(record in arbitrary::record()) {
            let enriched = enriched_line(&record, &samples::ENRICHED);
            samples::check_enriched(&enriched, &line(&record), false);
        }
    }

    /// A record that has every member, each as long as it can be.
    fn longest() -> PacketRecord {
        let address = IpAddr::from([0xffff; 8]);
        let mac = MacAddress([0xff; 6]);
        PacketRecord {
            timestamp: Timestamp(u64::MAX),
            queue: QueueId(u32::MAX),
            packet: Packet {
                tunnel: samples::longest_tunnel(),
                offset: u32::MAX,
                captured_length: u32::MAX,
                original_length: u32::MAX,
                link: Some(Link { source: mac, destination: mac, vlans: [Some(4095); 2] }),
                network: Network::Ip(Ip {
                    source: address,
                    destination: address,
                    protocol: IpProtocol::ICMPV6,
                    length: u32::MAX,
                    hop_limit: u8::MAX,
                    fragment: None,
                    transport: Transport::Icmpv6(Icmp { kind: 255, code: 255, identifier: None }),
                }),
            },
            bytes: 0..0,
        }
    }

    #[test]
    fn the_longest_record_fits() {
        let spare = LONGEST_RECORD - line(&longest()).len();
        // Ports in the place of ICMP, and a longer name of the protocol, need less than this.
        assert!(spare > 100, "{spare} bytes to spare");
        let enriched = enriched_line(&longest(), &samples::ENRICHED).len();
        let Enriched { record, mirror, source, destination, .. } = samples::ENRICHED;
        let members = record.len() + mirror.len() + source.len() + destination.len();
        assert!(enriched <= LONGEST_RECORD + members, "with the room that the members take by themselves");
    }

    #[test]
    fn a_record_reads_as_documented() {
        let ports = Ports { source: 40_000, destination: 443 };
        let record = PacketRecord {
            timestamp: Timestamp(1_795_251_852_123_456_789),
            queue: QueueId(3),
            packet: Packet {
                tunnel: samples::tunnel(),
                offset: 118,
                captured_length: 60,
                original_length: 74,
                link: Some(Link {
                    source: MacAddress([2, 0, 0, 0, 0, 1]),
                    destination: MacAddress([2, 0, 0, 0, 0, 0xab]),
                    vlans: [Some(10), Some(20)],
                }),
                network: Network::Ip(Ip {
                    source: IpAddr::from([10, 0, 0, 1]),
                    destination: IpAddr::from([10, 0, 0, 2]),
                    protocol: IpProtocol::TCP,
                    length: 60,
                    hop_limit: 64,
                    fragment: None,
                    transport: Transport::Tcp(Tcp { ports, state: None }),
                }),
            },
            bytes: 0..0,
        };
        let expected = concat!(
            r#"{"@timestamp":"2026-11-21T09:04:12.123456789Z","ecs":{"version":"8.17.0"},"#,
            r#""event":{"dataset":"mirror.packet","kind":"event"},"#,
            r#""source":{"ip":"10.0.0.1","port":40000,"mac":"02-00-00-00-00-01"},"#,
            r#""destination":{"ip":"10.0.0.2","port":443,"mac":"02-00-00-00-00-AB"},"#,
            r#""network":{"type":"ipv4","transport":"tcp","iana_number":"6","bytes":60,"#,
            r#""vlan":{"id":"10"},"inner":{"vlan":{"id":"20"}}},"#,
            r#""mirror":{"gwlbe_id":"vpce-00123456789abcdef","attachment_id":"fedcba9876543210","#,
            r#""flow_cookie":"01234567","geneve_vni":0,"vxlan_vni":7,"#,
            r#""outer":{"source":{"ip":"10.1.0.1"},"destination":{"ip":"10.1.0.2"}},"#,
            r#""captured_bytes":60,"original_bytes":74,"truncated":true,"sampling_rate":1,"queue":3}}"#,
            "\n",
        );
        assert_eq!(line(&record), expected);
    }
}

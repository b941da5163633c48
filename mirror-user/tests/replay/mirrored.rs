//! The mirrored packet in a frame, by tshark's dissection.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use mirror_user::packet::{Fragment, Network, Packet, TcpState, Transport};
use serde_json::{Value, json};

use crate::dissection::{Dissection, Layer};

/// Names of network layers.
pub const IP: [&str; 2] = ["ip", "ipv6"];
/// Names of tunnels.
pub const TUNNELS: [&str; 2] = ["geneve", "vxlan"];

/// A mirrored packet as tshark shows it.
#[derive(Debug)]
pub struct Mirrored<'a> {
    frame: &'a Dissection,
    /// The tunnel headers that are taken off: GENEVE and a VXLAN in it, or one of them.
    tunnels: Vec<&'a Layer>,
    /// The payload of the last of them.
    layers: &'a [Layer],
    /// The end of the mirrored packet by the length fields of its tunnels, in the capture and before any cut.
    captured_end: u64,
    original_end: u64,
}

impl<'a> Mirrored<'a> {
    /// The packet in `frame`; [`None`] where tshark sees no tunnel.
    pub fn new(frame: &'a Dissection) -> Option<Self> {
        let layers = &frame.layers;
        // A fragment is no tunnel packet, though tshark looks into the first one.
        let is_tunnel = |place: &usize| {
            TUNNELS.contains(&layers[*place].name.as_str()) && fragment(&layers[*place - 2]).is_none()
        };
        let places: Vec<usize> = (0..layers.len()).filter(is_tunnel).take(2).collect();
        let last = *places.last()?;
        let mut captured_end: u64 = frame.layers.first()?.value("frame.cap_len")?;
        let mut original_end = 0;
        for place in &places {
            let [.., ip, udp] = &layers[..*place] else { return None };
            let udp_end = u64::from(udp.start) + udp.number("udp.length")?;
            original_end = udp_end.min(ip_end(ip)?);
            captured_end = captured_end.min(original_end);
        }
        let tunnels = places.iter().map(|place| &layers[*place]).collect();
        Some(Self { frame, tunnels, layers: &layers[last + 1..], captured_end, original_end })
    }

    fn start(&self) -> u64 {
        self.layers.first().map_or(self.captured_end, |layer| layer.start.into())
    }

    fn tunnel(&self, name: &str) -> Option<&Layer> {
        self.tunnels.iter().copied().find(|layer| layer.name == name)
    }

    fn link(&self) -> Option<&Layer> {
        self.layers.first().filter(|layer| layer.name == "eth")
    }

    fn vlans(&self) -> impl Iterator<Item = &Layer> {
        let link = self
            .layers
            .iter()
            .take_while(|layer| ["eth", "vlan", "ieee8021ad"].contains(&layer.name.as_str()));
        link.filter(|layer| layer.name != "eth")
    }

    /// Number of link layer headers, VLAN tags included.
    fn link_layers(&self) -> usize {
        usize::from(self.link().is_some()) + self.vlans().count()
    }

    fn ip(&self) -> Option<&Layer> {
        self.layers.get(self.link_layers()).filter(|layer| IP.contains(&layer.name.as_str()))
    }

    fn transport(&self) -> Option<&Layer> {
        self.ip()?;
        let layer = self.layers.get(self.link_layers() + 1)?;
        ["tcp", "udp", "sctp", "icmp", "icmpv6"].contains(&layer.name.as_str()).then_some(layer)
    }

    /// True where the transport header is cut off before the end of ports or type and code, or of all that tshark asks
    /// of one before it says anything: then either of tshark and the program may see a part that the other does not.
    pub fn transport_is_cut_off(&self) -> bool {
        const PORTS: u64 = 4;
        let is_cut = |layer: &Layer| self.captured_end < u64::from(layer.start) + PORTS;
        self.frame.cut_off() && self.transport().is_none_or(is_cut)
    }

    /// The record that the packet must have.
    pub fn record(&self) -> Value {
        let outer = self.frame.layer(&IP).unwrap();
        let [outer_source, outer_destination] = addresses(outer);
        let mut mirror = json!({
            "outer": {"source": {"ip": outer_source}, "destination": {"ip": outer_destination}},
            "queue": 0,
            "sampling_rate": 1,
        });
        set(&mut mirror, &["gwlbe_id"], self.gwlb_option(1).map(|digits| format!("vpce-0{digits}")));
        for (member, option) in [("attachment_id", 2), ("flow_cookie", 3)] {
            set(&mut mirror, &[member], self.gwlb_option(option));
        }
        let vni = |tunnel: &str| self.tunnel(tunnel).and_then(|layer| layer.number(&format!("{tunnel}.vni")));
        set(&mut mirror, &["geneve_vni"], vni("geneve"));
        set(&mut mirror, &["vxlan_vni"], vni("vxlan"));
        let captured = self.captured_end - self.start();
        let inner_end = self.ip().and_then(ip_end).unwrap_or(0);
        let original = self.original_end.max(inner_end) - self.start();
        set(&mut mirror, &["captured_bytes"], Some(captured));
        set(&mut mirror, &["original_bytes"], Some(original));
        set(&mut mirror, &["truncated"], Some(captured < original));

        let (mut source, mut destination, mut network) = (json!({}), json!({}), json!({}));
        if let Some(link) = self.link() {
            let mac = |name| link.text(name).map(|text| text.to_uppercase().replace(':', "-"));
            set(&mut source, &["mac"], mac("eth.src"));
            set(&mut destination, &["mac"], mac("eth.dst"));
        }
        for (member, vlan) in [&["vlan", "id"][..], &["inner", "vlan", "id"]].into_iter().zip(self.vlans()) {
            let id = vlan.number("vlan.id").or(vlan.number("ieee8021ad.id"));
            set(&mut network, member, id.map(|id| id.to_string()));
        }
        if let Some(ip) = self.ip() {
            let addresses = addresses(ip);
            set(&mut source, &["ip"], Some(addresses[0]));
            set(&mut destination, &["ip"], Some(addresses[1]));
            let protocol = protocol(ip);
            set(&mut network, &["type"], Some(if ip.name == "ip" { "ipv4" } else { "ipv6" }));
            set(&mut network, &["transport"], keyword(protocol));
            set(&mut network, &["iana_number"], Some(protocol.to_string()));
            set(&mut network, &["bytes"], Some(ip_end(ip).unwrap() - u64::from(ip.start)));
        } else {
            let link = &self.layers[self.link_layers() - 1];
            let ethertype = ["eth.type", "vlan.etype"].iter().find_map(|name| link.number(name));
            set(&mut mirror, &["ethertype"], ethertype.map(|ethertype| format!("{ethertype:04x}")));
        }
        if let Some(transport) = self.transport() {
            let name = &transport.name;
            set(&mut source, &["port"], transport.number(&format!("{name}.srcport")));
            set(&mut destination, &["port"], transport.number(&format!("{name}.dstport")));
            set(&mut mirror, &["icmp", "type"], transport.number(&format!("{name}.type")));
            set(&mut mirror, &["icmp", "code"], transport.number(&format!("{name}.code")));
        }

        let time = humantime::format_rfc3339_nanos(UNIX_EPOCH + self.frame.time()).to_string();
        let mut record = json!({
            "@timestamp": time,
            "ecs": {"version": "8.17.0"},
            "event": {"dataset": "mirror.packet", "kind": "event"},
            "mirror": mirror,
        });
        for (member, object) in [("source", source), ("destination", destination), ("network", network)] {
            set(&mut record, &[member], Some(object).filter(|object| *object != json!({})));
        }
        record
    }

    /// The value of an option of the load balancer, in hexadecimal.
    fn gwlb_option(&self, kind: u8) -> Option<String> {
        let options = self.tunnel("geneve")?.all("geneve.option");
        let header = format!("01:08:{kind:02x}:");
        let option = options.into_iter().find(|option| option.starts_with(&header))?;
        Some(option.split(':').skip(4).collect())
    }

    /// Checks what is known of a packet beyond its record.
    pub fn check_packet(&self, packet: &Packet, place: &str) {
        assert_eq!(u64::from(packet.offset), self.start(), "{place}");
        let Network::Ip(found) = packet.network else { return };
        let ip = self.ip().unwrap();
        assert_eq!(
            Some(u64::from(found.hop_limit)),
            ip.number("ip.ttl").or(ip.number("ipv6.hlim")),
            "{place}"
        );
        assert_eq!(found.fragment, fragment(ip), "{place}");
        let Some(shown) = self.transport() else { return };
        match found.transport {
            Transport::Tcp(tcp) => assert_eq!(tcp.state, tcp_state(shown), "{place}"),
            Transport::Icmp(icmp) | Transport::Icmpv6(icmp) => {
                let identifier = shown.number("icmp.ident").or(shown.number("icmpv6.echo.identifier"));
                assert_eq!(icmp.identifier.map(u64::from), identifier, "{place}");
            }
            Transport::Udp(_) | Transport::Sctp(_) | Transport::Unread => {}
        }
    }
}

/// Sets a member of an object inside of objects to a value, if there is one.
fn set(object: &mut Value, path: &[&str], value: Option<impl serde::Serialize>) {
    if let Some(value) = value {
        let member = path.iter().fold(object, |object, name| &mut object[*name]);
        *member = serde_json::to_value(value).unwrap();
    }
}

fn addresses(ip: &Layer) -> [IpAddr; 2] {
    ["src", "dst"].map(|end| ip.value(&format!("{}.{end}", ip.name)).unwrap())
}

/// The end of the packet by its own length field.
fn ip_end(ip: &Layer) -> Option<u64> {
    let length = ip.number("ip.len").or_else(|| Some(ip.number("ipv6.plen")? + 40))?;
    Some(u64::from(ip.start) + length)
}

/// Protocol of the payload, behind extension headers.
fn protocol(ip: &Layer) -> u64 {
    let protocol = ip.number("ip.proto");
    protocol.unwrap_or_else(|| ip.all_ending_with(".nxt").last().unwrap().parse().unwrap())
}

/// Keywords of the IANA registry of protocol numbers.
fn keyword(protocol: u64) -> Option<&'static str> {
    Some(match protocol {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        58 => "ipv6-icmp",
        59 => "ipv6-nonxt",
        132 => "sctp",
        _ => panic!("a protocol that no capture had so far: {protocol}"),
    })
}

/// Fragmentation, where the packet is a fragment.
pub fn fragment(ip: &Layer) -> Option<Fragment> {
    let prefix = if ip.name == "ip" { "ip" } else { "ipv6.fraghdr" };
    let field = |name: &str| format!("{prefix}.{name}");
    let identification = ip.number(&field(if prefix == "ip" { "id" } else { "ident" }))?;
    // In units of 8 bytes.
    let offset = 8 * ip.number(&field(if prefix == "ip" { "frag_offset" } else { "offset" }))?;
    let more = if prefix == "ip" { ip.flag("ip.flags.mf") } else { ip.flag("ipv6.fraghdr.more") };
    let fragment = Fragment {
        identification: identification.try_into().unwrap(),
        offset: offset.try_into().unwrap(),
        more,
    };
    (prefix != "ip" || more || offset != 0).then_some(fragment)
}

fn tcp_state(tcp: &Layer) -> Option<TcpState> {
    let field = |name: &str| tcp.number(name).map(|number| u32::try_from(number).unwrap());
    let window = field("tcp.window_size_value")?;
    let flags = field("tcp.flags")? & 0xff;
    Some(TcpState {
        sequence: field("tcp.seq")?,
        acknowledgment: field("tcp.ack")?,
        flags: flags.try_into().unwrap(),
        window: window.try_into().unwrap(),
        payload_length: field("tcp.len").unwrap_or(0),
    })
}

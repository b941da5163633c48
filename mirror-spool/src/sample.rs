//! Synthetic flow records, for tests and measurements: a thousand tunnels, of every sort of flow, names in a third of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::row::{
    Action, Application, Connection, Direction, Evidence, Flow, Host, Initiator, Outcome, Traffic, Transport,
    Tunnel,
};

/// Tunnels.
const TUNNELS: usize = 1000;
/// Hosts behind a tunnel share an account in groups of this many.
const HOSTS_PER_ACCOUNT: usize = 100;
/// Server names.
const NAMES: usize = 2000;
/// Time of the first record: 28 November 2025, in nanoseconds since 1970.
pub const BEGIN: u64 = 1_764_316_800_000_000_000;

/// A source of records, the same for the same seed.
pub struct Samples {
    state: u64,
    hosts: Vec<Arc<Host>>,
    names: Vec<String>,
    time: u64,
}

impl Samples {
    /// The source of this seed.
    pub fn new(seed: u64) -> Self {
        let host = |number: usize| Host {
            account: Some(format!("{:012}", 100_000_000_000_u64 + (number / HOSTS_PER_ACCOUNT) as u64)),
            region: Some("eu-west-1".to_owned()),
            zone: Some(format!("eu-west-1{}", ["a", "b", "c"][number % 3])),
            instance: Some(format!("i-{:017x}", number * 7919)),
            instance_type: Some("m5n.large".to_owned()),
            name: None,
            vpc: Some(format!("vpc-{:017x}", number / HOSTS_PER_ACCOUNT)),
            subnet: Some(format!("subnet-{:017x}", number / 10)),
            interface: Some(format!("eni-{:017x}", number * 104_729)),
            session: Some(format!("tms-{number:017x}")),
            tags: vec![
                ("Name".to_owned(), format!("web-{number}")),
                ("team".to_owned(), "a \"b\"".to_owned()),
            ],
        };
        Self {
            state: seed,
            hosts: (0..TUNNELS).map(|number| Arc::new(host(number))).collect(),
            names: (0..NAMES).map(|number| format!("service-{number}.example.com")).collect(),
            time: BEGIN,
        }
    }

    /// A number below `bound`, by SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn small(&mut self, bound: u16) -> u16 {
        u16::try_from(self.below(bound.into())).unwrap_or_default()
    }

    fn byte(&mut self, bound: u8) -> u8 {
        u8::try_from(self.below(bound.into())).unwrap_or_default()
    }

    fn address(&mut self, is_ipv6: bool) -> IpAddr {
        let low = self.small(u16::MAX);
        let [high, low_byte] = low.to_be_bytes();
        if is_ipv6 {
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, u16::from(high), low).into()
        } else {
            Ipv4Addr::new(10, self.byte(4), high, low_byte).into()
        }
    }

    fn traffic(&mut self, start: u64, end: u64, packets: u64) -> Traffic {
        let bytes = packets * (60 + self.below(1400));
        let captured_bytes = if self.below(2) == 0 { bytes } else { packets * 60 };
        let (first, last) = (start + self.below(1000), end - self.below(1000).min(end - start));
        Traffic {
            packets,
            bytes,
            captured_bytes,
            times: (packets > 0).then_some((first, last)),
            hop_limits: (packets > 0).then_some((63, 64)),
            tcp_flags: if packets > 0 { 0b1_1011 } else { 0 },
            retransmissions: if self.below(20) == 0 { self.small(9) } else { 0 },
            out_of_order: if self.below(50) == 0 { self.small(9) } else { 0 },
        }
    }

    /// The next record.
    pub fn next_flow(&mut self) -> Flow<'_> {
        self.time += self.below(2000);
        let end = self.time;
        let start = end - self.below(60_000_000_000);
        let number = usize::try_from(self.below(TUNNELS as u64)).unwrap_or_default();
        let is_ipv6 = self.below(50) == 0;
        let kind = self.below(100);
        let (protocol, transport) = match kind {
            0..90 => {
                let destination = [443, 443, 80, 22, 53][usize::from(self.byte(5))];
                (
                    if destination == 53 { 17 } else { 6 },
                    Transport::Ports { source: 1024 + self.small(60_000), destination },
                )
            }
            90..97 => (17, Transport::Ports { source: 1024 + self.small(60_000), destination: 53 }),
            97..99 => (1, Transport::Icmp { kind: 8, code: 0, identifier: Some(self.small(999)) }),
            _ => (47, Transport::Unread),
        };
        let packets = 1 + self.below(40);
        let forward = self.traffic(start, end, packets);
        let answers = self.below(60);
        let reverse = self.traffic(start, end, answers);
        let cookie = u32::try_from(self.below(1 << 32)).unwrap_or_default();
        let (source, destination) = (self.address(is_ipv6), self.address(is_ipv6));
        let name =
            (self.below(100) < 30).then(|| usize::try_from(self.below(NAMES as u64)).unwrap_or_default());
        let action = Action::ALL[usize::from(self.byte(9))];
        let handshake = u32::try_from(100 + self.below(90_000)).unwrap_or_default();
        let (changed, is_alert, is_known) = (self.below(100) == 0, self.below(100) == 0, self.below(4) == 0);
        let rate = 1 << self.byte(2);
        let peer = usize::try_from(self.below(TUNNELS as u64)).unwrap_or_default();
        let is_tcp = protocol == 6;
        Flow {
            start,
            end,
            tunnel: Tunnel {
                outer_source: Ipv4Addr::new(10, 255, 0, u8::try_from(number % 8).unwrap_or_default()).into(),
                outer_destination: Ipv4Addr::new(10, 255, 1, 1).into(),
                geneve_vni: Some(0),
                vxlan_vni: u32::try_from(number).ok(),
                endpoint: Some(0x0123_4567_89ab_0000 + (number / HOSTS_PER_ACCOUNT) as u64),
                attachment: Some(7),
                pseudonym_key: None,
                host: (number % 10 != 0).then_some(&self.hosts[number]),
            },
            cookie: Some(cookie),
            first_cookie: Some(if changed { !cookie } else { cookie }),
            vlans: [None; 2],
            source,
            destination,
            protocol,
            transport,
            action,
            initiator: if is_tcp { Initiator::Syn } else { Initiator::FirstPacket },
            connection: is_tcp.then_some(Connection::Closed),
            handshake: is_tcp.then_some(handshake),
            forward,
            reverse,
            accounted: packets + answers,
            queue: u32::try_from(number % 2).unwrap_or_default(),
            sampling_rate: rate,
            direction: is_known.then_some(Direction::Egress),
            source_host: is_known.then_some(&self.hosts[number]),
            destination_host: is_known.then_some(&self.hosts[peer]),
            application: match name {
                Some(name) if is_tcp => Application {
                    protocol: Some("tls"),
                    server_name: Some(&self.names[name]),
                    domain: Some((Evidence::Sni, &self.names[name])),
                    tls_version: Some(0x0304),
                    tls_cipher: Some(0x1301),
                    alpn: Some("h2"),
                    ja4: Some("t13d1516h2_8daaf6152771_b186095e22b6"),
                    ..Application::default()
                },
                Some(name) => Application {
                    protocol: Some("dns"),
                    domain: Some((Evidence::Dns, &self.names[name])),
                    dns_queries: Some(1),
                    ..Application::default()
                },
                None => Application::default(),
            },
            verdict: is_alert.then_some((Outcome::Alert, "no-mining")),
        }
    }
}

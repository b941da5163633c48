//! IPFIX (RFC 7011) over UDP or TCP, with both directions in one record (RFC 5103). At least once over TCP, at most once over UDP,
//! which tells nobody what arrived.
//!
//! Elements are those of IANA's registry; the tunnel stands in `layer2SegmentId` (VXLAN network identifier, RFC 8549) and
//! `observationPointId` (Gateway Load Balancer endpoint).

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use mirror_spool::{Action, Entry, Flow, Transport};
use serde::Deserialize;

use super::{Delivered, DeliveryError, Destination};
use crate::config::DestinationConfig;
use crate::source;
use crate::time::{self, SECOND};

/// Settings of a collector.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IpfixConfig {
    /// Address, as `collector:4739`.
    pub address: String,
    /// Protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Observation domain id.
    #[serde(default)]
    pub domain: u32,
    /// Datagrams a second at most over UDP, where nothing else holds back; 0 for no bound.
    #[serde(default = "datagrams")]
    pub datagrams_per_second: u32,
}

const fn datagrams() -> u32 {
    20_000
}

/// Transport of IPFIX messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
}

/// Bytes of a message: what fits the usual MTU of a path.
const LONGEST_MESSAGE: usize = 1400;
/// Messages after which templates are sent again over UDP.
const TEMPLATE_INTERVAL: u32 = 100;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Enterprise number of reverse elements (RFC 5103, section 6.1).
const REVERSE: u32 = 29_305;
/// Bit of an element that an enterprise number follows (RFC 7011, section 3.2).
const ENTERPRISE: u16 = 0x8000;
const TEMPLATE_SET: u16 = 2;
const IPV4_TEMPLATE: u16 = 256;
const IPV6_TEMPLATE: u16 = 257;
/// Encapsulation type of VXLAN in `layer2SegmentId`.
const VXLAN: u64 = 1 << 56;

/// Elements in front of the addresses' own: id, length, and whether it is of the reverse direction.
const ELEMENTS: [(u16, u16, bool); 17] = [
    (152, 8, false), // flowStartMilliseconds
    (153, 8, false), // flowEndMilliseconds
    (7, 2, false),   // sourceTransportPort
    (11, 2, false),  // destinationTransportPort
    (4, 1, false),   // protocolIdentifier
    (136, 1, false), // flowEndReason
    (2, 8, false),   // packetDeltaCount
    (1, 8, false),   // octetDeltaCount
    (6, 2, false),   // tcpControlBits
    (52, 1, false),  // minimumTTL
    (53, 1, false),  // maximumTTL
    (2, 8, true),    // reversePacketDeltaCount
    (1, 8, true),    // reverseOctetDeltaCount
    (6, 2, true),    // reverseTcpControlBits
    (58, 2, false),  // vlanId
    (351, 8, false), // layer2SegmentId
    (138, 8, false), // observationPointId
];
const IPV4_ADDRESSES: [u16; 2] = [8, 12];
const IPV6_ADDRESSES: [u16; 2] = [27, 28];

/// A collector.
pub struct Ipfix {
    config: DestinationConfig,
    settings: IpfixConfig,
    /// Data records sent, modulo 2³² (RFC 7011, section 3.1).
    sequence: u32,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Ipfix {
    /// A collector, which is reached when there is something to deliver.
    pub fn new(config: &DestinationConfig, settings: &IpfixConfig) -> Self {
        Self { config: config.clone(), settings: settings.clone(), sequence: 0 }
    }

    fn connect(&self) -> io::Result<Connection> {
        match self.settings.protocol {
            Protocol::Udp => {
                let remote = std::net::ToSocketAddrs::to_socket_addrs(&self.settings.address)?;
                let remote =
                    remote.into_iter().next().ok_or_else(|| io::Error::other("the name has no address"))?;
                let local = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(local)?;
                socket.connect(remote)?;
                Ok(Connection::Udp(socket))
            }
            Protocol::Tcp => {
                let stream = TcpStream::connect(&self.settings.address)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                Ok(Connection::Tcp(stream))
            }
        }
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> DeliveryError {
        let what = format!("cannot send to {}", self.settings.address);
        move |error| DeliveryError::of(what)(error.into())
    }

    fn send(&mut self, connection: &mut Connection, message: &mut Message) -> io::Result<()> {
        let Some(bytes) = message.finish(self.settings.domain, self.sequence) else { return Ok(()) };
        match connection {
            Connection::Udp(socket) => {
                socket.send(bytes)?;
                if let Some(wait) = SECOND.checked_div(self.settings.datagrams_per_second.into()) {
                    std::thread::sleep(Duration::from_nanos(wait));
                }
            }
            Connection::Tcp(stream) => stream.write_all(bytes)?,
        }
        self.sequence = self.sequence.wrapping_add(message.records);
        Ok(())
    }
}

impl Destination for Ipfix {
    fn deliver(&mut self, spool: &Path, group: &[Entry]) -> Result<Delivered, DeliveryError> {
        let mut connection = self.connect().map_err(self.failed())?;
        let mut result = Delivered::default();
        let mut message = Message::new();
        let mut sent = 0_u32;
        message.begin(true);
        for entry in group {
            source::records(spool, entry, false, |record| {
                if !self.config.takes(&record.flow) {
                    result.drop_record("filtered", record.flow.accounted);
                    return Ok(());
                }
                if !message.push(&record.flow) {
                    self.send(&mut connection, &mut message).map_err(self.failed())?;
                    sent += 1;
                    message.begin(
                        self.settings.protocol == Protocol::Udp && sent.is_multiple_of(TEMPLATE_INTERVAL),
                    );
                    message.push(&record.flow);
                }
                result.count(record.flow.accounted);
                Ok::<_, DeliveryError>(())
            })?;
        }
        self.send(&mut connection, &mut message).map_err(self.failed())?;
        if let Connection::Tcp(mut stream) = connection {
            // A collector that closes in answer has read to the end.
            stream.shutdown(Shutdown::Write).map_err(self.failed())?;
            let rest = stream.read(&mut [0]).map_err(self.failed())?;
            if rest > 0 {
                return Err(self.failed()(io::Error::other("it answered, which collectors do not")));
            }
        }
        Ok(result)
    }

    fn check(&mut self) -> Result<String, DeliveryError> {
        self.connect().map_err(self.failed())?;
        let address = &self.settings.address;
        Ok(match self.settings.protocol {
            Protocol::Udp => format!("{address} has an address; UDP does not tell whether it listens"),
            Protocol::Tcp => format!("{address} takes connections"),
        })
    }
}

/// A message that is being filled.
struct Message {
    bytes: Vec<u8>,
    records: u32,
    /// Beginning and template of the open set.
    set: Option<(usize, u16)>,
}

const HEADER: usize = 16;

impl Message {
    fn new() -> Self {
        Self { bytes: Vec::with_capacity(LONGEST_MESSAGE), records: 0, set: None }
    }

    /// Begins anew; with both templates if `templates`.
    fn begin(&mut self, templates: bool) {
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        self.records = 0;
        self.set = None;
        if templates {
            self.open_set(TEMPLATE_SET);
            self.template(IPV4_TEMPLATE, IPV4_ADDRESSES, 4);
            self.template(IPV6_TEMPLATE, IPV6_ADDRESSES, 16);
        }
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes.extend_from_slice(&bytes);
    }

    fn template(&mut self, id: u16, addresses: [u16; 2], length: u16) {
        self.number(id.to_be_bytes());
        let count = u16::try_from(ELEMENTS.len() + addresses.len()).unwrap_or(u16::MAX);
        self.number(count.to_be_bytes());
        for (element, length, is_reverse) in ELEMENTS {
            self.number((if is_reverse { element | ENTERPRISE } else { element }).to_be_bytes());
            self.number(length.to_be_bytes());
            if is_reverse {
                self.number(REVERSE.to_be_bytes());
            }
        }
        for element in addresses {
            self.number(element.to_be_bytes());
            self.number(length.to_be_bytes());
        }
    }

    /// Ends the open set, and begins another.
    fn open_set(&mut self, id: u16) {
        self.close_set();
        self.set = Some((self.bytes.len(), id));
        self.number(id.to_be_bytes());
        self.number([0; 2]);
    }

    fn close_set(&mut self) {
        if let Some((begin, _)) = self.set.take() {
            let length = u16::try_from(self.bytes.len() - begin).unwrap_or(u16::MAX);
            self.bytes[begin + 2..begin + 4].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Adds a record; `false` if there is no room for it.
    fn push(&mut self, flow: &Flow<'_>) -> bool {
        let (id, address_bytes) =
            if flow.source.is_ipv4() { (IPV4_TEMPLATE, 8) } else { (IPV6_TEMPLATE, 32) };
        let fixed: usize = ELEMENTS.iter().map(|(_, length, _)| usize::from(*length)).sum();
        if self.bytes.len() + 4 + fixed + address_bytes > LONGEST_MESSAGE {
            return false;
        }
        if self.set.is_none_or(|(_, open)| open != id) {
            self.open_set(id);
        }
        let (source_port, destination_port) = match flow.transport {
            Transport::Ports { source, destination } => (source, destination),
            // As NetFlow collectors have it: type and code in the destination port.
            Transport::Icmp { kind, code, .. } => (0, u16::from(kind) << 8 | u16::from(code)),
            Transport::Unread => (0, 0),
        };
        let (ttl_min, ttl_max) = flow.forward.hop_limits.unwrap_or_default();
        let segment = flow.tunnel.vxlan_vni.map_or(0, |vni| VXLAN | u64::from(vni));
        self.number((flow.start / 1_000_000).to_be_bytes());
        self.number((flow.end / 1_000_000).to_be_bytes());
        self.number(source_port.to_be_bytes());
        self.number(destination_port.to_be_bytes());
        self.number([flow.protocol, end_reason(flow.action)]);
        self.number(flow.forward.packets.to_be_bytes());
        self.number(flow.forward.bytes.to_be_bytes());
        self.number([0, flow.forward.tcp_flags]);
        self.number([ttl_min, ttl_max]);
        self.number(flow.reverse.packets.to_be_bytes());
        self.number(flow.reverse.bytes.to_be_bytes());
        self.number([0, flow.reverse.tcp_flags]);
        self.number(flow.vlans[0].unwrap_or(0).to_be_bytes());
        self.number(segment.to_be_bytes());
        self.number(flow.tunnel.endpoint.unwrap_or(0).to_be_bytes());
        for address in [flow.source, flow.destination] {
            match address {
                IpAddr::V4(address) => self.number(address.octets()),
                IpAddr::V6(address) => self.number(address.octets()),
            }
        }
        self.records += 1;
        true
    }

    /// The message with its header (RFC 7011, section 3.1); none if there is nothing in it.
    fn finish(&mut self, domain: u32, sequence: u32) -> Option<&[u8]> {
        self.close_set();
        if self.bytes.len() <= HEADER {
            return None;
        }
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX);
        // Seconds in 32 bits, as the header has them, until 2106.
        let now = u32::try_from(time::now() / SECOND).unwrap_or(u32::MAX);
        self.bytes[..2].copy_from_slice(&10_u16.to_be_bytes());
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        self.bytes[4..8].copy_from_slice(&now.to_be_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
        self.bytes[12..16].copy_from_slice(&domain.to_be_bytes());
        Some(&self.bytes)
    }
}

/// `flowEndReason`: 1 idle, 2 active, 3 end detected, 4 forced, 5 lack of resources.
const fn end_reason(action: Action) -> u8 {
    match action {
        Action::Open | Action::Update => 2,
        Action::Idle => 1,
        Action::Closed | Action::Reset | Action::Reused | Action::ClockStep => 3,
        Action::Shutdown => 4,
        Action::Evicted => 5,
    }
}

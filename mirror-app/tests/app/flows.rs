//! The flows of a capture file, handed to an inspector packet by packet.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use mirror_app::{Event, Handle, Inspector, InspectorConfig, Interest, Segment, Side, Summary};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

/// Source and destination, address and port, and the transport.
pub type Tuple = (IpAddr, u16, IpAddr, u16, u8);

/// The findings of one flow.
#[derive(Debug)]
pub struct Flow {
    /// Source and destination of its first packet.
    pub tuple: Tuple,
    /// What was known at the end.
    pub summary: Option<Summary>,
}

/// One packet with ports.
#[derive(Clone, Debug)]
pub struct Packet {
    pub tuple: Tuple,
    pub sequence: u32,
    pub syn: bool,
    pub payload: Vec<u8>,
}

impl Packet {
    /// The side of its source, and the flow's key.
    pub fn side(&self) -> (Side, Tuple) {
        let (source, source_port, destination, destination_port, transport) = self.tuple;
        if (source, source_port) <= (destination, destination_port) {
            (Side::Low, self.tuple)
        } else {
            (Side::High, (destination, destination_port, source, source_port, transport))
        }
    }
}

/// The packets of a capture file with TCP or UDP.
pub fn packets(path: &Path) -> Vec<Packet> {
    let file = std::fs::read(path).unwrap();
    let mut frames: Vec<(DataLink, Vec<u8>)> = Vec::new();
    // By the first bytes: one of the files has the other format than its name says.
    if file.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        let mut reader = PcapNgReader::new(&file[..]).unwrap();
        let mut link = DataLink::ETHERNET;
        while let Some(block) = reader.next_block() {
            match block.unwrap().0 {
                Block::InterfaceDescription(interface) => link = interface.linktype,
                Block::EnhancedPacket(packet) => frames.push((link, packet.data.to_vec())),
                _ => {}
            }
        }
    } else {
        let mut reader = PcapReader::new(&file[..]).unwrap();
        let link = reader.header().datalink;
        while let Some(packet) = reader.next_packet() {
            frames.push((link, packet.unwrap().data().to_vec()));
        }
    }
    frames.iter().filter_map(|(link, frame)| packet(*link, frame)).collect()
}

fn packet(link: DataLink, frame: &[u8]) -> Option<Packet> {
    let sliced = match link {
        DataLink::ETHERNET => LaxSlicedPacket::from_ethernet(frame).ok()?,
        // Loopback of BSD: four bytes of address family.
        DataLink::NULL => LaxSlicedPacket::from_ip(frame.get(4..)?).ok()?,
        other => panic!("a link type that no capture had: {other:?}"),
    };
    let (source, destination) = match sliced.net? {
        LaxNetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        LaxNetSlice::Arp(_) => return None,
    };
    Some(match sliced.transport? {
        TransportSlice::Tcp(tcp) => Packet {
            tuple: (source, tcp.source_port(), destination, tcp.destination_port(), 6),
            sequence: tcp.sequence_number(),
            syn: tcp.syn(),
            payload: tcp.payload().to_vec(),
        },
        TransportSlice::Udp(udp) => Packet {
            tuple: (source, udp.source_port(), destination, udp.destination_port(), 17),
            sequence: 0,
            syn: false,
            payload: udp.payload().to_vec(),
        },
        _ => return None,
    })
}

/// Hands the packets to an inspector, and returns their flows in the order in which they began.
pub fn inspect(packets: &[Packet], mut out: impl FnMut(Event<'_>)) -> (Vec<Flow>, Inspector) {
    let mut out = |_, event: Event<'_>| out(event);
    let mut inspector = Inspector::new(InspectorConfig::default());
    let mut handles: HashMap<Tuple, Option<Handle>> = HashMap::new();
    let mut order = Vec::new();
    for packet in packets {
        let (side, key) = packet.side();
        let handle = handles.entry(key).or_insert_with(|| {
            order.push((key, packet.tuple));
            inspector.begin([key.1, key.3], 0, 0)
        });
        let Some(known) = *handle else { continue };
        let interest = match key.4 {
            6 => {
                let segment = Segment {
                    sequence: packet.sequence,
                    syn: packet.syn,
                    payload: &packet.payload,
                    cut: false,
                };
                inspector.segment(known, side, segment, 0, &mut out)
            }
            _ => inspector.datagram(known, side, &packet.payload, false, 0, &mut out),
        };
        if interest == Interest::Released {
            *handle = None;
        }
    }
    let flows = order
        .into_iter()
        .map(|(key, tuple)| Flow {
            tuple,
            summary: handles[&key].and_then(|handle| inspector.end(handle, &mut out)),
        })
        .collect();
    (flows, inspector)
}

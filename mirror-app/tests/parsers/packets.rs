//! Captures made of payloads.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::DataLink;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};

/// Bytes of an IPv4 header without options.
const IP: usize = 20;

/// A packet of one UDP datagram.
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = ip(17, payload.len() + 8, source < destination);
    for field in [source, destination, length, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    packet
}

/// The IPv4 header of a packet between two hosts, the lower port's being 10.0.0.1.
fn ip(protocol: u8, payload: usize, from_lower: bool) -> Vec<u8> {
    let length = u16::try_from(IP + payload).unwrap();
    let (source, destination) = if from_lower { (1, 2) } else { (2, 1) };
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, source, 10, 0, 0, destination]);
    header
}

/// Writes IP packets to a capture file in `folder`.
pub fn write(folder: &Path, packets: &[Vec<u8>]) -> PathBuf {
    let path = folder.join("made.pcap");
    let header = PcapHeader { datalink: DataLink::RAW, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(File::create(&path).unwrap(), header).unwrap();
    for (number, packet) in packets.iter().enumerate() {
        let length = u32::try_from(packet.len()).unwrap();
        let packet = PcapPacket::new(Duration::from_millis(number as u64), length, packet).unwrap();
        writer.write_packet(&packet).unwrap();
    }
    path
}

/// The path of a public capture, which is not part of the project: looked for in `MIRROR_PCAPS`, and without that in `shared/pcaps`
/// beside the workspace; [`None`], with a line that says so, where it is absent.
pub fn public(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MIRROR_PCAPS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps"), PathBuf::from);
    let path = folder.join(name);
    if !path.is_file() {
        println!("SKIPPED: {} is absent; set MIRROR_PCAPS to the folder of the captures", path.display());
        return None;
    }
    Some(path)
}
/// Packets of one direction of a TCP connection, whose SYN is the first; its segments have at most 1,400 bytes each.
pub fn tcp(source: u16, destination: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = vec![segment(source, destination, 0, 0x02, &[])];
    for (number, piece) in payload.chunks(1400).enumerate() {
        let sequence = u32::try_from(1 + number * 1400).unwrap();
        packets.push(segment(source, destination, sequence, 0x18, piece));
    }
    packets
}

/// A TCP segment with a window of 65,535 and no acknowledgement but of the other's SYN.
fn segment(source: u16, destination: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ip(6, payload.len() + 20, source < destination);
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(1_u32.to_be_bytes());
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(payload);
    packet
}

//! Capture files in memory.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapReader, PcapTsResolution, PcapWriter, RawPcapPacket};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::{DataLink, Endianness};

/// A packet of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Since 1970-01-01 00:00:00 UTC.
    pub time: Duration,
    /// Bytes on the wire.
    pub original_length: u32,
    /// Bytes captured.
    pub bytes: Vec<u8>,
}

impl Packet {
    /// The packet as a capture with a snap length would have it.
    pub fn cut(&self, snap_length: usize) -> Self {
        let mut bytes = self.bytes.clone();
        bytes.truncate(snap_length);
        Self { bytes, ..*self }
    }
}

/// Packets of frames that arrive a microsecond and a nanosecond apart, none of them cut.
pub fn packets(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Packet> {
    const START: Duration = Duration::from_secs(1_767_225_600);
    let times = (0..).map(|number| START + number * Duration::from_nanos(1001));
    let packet = |(time, bytes): (_, Vec<u8>)| Packet {
        time,
        original_length: bytes.len().try_into().unwrap(),
        bytes,
    };
    times.zip(frames).map(packet).collect()
}

/// The packets of the pcap file at `path`.
pub fn read(path: &Path) -> Vec<Packet> {
    let mut reader = PcapReader::new(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.header().datalink, DataLink::ETHERNET);
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.unwrap();
        packets.push(Packet {
            time: packet.timestamp(),
            original_length: packet.orig_len(),
            bytes: packet.data().to_vec(),
        });
    }
    packets
}

/// A pcap file with nanoseconds.
pub fn pcap(link: DataLink, endianness: Endianness, packets: &[Packet]) -> Vec<u8> {
    let header = PcapHeader {
        datalink: link,
        endianness,
        ts_resolution: PcapTsResolution::NanoSecond,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for packet in packets {
        let raw = RawPcapPacket {
            ts_sec: packet.time.as_secs().try_into().unwrap(),
            ts_frac: packet.time.subsec_nanos(),
            incl_len: packet.bytes.len().try_into().unwrap(),
            orig_len: packet.original_length,
            data: Cow::Borrowed(&packet.bytes),
        };
        writer.write_raw_packet(&raw).unwrap();
    }
    writer.into_inner()
}

/// A pcapng file with nanoseconds.
pub fn pcapng(endianness: Endianness, packets: &[Packet]) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
    let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
    interface.options.push(InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO));
    writer.write_pcapng_block(interface).unwrap();
    for packet in packets {
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: packet.time,
            original_len: packet.original_length,
            data: Cow::Borrowed(&packet.bytes),
            options: Vec::new(),
        };
        writer.write_pcapng_block(block).unwrap();
    }
    writer.into_inner()
}

//! The mirrored packets themselves, in blocks of pcapng (draft-ietf-opsawg-pcapng), little-endian.
//!
//! There is one interface per link type, described where its first packet comes: a file of mirror sessions, which
//! are all Ethernet, can so be read by tools that know only one link type per file. The tunnel identity stands in
//! a comment on each packet, which Wireshark shows and filters as `frame.comment`:
//!
//! ```text
//! gwlbe_id=vpce-00123456789abcdef attachment_id=fedcba9876543210 flow_cookie=01234567 geneve_vni=0 vxlan_vni=7 outer=10.1.0.1>10.1.0.2 queue=0
//! ```

use super::notation;
use crate::number::QueueId;
use crate::packet::Tunnel;
use crate::record::PacketRecord;
use crate::source::LinkType;

/// Block type of the section header, which each file begins with.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LENGTH_UNKNOWN: u64 = u64::MAX;
const NO_SNAP_LENGTH: u32 = 0;
/// Timestamps count units of 10^-9 seconds.
const NANOSECONDS: u8 = 9;

const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

const END_OF_OPTIONS: u16 = 0;
const COMMENT: u16 = 1;
const SECTION_OS: u16 = 3;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_RESOLUTION: u16 = 9;

/// The section header and the descriptions of both interfaces are no longer than this many bytes.
pub(super) const LONGEST_HEADER: usize = 512;
/// An enhanced packet block without the packet is no longer than this many bytes.
pub(super) const LONGEST_OVERHEAD: usize = 384;

/// Numbers of the interfaces that the file describes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interfaces {
    ethernet: Option<u32>,
    ip: Option<u32>,
}

/// Appends the block that a file begins with.
pub(super) fn section_header(out: &mut Vec<u8>) {
    block(SECTION_HEADER, out, |out| {
        out.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend_from_slice(&1_u16.to_le_bytes());
        out.extend_from_slice(&0_u16.to_le_bytes());
        out.extend_from_slice(&LENGTH_UNKNOWN.to_le_bytes());
        option(SECTION_OS, out, |out| out.extend_from_slice(std::env::consts::OS.as_bytes()));
        option(SECTION_APPLICATION, out, |out| {
            out.extend_from_slice(concat!("mirror-capture ", env!("CARGO_PKG_VERSION")).as_bytes());
        });
        option(END_OF_OPTIONS, out, |_| {});
    });
}

/// Appends the block for one packet, whose bytes lie in `bytes`, and that of its interface if it is the first. `label` is the end of
/// its comment.
pub(super) fn packet(
    record: &PacketRecord,
    bytes: &[u8],
    label: &[u8],
    interfaces: &mut Interfaces,
    out: &mut Vec<u8>,
) {
    let link_type = if record.packet.link.is_some() { LinkType::Ethernet } else { LinkType::Ip };
    let interface = interfaces.number(link_type, out);
    let captured = bytes.get(record.bytes.start as usize..record.bytes.end as usize).unwrap_or_default();
    let captured_length = u32::try_from(captured.len()).unwrap_or(u32::MAX);
    let timestamp = record.timestamp.0;
    block(ENHANCED_PACKET, out, |out| {
        out.extend_from_slice(&interface.to_le_bytes());
        out.extend_from_slice(&((timestamp >> 32) as u32).to_le_bytes());
        out.extend_from_slice(&((timestamp & 0xffff_ffff) as u32).to_le_bytes());
        out.extend_from_slice(&captured_length.to_le_bytes());
        out.extend_from_slice(&record.packet.original_length.to_le_bytes());
        padded(captured, out);
        option(COMMENT, out, |out| {
            comment(&record.packet.tunnel, record.queue, out);
            out.extend_from_slice(label);
        });
        option(END_OF_OPTIONS, out, |_| {});
    });
}

impl Interfaces {
    /// Number of the interface for `link_type`, whose description is appended if there is none yet.
    fn number(&mut self, link_type: LinkType, out: &mut Vec<u8>) -> u32 {
        let (own, other, name, kind) = match link_type {
            LinkType::Ethernet => (&mut self.ethernet, self.ip, "mirrored-ethernet", LINKTYPE_ETHERNET),
            // No tunnel carries an EtherType alone.
            LinkType::Ip | LinkType::EtherType => (&mut self.ip, self.ethernet, "mirrored-ip", LINKTYPE_RAW),
        };
        *own.get_or_insert_with(|| {
            interface_description(kind, name, out);
            u32::from(other.is_some())
        })
    }

    /// The interfaces that a file describes after these bytes of it.
    pub fn after(mut self, bytes: &[u8]) -> Self {
        for block in blocks(bytes) {
            match (block.kind, block.first) {
                (SECTION_HEADER, _) => self = Self::default(),
                (INTERFACE_DESCRIPTION, LINKTYPE_ETHERNET) => {
                    self.ethernet = Some(u32::from(self.ip.is_some()));
                }
                (INTERFACE_DESCRIPTION, _) => self.ip = Some(u32::from(self.ethernet.is_some())),
                _ => {}
            }
        }
        self
    }
}

/// A block in encoded bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedBlock {
    kind: u32,
    /// First field of its body; of an interface description, the link type.
    first: u16,
    /// Offset of its end.
    pub end: usize,
}

impl EncodedBlock {
    /// `true` if it is a record, and not a header.
    pub fn is_packet(&self) -> bool {
        self.kind == ENHANCED_PACKET
    }
}

/// The whole blocks at the front of bytes that this module has written.
pub(super) fn blocks(bytes: &[u8]) -> impl Iterator<Item = EncodedBlock> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let head = bytes.get(start..)?.first_chunk::<10>()?;
        let [k0, k1, k2, k3, l0, l1, l2, l3, f0, f1] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        start += length.max(head.len());
        (start <= bytes.len()).then_some(EncodedBlock {
            kind: u32::from_le_bytes([k0, k1, k2, k3]),
            first: u16::from_le_bytes([f0, f1]),
            end: start,
        })
    })
}

fn interface_description(link_type: u16, name: &str, out: &mut Vec<u8>) {
    block(INTERFACE_DESCRIPTION, out, |out| {
        out.extend_from_slice(&link_type.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&NO_SNAP_LENGTH.to_le_bytes());
        option(INTERFACE_NAME, out, |out| out.extend_from_slice(name.as_bytes()));
        option(INTERFACE_RESOLUTION, out, |out| out.push(NANOSECONDS));
        option(END_OF_OPTIONS, out, |_| {});
    });
}

/// Appends a block, whose length stands at both of its ends.
fn block(kind: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX).to_le_bytes();
    set(start + 4, length, out);
    out.extend_from_slice(&length);
}

/// Appends an option; its length leaves out the padding.
fn option(code: u16, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    let start = out.len();
    value(out);
    let length = out.len() - start;
    set(start - 2, u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes(), out);
    pad(length, out);
}

/// Appends bytes and their padding.
fn padded(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
    pad(bytes.len(), out);
}

/// Appends zeros behind `length` bytes, up to a multiple of 4.
fn pad(length: usize, out: &mut Vec<u8>) {
    let padding = length.next_multiple_of(4) - length;
    out.extend([0; 3].iter().take(padding));
}

/// Overwrites the bytes at `start`.
fn set<const BYTES: usize>(start: usize, value: [u8; BYTES], out: &mut [u8]) {
    if let Some(field) = out.get_mut(start..start + BYTES) {
        field.copy_from_slice(&value);
    }
}

/// Appends the tunnel identity; absent parts are left out.
fn comment(tunnel: &Tunnel, queue: QueueId, out: &mut Vec<u8>) {
    if let Some(endpoint) = tunnel.endpoint {
        out.extend_from_slice(b"gwlbe_id=vpce-0");
        notation::hexadecimal(endpoint.0.to_be_bytes(), out);
        out.push(b' ');
    }
    if let Some(attachment) = tunnel.attachment {
        out.extend_from_slice(b"attachment_id=");
        notation::hexadecimal(attachment.0.to_be_bytes(), out);
        out.push(b' ');
    }
    if let Some(cookie) = tunnel.cookie {
        out.extend_from_slice(b"flow_cookie=");
        notation::hexadecimal(cookie.0.to_be_bytes(), out);
        out.push(b' ');
    }
    if let Some(vni) = tunnel.geneve_vni {
        out.extend_from_slice(b"geneve_vni=");
        notation::decimal(vni.get(), out);
        out.push(b' ');
    }
    if let Some(vni) = tunnel.vxlan_vni {
        out.extend_from_slice(b"vxlan_vni=");
        notation::decimal(vni.get(), out);
        out.push(b' ');
    }
    out.extend_from_slice(b"outer=");
    notation::ip(tunnel.outer_source, out);
    out.push(b'>');
    notation::ip(tunnel.outer_destination, out);
    out.extend_from_slice(b" queue=");
    notation::decimal(queue.0, out);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pcap_file::DataLink;
    use pcap_file::pcapng::PcapNgReader;
    use pcap_file::pcapng::blocks::block_common::Block;
    use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
    use pcap_file::pcapng::blocks::interface_description::{
        InterfaceDescriptionOption, InterfaceTsResolution,
    };
    use pcap_file::pcapng::blocks::opt_common::CommonOption;
    use pcap_file::pcapng::blocks::section_header::SectionHeaderOption;
    use proptest::prelude::*;

    use super::*;
    use crate::record::Batch;
    use crate::sink::arbitrary;

    fn encoded(batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        section_header(&mut out);
        let mut interfaces = Interfaces::default();
        for record in batch.packets() {
            packet(record, batch.bytes(), b"", &mut interfaces, &mut out);
        }
        out
    }

    /// The comment by way of the standard library's formatting.
    fn expected_comment(record: &PacketRecord) -> String {
        let tunnel = &record.packet.tunnel;
        let members = [
            tunnel.endpoint.map(|id| format!("gwlbe_id={id}")),
            tunnel.attachment.map(|id| format!("attachment_id={id}")),
            tunnel.cookie.map(|cookie| format!("flow_cookie={cookie}")),
            tunnel.geneve_vni.map(|vni| format!("geneve_vni={vni}")),
            tunnel.vxlan_vni.map(|vni| format!("vxlan_vni={vni}")),
            Some(format!("outer={}>{}", tunnel.outer_source, tunnel.outer_destination)),
            Some(format!("queue={}", record.queue)),
        ];
        members.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    proptest! {
        #[test]
        fn pcap_file_reads_what_was_written(batch in arbitrary::batch()) {
            let file = encoded(&batch);
            let mut reader = PcapNgReader::new(file.as_slice()).unwrap();
            let mut records = batch.packets().iter();
            let mut link_types = Vec::new();
            while let Some(block) = reader.next_block() {
                match block.unwrap().0 {
                    Block::InterfaceDescription(interface) => {
                        let resolution = InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO);
                        prop_assert!(interface.options.contains(&resolution));
                        link_types.push(interface.linktype);
                    }
                    Block::EnhancedPacket(block) => {
                        let record = records.next().unwrap();
                        let link_type = link_types[block.interface_id as usize];
                        let expected =
                            if record.packet.link.is_some() { DataLink::ETHERNET } else { DataLink::RAW };
                        prop_assert_eq!(link_type, expected);
                        prop_assert_eq!(block.timestamp, Duration::from_nanos(record.timestamp.0));
                        prop_assert_eq!(block.original_len, record.packet.original_length);
                        let bytes = record.bytes.start as usize..record.bytes.end as usize;
                        prop_assert_eq!(&block.data[..], &batch.bytes()[bytes]);
                        let comment = CommonOption::Comment(expected_comment(record).into());
                        prop_assert_eq!(block.options, vec![EnhancedPacketOption::Common(comment)]);
                    }
                    other => prop_assert!(false, "unexpected block: {other:?}"),
                }
            }
            prop_assert!(records.next().is_none());
            link_types.dedup();
            prop_assert!(link_types.len() <= 2);
        }

        #[test]
        fn blocks_are_no_longer_than_they_are_said_to_be(batch in arbitrary::batch()) {
            let limit = LONGEST_HEADER + batch.packets().len() * LONGEST_OVERHEAD + batch.bytes().len();
            prop_assert!(encoded(&batch).len() <= limit);
        }
    }

    #[test]
    fn the_section_names_program_and_version() {
        let file = encoded(&Batch::default());
        let reader = PcapNgReader::new(file.as_slice()).unwrap();
        let application = concat!("mirror-capture ", env!("CARGO_PKG_VERSION"));
        assert!(
            reader.section().options.contains(&SectionHeaderOption::UserApplication(application.into())),
            "{:?}",
            reader.section()
        );
    }
}

//! Payload of the packets of a batch, where a flow is looked into.

use crate::number::IpProtocol;
use crate::source::FrameSource;
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;
use crate::wire::{ethernet, tcp, udp};

/// Place of a packet in its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Number of its frame.
    frame: u16,
    /// It begins with an Ethernet header.
    has_link: bool,
    /// Offset in the frame, in bytes.
    offset: u32,
}

impl Place {
    /// A packet that is not to be looked into.
    pub(super) const NONE: Self = Self { frame: u16::MAX, has_link: false, offset: 0 };

    /// The packet at `offset` of frame number `frame`; without a frame, one that is not to be looked into.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a batch has far fewer frames")]
    pub(super) const fn new(frame: Option<usize>, has_link: bool, offset: u32) -> Self {
        match frame {
            Some(frame) => Self { frame: frame as u16, has_link, offset },
            None => Self::NONE,
        }
    }

    /// The number of the frame; none where the packet is not to be looked into.
    #[inline(always)]
    pub(super) const fn frame(self) -> Option<usize> {
        if self.frame == u16::MAX { None } else { Some(self.frame as usize) }
    }
}

/// The frames of a batch.
pub trait Frames {
    /// Bytes of frame `index` from `from` on. Those of a frame in several buffers are put together in `scratch`.
    fn bytes<'a>(&'a self, index: usize, from: usize, scratch: &'a mut Vec<u8>) -> &'a [u8];
}

impl<Source: FrameSource> Frames for Source {
    fn bytes<'a>(&'a self, index: usize, from: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let frame = self.frame(index);
        if frame.data.len() < frame.captured_length as usize {
            scratch.clear();
            self.append(index, from, scratch);
            return scratch;
        }
        let captured = frame.data.get(..frame.captured_length as usize).unwrap_or(frame.data);
        captured.get(from..).unwrap_or_default()
    }
}

/// Packets without their frames, none of which is looked into.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoFrames;

impl Frames for NoFrames {
    fn bytes<'a>(&'a self, _index: usize, _from: usize, _scratch: &'a mut Vec<u8>) -> &'a [u8] {
        &[]
    }
}

/// Payload of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    /// The bytes that were captured.
    pub(super) bytes: &'a [u8],
    /// Fewer of them were captured than were sent.
    pub(super) is_cut: bool,
}

/// The payload of the packet at `place`; none where it has no such header, or is a fragment.
pub(super) fn find<'a>(
    frames: &'a impl Frames,
    place: Place,
    scratch: &'a mut Vec<u8>,
) -> Option<Payload<'a>> {
    let bytes = frames.bytes(place.frame()?, place.offset as usize, scratch);
    parse(bytes, place.has_link)
}

fn parse(bytes: &[u8], has_link: bool) -> Option<Payload<'_>> {
    let mut reader = Reader::new(bytes);
    let version = if has_link {
        Version::of_ethertype(ethernet::Header::parse(&mut reader)?.ethertype)?
    } else {
        Version::of_packet(*bytes.first()?)?
    };
    let start = reader.position();
    let header = ip::Header::parse(&mut reader, version).ok()?;
    if header.fragment.is_some() {
        return None;
    }
    let captured = bytes.len() - start;
    let mut is_cut = header.length.is_some_and(|length| length > captured);
    match header.protocol {
        IpProtocol::TCP => {
            let mut ahead = reader;
            let options = tcp::Header::parse(&mut ahead)?.header_length;
            reader.skip(usize::from(options).max(tcp::Header::LENGTH))?;
        }
        IpProtocol::UDP => {
            let length = udp::Header::parse(&mut reader)?.payload_length()?;
            is_cut |= length > reader.remaining();
            reader.limit(length);
        }
        _ => return None,
    }
    Some(Payload { bytes: reader.bytes(reader.remaining())?, is_cut })
}

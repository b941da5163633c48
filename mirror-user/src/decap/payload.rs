//! What a header carries: the bytes at hand, and how many more there are or were.

use crate::source::Frame;
use crate::wire::error::IpHeaderError;
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;

/// What follows the headers that were taken so far.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    /// The bytes at hand, which headers can be read from.
    pub(super) reader: Reader<'a>,
    /// How many captured bytes follow those, in further buffers of the frame.
    beyond: usize,
    /// How many bytes followed those and were cut off.
    cut: usize,
}

impl<'a> Payload<'a> {
    /// All of `frame`.
    #[inline(always)]
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        let mut reader = Reader::new(frame.data);
        reader.limit(frame.captured_length as usize);
        Self {
            reader,
            beyond: frame.captured_length as usize - reader.remaining(),
            cut: frame.original_length.saturating_sub(frame.captured_length) as usize,
        }
    }

    /// What follows `offset` bytes of headers in a frame of one buffer, and ended at `end` before any cut; [`None`] where
    /// it was captured up to less than `offset`.
    #[inline(always)]
    pub(super) fn behind(frame: &'a [u8], offset: usize, end: usize) -> Option<Self> {
        let captured = frame.get(..end).unwrap_or(frame);
        let mut reader = Reader::new(captured);
        reader.skip(offset)?;
        Some(Self { reader, beyond: 0, cut: end - captured.len() })
    }

    /// Where it begins in the frame.
    #[inline(always)]
    pub(super) fn offset(&self) -> usize {
        self.reader.position()
    }

    /// Bytes of it that were captured.
    #[inline(always)]
    pub(super) fn captured_length(&self) -> usize {
        self.reader.remaining() + self.beyond
    }

    /// Bytes that it had before any cut.
    #[inline(always)]
    pub(super) fn original_length(&self) -> usize {
        self.captured_length() + self.cut
    }

    /// Takes an IP header, and leaves the payload of the IP packet. By its own length field a packet may exceed what
    /// encloses it: then it was truncated before it was tunnelled.
    #[inline(always)]
    pub(super) fn ip(&mut self, version: Version) -> Result<ip::Header<'a>, IpHeaderError> {
        let at_hand = self.reader.remaining();
        let header = ip::Header::parse(&mut self.reader, version)?;
        if let Some(length) = header.length {
            self.follow(length.saturating_sub(at_hand));
        }
        Ok(header)
    }

    /// Ends it after `length` bytes.
    #[inline(always)]
    pub(super) fn end(&mut self, length: usize) {
        self.follow(length.saturating_sub(self.reader.remaining()));
        self.reader.limit(length);
    }

    /// Says how many bytes followed those at hand before any cut.
    #[inline(always)]
    fn follow(&mut self, length: usize) {
        self.beyond = self.beyond.min(length);
        self.cut = length - self.beyond;
    }
}

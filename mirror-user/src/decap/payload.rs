//! Payload of a header: the bytes in the first buffer, and the numbers of those beyond and of those cut off.

use crate::source::Frame;
use crate::wire::error::IpHeaderError;
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;

/// The bytes behind the headers that were taken so far.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    /// The bytes in the first buffer, which headers can be read from.
    pub(super) reader: Reader<'a>,
    /// Captured bytes behind those, in further buffers of the frame.
    beyond: usize,
    /// Bytes that followed those and were cut off.
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

    /// The bytes behind `offset` bytes of headers in a frame of one buffer, which ended at `end` before any truncation; [`None`]
    /// where less than `offset` bytes were captured.
    #[inline(always)]
    pub(super) fn behind(frame: &'a [u8], offset: usize, end: usize) -> Option<Self> {
        let captured = frame.get(..end).unwrap_or(frame);
        let mut reader = Reader::new(captured);
        reader.skip(offset)?;
        Some(Self { reader, beyond: 0, cut: end - captured.len() })
    }

    /// Offset in the frame.
    #[inline(always)]
    pub(super) fn offset(&self) -> usize {
        self.reader.position()
    }

    /// Captured bytes.
    #[inline(always)]
    pub(super) fn captured_length(&self) -> usize {
        self.reader.remaining() + self.beyond
    }

    /// Bytes before any truncation.
    #[inline(always)]
    pub(super) fn original_length(&self) -> usize {
        self.captured_length() + self.cut
    }

    /// Takes an IP header, and leaves the payload of the IP packet. By its own length field a packet may exceed the
    /// enclosing one: then it was truncated before it was tunnelled.
    #[inline(always)]
    pub(super) fn ip(&mut self, version: Version) -> Result<ip::Header<'a>, IpHeaderError> {
        let remaining = self.reader.remaining();
        let header = ip::Header::parse(&mut self.reader, version)?;
        if let Some(length) = header.length {
            self.set_following(length.saturating_sub(remaining));
        }
        Ok(header)
    }

    /// Ends it after `length` bytes.
    #[inline(always)]
    pub(super) fn end(&mut self, length: usize) {
        self.set_following(length.saturating_sub(self.reader.remaining()));
        self.reader.limit(length);
    }

    /// Sets the number of bytes that followed those in the first buffer before any truncation.
    #[inline(always)]
    fn set_following(&mut self, length: usize) {
        self.beyond = self.beyond.min(length);
        self.cut = length - self.beyond;
    }
}

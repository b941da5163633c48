//! What a header carries: the bytes at hand, and where they end.

use crate::source::Frame;
use crate::wire::ip::{self, Version};
use crate::wire::reader::Reader;

/// What follows the headers that were taken so far. Positions are bytes from the start of the frame.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    /// The bytes that headers can be read from.
    pub(super) reader: Reader<'a>,
    /// Where it ends in the capture.
    pub(super) captured_end: u32,
    /// Where it ended before any cut. Never below `captured_end`.
    pub(super) original_end: u32,
}

impl<'a> Payload<'a> {
    /// All of `frame`.
    #[inline]
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        let mut reader = Reader::new(frame.data);
        reader.limit(frame.captured_length as usize);
        Self {
            reader,
            captured_end: frame.captured_length,
            original_end: frame.original_length.max(frame.captured_length),
        }
    }

    /// Where it begins.
    #[inline]
    pub(super) fn start(&self) -> u32 {
        // Exact: `of` limits the reader to a length of 32 bits.
        u32::try_from(self.reader.position()).unwrap_or(u32::MAX)
    }

    /// Bytes that it had before any cut.
    #[inline]
    pub(super) fn original_length(&self) -> u32 {
        self.original_end.saturating_sub(self.start())
    }

    /// Takes an IP header. What is left is the payload of the IP packet, which may exceed what encloses it: then the
    /// packet was truncated before it was tunnelled.
    #[inline]
    pub(super) fn ip(&mut self, version: Version) -> Result<ip::Header, ip::Error> {
        let start = self.start();
        let header = ip::Header::parse(&mut self.reader, version)?;
        if let Some(length) = header.length {
            self.original_end = start.saturating_add(length);
            self.captured_end = self.captured_end.min(self.original_end);
        }
        Ok(header)
    }

    /// Leaves the first `length` bytes only.
    #[inline]
    pub(super) fn limit(&mut self, length: u32) {
        self.reader.limit(length as usize);
        self.original_end = self.original_end.min(self.start().saturating_add(length));
        self.captured_end = self.captured_end.min(self.original_end);
    }
}

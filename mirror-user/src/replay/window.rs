//! The bytes of a capture, decompressed, in a window of fixed size that moves over them.

use std::io;
use std::time::Duration;

use super::decompress::{CompressionFault, Decoder, MAGIC_LENGTH};
use super::input::Input;

/// Most bytes that are available together.
pub(super) const REACH: usize = 320 << 10;

/// Bytes of the window: those that are available together, and room to read ahead, so that bytes are seldom moved.
const SIZE: usize = 2 * REACH;

/// Bytes that are read from a file at once.
const READ: usize = 128 << 10;

/// Most reads in one call, so that a caller who waits for bytes that never come gets control now and then.
const READS: usize = 16;

/// Availability of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Available {
    /// They are there.
    Enough,
    /// Not yet; ask again.
    Wait,
    /// There are fewer, and never will be more.
    Ended,
}

/// Reason for which a capture ended early.
#[derive(Debug)]
pub(super) enum StopReason {
    /// It cannot be decompressed. The fault lies close before the given byte of the compressed file.
    Compression(CompressionFault, u64),
    /// It cannot be read.
    Io(io::Error),
}

/// A capture's bytes from the current position on.
pub(super) struct Window {
    input: Input,
    /// None before the first bytes are there.
    decoder: Option<Decoder>,
    /// Bytes of the file that are not decoded yet: `raw[raw_start..raw_end]`.
    raw: Box<[u8]>,
    raw_start: usize,
    raw_end: usize,
    /// Bytes of the file that were decoded.
    raw_offset: u64,
    /// The file has no further bytes.
    raw_ended: bool,
    /// The decoder needs more of them.
    starved: bool,
    /// Decoded bytes: `bytes[start..end]`.
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    /// Position of `start` in the capture, which is decompressed.
    offset: u64,
    ended: bool,
    stopped: Option<StopReason>,
}

impl Window {
    pub(super) fn new(input: Input) -> Self {
        Self {
            input,
            decoder: None,
            raw: vec![0; READ].into(),
            raw_start: 0,
            raw_end: 0,
            raw_offset: 0,
            raw_ended: false,
            starved: false,
            bytes: vec![0; SIZE].into(),
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            stopped: None,
        }
    }

    /// Makes `wanted` bytes available, at most [`REACH`]. Waits for at most `wait`, and only if none are to be had.
    pub(super) fn fill(&mut self, wanted: usize, wait: Duration) -> Available {
        debug_assert!(wanted <= REACH, "{wanted}");
        let mut reads = 0;
        while self.end - self.start < wanted {
            if self.ended {
                return Available::Ended;
            }
            if self.decode() {
                continue;
            }
            if reads == READS {
                return Available::Wait;
            }
            let wait = if reads == 0 { wait } else { Duration::ZERO };
            if !self.read(wait) && !self.ended {
                return Available::Wait;
            }
            reads += 1;
        }
        Available::Enough
    }

    /// The bytes that are available.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The first `N` of the bytes that are available.
    pub(super) fn first<const N: usize>(&self) -> Option<&[u8; N]> {
        self.bytes().first_chunk()
    }

    /// Moves on by so many of the bytes that are available.
    pub(super) fn take(&mut self, bytes: usize) {
        let bytes = bytes.min(self.end - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Moves on by so many bytes, available or not, and counts `left` down to zero meanwhile.
    pub(super) fn skip(&mut self, left: &mut u64, wait: Duration) -> Available {
        while *left > 0 {
            match self.fill(1, wait) {
                Available::Enough => {}
                other => return other,
            }
            let available = self.end - self.start;
            let bytes = usize::try_from(*left).map_or(available, |left| left.min(available));
            self.take(bytes);
            *left -= bytes as u64;
        }
        Available::Enough
    }

    /// Position in the capture, after decompression.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the file that were read but not used, and those behind them; [`None`] for a stream.
    pub(super) fn unread(&self) -> Option<u64> {
        let length = self.input.length()?;
        let ahead = if self.is_compressed() { 0 } else { (self.end - self.start) as u64 };
        Some(length.saturating_sub(self.raw_offset - ahead.min(self.raw_offset)))
    }

    /// The reason for which the capture ended early, where it did.
    pub(super) const fn stop_reason(&self) -> Option<&StopReason> {
        self.stopped.as_ref()
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.decoder.as_ref().is_some_and(Decoder::is_compressed)
    }

    pub(super) const fn is_stream(&self) -> bool {
        self.input.is_stream()
    }

    /// Decodes some of the bytes that were read; `true` if another call may help.
    fn decode(&mut self) -> bool {
        if self.starved {
            return false;
        }
        let raw = &self.raw[self.raw_start..self.raw_end];
        if self.decoder.is_none() {
            if raw.len() < MAGIC_LENGTH && !self.raw_ended {
                return false;
            }
            match Decoder::new(raw) {
                Ok(decoder) => self.decoder = Some(decoder),
                Err(fault) => return self.stop(StopReason::Compression(fault, 0)),
            }
        }
        if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let Some(decoder) = &mut self.decoder else { return false };
        match decoder.decode(raw, &mut self.bytes[self.end..]) {
            Ok(step) => {
                self.raw_start += step.taken;
                self.raw_offset += step.taken as u64;
                self.end += step.made;
                if step.taken + step.made > 0 {
                    return true;
                }
            }
            Err(fault) => return self.stop(StopReason::Compression(fault, self.raw_offset)),
        }
        self.starved = true;
        if self.raw_ended {
            if let Err(fault) = decoder.end() {
                return self.stop(StopReason::Compression(fault, self.raw_offset));
            }
            self.ended = true;
        }
        false
    }

    /// Reads some bytes. Says whether there were any.
    fn read(&mut self, wait: Duration) -> bool {
        if self.raw_ended {
            return false;
        }
        self.raw.copy_within(self.raw_start..self.raw_end, 0);
        self.raw_end -= self.raw_start;
        self.raw_start = 0;
        if self.raw_end == self.raw.len() {
            let detail = "the compressed data lead nowhere".to_owned();
            return self.stop(StopReason::Compression(CompressionFault::Damaged(detail), self.raw_offset));
        }
        self.starved = false;
        match self.input.read(&mut self.raw[self.raw_end..], wait) {
            Ok(Some(0)) => {
                self.raw_ended = true;
                true
            }
            Ok(Some(bytes)) => {
                self.raw_end += bytes;
                true
            }
            Ok(None) => {
                self.starved = self.decoder.is_some();
                false
            }
            Err(error) => self.stop(StopReason::Io(error)),
        }
    }

    fn stop(&mut self, stopped: StopReason) -> bool {
        self.ended = true;
        self.stopped = Some(stopped);
        false
    }
}

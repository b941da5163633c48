//! Zstandard (RFC 8878): frames, and frames to be skipped.

use zstd::stream::raw::{Decoder, Operation as _};

use super::progress::{CompressionFault, Progress};

/// Longest beginning of a frame that is looked at: its magic number.
const MAGIC: usize = 4;

/// A decoder of joined frames. The library refuses frames that would take more than 128 MiB of memory.
pub(in super::super) struct Zstd {
    decoder: Decoder<'static>,
    /// Bytes of the current frame's magic number so far; [`MAGIC`] within a frame.
    begun: usize,
    magic: [u8; MAGIC],
    /// Bytes up to the end of the current block. The library is not given more at once: where a block is damaged, it
    /// forgets what it made of others in the same call.
    block: usize,
}

impl Zstd {
    pub(super) fn new() -> Result<Self, CompressionFault> {
        let decoder = Decoder::new().map_err(|error| CompressionFault::Damaged(error.to_string()))?;
        Ok(Self { decoder, begun: 0, magic: [0; MAGIC], block: 0 })
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.begun == 0
    }

    pub(super) fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, CompressionFault> {
        // The library does not say that what follows a frame is none, but that its magic number is unknown.
        let taken = (MAGIC - self.begun).min(input.len());
        if taken > 0 {
            self.magic[self.begun..self.begun + taken].copy_from_slice(&input[..taken]);
            self.begun += taken;
            if self.begun < MAGIC {
                return Ok(Progress { taken, made: 0 });
            }
            if !matches!(self.magic, [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
                return Err(CompressionFault::Trailer);
            }
            let magic = self.magic;
            self.run(&magic, output)?;
            return Ok(Progress { taken, made: 0 });
        }
        if self.begun == 0 {
            return Ok(Progress::default());
        }
        self.run(input.get(..self.block).unwrap_or(input), output)
    }

    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, CompressionFault> {
        let status = self
            .decoder
            .run_on_buffers(input, output)
            .map_err(|error| CompressionFault::Damaged(error.to_string()))?;
        self.block = status.remaining;
        if status.remaining == 0 {
            self.begun = 0;
        }
        Ok(Progress { taken: status.bytes_read, made: status.bytes_written })
    }
}

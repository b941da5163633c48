//! gzip (RFC 1952): members, each with its header, its compressed data and its check sum.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::progress::{CompressionFault, Progress};

/// Bits of the flags in a header (RFC 1952, section 2.3.1).
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

/// A decoder of joined members. Names, comments and extra fields are skipped, however long they are.
pub(in super::super) struct Gzip {
    inflate: Decompress,
    crc: Crc,
    state: GzipState,
    /// Fields of the header that are still to come.
    flags: u8,
    /// The compressed data are damaged behind the bytes decoded so far.
    damaged: bool,
}

/// Position in a member.
#[derive(Clone, Copy)]
enum GzipState {
    /// Before a member; `padded` behind zeros.
    Between {
        padded: bool,
    },
    /// So many bytes into the fixed part of the header, of the ten that it has.
    Fixed(usize),
    /// At the length of the extra field; the first of its two bytes, where that is known.
    ExtraLength(Option<u8>),
    /// In a field with so many bytes to skip.
    Skip(u16),
    /// In a text that ends with a zero.
    Text,
    Body,
    /// So many bytes into check sum and length, the eight of which are kept.
    Trailer(usize, [u8; 8]),
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            inflate: Decompress::new(false),
            crc: Crc::new(),
            state: GzipState::Between { padded: false },
            flags: 0,
            damaged: false,
        }
    }
}

impl Gzip {
    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.state, GzipState::Between { .. })
    }

    pub(super) fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, CompressionFault> {
        if self.damaged {
            return Err(CompressionFault::Damaged("the compressed data are damaged".to_owned()));
        }
        let mut taken = 0;
        while !matches!(self.state, GzipState::Body) {
            let Some(&byte) = input.get(taken) else { return Ok(Progress { taken, made: 0 }) };
            self.state = self.next(byte)?;
            taken += 1;
        }
        let step = self.inflate(&input[taken..], output)?;
        Ok(Progress { taken: taken + step.taken, made: step.made })
    }

    /// The state behind a byte that is not of the body.
    fn next(&mut self, byte: u8) -> Result<GzipState, CompressionFault> {
        let damaged = |detail: &str| Err(CompressionFault::Damaged(detail.to_owned()));
        Ok(match self.state {
            GzipState::Between { padded: false } if byte == 0x1f => GzipState::Fixed(1),
            // As tape drives and some archivers pad; gzip ignores it as well.
            GzipState::Between { .. } if byte == 0 => GzipState::Between { padded: true },
            GzipState::Between { .. } => return Err(CompressionFault::Trailer),
            GzipState::Fixed(1) if byte != 0x8b => return Err(CompressionFault::Trailer),
            GzipState::Fixed(2) if byte != 8 => return damaged("an unknown method of compression"),
            GzipState::Fixed(at) => {
                if at == 3 {
                    self.flags = byte;
                }
                if at == 9 { self.field() } else { GzipState::Fixed(at + 1) }
            }
            GzipState::ExtraLength(None) => GzipState::ExtraLength(Some(byte)),
            GzipState::ExtraLength(Some(low)) => self.skip(u16::from_le_bytes([low, byte])),
            GzipState::Skip(left) => self.skip(left - 1),
            GzipState::Text => {
                if byte == 0 {
                    self.field()
                } else {
                    GzipState::Text
                }
            }
            GzipState::Body => GzipState::Body,
            GzipState::Trailer(at, mut bytes) => {
                bytes[at] = byte;
                if at < 7 {
                    return Ok(GzipState::Trailer(at + 1, bytes));
                }
                let [c0, c1, c2, c3, l0, l1, l2, l3] = bytes;
                if u32::from_le_bytes([c0, c1, c2, c3]) != self.crc.sum()
                    || u32::from_le_bytes([l0, l1, l2, l3]) != self.crc.amount()
                {
                    return damaged("the check sum does not match");
                }
                GzipState::Between { padded: false }
            }
        })
    }

    /// The next field of the header that the flags announce, or the body.
    fn field(&mut self) -> GzipState {
        for (flag, state) in [
            (EXTRA, GzipState::ExtraLength(None)),
            (NAME, GzipState::Text),
            (COMMENT, GzipState::Text),
            (HEADER_CRC, GzipState::Skip(2)),
        ] {
            if self.flags & flag != 0 {
                self.flags &= !flag;
                return state;
            }
        }
        self.inflate.reset(false);
        self.crc.reset();
        GzipState::Body
    }

    fn skip(&mut self, left: u16) -> GzipState {
        if left == 0 { self.field() } else { GzipState::Skip(left) }
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, CompressionFault> {
        let (total_in, total_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output, FlushDecompress::None);
        // No more than the two buffers have.
        let length = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(0);
        let step = Progress {
            taken: length(self.inflate.total_in(), total_in),
            made: length(self.inflate.total_out(), total_out),
        };
        self.crc.update(output.get(..step.made).unwrap_or_default());
        match status {
            Ok(Status::StreamEnd) => self.state = GzipState::Trailer(0, [0; 8]),
            Ok(Status::Ok | Status::BufError) => {}
            Err(_) => self.damaged = true,
        }
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, gzip};

    #[test]
    fn every_field_of_a_header_is_skipped() {
        let plain = gzip(b"content");
        for flags in 0..32_u8 {
            let mut member = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
            if flags & 4 != 0 {
                member.extend([3, 0, 0, 0, 0]);
            }
            if flags & 8 != 0 {
                member.extend(b"n\xe4me.pcap\0");
            }
            if flags & 16 != 0 {
                member.extend(b"comment".repeat(10_000));
                member.push(0);
            }
            if flags & 2 != 0 {
                member.extend([0xab, 0xcd]);
            }
            // The header of the other has ten bytes.
            member.extend(&plain[10..]);
            for piece in [1, 1000] {
                assert_eq!(decode(&member, piece, 64), (b"content".to_vec(), Ok(())), "flags {flags:#x}");
            }
        }
        let empty_extra = [&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 0, 0], &plain[10..]].concat();
        assert_eq!(decode(&empty_extra, 1, 64), (b"content".to_vec(), Ok(())));
    }
}

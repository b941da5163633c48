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
    place: Place,
    /// Fields of the header that are still to come.
    flags: u8,
    /// Whether the compressed data are damaged behind what was made of them so far.
    damaged: bool,
}

/// The place in a member that has been reached.
#[derive(Clone, Copy)]
enum Place {
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
            place: Place::Between { padded: false },
            flags: 0,
            damaged: false,
        }
    }
}

impl Gzip {
    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.place, Place::Between { .. })
    }

    pub(super) fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, CompressionFault> {
        if self.damaged {
            return Err(CompressionFault::Damaged("the compressed data are damaged".to_owned()));
        }
        let mut taken = 0;
        while !matches!(self.place, Place::Body) {
            let Some(&byte) = input.get(taken) else { return Ok(Progress { taken, made: 0 }) };
            self.place = self.next(byte)?;
            taken += 1;
        }
        let step = self.inflate(&input[taken..], output)?;
        Ok(Progress { taken: taken + step.taken, made: step.made })
    }

    /// The place behind a byte that is not of the body.
    fn next(&mut self, byte: u8) -> Result<Place, CompressionFault> {
        let damaged = |detail: &str| Err(CompressionFault::Damaged(detail.to_owned()));
        Ok(match self.place {
            Place::Between { padded: false } if byte == 0x1f => Place::Fixed(1),
            // As tape drives and some archivers pad; gzip ignores it as well.
            Place::Between { .. } if byte == 0 => Place::Between { padded: true },
            Place::Between { .. } => return Err(CompressionFault::Trailer),
            Place::Fixed(1) if byte != 0x8b => return Err(CompressionFault::Trailer),
            Place::Fixed(2) if byte != 8 => return damaged("an unknown method of compression"),
            Place::Fixed(at) => {
                if at == 3 {
                    self.flags = byte;
                }
                if at == 9 { self.field() } else { Place::Fixed(at + 1) }
            }
            Place::ExtraLength(None) => Place::ExtraLength(Some(byte)),
            Place::ExtraLength(Some(low)) => self.skip(u16::from_le_bytes([low, byte])),
            Place::Skip(left) => self.skip(left - 1),
            Place::Text => {
                if byte == 0 {
                    self.field()
                } else {
                    Place::Text
                }
            }
            Place::Body => Place::Body,
            Place::Trailer(at, mut bytes) => {
                bytes[at] = byte;
                if at < 7 {
                    return Ok(Place::Trailer(at + 1, bytes));
                }
                let [c0, c1, c2, c3, l0, l1, l2, l3] = bytes;
                if u32::from_le_bytes([c0, c1, c2, c3]) != self.crc.sum()
                    || u32::from_le_bytes([l0, l1, l2, l3]) != self.crc.amount()
                {
                    return damaged("the check sum does not match");
                }
                Place::Between { padded: false }
            }
        })
    }

    /// The next field of the header that the flags announce, or the body.
    fn field(&mut self) -> Place {
        for (flag, place) in [
            (EXTRA, Place::ExtraLength(None)),
            (NAME, Place::Text),
            (COMMENT, Place::Text),
            (HEADER_CRC, Place::Skip(2)),
        ] {
            if self.flags & flag != 0 {
                self.flags &= !flag;
                return place;
            }
        }
        self.inflate.reset(false);
        self.crc.reset();
        Place::Body
    }

    fn skip(&mut self, left: u16) -> Place {
        if left == 0 { self.field() } else { Place::Skip(left) }
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
            Ok(Status::StreamEnd) => self.place = Place::Trailer(0, [0; 8]),
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

//! Decompression: bytes in, bytes out, in memory of fixed size.
//!
//! The first bytes of a file determine its compression, not its name. A file may consist of several compressed parts,
//! as parallel compressors write it and as files are appended to: their contents are joined.

mod gzip;
mod progress;
mod zstd;

pub use self::progress::CompressionFault;

use self::gzip::Gzip;
use self::progress::Progress;
use self::zstd::Zstd;

/// Bytes at the beginning of a file that determine its compression.
pub(super) const MAGIC_LENGTH: usize = 4;

/// A decoder of one kind of compression, or of none.
pub(super) enum Decoder {
    None,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    /// The decoder for a file that begins with `magic`, which are fewer bytes where the file has no more.
    ///
    /// # Errors
    ///
    /// When no decoder can be made.
    pub(super) fn new(magic: &[u8]) -> Result<Self, CompressionFault> {
        Ok(match magic {
            [0x1f, 0x8b, ..] => Self::Gzip(Box::default()),
            // A frame, or one that is to be skipped (RFC 8878, section 3.1.2), with which pzstd begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Self::Zstd(Box::new(Zstd::new()?))
            }
            _ => Self::None,
        })
    }

    /// `true` if the file is compressed.
    pub(super) const fn is_compressed(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Decompresses some of `input` into `output`, which must not be empty. Where nothing was taken and nothing made, nothing
    /// can be made before there is more input.
    ///
    /// # Errors
    ///
    /// When the input is damaged; what was made before stands.
    pub(super) fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, CompressionFault> {
        match self {
            Self::None => {
                let bytes = input.len().min(output.len());
                output[..bytes].copy_from_slice(&input[..bytes]);
                Ok(Progress { taken: bytes, made: bytes })
            }
            Self::Gzip(gzip) => gzip.decode(input, output),
            Self::Zstd(zstd) => zstd.decode(input, output),
        }
    }

    /// Checks that the input may end here.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub(super) fn end(&self) -> Result<(), CompressionFault> {
        let complete = match self {
            Self::None => true,
            Self::Gzip(gzip) => gzip.is_complete(),
            Self::Zstd(zstd) => zstd.is_complete(),
        };
        if complete { Ok(()) } else { Err(CompressionFault::CutOff) }
    }
}

/// The command that decompresses a file whose compression is not read here, by its first bytes.
pub(super) fn other_command(magic: &[u8]) -> Option<&'static str> {
    match magic {
        [0xfd, b'7', b'z', b'X', ..] => Some("xz -dc"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some("bzip2 -dc"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("lz4 -dc"),
        [b'P', b'K', 3, 4, ..] => Some("unzip -p"),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub(in super::super) fn zstd(bytes: &[u8]) -> Vec<u8> {
        ::zstd::encode_all(bytes, 1).unwrap()
    }

    /// A zstd frame to be skipped, with so many bytes in it.
    pub(in super::super) fn skippable(bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_le_bytes();
        [&[0x5a, 0x2a, 0x4d, 0x18], &length[..], &vec![0xee; bytes]].concat()
    }

    /// Decodes in pieces of `piece` bytes into room for `room` bytes. Returns what was made, and how it ended.
    pub(super) fn decode(
        mut input: &[u8],
        piece: usize,
        room: usize,
    ) -> (Vec<u8>, Result<(), CompressionFault>) {
        let mut decoder = Decoder::new(input).unwrap();
        let (mut made, mut output) = (Vec::new(), vec![0; room]);
        loop {
            let step = match decoder.decode(&input[..piece.min(input.len())], &mut output) {
                Ok(step) => step,
                Err(fault) => return (made, Err(fault)),
            };
            made.extend_from_slice(&output[..step.made]);
            input = &input[step.taken..];
            assert!(step != Progress::default() || input.is_empty(), "it goes on");
            if input.is_empty() && step == Progress::default() {
                return (made, decoder.end());
            }
        }
    }

    #[test]
    fn parts_are_joined() {
        let (one, two) = (vec![1; 100_000], (0..=255).collect::<Vec<u8>>());
        let joined = [&one[..], &two].concat();
        let padded = [gzip(&joined), vec![0; 512]].concat();
        for input in [
            joined.clone(),
            [gzip(&one), gzip(&two)].concat(),
            [zstd(&one), zstd(&two)].concat(),
            [skippable(4), zstd(&one), skippable(0), zstd(&two), skippable(70_000)].concat(),
            [gzip(&[]), gzip(&joined), gzip(&[])].concat(),
            padded,
        ] {
            for (piece, room) in [(usize::MAX, 1 << 20), (1, 4096), (777, 1), (usize::MAX, 100)] {
                assert_eq!(decode(&input, piece, room), (joined.clone(), Ok(())), "{piece} {room}");
            }
        }
    }

    #[test]
    fn faults_have_names() {
        let bytes = b"some bytes".repeat(100);
        for whole in [gzip(&bytes), zstd(&bytes)] {
            for length in 4..whole.len() {
                let (made, ended) = decode(&whole[..length], usize::MAX, 4096);
                assert_eq!(ended, Err(CompressionFault::CutOff), "{length} bytes");
                assert!(bytes.starts_with(&made));
            }
            let text = [&whole[..], b"text"].concat();
            let (made, ended) = decode(&text, usize::MAX, 4096);
            assert_eq!((made, ended), (bytes.clone(), Err(CompressionFault::Trailer)));
        }
        let mut wrong = gzip(&bytes);
        let sum = wrong.len() - 8;
        wrong[sum] ^= 1;
        let (made, ended) = decode(&wrong, usize::MAX, 4096);
        assert_eq!(made, bytes, "what was decompressed before the fault is handed out");
        assert!(matches!(ended, Err(CompressionFault::Damaged(detail)) if detail.contains("check sum")));
    }

    #[test]
    fn other_compressions_are_known_by_name() {
        assert_eq!(other_command(&[0xfd, b'7', b'z', b'X', b'Z', 0]), Some("xz -dc"));
        assert_eq!(other_command(b"BZh9"), Some("bzip2 -dc"));
        assert_eq!(other_command(b"text"), None);
    }

    proptest! {
        /// Whatever the input, it ends, in memory of fixed size.
        #[test]
        fn damaged_input_ends(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            compress in proptest::sample::select(vec![gzip as fn(&[u8]) -> Vec<u8>, zstd]),
            damages in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
            piece in 1..300_usize,
        ) {
            let mut input = [compress(&bytes), compress(&bytes)].concat();
            for (place, byte) in damages {
                let place = place.index(input.len() - 4) + 4;
                input[place] = byte;
            }
            let (made, _) = decode(&input, piece, 128);
            // A byte of zstd may stand for at most a block of 128 KiB.
            prop_assert!(made.len() <= input.len() << 17);
        }
    }
}

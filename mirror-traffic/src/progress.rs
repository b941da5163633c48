//! The counts that the program keeps.

use crate::count::KINDS;

/// Counts of packets offered to the kernel, and of those that it refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Packets offered to the kernel for transmission.
    pub offered: u64,
    /// Bytes of their frames.
    pub offered_bytes: u64,
    /// Packets that the kernel has reported on: accepted or refused.
    pub reported: u64,
    /// Packets among them that the driver refused.
    pub refused: u64,
    /// Bytes of the refused packets' frames.
    pub refused_bytes: u64,
    /// When the first packet was offered: nanoseconds of `CLOCK_MONOTONIC`.
    pub first_ns: u64,
    /// When the kernel last reported.
    pub last_ns: u64,
    /// Packets offered, by kind.
    pub offered_kinds: [u64; KINDS],
    /// Packets refused, by kind.
    pub refused_kinds: [u64; KINDS],
}

/// A [`Progress`] as the words that it is made of.
pub const PROGRESS_WORDS: usize = size_of::<Progress>() / 8;

impl Progress {
    /// The progress that lies in memory as `words`.
    pub fn from_words(words: &[u64; PROGRESS_WORDS]) -> Self {
        let [offered, offered_bytes, reported, refused, refused_bytes, first_ns, last_ns, kinds @ ..] = words;
        let mut progress = Self {
            offered: *offered,
            offered_bytes: *offered_bytes,
            reported: *reported,
            refused: *refused,
            refused_bytes: *refused_bytes,
            first_ns: *first_ns,
            last_ns: *last_ns,
            ..Self::default()
        };
        let (offered_kinds, refused_kinds) = kinds.split_at(KINDS);
        progress.offered_kinds.copy_from_slice(offered_kinds);
        progress.refused_kinds.copy_from_slice(refused_kinds);
        progress
    }
}

//! Progress of a decoder, and the faults that end it.

use thiserror::Error;

/// Reason for which a file cannot be decompressed from here on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompressionFault {
    /// It ends within a compressed part.
    #[error("the file ends within the compressed data")]
    CutOff,
    /// The bytes behind a compressed part are neither another one nor padding.
    #[error("something that is not compressed follows the compressed data")]
    Trailer,
    /// A compressed part that contradicts itself.
    #[error("{0}")]
    Damaged(String),
}

/// Bytes that a call of a decoder took and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::replay) struct Progress {
    pub(in crate::replay) taken: usize,
    pub(in crate::replay) made: usize,
}

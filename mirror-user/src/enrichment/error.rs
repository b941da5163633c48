//! Reasons why a map cannot be taken up.

use std::path::PathBuf;

use mirror_enrichment::ReadError;
use thiserror::Error;

use super::fragments::LONGEST;

/// Reasons why a map cannot be taken up.
#[derive(Debug, Error)]
pub enum EnrichmentError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An entry says more than fits a record.
    #[error(
        "the enrichment map {}: sessions[{entry}] takes {bytes} bytes of each of its records without any label, more than {LONGEST}: \
         shorten its texts",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The entry, counted from 0.
        entry: usize,
        /// Bytes that its members take.
        bytes: usize,
    },
}

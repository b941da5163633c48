//! Settings of a spool.

use std::time::Duration;

use crate::arrow_file::Compression;
use crate::error::SpoolError;

/// Settings of a spool's writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Compression of the files.
    pub compression: Compression,
    /// Rows of a batch: 1 to 65,536.
    pub batch_rows: usize,
    /// Rows after which a file is finished: 1 to 16,777,216.
    pub file_rows: u64,
    /// Time after which a file is finished, however few rows it has: at most what a crash loses.
    pub sync: Duration,
    /// Bytes of finished files that wait for the shipper, at most; none for no bound.
    pub most_bytes: Option<u64>,
    /// Time that a finished file is kept for the shipper; none for no bound.
    pub most_age: Option<Duration>,
    /// What goes when the spool is full.
    pub when_full: WhenFull,
}

/// What goes when the spool is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest file.
    #[default]
    Oldest,
    /// The newest records.
    Newest,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd,
            batch_rows: 8192,
            file_rows: 262_144,
            sync: Duration::from_secs(10),
            most_bytes: Some(10 << 30),
            most_age: None,
            when_full: WhenFull::Oldest,
        }
    }
}

impl SpoolConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range.
    pub fn check(&self) -> Result<(), SpoolError> {
        let check = |name, found: u64, range, holds| {
            if holds { Ok(()) } else { Err(SpoolError::Config { name, range, found }) }
        };
        let rows = self.batch_rows as u64;
        check("the rows of a batch", rows, "1 to 65,536", (1..=1 << 16).contains(&rows))?;
        let rows = self.file_rows;
        check("the rows of a file", rows, "1 to 16,777,216", (1..=1 << 24).contains(&rows))
    }
}

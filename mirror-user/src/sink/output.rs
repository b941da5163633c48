//! The seam between a sink thread and the place that its bytes go to.

use std::io;
use std::path::Path;

use super::counters::Unfinished;
use super::error::SinkError;
use crate::time::Timestamp;

/// A write that failed, perhaps after a part of the bytes.
#[derive(Debug)]
pub struct PartialWrite {
    /// Bytes at the front that are written for good. In an output that can take bytes back, they end with a record.
    pub taken: usize,
    /// The error of the write.
    pub error: io::Error,
}

impl From<io::Error> for PartialWrite {
    /// Nothing was written.
    fn from(error: io::Error) -> Self {
        Self { taken: 0, error }
    }
}

/// Takes the encoded batches of one sink thread. It is not used before the capture has begun.
pub trait Output: Send {
    /// Path that the bytes go to at the moment, for messages.
    fn path(&self) -> &Path;

    /// `true` if it is one file from start to end, never rotated.
    fn is_single(&self) -> bool;

    /// `true` if written bytes stay in a file, which can be lost as a whole until it is finished; a pipe or a terminal passes
    /// them on.
    fn is_file(&self) -> bool;

    /// Opens a file at time `now` where none is open. Returns `true` if the file is empty, so that the next write has
    /// to begin with the header of the format.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    fn prepare(&mut self, now: Timestamp) -> io::Result<bool>;

    /// Writes all of `bytes` to the open file.
    ///
    /// # Errors
    ///
    /// When not all was written. The next write may well succeed.
    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite>;

    /// `true` if the open file is to be finished at time `now`.
    fn is_due(&self, now: Timestamp) -> bool;

    /// Finishes the open file, which has the records `unfinished`. It settles them: at once, or when the outcome is
    /// known.
    ///
    /// # Errors
    ///
    /// When the file could not be finished. It is closed nevertheless.
    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError>;
}

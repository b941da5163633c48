//! Where encoded bytes go, whole batches only: standard output, a file, or a directory with rotation.

pub(super) mod directory;
pub(super) mod finisher;
pub(super) mod leftover;
mod whole;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::whole::WholeWriter;
use super::counters::SinkCounters;
use super::error::SinkError;
use crate::source::Timestamp;

/// Takes the encoded batches of one sink thread.
pub trait Output: Send {
    /// Where the bytes go at the moment, for messages.
    fn path(&self) -> &Path;

    /// Whether it is one file from start to end, never rotated.
    fn is_single(&self) -> bool;

    /// Opens a file at time `now` where none is open. Returns whether the file is empty, so that the next write has
    /// to begin with the header of the format.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    fn prepare(&mut self, now: Timestamp) -> io::Result<bool>;

    /// Writes all of `bytes` to the open file, or nothing of them.
    ///
    /// # Errors
    ///
    /// When nothing was written. The next write may well succeed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Finishes the open file if it is due at time `now`.
    ///
    /// # Errors
    ///
    /// When the file could not be finished. It is closed nevertheless.
    fn rotate(&mut self, now: Timestamp) -> Result<(), SinkError>;

    /// Finishes the open file.
    ///
    /// # Errors
    ///
    /// When the file could not be finished. It is closed nevertheless.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// Standard output, a file or a named pipe.
#[derive(Debug)]
pub struct Single {
    path: PathBuf,
    writer: WholeWriter,
    is_stdout: bool,
    counters: Arc<SinkCounters>,
}

impl Single {
    /// Standard output.
    pub fn stdout(counters: &Arc<SinkCounters>) -> Result<Self, SinkError> {
        // Not `io::Stdout`, which would cut batches at line ends and keep a buffer of its own.
        let writer = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .and_then(|descriptor| WholeWriter::new(File::from(descriptor)))
            .map_err(|error| SinkError::Stdout { error })?;
        Ok(Self { path: "/dev/stdout".into(), writer, is_stdout: true, counters: Arc::clone(counters) })
    }

    /// A file, created or emptied; or a named pipe, for whose reader this waits.
    pub fn create(path: &Path, counters: &Arc<SinkCounters>) -> Result<Self, SinkError> {
        let writer = File::create(path)
            .and_then(WholeWriter::new)
            .map_err(|error| SinkError::Create { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), writer, is_stdout: false, counters: Arc::clone(counters) })
    }
}

impl Output for Single {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_single(&self) -> bool {
        true
    }

    fn prepare(&mut self, _now: Timestamp) -> io::Result<bool> {
        Ok(self.writer.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.writer.write(bytes);
        if self.is_stdout && written.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            self.counters.set_closed();
        }
        written
    }

    fn rotate(&mut self, _now: Timestamp) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.writer.finish().map_err(|error| SinkError::Finish { path: self.path.clone(), error })?;
        if !self.is_stdout {
            self.counters.add_file();
        }
        Ok(())
    }
}

//! Where encoded bytes go: standard output, a file, or a directory with rotation.
//!
//! - `claim`: opening and locking before a capture starts.
//! - `atomic_writer`: writing whole records, also where a disk fills up.
//! - `rotating_files`: a series of files; `finisher`: making them durable and giving them their names; `recovery`: those of a
//!   run that was killed.

mod atomic_writer;
pub(super) mod claim;
pub(super) mod finisher;
pub(super) mod recovery;
pub(super) mod rotating_files;

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::atomic_writer::AtomicWriter;
use super::Format;
use super::counters::{SinkCounters, Unfinished};
use super::error::SinkError;
use crate::time::Timestamp;

/// A write that failed, perhaps half-way.
#[derive(Debug)]
pub struct PartialWrite {
    /// Bytes at the front that are written for good. In an output that can take bytes back, they end with a record.
    pub taken: usize,
    /// Why it failed.
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
    /// Where the bytes go at the moment, for messages.
    fn path(&self) -> &Path;

    /// Whether it is one file from start to end, never rotated.
    fn is_single(&self) -> bool;

    /// Whether what is written stays in a file, which can be lost as a whole until it is finished; a pipe or a terminal
    /// passes it on.
    fn is_file(&self) -> bool;

    /// Opens a file at time `now` where none is open. Returns whether the file is empty, so that the next write has
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

    /// Whether the open file is to be finished at time `now`.
    fn is_due(&self, now: Timestamp) -> bool;

    /// Finishes the open file, which has the records `unfinished`. It says what became of them: at once, or when it is
    /// known.
    ///
    /// # Errors
    ///
    /// When the file could not be finished. It is closed nevertheless.
    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError>;
}

/// Standard output, a file or a named pipe.
#[derive(Debug)]
pub struct SingleFile {
    path: PathBuf,
    writer: AtomicWriter,
    is_stdout: bool,
    /// Whether the file has still the content that it had before the capture.
    is_stale: bool,
    counters: Arc<SinkCounters>,
}

impl SingleFile {
    /// Standard output.
    pub fn stdout(format: Format, counters: &Arc<SinkCounters>) -> Result<Self, SinkError> {
        // Not `io::Stdout`, which would cut batches at line ends and keep a buffer of its own.
        let writer = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .and_then(|descriptor| AtomicWriter::new(File::from(descriptor), format))
            .map_err(|error| SinkError::Stdout { error })?;
        let counters = Arc::clone(counters);
        Ok(Self { path: "/dev/stdout".into(), writer, is_stdout: true, is_stale: false, counters })
    }

    /// A file that is open at its start, and is emptied by the first write; or a pipe or a device.
    pub fn file(
        path: &Path,
        file: File,
        format: Format,
        counters: &Arc<SinkCounters>,
    ) -> Result<Self, SinkError> {
        let writer = AtomicWriter::new(file, format)
            .map_err(|error| SinkError::Create { path: path.to_owned(), error })?;
        let is_stale = writer.is_regular();
        Ok(Self { path: path.to_owned(), writer, is_stdout: false, is_stale, counters: Arc::clone(counters) })
    }

    /// Makes the file durable, and makes sure that it is still there.
    fn close(&mut self) -> Result<(), SinkError> {
        let path = &self.path;
        self.writer.finish().map_err(|error| SinkError::Sync { path: path.clone(), error })?;
        let links = self.writer.file().metadata().map(|metadata| metadata.nlink());
        if self.writer.is_regular() && matches!(links, Ok(0)) {
            let error = io::Error::other("it was deleted while it was written");
            return Err(SinkError::Publish { path: path.clone(), error });
        }
        Ok(())
    }
}

impl Output for SingleFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn is_single(&self) -> bool {
        true
    }

    fn is_file(&self) -> bool {
        self.writer.is_regular()
    }

    fn prepare(&mut self, _now: Timestamp) -> io::Result<bool> {
        if self.is_stale {
            self.writer.file().set_len(0)?;
            self.writer.file().rewind()?;
            self.is_stale = false;
        }
        Ok(self.writer.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        let written = self.writer.write(bytes);
        let is_gone = |torn: &PartialWrite| {
            matches!(torn.error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
        };
        if self.is_stdout && written.as_ref().is_err_and(is_gone) {
            self.counters.set_closed();
        }
        written
    }

    fn is_due(&self, _now: Timestamp) -> bool {
        false
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError> {
        match self.close() {
            Ok(()) => unfinished.keep(),
            Err(error) => {
                unfinished.lose(error.loss());
                return Err(error);
            }
        }
        if !self.is_stdout {
            self.counters.add_file();
        }
        Ok(())
    }
}

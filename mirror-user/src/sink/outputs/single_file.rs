//! One file from start to end, a named pipe or standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::atomic_writer::AtomicWriter;
use crate::sink::counters::{SinkCounters, Unfinished};
use crate::sink::error::SinkError;
use crate::sink::format::Format;
use crate::sink::output::{Output, PartialWrite};
use crate::time::Timestamp;

/// Standard output, a file or a named pipe.
#[derive(Debug)]
pub struct SingleFile {
    path: PathBuf,
    writer: AtomicWriter,
    is_stdout: bool,
    /// The file still has its content from before the capture.
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

//! The bytes of a file, a pipe or standard input.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// `true` if the argument stands for standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An open input. Reading waits no longer than its caller allows.
pub(super) struct Input {
    file: File,
    /// It is no regular file: more may come at any time, and a read may have to wait for it.
    is_stream: bool,
    progress: Arc<AtomicU64>,
}

impl Input {
    /// Opens `path`; `-` is standard input. The number of bytes that are read is added to `progress`.
    ///
    /// A named pipe is opened without waiting for a writer.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or is a directory.
    pub(super) fn open(path: &Path, progress: Arc<AtomicU64>) -> io::Result<Self> {
        let file = if is_stdin(path) {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?
        };
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self { file, is_stream: !kind.is_file() && !kind.is_block_device(), progress })
    }

    pub(super) const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Bytes of the file, where that is known.
    pub(super) fn length(&self) -> Option<u64> {
        let metadata = self.file.metadata().ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Reads some bytes, and waits for them for at most so long; 0 at the end, [`None`] where none came.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub(super) fn read(&mut self, buffer: &mut [u8], wait: Duration) -> io::Result<Option<usize>> {
        if self.is_stream && !self.is_ready(wait)? {
            return Ok(None);
        }
        match self.file.read(buffer) {
            Ok(bytes) => {
                self.progress.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(Some(bytes))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn is_ready(&self, wait: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(wait).ok();
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

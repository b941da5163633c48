//! Errors of the sinks, and their remedies.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::counters::Loss;
use crate::value::ValueError;

/// An error of the sinks. The messages name the place, the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// An option is out of its range.
    #[error(transparent)]
    Config(#[from] ValueError),
    /// Standard output is closed.
    #[error("cannot write to standard output: {error}; {}", remedy(error))]
    Stdout {
        /// The system's error.
        error: io::Error,
    },
    /// The file cannot be opened for writing.
    #[error("cannot create {}: {error}; {}", path.display(), remedy(error))]
    Create {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The directory cannot be created, read or written to.
    #[error("cannot use the directory {}: {error}; {}", path.display(), remedy(error))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Another process writes there.
    #[error(
        "cannot write to {}: {} writes there already; stop it, or give another --output",
        path.display(),
        holder.as_deref().unwrap_or("another process")
    )]
    InUse {
        /// The file or directory.
        path: PathBuf,
        /// The process, where it is known.
        holder: Option<String>,
    },
    /// A thread cannot be started.
    #[error("cannot start a sink thread: {0}; raise the limit on processes (ulimit -u, TasksMax)")]
    Thread(io::Error),
    /// Records could not be written up to the end.
    #[error("cannot write to {}: {error}; {}", path.display(), remedy(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file could not be made durable. Its content is not to be relied on.
    #[error("cannot make {} durable: {error}; {}. Its records count as lost", path.display(), remedy(error))]
    Sync {
        /// The file, by the name that it has now.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file with all of its records is not there under its final name.
    #[error("cannot publish {}: {error}; {}. Its records count as lost", path.display(), remedy(error))]
    Publish {
        /// The file, by the name that it was written under.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A sink thread has panicked.
    #[error(
        "a fault of this program: the sink that writes to {} panicked ({message}); its records are lost from then on. \
         Please report it",
        path.display()
    )]
    Panicked {
        /// The output.
        path: PathBuf,
        /// The panic's message.
        message: String,
    },
    /// An output has not taken its records in time.
    #[error("{} has not taken its records in time: is its reader stopped, or its disk stuck?", path.display())]
    Stalled {
        /// The output.
        path: PathBuf,
    },
}

impl SinkError {
    /// Loss of the records of a file that was not finished for this reason.
    pub(super) const fn loss(&self) -> Loss {
        match self {
            Self::Sync { .. } => Loss::SyncFailed,
            _ => Loss::PublishFailed,
        }
    }
}

/// The remedy for an error of an output.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull => "free space on that file system, or write to another",
        ErrorKind::QuotaExceeded => "raise the disk quota of this user, or write to another file system",
        ErrorKind::FileTooLarge => "raise the limit on the size of files (ulimit -f, LimitFSIZE)",
        ErrorKind::ReadOnlyFilesystem => "mount that file system writable, or write to another",
        ErrorKind::PermissionDenied => "give this user the right to write there",
        ErrorKind::NotFound => "create the directory that it lies in",
        ErrorKind::AlreadyExists => "remove what has that name, or write to a directory of your own",
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            "end the path in / if a directory is meant, and only then"
        }
        ErrorKind::BrokenPipe => "its reader has gone: start the reader again",
        _ if error.raw_os_error() == Some(libc::EMFILE) => {
            "raise the limit on open files (ulimit -n, LimitNOFILE)"
        }
        _ => "see the kernel's log for a fault of the device (dmesg)",
    }
}

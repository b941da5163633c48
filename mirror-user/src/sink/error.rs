//! Why a sink cannot start or could not finish, and what the operator can do about it.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// An error of the sinks. The messages name the place, the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Too few batches for one to be filled while another is written.
    #[error("{0} batches per worker are too few for the queue to the sink: give it at least 2")]
    QueueBatches(usize),
    /// A file would be finished before anything is in it.
    #[error("files cannot be rotated at 0 bytes or after no time: give both limits a value above 0")]
    Rotation,
    /// Standard output is closed.
    #[error("cannot write to standard output: {error}; {}", remedy(error))]
    Stdout {
        /// Why not.
        error: io::Error,
    },
    /// The file cannot be opened for writing.
    #[error("cannot create {}: {error}; {}", path.display(), remedy(error))]
    Create {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The directory cannot be created, read or written to.
    #[error("cannot use the directory {}: {error}; {}", path.display(), remedy(error))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a sink thread: {0}; raise the limit on processes (ulimit -u, TasksMax)")]
    Thread(io::Error),
    /// Records could not be written up to the end.
    #[error("cannot write to {}: {error}; {}", path.display(), remedy(error))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file could not be made durable or given its final name. What was written of it is still there.
    #[error("cannot finish {}: {error}; {}", path.display(), remedy(error))]
    Finish {
        /// The file, by the name that it has now.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// What the operator can do about an error of an output.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull => "free space on that file system, or write to another",
        ErrorKind::QuotaExceeded => "raise the disk quota of this user, or write to another file system",
        ErrorKind::FileTooLarge => "raise the limit on the size of files (ulimit -f, LimitFSIZE)",
        ErrorKind::ReadOnlyFilesystem => "mount that file system writable, or write to another",
        ErrorKind::PermissionDenied => "give this user the right to write there",
        ErrorKind::NotFound => "create the directory that it lies in",
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

//! Errors, with their remedies.

use std::io;
use std::path::PathBuf;

use arrow_schema::{ArrowError, DataType};

/// Reason why a file of the spool cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is not a whole Arrow file.
    #[error("{} is not a whole Arrow file", path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ArrowError,
    },
    /// It does not say that it is of this spool's format.
    #[error("the schema has no `{key}`: this is no file of a spool")]
    NoVersion {
        /// The key of the schema's metadata.
        key: &'static str,
    },
    /// It was written by a newer program, in a way that this one does not know.
    #[error("schema version {found} is newer than {known}, the newest that is known: update the reader")]
    Version {
        /// The file's version.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// A column that every version has is missing.
    #[error("there is no column `{name}`")]
    NoColumn {
        /// The column.
        name: &'static str,
    },
    /// A column has another type.
    #[error("the column `{name}` has type {found}")]
    ColumnType {
        /// The column.
        name: &'static str,
        /// Its type.
        found: DataType,
    },
    /// A code is not known.
    #[error("the column `{name}` has a code that is not known: {code}")]
    Code {
        /// The column.
        name: &'static str,
        /// The code.
        code: u8,
    },
    /// A key points past the end of its dictionary.
    #[error("the column `{name}` refers to entry {key} of {entries}")]
    Key {
        /// The column.
        name: &'static str,
        /// The key.
        key: usize,
        /// Entries of the dictionary.
        entries: usize,
    },
    /// An address is none.
    #[error("`{found}` is not an IP address")]
    Address {
        /// The text, or the bytes as text.
        found: String,
    },
    /// Tags are not a JSON object.
    #[error("`{found}` is not a JSON object of tags")]
    Tags {
        /// The text.
        found: String,
    },
}

/// Reason why a spool cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The directory or a file in it cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another program writes to it.
    #[error("another program writes to the spool {}: give each writer a directory of its own", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A line of the manifest cannot be understood.
    #[error("{}, line {line}, is not a line of a manifest", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
    /// The configuration is out of range.
    #[error("{name} must be {range}, not {found}")]
    Config {
        /// The setting.
        name: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        found: u64,
    },
}

impl SpoolError {
    /// From an I/O error.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Reason why a row is not in the spool. Each is counted by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Loss {
    /// A time is past the year 2262, the end of Arrow's nanoseconds.
    #[error("a time is past the year 2262")]
    Time,
    /// A count of packets does not fit 32 bits.
    #[error("a count of packets does not fit 32 bits")]
    Packets,
    /// The spool is full, and its newest records go.
    #[error("the spool is full")]
    Full,
    /// The file could not be written, synced or renamed; every record in it is lost.
    #[error("a file of the spool could not be written")]
    Write,
    /// The program or the machine stopped before the file was finished.
    #[error("the program stopped before the file was finished")]
    Crash,
    /// A finished file was removed because the spool was full.
    #[error("the spool was full, and its oldest file was removed")]
    RemovedFull,
    /// A finished file was removed because of its age.
    #[error("the file was older than the spool keeps files")]
    RemovedAge,
}

impl Loss {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Time,
        Self::Packets,
        Self::Full,
        Self::Write,
        Self::Crash,
        Self::RemovedFull,
        Self::RemovedAge,
    ];

    /// Name in the manifest and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time_out_of_range",
            Self::Packets => "packets_out_of_range",
            Self::Full => "spool_full",
            Self::Write => "spool_write",
            Self::Crash => "spool_crash",
            Self::RemovedFull => "removed_full",
            Self::RemovedAge => "removed_age",
        }
    }
}

/// An error's text with those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> impl std::fmt::Display {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

//! The cursor of a destination: how far it has got, durably, and its account of every record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use mirror_spool::{Amount, write_atomically};
use serde::{Deserialize, Serialize};

/// How far a destination has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Every file up to this line of the manifest is delivered or dropped by name.
    pub sequence: u64,
    /// The lines of a group whose delivery has begun. It is delivered as the same group again, under the same names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<(u64, u64)>,
    /// Records delivered.
    pub delivered: Amount,
    /// Records that were not delivered, by reason.
    #[serde(default)]
    pub dropped: BTreeMap<String, Amount>,
    /// Attempts that failed and were made again.
    #[serde(default)]
    pub retries: u64,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Time of the last delivery, in nanoseconds since 1970.
    #[serde(default)]
    pub updated: u64,
}

impl Cursor {
    /// Counts records that are not delivered.
    pub fn drop_records(&mut self, reason: &str, amount: Amount) {
        if amount != Amount::default() {
            self.dropped.entry(reason.to_owned()).or_default().add(amount);
        }
    }

    /// Records that were not delivered.
    pub fn dropped_records(&self) -> u64 {
        self.dropped.values().map(|amount| amount.records).sum()
    }
}

/// The file of a cursor.
#[derive(Clone, Debug)]
pub struct CursorFile {
    path: PathBuf,
}

/// Reason why a cursor cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// The file cannot be read or written.
    #[error("cannot {action} the cursor {}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is no cursor.
    #[error("{} is no cursor: remove it to begin with the oldest file of the spool", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
}

impl CursorFile {
    /// The file of a destination's cursor.
    pub fn new(state: &Path, destination: &str) -> Self {
        Self { path: state.join(format!("{destination}.cursor.json")) }
    }

    /// Reads it; a destination without one begins with the oldest file.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or understood.
    pub fn read(&self) -> Result<Cursor, CursorError> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|source| CursorError::Format { path: self.path.clone(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Cursor::default()),
            Err(source) => Err(CursorError::Io { action: "read", path: self.path.clone(), source }),
        }
    }

    /// Writes it durably.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, cursor: &Cursor) -> Result<(), CursorError> {
        let failed = |source| CursorError::Io { action: "write", path: self.path.clone(), source };
        let mut text = serde_json::to_vec(cursor).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        write_atomically(&self.path, &text).map_err(failed)
    }
}

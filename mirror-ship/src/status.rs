//! Lag and account of every destination, from cursors and manifest.

use std::fmt::Write as _;

use mirror_spool::Manifest;
use serde::Serialize;

use crate::config::Config;
use crate::cursor::{Cursor, CursorFile};
use crate::ship::ShipError;
use crate::time::{self, SECOND};

/// Status of one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Records that wait for it.
    pub lag_records: u64,
    /// Bytes of the files that wait for it.
    pub lag_bytes: u64,
    /// Age of the oldest of them in seconds; 0 if none waits.
    pub lag_seconds: u64,
    /// Its cursor.
    #[serde(flatten)]
    pub cursor: Cursor,
}

/// Reads the status of every destination.
///
/// # Errors
///
/// When the spool's manifest or a cursor cannot be read.
pub fn read(config: &Config) -> Result<Vec<Status>, ShipError> {
    let manifest = Manifest::read(&config.spool)?;
    let now = time::now();
    let of = |name: &String| {
        let cursor = CursorFile::new(&config.state, name).read()?;
        let waiting = manifest.after(cursor.sequence);
        let files = || waiting.iter().filter_map(|entry| entry.file.as_ref());
        Ok(Status {
            name: name.clone(),
            lag_records: files().map(|file| file.amount.records).sum(),
            lag_bytes: files().map(|file| file.bytes).sum(),
            lag_seconds: waiting.first().map_or(0, |entry| now.saturating_sub(entry.written) / SECOND),
            cursor,
        })
    };
    config.destinations.iter().map(|destination| of(&destination.name)).collect()
}

/// The status as a table.
pub fn table(statuses: &[Status]) -> String {
    let mut text = format!(
        "{:<16} {:>12} {:>12} {:>8} {:>14} {:>12} {:>8}\n",
        "destination", "lag records", "lag bytes", "lag s", "delivered", "dropped", "retries"
    );
    for Status { name, lag_records, lag_bytes, lag_seconds, cursor } in statuses {
        let (delivered, dropped, retries) =
            (cursor.delivered.records, cursor.dropped_records(), cursor.retries);
        let _ = writeln!(
            text,
            "{name:<16} {lag_records:>12} {lag_bytes:>12} {lag_seconds:>8} {delivered:>14} {dropped:>12} {retries:>8}"
        );
        for (reason, amount) in &cursor.dropped {
            let _ = writeln!(text, "  {reason}: {} records, {} packets", amount.records, amount.packets);
        }
        if let Some(error) = &cursor.last_error {
            let _ = writeln!(text, "  last failure: {error}");
        }
    }
    text
}

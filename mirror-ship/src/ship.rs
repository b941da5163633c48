//! The delivery to one destination: group by group, with a cursor that moves only when the destination has a group.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mirror_spool::{Amount, Entry, Manifest, SpoolError};
use tracing::{error, info, warn};

use crate::backoff::Backoff;
use crate::config::DestinationConfig;
use crate::cursor::{Cursor, CursorError, CursorFile};
use crate::destination::{self, DeliveryError, Destination};
use crate::source::{self, SourceError};
use crate::time::{self, SECOND};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Steps in which a wait looks whether the program is to end.
const GLANCE: Duration = Duration::from_millis(50);

/// Reason why a delivery cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The cursor.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The spool.
    #[error("the spool cannot be read: {0}")]
    Spool(#[from] SpoolError),
    /// The destination cannot be opened.
    #[error(transparent)]
    Destination(#[from] DeliveryError),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A group is delivered.
    Delivered,
    /// There is nothing to deliver.
    Idle,
    /// The program is to end.
    Stopped,
}

/// The delivery to one destination.
pub struct Shipping {
    spool: PathBuf,
    config: DestinationConfig,
    destination: Box<dyn Destination>,
    file: CursorFile,
    cursor: Cursor,
}

impl Shipping {
    /// Goes on where the cursor is.
    ///
    /// # Errors
    ///
    /// When cursor or destination cannot be opened.
    pub fn open(spool: &Path, state: &Path, config: &DestinationConfig) -> Result<Self, ShipError> {
        let file = CursorFile::new(state, &config.name);
        let cursor = file.read()?;
        let destination = destination::open(config, state)?;
        Ok(Self { spool: spool.to_owned(), config: config.clone(), destination, file, cursor })
    }

    /// The cursor.
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The destination's check.
    ///
    /// # Errors
    ///
    /// When a delivery would fail.
    pub fn check(&mut self) -> Result<String, DeliveryError> {
        self.destination.check()
    }

    /// Delivers the next group, if there is one: if `drain`, whatever there is, else when its interval is over. Failed attempts are made again until
    /// `stop`.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read, or the cursor not be written.
    pub fn step(&mut self, drain: bool, stop: &AtomicBool) -> Result<Step, ShipError> {
        let manifest = Manifest::read(&self.spool)?;
        let entries = manifest.after(self.cursor.sequence);
        let Some((group, last)) = self.group(entries, drain) else { return Ok(Step::Idle) };
        let removed: BTreeSet<u64> = manifest
            .entries
            .iter()
            .flat_map(|entry| entry.removed.iter().map(|removed| removed.sequence))
            .collect();
        if let Some(first) = group.first()
            && self.cursor.pending.is_none()
        {
            self.cursor.pending = Some((first.sequence, last));
            self.file.write(&self.cursor)?;
        }
        let (group, dropped) = self.present(group, &removed);
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        let done = loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(Step::Stopped);
            }
            match self.destination.deliver(&self.spool, &group) {
                Ok(done) => break done,
                Err(cause) => {
                    let wait = backoff.wait();
                    warn!("{}: lines up to {last}: {cause}; again in {wait:.1?}", self.config.name);
                    self.cursor.retries += 1;
                    self.cursor.last_error = Some(cause.to_string());
                    self.file.write(&self.cursor)?;
                    pause(wait, stop);
                }
            }
        };
        self.cursor.delivered.add(done.delivered);
        for (reason, amount) in done.dropped.into_iter().chain(dropped) {
            self.cursor.drop_records(reason, amount);
        }
        self.cursor.sequence = last;
        self.cursor.pending = None;
        self.cursor.updated = time::now();
        self.file.write(&self.cursor)?;
        info!("{}: delivered lines up to {last}, {} records", self.config.name, done.delivered.records);
        Ok(Step::Delivered)
    }

    /// The lines that are delivered next, and the last of them. A group that was begun stays as it was.
    fn group<'a>(&self, entries: &'a [Entry], drain: bool) -> Option<(&'a [Entry], u64)> {
        let first = entries.first()?;
        if let Some((_, last)) = self.cursor.pending {
            let count = entries.iter().take_while(|entry| entry.sequence <= last).count();
            return Some((&entries[..count], last));
        }
        let interval = self.config.interval * SECOND;
        let mut records = 0;
        let mut count = 0;
        for entry in entries {
            let more = entry.file.as_ref().map_or(0, |file| file.amount.records);
            let is_full = count > 0 && records + more > self.config.most_records;
            let is_over = count > 0 && entry.written.saturating_sub(first.written) >= interval;
            if is_full || is_over {
                return Some((&entries[..count], entries[count - 1].sequence));
            }
            records += more;
            count += 1;
        }
        let is_due = drain || time::now().saturating_sub(first.written) >= interval;
        is_due.then(|| (entries, entries[count - 1].sequence))
    }

    /// The lines of a group whose files are there and as they were written; and what the others held, by reason.
    fn present(&self, group: &[Entry], removed: &BTreeSet<u64>) -> (Vec<Entry>, Vec<(&'static str, Amount)>) {
        let mut present = Vec::new();
        let mut dropped = Vec::new();
        for entry in group {
            let Some(file) = &entry.file else { continue };
            let reason = match source::check(&self.spool, file) {
                Ok(()) => {
                    present.push(entry.clone());
                    continue;
                }
                Err(_) if removed.contains(&entry.sequence) => "spool_removed",
                Err(SourceError::Read { .. }) if !self.spool.join(&file.name).exists() => "spool_missing",
                Err(SourceError::Altered { .. }) => "spool_altered",
                Err(SourceError::Read { .. }) => "spool_unreadable",
            };
            error!("{}: {} is not delivered: {reason}: {:?}", self.config.name, file.name, file.amount);
            dropped.push((reason, file.amount));
        }
        (present, dropped)
    }
}

/// Waits, unless `stop`.
pub fn pause(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(GLANCE));
    }
}

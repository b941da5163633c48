//! The map in force, and what is counted about it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use serde::Serialize;
use tracing::{info, warn};

use super::error::EnrichmentError;
use super::file_state::FileState;
use super::index::Index;
use super::unknown::{Tally, Unknown, UnknownTunnels};
use crate::error::chain;

/// The enrichment of a run: the map in force, and what is counted about it.
#[derive(Debug)]
pub struct Enrichment {
    path: PathBuf,
    tags: Vec<String>,
    pub(super) current: Arc<ArcSwap<Index>>,
    file: Mutex<FileState>,
    pub(super) loads: AtomicU64,
    failures: AtomicU64,
    unknown: Mutex<Unknown>,
}

/// Facts of the enrichment at one moment, as the ledger has them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EnrichmentSnapshot {
    /// The file.
    pub map: PathBuf,
    /// Sessions in the map in force.
    pub sessions: usize,
    /// Bytes of its file.
    pub bytes: u64,
    /// Seconds since its file was written, where that is known.
    pub age_seconds: Option<u64>,
    /// Maps that were taken up, the first one included.
    pub loads: u64,
    /// Times that the file had changed, or was gone, and could not be taken up.
    pub failures: u64,
    /// The reason why the file as it is now cannot be taken up, so that the last good map is in force.
    pub failure: Option<String>,
    /// Tags that a record had no room for, over all entries of the map.
    pub labels_left_out: u64,
    /// The tunnels that it lacks.
    pub unknown: UnknownTunnels,
}

impl Enrichment {
    /// Loads the map in the file `path`; of the tags in it, those with the keys `tags` become labels.
    ///
    /// # Errors
    ///
    /// When it is no map.
    pub fn load(path: PathBuf, tags: Vec<String>) -> Result<Self, EnrichmentError> {
        let file = FileState::of(&path);
        let index = Index::read(&path, &tags)?;
        tell(&index);
        Ok(Self {
            path,
            tags,
            current: Arc::new(ArcSwap::from_pointee(index)),
            file: Mutex::new(file),
            loads: AtomicU64::new(1),
            failures: AtomicU64::new(0),
            unknown: Mutex::default(),
        })
    }

    /// Takes the map up anew if its file has changed.
    pub fn refresh(&self) {
        let mut file = lock(&self.file);
        let now = FileState::of(&self.path);
        if file.is_same(&now) {
            return;
        }
        let before = std::mem::replace(&mut *file, now);
        match Index::read(&self.path, &self.tags) {
            Ok(index) => {
                info!("took up {}, with {} sessions", self.path.display(), index.entries().len());
                tell(&index);
                self.current.store(Arc::new(index));
                // After the map, so that who sees the number sees the map.
                self.loads.fetch_add(1, Release);
            }
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                let failure = chain(&error).to_string();
                if before.failure.as_deref() != Some(failure.as_str()) {
                    warn!("{failure}. The map as it was before stays in force");
                }
                file.failure = Some(failure);
            }
        }
    }

    /// The facts at this moment.
    pub fn snapshot(&self) -> EnrichmentSnapshot {
        let index = self.current.load();
        let age = index.modified.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        EnrichmentSnapshot {
            map: self.path.clone(),
            sessions: index.entries().len(),
            bytes: index.bytes,
            age_seconds: age.map(|age| age.as_secs()),
            loads: self.loads.load(Relaxed),
            failures: self.failures.load(Relaxed),
            failure: lock(&self.file).failure.clone(),
            labels_left_out: index.labels_left_out,
            unknown: lock(&self.unknown).snapshot(),
        }
    }

    /// Adds the packets of a batch whose tunnels the map lacks.
    pub(super) fn add_unknown(&self, tally: &mut Tally) {
        if !tally.is_empty() {
            lock(&self.unknown).add(tally, Instant::now());
        }
    }
}

/// Says what of a map does not come into the records.
fn tell(index: &Index) {
    if index.labels_left_out > 0 {
        warn!("the records have no room for {} of the tags asked for", index.labels_left_out);
    }
}

/// Locks what a thread that panicked has left whole: each change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

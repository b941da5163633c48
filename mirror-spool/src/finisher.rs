//! The thread that makes files durable: sync, hash, rename, manifest line; and keeps the spool within its bounds.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};

use tracing::{error, warn};

use crate::config::{SpoolConfig, WhenFull};
use crate::directory;
use crate::error::{Loss, SpoolError};
use crate::manifest::{self, Acknowledged, Amount, Entry, FileFacts, Manifest, Removed, SEGMENT_LINES};
use crate::reader;
use crate::writer::Shared;

/// Losses by reason.
pub(crate) type Losses = BTreeMap<Loss, Amount>;

/// What the writer hands over.
pub(crate) struct Job {
    /// A file that has been written to its end.
    pub(crate) file: Option<Finished>,
    /// Losses since the job before.
    pub(crate) lost: Losses,
    /// Records offered since the run began.
    pub(crate) offered: Amount,
    /// Packets that the capture had seen.
    pub(crate) seen: u64,
    /// The time, in nanoseconds since 1970.
    pub(crate) now: u64,
}

/// A file that has been written to its end, and is not yet durable.
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) amount: Amount,
    pub(crate) times: (u64, u64),
    pub(crate) accounts: BTreeMap<String, u64>,
}

/// A finished file that waits for the shipper.
struct Waiting {
    sequence: u64,
    bytes: u64,
    written: u64,
    amount: Amount,
}

/// The state of the thread.
pub(crate) struct Finisher {
    directory: PathBuf,
    config: SpoolConfig,
    run: u64,
    shared: Arc<Shared>,
    /// Number of the next line.
    next: u64,
    /// Hash of the last line.
    previous: String,
    /// The segment that lines are appended to, its first line, and its length.
    segment: Option<(File, u64, u64)>,
    waiting: VecDeque<Waiting>,
    /// Losses that no line tells yet, because it could not be written.
    carried: Losses,
    offered: Amount,
    seen: u64,
}

impl Finisher {
    /// Goes on behind the lines of a manifest.
    pub(crate) fn new(
        directory: &Path,
        config: SpoolConfig,
        run: u64,
        manifest: &Manifest,
        shared: Arc<Shared>,
    ) -> Result<Self, SpoolError> {
        let listing = directory::list(directory)?;
        let waiting = manifest.entries.iter().filter_map(|entry| {
            let file = entry.file.as_ref()?;
            let at = listing.data.binary_search_by_key(&entry.sequence, |data| data.0).ok()?;
            let bytes = listing.data[at].1;
            Some(Waiting { sequence: entry.sequence, bytes, written: entry.written, amount: file.amount })
        });
        let acknowledged = Acknowledged::read(directory)?.sequence;
        let last = manifest.entries.last().map_or(0, |entry| entry.sequence);
        let mut finisher = Self {
            waiting: waiting.collect(),
            directory: directory.to_owned(),
            config,
            // Of its own, even if the clock was set back.
            run: manifest.entries.iter().map(|entry| entry.run + 1).fold(run, u64::max),
            shared,
            next: last.max(acknowledged) + 1,
            previous: manifest.hashes.last().cloned().unwrap_or_default(),
            segment: None,
            carried: Losses::new(),
            offered: Amount::default(),
            seen: 0,
        };
        if let Some(first) = listing.segments.last() {
            let path = directory.join(directory::segment_name(*first));
            let file = directory::open(&path, true).map_err(SpoolError::io("open", &path))?;
            let length = file.metadata().map_err(SpoolError::io("read", &path))?.len();
            finisher.segment = Some((file, *first, length));
        }
        finisher.publish();
        Ok(finisher)
    }

    /// Works until the writer is gone.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            self.offered = job.offered;
            self.seen = job.seen;
            for (loss, amount) in job.lost {
                self.carried.entry(loss).or_default().add(amount);
            }
            match job.file {
                Some(finished) => self.finish(finished, job.now),
                None if self.carried.is_empty() => {}
                None => self.tell(Vec::new(), job.now),
            }
            self.keep_bounds(job.now);
        }
    }

    fn finish(&mut self, finished: Finished, now: u64) {
        let Finished { path, amount, .. } = &finished;
        let (path, amount) = (path.clone(), *amount);
        match self.try_finish(finished, now) {
            Ok(()) => {}
            Err(cause) => {
                error!("{amount:?} are lost: {}: {cause}", path.display());
                self.carried.entry(Loss::Write).or_default().add(amount);
                self.shared.count_lost(Loss::Write, amount);
                // Disk space may be what is missing.
                let _ = fs::remove_file(&path);
                let _ = fs::remove_file(self.directory.join(directory::data_name(self.next)));
            }
        }
    }

    fn try_finish(&mut self, finished: Finished, now: u64) -> io::Result<()> {
        let Finished { path, file, bytes, amount, times, accounts } = finished;
        file.sync_all()?;
        drop(file);
        // What is on disk is hashed, not what was meant to be written.
        let (sha256, length) = reader::hash_file(&path).map_err(io::Error::other)?;
        if length != bytes {
            return Err(io::Error::other(format!("it has {length} bytes instead of {bytes}")));
        }
        let name = directory::data_name(self.next);
        fs::rename(&path, self.directory.join(&name))?;
        directory::sync(&self.directory)?;
        let facts = FileFacts {
            name,
            kind: crate::flow::KIND.to_owned(),
            schema: crate::flow::VERSION,
            bytes,
            amount,
            times,
            accounts,
            sha256,
            recovered: false,
        };
        self.append(Some(facts), Vec::new(), now)?;
        let sequence = self.next - 1;
        self.waiting.push_back(Waiting { sequence, bytes, written: now, amount });
        self.shared.count_stored(amount, bytes);
        Ok(())
    }

    /// Writes a line without a file.
    fn tell(&mut self, removed: Vec<Removed>, now: u64) {
        if let Err(cause) = self.append(None, removed, now) {
            error!("the manifest of {} cannot be written: {cause}", self.directory.display());
        }
    }

    /// Writes lines for files that a run before had finished without a line, and for what it lost.
    pub(crate) fn recover(&mut self, files: Vec<(u64, FileFacts)>, lost: Losses, now: u64) -> io::Result<()> {
        for (sequence, facts) in files {
            self.next = self.next.max(sequence);
            let (amount, bytes) = (facts.amount, facts.bytes);
            self.offered.add(amount);
            self.append(Some(facts), Vec::new(), now)?;
            self.waiting.push_back(Waiting { sequence, bytes, written: now, amount });
            self.shared.count_stored(amount, bytes);
        }
        if !lost.is_empty() {
            for (loss, amount) in &lost {
                self.offered.add(*amount);
                self.shared.count_lost(*loss, *amount);
            }
            self.carried = lost;
            self.append(None, Vec::new(), now)?;
        }
        Ok(())
    }

    /// Records that recovery counted as offered.
    pub(crate) const fn offered(&self) -> Amount {
        self.offered
    }

    fn append(&mut self, file: Option<FileFacts>, removed: Vec<Removed>, now: u64) -> io::Result<()> {
        let entry = Entry {
            sequence: self.next,
            run: self.run,
            written: now,
            offered: self.offered,
            seen: self.seen,
            file,
            lost: self.carried.iter().map(|(loss, amount)| (loss.name().to_owned(), *amount)).collect(),
            removed,
            previous: self.previous.clone(),
        };
        let mut line = serde_json::to_vec(&entry)?;
        let hash = manifest::sha256(&line);
        line.push(b'\n');
        let (segment, _, length) = match &mut self.segment {
            Some(segment) if self.next < segment.1 + SEGMENT_LINES => segment,
            _ => {
                let path = self.directory.join(directory::segment_name(self.next));
                let file = directory::open(&path, true)?;
                directory::sync(&self.directory)?;
                self.segment.insert((file, self.next, 0))
            }
        };
        if let Err(error) = segment.write_all(&line).and_then(|()| segment.sync_data()) {
            // Half a line would join the next one.
            segment.set_len(*length)?;
            return Err(error);
        }
        *length += line.len() as u64;
        self.previous = hash;
        self.next += 1;
        self.carried.clear();
        Ok(())
    }

    /// Removes what is too old or too much, and tells the writer whether there is room.
    fn keep_bounds(&mut self, now: u64) {
        match self.try_keep_bounds(now) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => self.tell(removed, now),
            Err(cause) => error!("{}: {cause}", crate::error::chain(&cause)),
        }
        self.publish();
    }

    fn try_keep_bounds(&mut self, now: u64) -> Result<Vec<Removed>, SpoolError> {
        let listing = directory::list(&self.directory)?;
        let acknowledged = Acknowledged::read(&self.directory)?.sequence;
        let there = |sequence| listing.data.binary_search_by_key(&sequence, |data| data.0).is_ok();
        self.waiting.retain(|file| file.sequence > acknowledged && there(file.sequence));
        let mut removed = Vec::new();
        while let Some(oldest) = self.waiting.front() {
            let age = now.saturating_sub(oldest.written);
            let is_old = self.config.most_age.is_some_and(|most| u128::from(age) > most.as_nanos());
            let is_full = self.config.when_full == WhenFull::Oldest
                && self.config.most_bytes.is_some_and(|most| self.bytes() > most);
            let loss = match (is_old, is_full) {
                (true, _) => Loss::RemovedAge,
                (false, true) => Loss::RemovedFull,
                (false, false) => break,
            };
            let (sequence, amount) = (oldest.sequence, oldest.amount);
            manifest::remove(&self.directory.join(directory::data_name(sequence)))?;
            self.waiting.pop_front();
            warn!("{loss}: line {sequence}, {amount:?}");
            self.shared.count_lost(loss, amount);
            removed.push(Removed { sequence, reason: loss.name().to_owned(), amount });
        }
        let oldest = self.waiting.front().map_or(self.next, |file| file.sequence);
        manifest::remove_segments(&self.directory, &listing, oldest - 1)?;
        Ok(removed)
    }

    fn bytes(&self) -> u64 {
        self.waiting.iter().map(|file| file.bytes).sum()
    }

    fn publish(&self) {
        let bytes = self.bytes();
        let is_full = self.config.when_full == WhenFull::Newest
            && self.config.most_bytes.is_some_and(|most| bytes >= most);
        self.shared.full.store(is_full, Ordering::Relaxed);
        let mut counters = self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.waiting_bytes = bytes;
        counters.waiting_files = self.waiting.len() as u64;
    }
}

//! The writer: rows in, finished files out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arrow_schema::{ArrowError, SchemaRef};
use tracing::error;

use crate::arrow_file::{self, ArrowWriter};
use crate::config::SpoolConfig;
use crate::directory;
use crate::error::{Loss, SpoolError};
use crate::finisher::{Finished, Finisher, Job, Losses};
use crate::flow::{self, FlowBuilder};
use crate::manifest::{Amount, UNKNOWN_ACCOUNT};
use crate::recover::{self, Recovery};
use crate::row::Flow;

/// Files that may wait to be made durable; with more, [`Writer::push`] waits.
const UNFINISHED_FILES: usize = 2;
/// Nanoseconds between two checks of the bounds.
const BOUNDS_INTERVAL: u64 = 1_000_000_000;

/// Counters of a writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records that are in finished files.
    pub stored: Amount,
    /// Records that are not in the spool, by reason.
    pub lost: BTreeMap<Loss, Amount>,
    /// Finished files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Finished files that wait for the shipper.
    pub waiting_files: u64,
    /// Bytes of them.
    pub waiting_bytes: u64,
}

/// What writer and finisher share.
#[derive(Default)]
pub(crate) struct Shared {
    /// `true` if there is no room for newer records.
    pub(crate) full: AtomicBool,
    pub(crate) counters: Mutex<Counters>,
}

impl Shared {
    pub(crate) fn count_lost(&self, loss: Loss, amount: Amount) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.lost.entry(loss).or_default().add(amount);
    }

    pub(crate) fn count_stored(&self, amount: Amount, bytes: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.stored.add(amount);
        counters.files += 1;
        counters.bytes += bytes;
    }
}

/// Writes records to a spool. There is one writer to a directory.
///
/// Records are encoded on the thread that calls [`Writer::push`]; sync, rename and manifest are the work of another one.
pub struct Writer {
    directory: PathBuf,
    config: SpoolConfig,
    run: u64,
    shared: Arc<Shared>,
    jobs: Option<SyncSender<Job>>,
    finisher: Option<JoinHandle<()>>,
    builder: FlowBuilder,
    declared: SchemaRef,
    stored: SchemaRef,
    open: Option<OpenFile>,
    /// Number of the next file of this run.
    number: u64,
    offered: Amount,
    lost: Losses,
    seen: u64,
    now: u64,
    bounds_checked: u64,
    told: u64,
    _lock: File,
}

/// The file that rows go into.
struct OpenFile {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    opened: u64,
    amount: Amount,
    times: (u64, u64),
}

impl Writer {
    /// Opens a spool at the time `now`, in nanoseconds since 1970, and makes good what a crash left behind.
    ///
    /// # Errors
    ///
    /// When the configuration is out of range, another program writes to the directory, or it cannot be used.
    pub fn open(directory: &Path, config: SpoolConfig, now: u64) -> Result<(Self, Recovery), SpoolError> {
        config.check()?;
        directory::create(directory)?;
        let lock_path = directory.join(directory::LOCK);
        let lock = directory::open(&lock_path, true).map_err(SpoolError::io("open", &lock_path))?;
        lock.try_lock().map_err(|_| SpoolError::InUse { path: directory.to_owned() })?;
        let shared = Arc::new(Shared::default());
        let (recovery, manifest) = recover::look(directory)?;
        let mut finisher = Finisher::new(directory, config.clone(), now, &manifest, Arc::clone(&shared))?;
        recover::settle(directory, &recovery, &mut finisher, now)?;
        let offered = finisher.offered();
        let (jobs, receiver) = sync_channel(UNFINISHED_FILES);
        let thread = std::thread::Builder::new().name("spool".to_owned());
        let finisher = thread
            .spawn(move || finisher.run(&receiver))
            .map_err(SpoolError::io("start a thread for", directory))?;
        let writer = Self {
            directory: directory.to_owned(),
            run: now,
            shared,
            jobs: Some(jobs),
            finisher: Some(finisher),
            builder: FlowBuilder::new(config.batch_rows),
            declared: arrow_file::schema(FlowBuilder::fields(false), flow::KIND, flow::VERSION),
            stored: arrow_file::schema(FlowBuilder::fields(true), flow::KIND, flow::VERSION),
            open: None,
            number: 0,
            offered,
            lost: Losses::new(),
            seen: 0,
            now,
            bounds_checked: now,
            told: now,
            config,
            _lock: lock,
        };
        Ok((writer, recovery))
    }

    /// Adds a record.
    ///
    /// # Errors
    ///
    /// With the reason for which the record, or with [`Loss::Write`] every record of its file, is not in the spool. It has
    /// been counted.
    pub fn push(&mut self, flow: &Flow<'_>) -> Result<(), Loss> {
        let amount = Amount { records: 1, packets: flow.accounted };
        self.offered.add(amount);
        if self.open.is_none() && self.shared.full.load(Ordering::Relaxed) {
            return self.refuse(Loss::Full, amount);
        }
        if let Err(loss) = self.builder.push(flow) {
            return self.refuse(loss, amount);
        }
        if self.open.is_none()
            && let Err(cause) = self.start()
        {
            return self.fail(&cause, amount);
        }
        let Some(file) = &mut self.open else { return Ok(()) };
        file.amount.add(amount);
        file.times = (file.times.0.min(flow.end), file.times.1.max(flow.end));
        let is_last = file.amount.records >= self.config.file_rows || self.builder.is_full();
        if is_last || self.builder.rows() >= self.config.batch_rows {
            let columns = self.builder.take(self.config.batch_rows);
            if let Err(cause) = file.writer.write(columns) {
                return self.fail(&cause, Amount::default());
            }
        }
        if is_last { self.close() } else { Ok(()) }
    }

    /// Tells the time, in nanoseconds since 1970, and the packets that the capture has seen; call it a few times a second.
    /// Finishes the file when it is due.
    ///
    /// # Errors
    ///
    /// When the file that was due could not be written; its records have been counted.
    pub fn tick(&mut self, now: u64, seen: u64) -> Result<(), Loss> {
        self.now = self.now.max(now);
        self.seen = seen;
        let sync = u64::try_from(self.config.sync.as_nanos()).unwrap_or(u64::MAX);
        let due = self.open.as_ref().is_some_and(|file| self.now - file.opened.min(self.now) >= sync);
        if due {
            return self.close();
        }
        let has_losses = !self.lost.is_empty() && self.open.is_none() && self.now - self.told >= sync;
        if has_losses || self.now - self.bounds_checked >= BOUNDS_INTERVAL {
            self.bounds_checked = self.now;
            // Losses of an open file's time go with that file.
            let lost = if has_losses { std::mem::take(&mut self.lost) } else { Losses::new() };
            self.send(None, lost);
        }
        Ok(())
    }

    /// Counters so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records offered, including those that a run before left behind.
    pub const fn offered(&self) -> Amount {
        self.offered
    }

    /// Finishes the file, waits until it is durable, and returns the counters.
    pub fn finish(mut self) -> Counters {
        // A failure has been counted.
        let _ = self.close();
        let lost = std::mem::take(&mut self.lost);
        self.send(None, lost);
        self.join();
        self.counters()
    }

    fn join(&mut self) {
        drop(self.jobs.take());
        if let Some(finisher) = self.finisher.take()
            && finisher.join().is_err()
        {
            error!("the thread that finishes files of the spool panicked");
        }
    }

    fn refuse(&mut self, loss: Loss, amount: Amount) -> Result<(), Loss> {
        self.lost.entry(loss).or_default().add(amount);
        self.shared.count_lost(loss, amount);
        Err(loss)
    }

    /// Gives up the open file, and with it all that it was to hold.
    fn fail(&mut self, cause: &ArrowError, more: Amount) -> Result<(), Loss> {
        let mut amount = more;
        if let Some(file) = self.open.take() {
            amount.add(file.amount);
            let _ = std::fs::remove_file(&file.path);
        }
        error!("{amount:?} are lost: {}: {cause}", self.directory.display());
        self.builder.reset(self.config.batch_rows);
        self.refuse(Loss::Write, amount)
    }

    fn start(&mut self) -> Result<(), ArrowError> {
        let path = self.directory.join(format!("{}-{}{}", self.run, self.number, directory::PARTIAL));
        self.number += 1;
        let file = directory::open(&path, false)?;
        let (declared, stored) = (Arc::clone(&self.declared), Arc::clone(&self.stored));
        let writer = ArrowWriter::new(BufWriter::new(file), declared, stored, self.config.compression)?;
        let times = (u64::MAX, 0);
        self.open = Some(OpenFile { path, writer, opened: self.now, amount: Amount::default(), times });
        Ok(())
    }

    /// Finishes the open file, if there is one.
    fn close(&mut self) -> Result<(), Loss> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let mut accounts = BTreeMap::new();
        for (tunnel, records) in self.builder.tunnels.counted() {
            let account = tunnel.host().and_then(|host| host.account.as_deref()).unwrap_or(UNKNOWN_ACCOUNT);
            match accounts.get_mut(account) {
                Some(sum) => *sum += records,
                None => _ = accounts.insert(account.to_owned(), records),
            }
        }
        let rest = if self.builder.rows() > 0 {
            open.writer.write(self.builder.take(self.config.batch_rows))
        } else {
            Ok(())
        };
        let dictionaries = vec![
            self.builder.tunnels.values(),
            self.builder.source_hosts.values(),
            self.builder.destination_hosts.values(),
        ];
        let written = rest.and_then(|()| open.writer.finish(dictionaries)).and_then(|(writer, bytes)| {
            let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            Ok((file, bytes))
        });
        self.builder.reset(self.config.batch_rows);
        let (file, bytes) = match written {
            Ok(written) => written,
            Err(cause) => {
                let _ = std::fs::remove_file(&open.path);
                return self.fail(&cause, open.amount);
            }
        };
        let OpenFile { path, amount, times, .. } = open;
        let lost = std::mem::take(&mut self.lost);
        self.send(Some(Finished { path, file, bytes, amount, times, accounts }), lost);
        Ok(())
    }

    fn send(&mut self, file: Option<Finished>, lost: Losses) {
        self.told = self.now;
        // Rows of the open file, and losses that go with it, are not settled yet.
        let mut offered = self.offered;
        let open = self.open.iter().map(|file| file.amount);
        for pending in open.chain(self.lost.values().copied()) {
            offered.records -= pending.records;
            offered.packets -= pending.packets;
        }
        let job = Job { file, lost, offered, seen: self.seen, now: self.now };
        if let Some(jobs) = &self.jobs
            && let Err(refused) = jobs.send(job)
            && let Some(file) = refused.0.file
        {
            error!("the thread that finishes files of the spool is gone: {:?} are lost", file.amount);
            self.shared.count_lost(Loss::Write, file.amount);
        }
    }
}

impl Drop for Writer {
    /// Makes durable what has been handed over; the open file is left as a crash would leave it.
    fn drop(&mut self) {
        self.join();
    }
}

//! Destinations of batches: NDJSON or pcapng; standard output, a file or a directory.
//!
//! In the order of the data:
//!
//! 1. `queue`: the hand-off from a worker to its sink thread, in whole batches.
//! 2. `encoding`: threads that encode, where several workers share one output.
//! 3. `writer`: the loop of a sink thread, which encodes a batch and writes it; `time_slice`: how the thread is scheduled.
//! 4. `encoder`: from a batch to bytes, as `ndjson` or `pcapng`; `notation` has the notations that they share.
//! 5. `output`: the seam to the place that the bytes go to; `outputs`: standard output, files and their rotation.
//!
//! `counters` says what became of the records.
//!
//! A start has two steps: [`open`] opens and locks the outputs and changes nothing that it would not undo; [`Opened::begin`]
//! comes when the capture runs, and only then a file that was there is emptied.

#[cfg(test)]
mod arbitrary;
mod config;
mod counters;
mod encoder;
mod encoding;
mod error;
mod format;
mod handle;
mod ndjson;
mod notation;
mod output;
mod outputs;
mod pcapng;
mod queue;
mod time_slice;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, Sender};
use signal_hook::consts::SIGXFSZ;
use tracing::warn;

pub use self::config::{Destination, SinkConfig};
pub use self::counters::{Loss, RecordCounters, SinkCounters, Unfinished};
pub use self::error::SinkError;
pub use self::format::Format;
pub use self::output::{Output, PartialWrite};
pub use self::queue::Producer;

use self::encoder::Encoder;
use self::handle::Handle;
use self::outputs::claim::{self, Created};
use self::outputs::finisher;
use self::outputs::rotating_files::{RotatingFiles, Rotation};
use self::outputs::single_file::SingleFile;
use self::writer::Writer;
use crate::enrichment::{Enrichment, Reader};

/// Outputs that are open and locked, and sink threads that wait for the capture to begin. Dropped, it leaves everything
/// as it was.
#[derive(Debug)]
pub struct Opened {
    counters: Arc<SinkCounters>,
    threads: Vec<Thread>,
    /// Tells each thread that the capture has begun; dropped, that it does not.
    begin: Option<Sender<()>>,
    made: Option<Created>,
    /// Locks the directory, where there is one.
    lock: Option<File>,
}

/// The running sink threads.
#[derive(Debug)]
pub struct Sinks {
    counters: Arc<SinkCounters>,
    threads: Vec<Thread>,
    _lock: Option<File>,
}

/// A thread, and where it writes to.
#[derive(Debug)]
struct Thread {
    path: PathBuf,
    handle: Handle,
}

/// Opens and locks the outputs for `workers` workers, for records that `enrichment` enriches. Returns a producer for each of
/// the workers.
///
/// # Errors
///
/// When the configuration cannot work, or an output cannot be opened or is that of another process.
pub fn open(
    config: &SinkConfig,
    workers: usize,
    enrichment: Option<&Arc<Enrichment>>,
) -> Result<(Vec<Producer>, Opened), SinkError> {
    config.check()?;
    catch_file_size_signal();
    let counters = Arc::new(SinkCounters::new(workers));
    let format = config.format;
    let (begin, begun) = channel::unbounded();
    let (mut made, mut lock, mut finishers) = (None, None, Vec::new());
    let outputs: Vec<Box<dyn Output>> = match &config.destination {
        Destination::Stdout => vec![Box::new(SingleFile::stdout(format, &counters)?)],
        Destination::File(path) => {
            let file;
            (file, made) = claim::file(path).map(|(file, made)| (file, Some(made)))?;
            vec![Box::new(SingleFile::file(path, file, format, &counters)?)]
        }
        Destination::Directory(directory) => {
            (lock, made) = claim::directory(directory).map(|(lock, made)| (Some(lock), Some(made)))?;
            let (handles, finished) = finisher::start(directory, &begun, &counters)?;
            finishers.extend(handles.into_iter().map(|handle| Thread { path: directory.clone(), handle }));
            let rotation = Rotation { bytes: config.rotate_size, after: config.rotate_time };
            (0..workers)
                .map(|worker| {
                    let finished = finished.clone();
                    Box::new(RotatingFiles::new(directory, format, worker, rotation, finished)) as Box<_>
                })
                .collect()
        }
    };
    let (producers, mut threads) = spawn(config, &counters, outputs, enrichment, &begun)?;
    threads.extend(finishers);
    Ok((producers, Opened { counters, threads, begin: Some(begin), made, lock }))
}

/// Opens the outputs, and begins at once. Records are not enriched.
///
/// # Errors
///
/// As [`open`].
pub fn start(config: &SinkConfig, workers: usize) -> Result<(Vec<Producer>, Sinks), SinkError> {
    let (producers, opened) = open(config, workers, None)?;
    Ok((producers, opened.begin()))
}

/// Starts sink threads that write to `outputs`: one for all of the `workers`, or one for each. Records are not enriched.
///
/// # Errors
///
/// When the configuration cannot work.
///
/// # Panics
///
/// If the number of outputs is neither 1 nor `workers`.
pub fn start_with(
    config: &SinkConfig,
    workers: usize,
    outputs: Vec<Box<dyn Output>>,
) -> Result<(Vec<Producer>, Sinks), SinkError> {
    let (producers, opened) = open_with(config, workers, outputs, None)?;
    Ok((producers, opened.begin()))
}

/// Makes sink threads for `outputs`, which begin when the capture does: one for all of the `workers`, or one for each.
/// `enrichment` enriches the records.
///
/// # Errors
///
/// When the configuration cannot work.
///
/// # Panics
///
/// If the number of outputs is neither 1 nor `workers`.
pub fn open_with(
    config: &SinkConfig,
    workers: usize,
    outputs: Vec<Box<dyn Output>>,
    enrichment: Option<&Arc<Enrichment>>,
) -> Result<(Vec<Producer>, Opened), SinkError> {
    assert!(outputs.len() == 1 || outputs.len() == workers, "one output for all workers, or one for each");
    config.check()?;
    let counters = Arc::new(SinkCounters::new(workers));
    let (begin, begun) = channel::unbounded();
    let (producers, threads) = spawn(config, &counters, outputs, enrichment, &begun)?;
    Ok((producers, Opened { counters, threads, begin: Some(begin), made: None, lock: None }))
}

fn spawn(
    config: &SinkConfig,
    counters: &Arc<SinkCounters>,
    outputs: Vec<Box<dyn Output>>,
    enrichment: Option<&Arc<Enrichment>>,
    begun: &Receiver<()>,
) -> Result<(Vec<Producer>, Vec<Thread>), SinkError> {
    let share = counters.workers().len().div_ceil(outputs.len().max(1)).max(1);
    let wants_bytes = Encoder::wants_bytes(config.format);
    let mut producers = Vec::with_capacity(counters.workers().len());
    let mut threads = Vec::with_capacity(outputs.len());
    for (number, (served, output)) in counters.workers().chunks(share).zip(outputs).enumerate() {
        let (mut ends, consumer) =
            queue::queue(served, counters.given_up(), config.queue_batches, wants_bytes);
        if ends.len() > 1 && Encoder::is_stateless(config.format) {
            for (worker, end) in ends.iter_mut().enumerate() {
                encoding::start(end, worker, config.format, enrichment.map(Reader::new))?;
            }
        }
        let path = output.path().to_owned();
        let reader = enrichment.map(Reader::new);
        let writer = Writer::new(consumer, config.format, output, reader, Arc::clone(counters));
        let begun = begun.clone();
        let handle = thread::Builder::new()
            .name(format!("sink-{number}"))
            .spawn(move || writer.run(&begun))
            .map_err(SinkError::Thread)?;
        producers.extend(ends);
        threads.push(Thread { path, handle });
    }
    Ok((producers, threads))
}

/// Makes a write beyond the limit on the size of files (RLIMIT_FSIZE) an error, like that to a full disk: the signal
/// that comes with it would end the process.
fn catch_file_size_signal() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
            warn!("a file that reaches the limit on its size will end the program: {error}");
        }
    });
}

impl Opened {
    /// The capture has begun: from now on, what is at the outputs may be changed.
    pub fn begin(mut self) -> Sinks {
        if let Some(made) = self.made.take() {
            made.keep();
        }
        if let Some(begin) = self.begin.take() {
            for _ in &self.threads {
                // A thread that is gone already is noticed when it is joined.
                let _ = begin.send(());
            }
        }
        Sinks {
            counters: Arc::clone(&self.counters),
            threads: std::mem::take(&mut self.threads),
            _lock: self.lock.take(),
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // The threads end when the sender is gone, and close their files.
        self.begin = None;
        for thread in self.threads.drain(..) {
            let _ = thread.handle.join();
        }
    }
}

impl Sinks {
    /// Counters of the records so far.
    pub fn counters(&self) -> &Arc<SinkCounters> {
        &self.counters
    }

    /// `true` once every thread has ended, so that [`Self::join`] does not wait.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|thread| thread.handle.is_finished())
    }

    /// Lets no worker wait for a sink any more: from now on, a record for which there is no batch is refused.
    pub fn give_up(&self) {
        self.counters.given_up().store(true, Relaxed);
    }

    /// Waits until everything is written and each file is finished; the counters are final then. To be called when
    /// the producers are dropped: it waits for them, and for the reader of a pipe to read.
    ///
    /// # Errors
    ///
    /// The outputs that could not be finished, or still could not be written to at the end, and the threads that have
    /// panicked.
    pub fn join(self) -> Result<(), Vec<SinkError>> {
        self.join_until(None)
    }

    /// Like [`Self::join`], but leaves threads behind that are not done at `deadline`. What they have not settled, and
    /// what is in files that are not finished, counts as lost by then, whatever they still do.
    ///
    /// # Errors
    ///
    /// Those of [`Self::join`], and the outputs that have stalled.
    pub fn join_by(self, deadline: Instant) -> Result<(), Vec<SinkError>> {
        self.join_until(Some(deadline))
    }

    fn join_until(self, deadline: Option<Instant>) -> Result<(), Vec<SinkError>> {
        let mut errors = Vec::new();
        let mut stalled = Vec::new();
        for Thread { path, handle } in self.threads {
            if !is_finished_by(&handle, deadline) {
                stalled.push(path);
                continue;
            }
            let ended = handle.join().unwrap_or_else(|_| {
                Err(SinkError::Panicked { path, message: "outside of its work".to_owned() })
            });
            errors.extend(ended.err());
        }
        if !stalled.is_empty() {
            for worker in self.counters.workers() {
                worker.abandon();
            }
        }
        errors.extend(stalled.into_iter().map(|path| SinkError::Stalled { path }));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Waits for the end of a thread, at most until `deadline`.
fn is_finished_by(thread: &Handle, deadline: Option<Instant>) -> bool {
    const LOOK: Duration = Duration::from_millis(5);
    let Some(deadline) = deadline else { return true };
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

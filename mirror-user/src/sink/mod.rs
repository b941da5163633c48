//! Where batches go: NDJSON or pcapng; standard output, a file or a directory.
//!
//! In the order of the data:
//!
//! 1. `queue`: the hand-off from a worker to its sink thread, in whole batches.
//! 2. `writer`: the loop of a sink thread, which encodes a batch and writes it; `turns`: how the thread is scheduled.
//! 3. `encoder`: from a batch to bytes, as `ndjson` or `pcapng`; `text` has the notations that they share.
//! 4. `output`: where the bytes go, whole batches only; files and their rotation.
//!
//! `counters` says what became of the records.

#[cfg(test)]
mod arbitrary;
mod counters;
mod encoder;
mod error;
mod ndjson;
mod output;
mod pcapng;
mod queue;
mod text;
mod turns;
mod writer;

use std::ffi::OsString;
use std::path::{MAIN_SEPARATOR, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::counters::{Outcome, SinkCounters, WorkerCounters};
pub use self::error::SinkError;
pub use self::output::Output;
pub use self::queue::Producer;

use self::encoder::Encoder;
use self::output::directory::{Rotation, Series};
use self::output::finisher::Finisher;
use self::output::{Single, leftover};
use self::writer::Writer;

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line, with the names of the Elastic Common Schema.
    #[default]
    Ndjson,
    /// The mirrored packets themselves; the tunnel identity stands in a comment on each.
    Pcapng,
}

impl Format {
    /// Name on the command line and extension of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Pcapng => "pcapng",
        }
    }
}

/// Where records are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output, by one sink thread for all workers.
    Stdout,
    /// One file or named pipe, by one sink thread for all workers. A file that is there already is overwritten.
    File(PathBuf),
    /// A directory, by one sink thread and series of files per worker. It is created if it is missing.
    Directory(PathBuf),
}

impl From<OsString> for Destination {
    /// `-` is standard output; what ends in `/` or is a directory is a directory; anything else is a file.
    fn from(argument: OsString) -> Self {
        let slash =
            argument.as_encoded_bytes().last().is_some_and(|last| char::from(*last) == MAIN_SEPARATOR);
        let path = PathBuf::from(argument);
        if path.as_os_str() == "-" {
            Self::Stdout
        } else if slash || path.is_dir() {
            Self::Directory(path)
        } else {
            Self::File(path)
        }
    }
}

/// What the sinks are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// Where records are written to. Default: standard output.
    pub destination: Destination,
    /// How records are written. Default: NDJSON.
    pub format: Format,
    /// In a directory: a file is finished with the batch that brings it to this many bytes. Default: 256 MiB.
    pub rotate_bytes: u64,
    /// In a directory: a file is finished when it was begun this long ago. Default: one minute, so that whatever
    /// collects the files is never further behind than that.
    pub rotate_after: Duration,
    /// Batches of [`BATCH_RECORDS`](crate::record::BATCH_RECORDS) records in the pool of each worker; at least 2.
    /// They bridge the time for which a sink stalls. Default: 64, good for 65 ms at a million packets per second;
    /// 34 MiB of address space per worker with NDJSON and 162 MiB with pcapng, of which only as much takes memory as
    /// a stall has ever needed.
    pub queue_batches: usize,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            destination: Destination::Stdout,
            format: Format::default(),
            rotate_bytes: 256 << 20,
            rotate_after: Duration::from_secs(60),
            queue_batches: 64,
        }
    }
}

impl SinkConfig {
    fn check(&self) -> Result<(), SinkError> {
        if self.queue_batches < 2 {
            return Err(SinkError::QueueBatches(self.queue_batches));
        }
        if self.rotate_bytes == 0 || self.rotate_after.is_zero() {
            return Err(SinkError::Rotation);
        }
        Ok(())
    }
}

/// The running sink threads.
#[derive(Debug)]
pub struct Sinks {
    counters: Arc<SinkCounters>,
    writers: Vec<JoinHandle<Result<(), SinkError>>>,
    finisher: Option<Finisher>,
}

/// Opens the outputs and starts the sink threads for `workers` workers. Returns a producer for each worker.
///
/// # Errors
///
/// When the configuration cannot work, or an output cannot be opened.
pub fn start(config: &SinkConfig, workers: usize) -> Result<(Vec<Producer>, Sinks), SinkError> {
    config.check()?;
    let counters = Arc::new(SinkCounters::new(workers));
    let mut finisher = None;
    let outputs: Vec<Box<dyn Output>> = match &config.destination {
        Destination::Stdout => vec![Box::new(Single::stdout(&counters)?)],
        Destination::File(path) => vec![Box::new(Single::create(path, &counters)?)],
        Destination::Directory(directory) => {
            leftover::recover(directory)?;
            let (started, finished) = Finisher::start(&counters)?;
            finisher = Some(started);
            let rotation = Rotation { bytes: config.rotate_bytes, after: config.rotate_after };
            (0..workers)
                .map(|worker| {
                    let finished = finished.clone();
                    Box::new(Series::new(directory, config.format, worker, rotation, finished)) as Box<_>
                })
                .collect()
        }
    };
    let (producers, sinks) = spawn(config, &counters, outputs)?;
    Ok((producers, Sinks { finisher, ..sinks }))
}

/// Starts sink threads that write to `outputs`: one for all of the `workers`, or one for each.
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
    assert!(outputs.len() == 1 || outputs.len() == workers, "one output for all workers, or one for each");
    config.check()?;
    spawn(config, &Arc::new(SinkCounters::new(workers)), outputs)
}

fn spawn(
    config: &SinkConfig,
    counters: &Arc<SinkCounters>,
    outputs: Vec<Box<dyn Output>>,
) -> Result<(Vec<Producer>, Sinks), SinkError> {
    let share = counters.workers().len().div_ceil(outputs.len().max(1)).max(1);
    let wants_bytes = Encoder::wants_bytes(config.format);
    let mut producers = Vec::with_capacity(counters.workers().len());
    let mut writers = Vec::with_capacity(outputs.len());
    for (number, (served, output)) in counters.workers().chunks(share).zip(outputs).enumerate() {
        let (ends, consumer) = queue::queue(served, config.queue_batches, wants_bytes);
        let writer = Writer::new(consumer, config.format, output, Arc::clone(counters));
        let thread = thread::Builder::new()
            .name(format!("sink-{number}"))
            .spawn(|| writer.run())
            .map_err(SinkError::Thread)?;
        producers.extend(ends);
        writers.push(thread);
    }
    Ok((producers, Sinks { counters: Arc::clone(counters), writers, finisher: None }))
}

impl Sinks {
    /// What became of the records so far.
    pub fn counters(&self) -> &Arc<SinkCounters> {
        &self.counters
    }

    /// Waits until everything is written and each file is finished; the counters are final then. To be called when
    /// the producers are dropped: it waits for them, and for the reader of a pipe to read.
    ///
    /// # Errors
    ///
    /// The outputs that could not be finished, or still could not be written to at the end.
    ///
    /// # Panics
    ///
    /// If a sink thread has panicked.
    pub fn join(self) -> Result<(), Vec<SinkError>> {
        let mut errors = Vec::new();
        for writer in self.writers {
            let ended = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            errors.extend(ended.err());
        }
        errors.extend(self.finisher.and_then(|finisher| finisher.join().err()));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

//! `mirror-capture replay`: capture files through the pipeline.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, iter, thread};

use indicatif::{ProgressBar, ProgressStyle};

use super::config::Settings;
use super::drain::Drain;
use super::ledger::{Ledger, QueueLedger, RunFacts};
use super::memory::{self, Demand};
use super::shutdown::Shutdown;
use super::workers::text_of;
use super::{Outcome, RunError};
use crate::counters::WorkerCounters;
use crate::replay::{ReplayError, ReplaySource};
use crate::wire::number::QueueId;
use crate::worker::WhenFull;

/// How often progress is shown.
const WATCH: Duration = Duration::from_millis(20);

/// Reads `files` through the pipeline, shows progress on a terminal, and returns the ledger, which is also written
/// to its file. A file that is damaged ends the replay; what was read before is recorded. Records that could not be
/// written are a failure as well, unless the reader of standard output wanted no more.
///
/// # Errors
///
/// When a file or the output cannot be opened, or a file would be overwritten by the output.
pub fn run(files: Vec<PathBuf>, settings: &Settings, shutdown: &Shutdown) -> Result<Outcome, RunError> {
    for output in iter::once(&settings.output.path).chain(&settings.output.ledger) {
        if files.iter().any(|file| is_same_file(file, output)) {
            return Err(RunError::OutputIsInput { path: output.clone() });
        }
    }
    memory::require(&Demand::of_pipeline(settings, 1), false)?;
    let total = files.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
    let read = Arc::new(AtomicU64::new(0));
    let source = ReplaySource::open(files, Arc::clone(&read), shutdown.flag())?;
    let (mut producers, sinks) = settings.start_sinks(1)?;
    let counters = Arc::new(WorkerCounters::new(QueueId(0)));
    let worker = settings.worker(source, producers.remove(0), WhenFull::Wait, &counters)?;
    let sinks = sinks.begin();

    let mut drain = Drain::new(settings.output.drain_timeout, shutdown);
    let started = Instant::now();
    let work = thread::spawn(move || worker.run(|| false).1);
    let bar = progress_bar(total);
    while !work.is_finished() {
        bar.set_position(read.load(Ordering::Relaxed));
        bar.set_message(format!("{} packets", counters.received.get()));
        if sinks.counters().closed() || sinks.counters().panicked() {
            shutdown.request();
        }
        drain.is_over(&sinks);
        thread::sleep(WATCH);
    }
    bar.finish_and_clear();
    let ended = work.join();
    let (written, unwritten) = drain.finish(sinks);

    let run = RunFacts {
        version: env!("CARGO_PKG_VERSION"),
        seconds: started.elapsed().as_secs_f64(),
        output_bytes: written.bytes(),
        ..RunFacts::default()
    };
    let queues = written.workers().iter().map(|sink| {
        let row = QueueLedger::new(&counters, sink, None);
        if ended.is_err() { row.after_panic() } else { row }
    });
    let ledger = Ledger::new(run, queues.collect());
    let failure = match ended {
        Ok(result) => result.err().map(|source| match source.downcast::<ReplayError>() {
            Ok(error) => RunError::Replay(error),
            Err(source) => RunError::System { what: "read the capture", source },
        }),
        Err(panic) => Some(RunError::Panicked { queue: counters.queue, message: text_of(panic.as_ref()) }),
    };
    let failure = failure.or_else(|| unwritten.into_iter().next().map(RunError::Sink));
    let failure = failure.or(settings.write_ledger(&ledger).err());
    Ok(Outcome { ledger, failure })
}

/// Whether both are one regular file, by whatever names.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(one).is_some_and(|file| identity(other) == Some(file))
}

/// A bar on standard error; nothing where that is no terminal.
fn progress_bar(total: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta} {msg}");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

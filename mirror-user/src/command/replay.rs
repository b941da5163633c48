//! `mirror-capture replay`: capture files through the pipeline.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, iter, thread};

use indicatif::{ProgressBar, ProgressStyle};
use tracing::warn;

use super::Outcome;
use crate::DropReason;
use crate::config::Settings;
use crate::config::settings::TunnelSettings;
use crate::counters::WorkerCounters;
use crate::ledger::files::FileFacts;
use crate::ledger::{Ledger, QueueLedger, RunFacts};
use crate::number::QueueId;
use crate::pipeline::RunError;
use crate::pipeline::drain::Drain;
use crate::pipeline::memory::{self, Demand};
use crate::pipeline::workers::text_of;
use crate::replay::{CaptureFiles, FileReport, ReplaySource, Report, Survey};
use crate::shutdown::Shutdown;
use crate::worker::WhenFull;

/// How often progress is shown.
const WATCH: Duration = Duration::from_millis(20);

/// Reads the files that `arguments` stand for through the pipeline, shows progress on a terminal, and returns the ledger,
/// which is also written to its file. A file that cannot be read, or not in full, is a failure, but others are read. Records
/// that could not be written are a failure as well, unless the reader of standard output wanted no more.
///
/// # Errors
///
/// When no file can be read, the output cannot be opened, or a file would be overwritten by the output.
pub fn run(arguments: Vec<PathBuf>, settings: &Settings, shutdown: &Shutdown) -> Result<Outcome, RunError> {
    let found = CaptureFiles::find(arguments);
    tell_others(&found.others);
    let files = &found.paths;
    for output in iter::once(&settings.output.path).chain(&settings.output.ledger) {
        if files.iter().any(|file| is_same_file(file, output)) {
            return Err(RunError::OutputIsInput { path: output.clone() });
        }
    }
    memory::require(&Demand::of_pipeline(settings, 1), false)?;
    let total = files.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
    let read = Arc::new(AtomicU64::new(0));
    let source = ReplaySource::open(found, Arc::clone(&read), shutdown.flag())?;
    let (mut producers, sinks) = settings.start_sinks(1)?;
    let counters = Arc::new(WorkerCounters::new(QueueId(0)));
    let worker = settings.worker(source, producers.remove(0), WhenFull::Wait, &counters)?;
    let sinks = sinks.begin();

    let mut drain = Drain::new(settings.output.drain_timeout, shutdown);
    let started = Instant::now();
    let work = thread::spawn(move || worker.run(|| false));
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

    let (read, failure) = match ended {
        Ok((source, result)) => {
            let (report, survey) = source.into_report();
            let failure = result.err().map(|source| RunError::System { what: "read the capture", source });
            (Some((report, survey)), failure)
        }
        Err(panic) => {
            (None, Some(RunError::Panicked { queue: counters.queue, message: text_of(panic.as_ref()) }))
        }
    };
    let run = RunFacts {
        version: env!("CARGO_PKG_VERSION"),
        seconds: started.elapsed().as_secs_f64(),
        files: read.as_ref().map(|(report, _)| file_facts(report)),
        output_bytes: written.bytes(),
        ..RunFacts::default()
    };
    let queues = written.workers().iter().map(|sink| {
        let row = QueueLedger::new(&counters, sink, None);
        match &read {
            Some((report, _)) => row.with_files(report.found(), &report.unread()),
            None => row.after_panic(),
        }
    });
    let ledger = Ledger::new(run, queues.collect());
    if let Some((report, survey)) = &read {
        tell(report, survey, &counters, settings);
    }
    let failure = failure.or_else(|| read.and_then(|(report, _)| report.error()).map(RunError::Replay));
    let failure = failure.or_else(|| unwritten.into_iter().next().map(RunError::Sink));
    let failure = failure.or(settings.write_ledger(&ledger).err());
    Ok(Outcome { ledger, failure })
}

/// Says which files of directories are left out.
fn tell_others(others: &[PathBuf]) {
    const TOLD: usize = 10;
    if others.is_empty() {
        return;
    }
    let names: Vec<String> = others.iter().take(TOLD).map(|path| path.display().to_string()).collect();
    let more = match others.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    warn!("left out, since they are not captures: {}{more}", names.join(", "));
}

/// Says what is peculiar about the files, and what is in them where nothing came out.
fn tell(report: &Report, survey: &Survey, counters: &WorkerCounters, settings: &Settings) {
    for note in report.files.iter().flat_map(FileReport::notes) {
        warn!("{note}");
    }
    let without_tunnel = [
        DropReason::OuterTruncated,
        DropReason::OuterNotIp,
        DropReason::OuterIpHeader,
        DropReason::OuterFragment,
        DropReason::NotTunnel,
    ];
    let dropped: u64 = without_tunnel.iter().map(|&reason| counters.dropped(reason)).sum();
    if dropped > 0 && dropped == counters.received.get() {
        let TunnelSettings { geneve_port, vxlan_port, .. } = settings.tunnel;
        let mut link_types: Vec<u32> =
            report.files.iter().flat_map(|file| file.link_types.iter().copied()).collect();
        link_types.sort_unstable();
        link_types.dedup();
        warn!("{}", survey.without_tunnels(&link_types, geneve_port, vxlan_port));
    }
}

fn file_facts(report: &Report) -> FileFacts {
    FileFacts {
        files: report.files.len(),
        incomplete: report.files.iter().filter(|file| !file.problems().is_empty()).count(),
        unread_bytes: report.files.iter().map(|file| file.unread_bytes).sum(),
    }
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

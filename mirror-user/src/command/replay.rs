//! `mirror-capture replay`: capture files through the pipeline.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use indicatif::{ProgressBar, ProgressStyle};
use tracing::warn;

use super::{Outcome, write_ledger};
use crate::DropReason;
use crate::config::Config;
use crate::decap::DecapConfig;
use crate::ledger::Ledger;
use crate::pipeline::{Ended, Outputs, Pipeline, PipelineError};
use crate::replay::{CaptureFiles, FileReport, ReplaySource, Report, Survey};
use crate::shutdown::Shutdown;
use crate::snapshot::{FileFacts, Snapshot};

/// Interval between showing progress.
const WATCH: Duration = Duration::from_millis(20);

/// Reads the files that `arguments` stand for through the pipeline, shows progress on a terminal, and returns the ledger,
/// which is also written to its file. A file that cannot be read, or not in full, is a failure, but others are read. Records
/// that could not be written are a failure as well, unless the reader of standard output wanted no more.
///
/// # Errors
///
/// When no file can be read, the output cannot be opened, or a file would be overwritten by the output.
pub fn run(arguments: Vec<PathBuf>, config: &Config, shutdown: &Shutdown) -> Result<Outcome, PipelineError> {
    let found = CaptureFiles::find(arguments);
    tell_others(&found.others);
    let files = &found.paths;
    let outputs = config.sink.iter().map(|sink| sink.destination.path());
    for output in outputs.chain(config.output.ledger.as_deref()) {
        if files.iter().any(|file| is_same_file(file, output)) {
            return Err(PipelineError::OutputIsInput { path: output.to_owned() });
        }
    }
    let total = files.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum();
    let read = Arc::new(AtomicU64::new(0));
    let source = ReplaySource::open(found, Arc::clone(&read), shutdown.flag())?;
    let (done, returned) = mpsc::channel();
    let give_back = move |source: ReplaySource| {
        // Nobody waits for it where the program gives up.
        let _ = done.send(source.into_report());
    };
    let mut pipeline = Pipeline::read(config, shutdown, source, Outputs::Configured, give_back)?;
    let bar = progress_bar(total);
    while pipeline.watch()? {
        bar.set_position(read.load(Ordering::Relaxed));
        bar.set_message(format!("{} packets", pipeline.snapshot().received()));
        thread::sleep(WATCH);
    }
    bar.finish_and_clear();
    let Ended { mut snapshot, failures, unwritten } = pipeline.stop();
    let read = returned.try_recv().ok();
    if let Some((report, survey)) = &read {
        snapshot.files = Some(file_facts(report));
        snapshot.queues = snapshot
            .queues
            .into_iter()
            .map(|queue| queue.with_files(report.found(), &report.unread()))
            .collect();
        tell(report, survey, &snapshot, config);
    }
    let ledger = Ledger::new(&snapshot);
    let failure = failures.into_iter().next();
    let failure = failure.or_else(|| read.and_then(|(report, _)| report.error()).map(PipelineError::Replay));
    let failure = failure.or_else(|| unwritten.into_iter().next().map(PipelineError::Sink));
    let failure = failure.or(write_ledger(config, &ledger).err());
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
fn tell(report: &Report, survey: &Survey, snapshot: &Snapshot, config: &Config) {
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
    let drops = snapshot.dropped();
    let dropped: u64 = without_tunnel.iter().map(|&reason| drops[reason]).sum();
    if dropped > 0 && dropped == snapshot.received() {
        let DecapConfig { geneve_port, vxlan_port, .. } = config.tunnel;
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

/// `true` if both are one regular file, by whatever names.
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

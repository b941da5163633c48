//! `mirror-capture run`: captures from an interface.

use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info};

use super::{Outcome, write_ledger};
use crate::config::Config;
use crate::error::chain;
use crate::ledger::Ledger;
use crate::pipeline::{Ended, Pipeline, PipelineError};
use crate::shutdown::Shutdown;
use crate::sink::SinkError;
use crate::snapshot::Snapshot;

/// Interval between looks at the pipeline.
const WAKE: Duration = Duration::from_millis(50);

/// Captures from the interface until `shutdown` is requested, standard output is closed or something happens after which
/// the capture cannot go on; then drains, and returns the ledger, which is also written to its file. Rates are logged every
/// `stats_interval`.
///
/// # Errors
///
/// When the capture cannot start; nothing is left behind then.
pub fn run(
    config: &Config,
    stats_interval: Option<Duration>,
    shutdown: &Shutdown,
) -> Result<Outcome, PipelineError> {
    let mut pipeline = Pipeline::capture(config, shutdown)?;
    let mut failures = Failures::default();
    failures.note(watch(&mut pipeline, stats_interval));
    let Ended { snapshot, failures: more, unwritten } = pipeline.stop();
    let ledger = Ledger::new(&snapshot);
    for failure in more {
        failures.note(Err(failure));
    }
    for problem in unwritten {
        if matches!(problem, SinkError::Panicked { .. } | SinkError::Stalled { .. }) {
            failures.note(Err(problem.into()));
        } else {
            error!("{}", chain(&problem));
        }
    }
    failures.note(write_ledger(config, &ledger));
    Ok(Outcome { ledger, failure: failures.first })
}

/// Looks after the pipeline until it is to be stopped. Rates are logged every `stats_interval`.
///
/// # Errors
///
/// The reason why the capture cannot go on.
fn watch(pipeline: &mut Pipeline, stats_interval: Option<Duration>) -> Result<(), PipelineError> {
    let mut logged = Instant::now();
    let mut before = pipeline.snapshot();
    while pipeline.watch()? {
        thread::sleep(WAKE);
        if stats_interval.is_some_and(|interval| logged.elapsed() >= interval) {
            let now = pipeline.snapshot();
            log_rates(&before, &now);
            (before, logged) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Logs the packets so far, and the rates since the snapshot `before`.
fn log_rates(before: &Snapshot, now: &Snapshot) {
    let seconds = (now.elapsed - before.elapsed).as_secs_f64();
    // Records of a file that could not be finished are recorded no longer.
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    info!(
        "received {} ({:.0}/s), recorded {} ({:.0}/s)",
        now.received(),
        rate(now.received(), before.received()),
        now.recorded(),
        rate(now.recorded(), before.recorded())
    );
}

/// Errors after the start. The first is told at the end, the others at once.
#[derive(Default)]
struct Failures {
    first: Option<PipelineError>,
}

impl Failures {
    /// Takes note of an error.
    fn note(&mut self, result: Result<(), PipelineError>) {
        if let Err(error) = result {
            if self.first.is_some() {
                error!("{}", chain(&error));
            } else {
                self.first = Some(error);
            }
        }
    }
}

//! The deadline of stopping: an output whose reader is stopped, or whose disk is stuck, cannot hold it for ever.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::error;

use crate::shutdown::Shutdown;
use crate::sink::{SinkCounters, SinkError, Sinks};

/// Interval between looks for the end.
const LOOK: Duration = Duration::from_millis(5);
/// Time to finish files in where the deadline has passed before the sinks were waited for.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// A deadline that begins to run when the program is asked to stop.
pub(super) struct Drain {
    timeout: Duration,
    shutdown: Shutdown,
    deadline: Option<Instant>,
    has_given_up: bool,
}

impl Drain {
    /// A deadline `timeout` after `shutdown` is requested.
    pub(super) fn new(timeout: Duration, shutdown: &Shutdown) -> Self {
        Self { timeout, shutdown: shutdown.clone(), deadline: None, has_given_up: false }
    }

    /// The time begins to run, for another reason than a request.
    pub(super) fn begin(&mut self) {
        self.deadline.get_or_insert_with(|| Instant::now() + self.timeout);
    }

    /// `true` once the time is over; then no worker waits for its sink any more.
    pub(super) fn is_over(&mut self, sinks: &Sinks) -> bool {
        if self.shutdown.requested() {
            self.begin();
        }
        let is_over = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_over && !self.has_given_up {
            self.has_given_up = true;
            error!(
                "the output has not taken its records within {} (--drain-timeout): those that are left count as lost",
                humantime::format_duration(self.timeout)
            );
            sinks.give_up();
        }
        is_over
    }

    /// Waits until the sinks have written everything, or the time is over. Returns what they could not write; it is no
    /// fault of theirs where the reader of standard output has gone.
    pub(super) fn finish(mut self, sinks: Sinks) -> (Arc<SinkCounters>, Vec<SinkError>) {
        let last_moment = Instant::now() + LAST_MOMENT;
        while !sinks.is_finished() && (Instant::now() < last_moment || !self.is_over(&sinks)) {
            thread::sleep(LOOK);
        }
        let counters = Arc::clone(sinks.counters());
        let mut problems = sinks.join_by(Instant::now()).err().unwrap_or_default();
        if counters.closed() {
            problems.clear();
        }
        (counters, problems)
    }
}

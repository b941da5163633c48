//! Threads of the sinks: their results and their panics.

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::thread::JoinHandle;

use tracing::error;

use super::counters::SinkCounters;
use super::error::SinkError;

/// A thread of the sinks, which may fail.
pub(super) type Handle = JoinHandle<Result<(), SinkError>>;

/// Does `work`; a panic of it is logged at once, and is an error.
///
/// # Errors
///
/// That of `work`, or [`SinkError::Panicked`].
pub(super) fn contain(
    path: &Path,
    counters: &SinkCounters,
    work: impl FnOnce() -> Result<(), SinkError>,
) -> Result<(), SinkError> {
    // The state of `work` is not used again, or only to count lost records.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let message = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned();
        let error = SinkError::Panicked { path: path.to_owned(), message };
        error!("{error}");
        counters.set_panicked();
        Err(error)
    })
}

//! Failures of child processes.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

use crate::interrupt::Interrupted;

/// A child that did not do what it was started for.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program is not there or may not be run.
    #[error("`{command}` cannot be run")]
    Spawn {
        /// The command line.
        command: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed ({status}){}{output}", if output.is_empty() { "" } else { ":\n" })]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its output, as far as that was not shown already.
        output: String,
    },
    /// It is still running.
    #[error("`{command}` has not ended within {} s", limit.as_secs())]
    Slow {
        /// The command line.
        command: String,
        /// The time that it was given.
        limit: Duration,
    },
    /// It was stopped, because this program was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Waiting for it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

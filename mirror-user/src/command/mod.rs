//! The commands: [`run`] captures from an interface, [`replay`] reads capture files, [`rules`] answers questions about rules,
//! [`config`] checks a configuration.

use crate::config::Config;
use crate::ledger::{self, Ledger};
use crate::pipeline::PipelineError;

pub mod config;
pub mod replay;
pub mod rules;
pub mod run;

/// Outcome of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Account of every packet.
    pub ledger: Ledger,
    /// Reason why it ended before its time, if it did.
    pub failure: Option<PipelineError>,
}

/// Writes the ledger to its file, if it is to have one.
///
/// # Errors
///
/// When the file cannot be written.
fn write_ledger(config: &Config, ledger: &Ledger) -> Result<(), PipelineError> {
    match &config.output.ledger {
        Some(path) => ledger::file::write(ledger, path)
            .map_err(|source| PipelineError::Ledger { path: path.clone(), source }),
        None => Ok(()),
    }
}

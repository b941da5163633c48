//! The commands: [`run`] captures from an interface, [`replay`] reads capture files.

use crate::config::Config;
use crate::ledger::{self, Ledger};
use crate::pipeline::RunError;

pub mod replay;
pub mod run;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Where every packet went.
    pub ledger: Ledger,
    /// Why it ended before its time, where it did.
    pub failure: Option<RunError>,
}

/// Writes the ledger to its file, if it is to have one.
///
/// # Errors
///
/// When the file cannot be written.
fn write_ledger(config: &Config, ledger: &Ledger) -> Result<(), RunError> {
    match &config.output.ledger {
        Some(path) => ledger::file::write(ledger, path)
            .map_err(|source| RunError::Ledger { path: path.clone(), source }),
        None => Ok(()),
    }
}

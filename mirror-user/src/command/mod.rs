//! The commands: [`run`] captures from an interface, [`replay`] reads capture files.

use crate::ledger::Ledger;
use crate::pipeline::RunError;

pub mod replay;
pub mod run;
mod watch;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Where every packet went.
    pub ledger: Ledger,
    /// Why it ended before its time, where it did.
    pub failure: Option<RunError>,
}

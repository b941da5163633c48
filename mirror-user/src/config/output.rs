//! Options of the records, whichever sinks they go to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::degrade::DegradeMode;
use crate::rules::RecordKind;
use crate::value::duration;

/// Options of the records, whichever sinks they go to. Table `[output]` of the file.
#[derive(Args, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Output")]
pub struct OutputConfig {
    /// Records of flows, of packets, or of both [default: flow; packet with pcapng]
    #[arg(long, value_name = "KIND", value_delimiter = ',', num_args = 1, action = clap::ArgAction::Set)]
    #[serde(deserialize_with = "RecordKind::one_or_several")]
    pub records: Option<Vec<RecordKind>>,
    /// Let payload, and what is derived from it, into records
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    pub payload: bool,
    /// Records to leave out when a worker cannot keep up, instead of losing packets at random
    #[arg(long, value_name = "MODE")]
    pub degradation: DegradeMode,
    /// Wait this long for the output to take what is left when stopping; what it has not taken by then counts as lost
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// Write the ledger to this file at the end, as JSON
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self {
            records: None,
            payload: true,
            degradation: DegradeMode::default(),
            drain_timeout: Duration::from_secs(30),
            ledger: None,
        }
    }
}

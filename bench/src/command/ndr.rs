//! `mirror-bench ndr`: the highest rate without loss, and with half a percent of it.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::common::{OutputArguments, PipelineArguments, TrafficArguments, seconds};
use crate::experiment::ndr::{Ndr, Plan};
use crate::receiver::Kind;

/// Arguments of `ndr`.
#[derive(Args, Clone, Debug)]
pub struct NdrArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// What receives
    #[arg(long, value_enum, default_value_t = Receiver::Pipeline)]
    receiver: Receiver,
    /// Seconds of the trial that confirms a rate [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    long: Option<Duration>,
    /// Seconds of each trial of the search [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    short: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

/// What receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Receiver {
    /// The daemon's pipeline
    Pipeline,
    /// The bare AF_XDP loop
    Rxdrop,
}

impl NdrArguments {
    /// Searches and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        let default = self.output.pick(Plan::default(), Plan::quick());
        let plan = Plan {
            long: self.long.unwrap_or(default.long),
            short: self.short.unwrap_or(default.short),
            ..default
        };
        let kind = match self.receiver {
            Receiver::Pipeline => Kind::Pipeline(self.pipeline.pipeline(self.traffic.flows)),
            Receiver::Rxdrop => Kind::RxDrop,
        };
        let setting = self.output.setting(0)?;
        let ndr = Ndr::measure(&setting, &self.traffic.profile(), &kind, &plan)?;
        setting.progress.finish_and_clear();
        self.output.print("ndr", &ndr)
    }
}

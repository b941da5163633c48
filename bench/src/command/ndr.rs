//! `mirror-bench ndr`: the highest rate without loss, and with half a percent of it.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::ndr::Ndr;
use crate::receiver::ReceiverKind;
use crate::search::Trials;

/// Arguments of `ndr`.
#[derive(Args, Clone, Debug)]
pub struct NdrArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The receiver under test
    #[arg(long, value_enum, default_value_t = ReceiverArgument::Pipeline)]
    receiver: ReceiverArgument,
    /// Seconds of the trial that confirms a rate [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    long: Option<Duration>,
    /// Seconds of each trial of the search [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    short: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

/// The receivers that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReceiverArgument {
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
        let default = self.output.pick(Trials::default(), Trials::quick());
        let trials = Trials {
            long: self.long.unwrap_or(default.long),
            short: self.short.unwrap_or(default.short),
            ..default
        };
        let kind = match self.receiver {
            ReceiverArgument::Pipeline => {
                ReceiverKind::Pipeline(self.pipeline.pipeline(&self.traffic.profile()))
            }
            ReceiverArgument::Rxdrop => ReceiverKind::RxDrop,
        };
        let setting = self.output.setting(0)?;
        let ndr = Ndr::measure(&setting, &self.traffic.profile(), &kind, &trials)?;
        setting.progress.finish_and_clear();
        self.output.print("ndr", &ndr)
    }
}

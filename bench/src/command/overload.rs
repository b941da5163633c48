//! `mirror-bench overload`: twice what the pipeline can take.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::common::{OutputArguments, PipelineArguments, TrafficArguments, seconds};
use crate::experiment::overload::{Overload, Plan};

/// Arguments of `overload`.
#[derive(Args, Clone, Debug)]
pub struct OverloadArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The sustainable rate in packets per second [default: the highest with 0.5 % loss]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=500_000_000))]
    rate: Option<u64>,
    /// Seconds of overload [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

impl OverloadArguments {
    /// Measures and prints. A short overload is not judged by its rate.
    ///
    /// # Errors
    ///
    /// When nothing can be measured, or the pipeline did not bear it.
    pub fn run(&self) -> Result<()> {
        let default = self.output.pick(Plan::default(), Plan::quick());
        let plan = Plan { rate: self.rate, duration: self.duration.unwrap_or(default.duration), ..default };
        let setting = self.output.setting(0)?;
        let pipeline = self.pipeline.pipeline(self.traffic.flows);
        let overload = Overload::measure(&setting, &self.traffic.profile(), &pipeline, &plan)?;
        setting.progress.finish_and_clear();
        self.output.print("overload", &overload)?;
        ensure!(overload.balanced, "the ledger does not balance");
        ensure!(self.output.quick || overload.passed(), "the pipeline did not bear twice what it can take");
        Ok(())
    }
}

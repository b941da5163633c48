//! `mirror-bench compare`: the same traffic for other programs.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::compare::Comparison;
use crate::measure::Load;

/// Arguments of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Packets per second
    #[arg(long, value_name = "PPS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: u64,
    /// Seconds of traffic for each program [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

impl CompareArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be sent.
    pub fn run(&self) -> Result<()> {
        let duration =
            self.duration.unwrap_or(self.output.pick(Duration::from_secs(5), Duration::from_millis(300)));
        let load = Load { rate: Some(self.rate), duration };
        let setting = self.output.setting(4)?;
        let pipeline = self.pipeline.pipeline(&self.traffic.profile());
        let comparison = Comparison::measure(&setting, &self.traffic.profile(), &pipeline, load)?;
        setting.progress.finish_and_clear();
        self.output.print("compare", &comparison)
    }
}

//! `mirror-bench compare`: the same traffic for other programs.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::compare::{self, Comparison, Plan};

/// Arguments of `compare`.
#[derive(Args, Clone, Debug)]
pub struct CompareArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Packets per second of the first offer, which each program should be able to take; the second is as much as the
    /// generator can
    #[arg(long, value_name = "PPS", default_value_t = compare::BEARABLE, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: u64,
    /// Seconds of traffic in each measurement [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Rounds, in each of which every program is measured once [default: 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
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
        let default = self.output.pick(Plan::thorough(), Plan::quick());
        let plan = Plan {
            rates: vec![Some(self.rate), None],
            duration: self.duration.unwrap_or(default.duration),
            rounds: self.rounds.unwrap_or(default.rounds).max(1),
        };
        let setting = self.output.setting(plan.rates.len() * plan.rounds)?;
        let profile = self.traffic.profile();
        let pipeline = self.pipeline.pipeline(&profile);
        let comparison = Comparison::measure(&setting, &profile, &pipeline, &plan)?;
        setting.progress.finish_and_clear();
        self.output.print("compare", &comparison)
    }
}

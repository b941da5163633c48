//! `mirror-bench overload`: the pipeline at twice its sustainable rate.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::overload::{self, LEAST_FACTOR, Overload};
use crate::experiment::plan::Plan;

/// Arguments of `overload`.
#[derive(Args, Clone, Debug)]
pub struct OverloadArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The sustainable rate in packets per second, of which twice as much is offered [default: the highest with 0.5 %
    /// loss, or the highest delivered rate if that is higher]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=500_000_000))]
    rate: Option<u64>,
    /// Factor by which the worker is slowed down, 1 for not at all [default: as much as needed for the generator to
    /// offer twice the rate that the worker takes; with --rate, 1]
    #[arg(long, value_name = "TIMES", value_parser = slowdown)]
    slowdown: Option<f64>,
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
    /// When nothing can be measured, it was no overload, or the pipeline missed a goal.
    pub fn run(&self) -> Result<()> {
        let default = self.output.pick(overload::plan(), overload::quick_plan());
        let plan = Plan {
            rate: self.rate,
            duration: self.duration.unwrap_or(default.duration),
            search: default.search,
        };
        let slowdown = self.slowdown.or(self.rate.map(|_| 1.0));
        let setting = self.output.setting(0)?;
        let pipeline = self.pipeline.pipeline(&self.traffic.profile());
        let overload = Overload::measure(&setting, &self.traffic.profile(), &pipeline, &plan, slowdown)?;
        setting.progress.finish_and_clear();
        self.output.print("overload", &overload)?;
        ensure!(overload.balanced, "the ledger does not balance");
        if !self.output.quick {
            let factor = overload.factor;
            ensure!(
                factor >= LEAST_FACTOR,
                "the generator could offer only {factor:.2} times the sustainable rate, which shows nothing: \
                 leave --slowdown away or give more"
            );
            ensure!(overload.passed(), "the pipeline did not bear twice what it can take");
        }
        Ok(())
    }
}

fn slowdown(text: &str) -> Result<f64, &'static str> {
    let times: f64 = text.parse().map_err(|_| "expected a number")?;
    if (1.0..=1000.0).contains(&times) { Ok(times) } else { Err("expected a number from 1 to 1000") }
}

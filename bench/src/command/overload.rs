//! `mirror-bench overload`: twice what the pipeline can take.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::common::{OutputArguments, PipelineArguments, TrafficArguments, seconds};
use crate::experiment::overload::{LEAST_FACTOR, Overload, Plan};

/// Arguments of `overload`.
#[derive(Args, Clone, Debug)]
pub struct OverloadArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The sustainable rate in packets per second, twice which is offered [default: the highest with 0.5 % loss, or
    /// the most that is delivered where that is more]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=500_000_000))]
    rate: Option<u64>,
    /// How many times slower than it is the worker is made, 1 for not at all [default: as far as the generator needs it
    /// to be to offer twice what it takes; with --rate, 1]
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
    /// When nothing can be measured, it was no overload, or the pipeline did not bear it.
    pub fn run(&self) -> Result<()> {
        let default = self.output.pick(Plan::default(), Plan::quick());
        let plan = Plan {
            rate: self.rate,
            slowdown: self.slowdown.or(self.rate.map(|_| 1.0)),
            duration: self.duration.unwrap_or(default.duration),
            ..default
        };
        let setting = self.output.setting(0)?;
        let pipeline = self.pipeline.pipeline(self.traffic.flows);
        let overload = Overload::measure(&setting, &self.traffic.profile(), &pipeline, &plan)?;
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

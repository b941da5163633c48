//! `mirror-bench latency`: the time from a packet to its record.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::common::{OutputArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::latency::{self, Latency};
use crate::experiment::plan::Plan;

/// Arguments of `latency`.
#[derive(Args, Clone, Debug)]
pub struct LatencyArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    /// Packets per second of which --fractions are fractions [default: the highest rate with 0.5 % loss]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: Option<u64>,
    /// Rates to measure at, as parts of --rate [default: 0.1,0.5,0.75,0.9]
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = fraction)]
    fractions: Vec<f64>,
    /// Seconds of each measurement [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

impl LatencyArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        let (quick, quick_fractions) = latency::quick_plan();
        let default = self.output.pick(latency::plan(), quick);
        let plan = Plan {
            rate: self.rate,
            duration: self.duration.unwrap_or(default.duration),
            search: default.search,
        };
        let fractions = match self.fractions.as_slice() {
            [] => self.output.pick(latency::FRACTIONS.to_vec(), quick_fractions.to_vec()),
            fractions => fractions.to_vec(),
        };
        let setting = self.output.setting(0)?;
        let latency = Latency::measure(&setting, &self.traffic.profile(), &plan, &fractions)?;
        setting.progress.finish_and_clear();
        self.output.print("latency", &latency)
    }
}

fn fraction(text: &str) -> Result<f64, &'static str> {
    let fraction: f64 = text.parse().map_err(|_| "expected a number")?;
    if (0.001..=2.0).contains(&fraction) { Ok(fraction) } else { Err("expected a number from 0.001 to 2") }
}

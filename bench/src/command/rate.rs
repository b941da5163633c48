//! `mirror-bench rxdrop`, `xdp-drop` and `pipeline`: the throughput of one receiver.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::Effort;
use crate::experiment::rate::Rate;
use crate::receiver::ReceiverKind;

/// Arguments of `rxdrop` and `xdp-drop`.
#[derive(Args, Clone, Debug)]
pub struct RateArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    /// Packets per second [default: as fast as possible]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: Option<u64>,
    /// Seconds of each measurement [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Measurements [default: 7]
    #[arg(long, value_name = "N")]
    repeat: Option<usize>,
    #[command(flatten)]
    output: OutputArguments,
}

/// Arguments of `pipeline`.
#[derive(Args, Clone, Debug)]
pub struct PipelineRate {
    #[command(flatten)]
    pipeline: PipelineArguments,
    #[command(flatten)]
    rate: RateArguments,
}

impl RateArguments {
    /// Measures `kind` and prints its rate.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self, command: &'static str, kind: &ReceiverKind) -> Result<()> {
        let effort = Effort {
            warm_up: self.output.pick(Duration::from_millis(500), Duration::from_millis(50)),
            duration: self
                .duration
                .unwrap_or(self.output.pick(Duration::from_secs(2), Duration::from_millis(200))),
            repeat: self.repeat.unwrap_or(self.output.pick(7, 2)).max(1),
        };
        let setting = self.output.setting(effort.repeat)?;
        let rate = Rate::measure(&setting, &self.traffic.profile(), kind, self.rate, effort)?;
        setting.progress.finish_and_clear();
        self.output.print(command, &rate)
    }
}

impl PipelineRate {
    /// Measures the pipeline and prints its rate.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        self.rate
            .run("pipeline", &ReceiverKind::Pipeline(self.pipeline.pipeline(&self.rate.traffic.profile())))
    }
}

//! `mirror-bench xdp`: the cost of the XDP program alone.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::common::{OutputArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::Effort;
use crate::experiment::xdp::{self, XdpCost};

/// Arguments of `xdp`.
#[derive(Args, Clone, Debug)]
pub struct XdpArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    /// Seconds of each measurement [default: 1.5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Rounds, in each of which every configuration is measured once [default: 8]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    #[command(flatten)]
    output: OutputArguments,
}

impl XdpArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        let quick =
            Effort { warm_up: Duration::from_millis(20), duration: Duration::from_millis(100), repeat: 1 };
        let default = self.output.pick(xdp::effort(), quick);
        let effort = Effort {
            duration: self.duration.unwrap_or(default.duration),
            repeat: self.rounds.unwrap_or(default.repeat).max(1),
            ..default
        };
        let setting = self.output.setting(effort.repeat)?;
        let cost = XdpCost::measure(&setting, &self.traffic.profile(), &xdp::setups(), effort)?;
        setting.progress.finish_and_clear();
        self.output.print("xdp", &cost)
    }
}

//! `mirror-bench timestamps`: the error of worked-out receive times.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::common::{OutputArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::timestamps::{self, TimestampErrors};

/// Arguments of `timestamps`.
#[derive(Args, Clone, Debug)]
pub struct TimestampArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    /// Seconds of each measurement [default: 4]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    #[command(flatten)]
    output: OutputArguments,
}

impl TimestampArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured, or packets lost their order.
    pub fn run(&self) -> Result<()> {
        let duration = self.output.pick(Duration::from_secs(4), Duration::from_millis(200));
        let setting = self.output.setting(timestamps::STEPS)?;
        let profile = self.traffic.profile();
        let errors = TimestampErrors::measure(&setting, &profile, self.duration.unwrap_or(duration))?;
        setting.progress.finish_and_clear();
        self.output.print("timestamps", &errors)?;
        ensure!(errors.errors.iter().all(|error| error.out_of_order == 0), "packets lost their order");
        Ok(())
    }
}

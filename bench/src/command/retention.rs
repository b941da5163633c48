//! `mirror-bench headline` and `mirror-bench retention`: the pipeline against the bare loop.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use mirror_testkit::traffic::Profile;
use serde::Serialize;

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::Effort;
use crate::experiment::matrix;
use crate::experiment::retention::{Pairing, Retention};
use crate::receiver::PipelineSetup;
use crate::report::LIMITS;

/// Arguments of `retention`.
#[derive(Args, Clone, Debug)]
pub struct RetentionArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Measure every combination of the report, instead of one
    #[arg(long, conflicts_with_all = ["traffic", "frame_size", "flows", "vxlan", "records", "sink"])]
    matrix: bool,
    #[command(flatten)]
    pairs: PairArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// Arguments of `headline`.
#[derive(Args, Clone, Debug)]
pub struct HeadlineArguments {
    #[command(flatten)]
    pairs: PairArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// The pairs to measure.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pairs")]
struct PairArguments {
    /// Packets per second to offer to both in the paced pairs [default: nine tenths of what can be offered to the slower]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: Option<u64>,
    /// Seconds of each measurement [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Unpaced pairs, all of which count [default: 12]
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
}

/// The retention of several combinations, with every pair.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Cells(Vec<Retention>);

/// The headline's figure, with every pair.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Headline(Retention);

impl RetentionArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        let profile = self.traffic.profile();
        let cells = if self.matrix {
            matrix::cells().into_iter().map(|cell| (cell.profile, cell.pipeline)).collect()
        } else {
            let pipeline = self.pipeline.pipeline(&profile);
            vec![(profile, pipeline)]
        };
        let pairing = self.pairs.pairing(&self.output);
        let setting = self.output.setting(cells.len() * pairing.steps())?;
        let mut results = Vec::with_capacity(cells.len());
        for (profile, pipeline) in &cells {
            results.push(Retention::measure(&setting, profile, pipeline, pairing)?);
        }
        setting.progress.finish_and_clear();
        self.output.print("retention", &Cells(results))
    }
}

impl HeadlineArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        let pairing = self.pairs.pairing(&self.output);
        let setting = self.output.setting(pairing.steps())?;
        let pipeline = PipelineSetup::default();
        let retention = Retention::measure(&setting, &Profile::mirrored(), &pipeline, pairing)?;
        setting.progress.finish_and_clear();
        self.output.print("headline", &Headline(retention))
    }
}

impl PairArguments {
    fn pairing(&self, output: &OutputArguments) -> Pairing {
        let default = output.pick(Pairing::headline(), Pairing::quick());
        let duration = self.duration.unwrap_or(default.unpaced.duration);
        let repeat = self.pairs.unwrap_or(default.unpaced.repeat).max(1);
        Pairing {
            rate: self.rate.or(default.rate),
            unpaced: Effort { duration, repeat, ..default.unpaced },
            paced: Effort { duration, ..default.paced },
        }
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, cell) in self.0.iter().enumerate() {
            let gap = if number == 0 { "" } else { "\n\n" };
            write!(formatter, "{gap}{cell:#}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Headline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:#}\n\n{LIMITS}", self.0)
    }
}

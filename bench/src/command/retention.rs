//! `mirror-bench retention`: the pipeline against the bare loop.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::common::{OutputArguments, PipelineArguments, seconds};
use super::traffic::TrafficArguments;
use crate::experiment::Effort;
use crate::experiment::matrix;
use crate::experiment::retention::{Pairing, Retention};

/// Arguments of `retention`.
#[derive(Args, Clone, Debug)]
pub struct RetentionArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Measure every frame size, number of flows, kind of record and sink, instead of one of each
    #[arg(long, conflicts_with_all = ["frame_size", "flows", "vxlan", "records", "sink"])]
    matrix: bool,
    /// Packets per second to offer to both [default: as many as can be offered to both]
    #[arg(long, value_name = "PPS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    rate: Option<u64>,
    /// Seconds of each measurement [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    duration: Option<Duration>,
    /// Pairs to keep [default: 10]
    #[arg(long, value_name = "N")]
    pairs: Option<usize>,
    #[command(flatten)]
    output: OutputArguments,
}

/// The retention of several combinations.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Cells(Vec<Retention>);

impl RetentionArguments {
    /// Measures and prints.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn run(&self) -> Result<()> {
        let pairing = self.pairing();
        let cells = if self.matrix {
            matrix::cells().into_iter().map(|cell| (cell.profile, cell.pipeline)).collect()
        } else {
            vec![(self.traffic.profile(), self.pipeline.pipeline(&self.traffic.profile()))]
        };
        let setting = self.output.setting(cells.len() * (pairing.peaks + pairing.pairs.repeat))?;
        let mut results = Vec::with_capacity(cells.len());
        for (profile, pipeline) in &cells {
            results.push(Retention::measure(&setting, profile, pipeline, pairing)?);
        }
        setting.progress.finish_and_clear();
        self.output.print("retention", &Cells(results))
    }

    fn pairing(&self) -> Pairing {
        let default = self.output.pick(Pairing::default(), Pairing::quick());
        Pairing {
            rate: self.rate.or(default.rate),
            pairs: Effort {
                duration: self.duration.unwrap_or(default.pairs.duration),
                repeat: self.pairs.unwrap_or(default.pairs.repeat).max(1),
                ..default.pairs
            },
            ..default
        }
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, cell) in self.0.iter().enumerate() {
            let gap = if number == 0 { "" } else { "\n\n" };
            write!(formatter, "{gap}{cell}")?;
        }
        Ok(())
    }
}

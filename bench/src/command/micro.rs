//! `mirror-bench micro`: the parts of the pipeline in memory.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use mirror_testkit::interrupt::Interrupt;

use super::common::OutputArguments;
use super::progress::progress_bar;
use crate::micro::callgrind::{self, Stage};
use crate::micro::time::Amount;
use crate::micro::{Micro, Part, Setting};

/// Arguments of `micro`.
#[derive(Args, Clone, Debug)]
pub struct MicroArguments {
    /// Parts to measure [default: all]
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Fail where there are 3 % more instructions than are committed; counts instructions only
    #[arg(long, conflicts_with_all = ["only", "record"])]
    check: bool,
    /// Write the instructions that are to be committed; counts instructions only
    #[arg(long, conflicts_with = "only")]
    record: bool,
    /// The committed instructions [default: instructions.json of the source tree]
    #[arg(long, value_name = "FILE")]
    committed: Option<PathBuf>,
    /// What callgrind is run on.
    #[arg(long, value_enum, hide = true, conflicts_with_all = ["only", "check", "record"])]
    callgrind_target: Option<Stage>,
    #[command(flatten)]
    output: OutputArguments,
}

impl MicroArguments {
    /// Measures, prints, and compares or records.
    ///
    /// # Errors
    ///
    /// When something cannot be measured, or there are too many instructions.
    pub fn run(&self) -> Result<()> {
        if let Some(stage) = self.callgrind_target {
            return Ok(stage.work()?);
        }
        let amount =
            self.output.pick(Amount { packets: 2_000_000, runs: 7 }, Amount { packets: 20_000, runs: 1 });
        let parts = match (self.check || self.record, self.only.as_slice()) {
            (true, _) => vec![Part::Instructions],
            (false, []) => Part::ALL.to_vec(),
            (false, some) => some.to_vec(),
        };
        let steps = parts.iter().map(|part| part.steps(amount)).sum();
        let setting = Setting { interrupt: Interrupt::watch()?, progress: progress_bar(steps) };
        let micro = Micro::measure(&setting, &parts, amount)?;
        setting.progress.finish_and_clear();
        self.output.print("micro", &micro)?;

        let committed = self.committed.clone().unwrap_or_else(callgrind::committed_path);
        if self.check || self.record {
            ensure!(
                !micro.instructions.is_empty(),
                "no instructions were counted: {}",
                micro.not_measured.join("; ")
            );
        }
        if self.record {
            callgrind::record(&micro.instructions, &committed)?;
        }
        if self.check {
            callgrind::check(&micro.instructions, &callgrind::read_committed(&committed)?)?;
        }
        Ok(())
    }
}

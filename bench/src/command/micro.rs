//! `mirror-bench micro`: the parts of the pipeline in memory.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use mirror_testkit::interrupt::Interrupt;

use super::common::OutputArguments;
use super::progress::progress_bar;
use crate::micro::callgrind::{self, Stage};
use crate::micro::time::Amount;
use crate::micro::{Micro, Observer, Part};

/// Arguments of `micro`.
#[derive(Args, Clone, Debug)]
pub struct MicroArguments {
    /// Parts to measure [default: all]
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Fail if there are over 3 % more instructions than committed; counts instructions only
    #[arg(long, conflicts_with_all = ["only", "record"])]
    check: bool,
    /// Write the file of committed instructions anew; counts instructions only
    #[arg(long, conflicts_with = "only")]
    record: bool,
    /// The file of committed instructions [default: bench/instructions.json of the source tree around the current
    /// directory, or of the one that the program was built from]
    #[arg(long, value_name = "FILE")]
    committed: Option<PathBuf>,
    /// The work that callgrind measures.
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
        let observer = Observer { interrupt: Interrupt::watch()?, progress: progress_bar(steps) };
        let micro = Micro::measure(&observer, &parts, amount)?;
        observer.progress.finish_and_clear();
        self.output.print("micro", &micro)?;

        if !(self.check || self.record) {
            return Ok(());
        }
        let Micro { instructions, not_measured, .. } = &micro;
        ensure!(!instructions.is_empty(), "no instructions were counted: {}", not_measured.join("; "));
        let committed = match &self.committed {
            Some(file) => file.clone(),
            None => {
                let here = env::current_dir().context("the current directory is not there")?;
                callgrind::committed_path(&here)?
            }
        };
        if self.record {
            callgrind::record(instructions, &committed)?;
            eprintln!("recorded in {}", committed.display());
        }
        if self.check {
            callgrind::check(instructions, &callgrind::read_committed(&committed)?)?;
        }
        Ok(())
    }
}

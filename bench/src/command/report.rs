//! `mirror-bench report`: everything in one run.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use mirror_testkit::interrupt::{Interrupt, Interrupted};

use super::progress::progress_bar;
use crate::report::Report;
use crate::report::suite::Suite;

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// The suite of measurements
    #[arg(long, value_enum, default_value_t)]
    suite: Suite,
    /// Directory for report.json, report.md and the plots; an interrupted run writes to its subdirectory `interrupted`
    #[arg(long, value_name = "DIRECTORY", default_value = "bench/results")]
    output: PathBuf,
    /// Print the names of the files as a JSON list
    #[arg(long)]
    json: bool,
    /// Short for --suite smoke
    #[arg(long, conflicts_with = "suite")]
    quick: bool,
    /// Write the page and the plots of this report.json anew, without measuring
    #[arg(long, value_name = "FILE", conflicts_with_all = ["suite", "quick"])]
    from: Option<PathBuf>,
}

impl ReportArguments {
    /// Measures, and writes the report.
    ///
    /// # Errors
    ///
    /// When the user interrupts it, or a file cannot be written.
    pub fn run(&self) -> Result<()> {
        if let Some(figures) = &self.from {
            return self.print(&Report::read(figures)?.write_pages(&self.output)?);
        }
        let suite = if self.quick { Suite::Smoke } else { self.suite };
        let interrupt = Interrupt::watch()?;
        let progress = progress_bar(1);
        let (report, ended) = suite.run(&interrupt, &progress);
        progress.finish_and_clear();
        let files = match ended {
            Ok(()) => report.write(&self.output)?,
            // An earlier report in the directory may be complete.
            Err(Interrupted) => report.write(&self.output.join("interrupted"))?,
        };
        self.print(&files)?;
        Ok(ended?)
    }

    fn print(&self, files: &[PathBuf]) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(files)?);
        } else {
            for file in files {
                println!("{}", file.display());
            }
        }
        Ok(())
    }
}

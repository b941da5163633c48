//! Arguments and output that several commands share.

use std::fmt::Display;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::processors::Processors;
use mirror_testkit::traffic::Profile;
use serde::Serialize;

use super::progress::progress_bar;
use crate::experiment::Setting;
use crate::machine::Machine;
use crate::receiver::{PipelineSetup, Records, SinkKind};

/// The pipeline under test.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pipeline")]
pub struct PipelineArguments {
    /// Records that the pipeline makes
    #[arg(long, value_enum, default_value_t)]
    pub records: Records,
    /// Destination of the records
    #[arg(long, value_enum, default_value_t)]
    pub sink: SinkKind,
    /// Entries of the receive ring, a power of two; there are twice as many packet buffers [default: the daemon's]
    #[arg(long, value_name = "N")]
    pub rx_ring: Option<u32>,
    /// Seconds after which the flow of a closed connection ends, and its record is made [default: 0.25, the daemon's is 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub closing_timeout: Option<Duration>,
    /// Put packet buffers on huge pages [default: if enough are reserved]
    #[arg(long, value_name = "BOOL")]
    pub huge_pages: Option<bool>,
}

impl PipelineArguments {
    /// The pipeline for `traffic`.
    pub fn pipeline(&self, traffic: &Profile) -> PipelineSetup {
        let Self { records, sink, rx_ring, closing_timeout, huge_pages } = *self;
        let default = PipelineSetup::default();
        let max_flows = default.max_flows.max(u32::try_from(traffic.flows).unwrap_or(u32::MAX));
        let closing_timeout = closing_timeout.unwrap_or(default.closing_timeout);
        PipelineSetup { records, sink, max_flows, rx_ring, huge_pages, closing_timeout, ..default }
    }
}

/// The form of the result.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "General")]
pub struct OutputArguments {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Measure much shorter, to see that everything works: the figures mean little
    #[arg(long)]
    pub quick: bool,
}

impl OutputArguments {
    /// `thorough`, or `quick` where the user wants that.
    pub fn pick<T>(&self, thorough: T, quick: T) -> T {
        if self.quick { quick } else { thorough }
    }

    /// A setting on the first two processors, whose progress has `steps` steps; signals are heard from here on.
    ///
    /// # Errors
    ///
    /// When there is one processor only, or signals cannot be handled.
    pub fn setting(&self, steps: usize) -> Result<Setting> {
        Ok(Setting {
            processors: Processors::choose()?,
            interrupt: Interrupt::watch()?,
            progress: progress_bar(steps),
        })
    }

    /// Prints a result with the machine that it belongs to.
    ///
    /// # Errors
    ///
    /// When it cannot be written as JSON.
    pub fn print<T: Serialize + Display>(&self, command: &'static str, result: &T) -> Result<()> {
        let machine = Machine::current();
        if self.json {
            let document = Document { command, quick: self.quick, machine, result };
            println!("{}", serde_json::to_string_pretty(&document)?);
        } else {
            println!("{result}\n\n{machine}");
        }
        Ok(())
    }
}

/// Reads a time in seconds.
///
/// # Errors
///
/// When it is none.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A result, and what it depends on.
#[derive(Debug, Serialize)]
pub struct Document<'result, T> {
    /// The command.
    pub command: &'static str,
    /// True for a short run that only shows that everything works.
    pub quick: bool,
    /// The machine.
    pub machine: Machine,
    /// The figures.
    pub result: &'result T,
}

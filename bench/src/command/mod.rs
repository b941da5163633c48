//! The command line: one file per command.

pub mod common;
pub mod compare;
pub mod generate;
pub mod latency;
pub mod micro;
pub mod ndr;
pub mod overload;
pub mod progress;
pub mod rate;
pub mod report;
pub mod retention;

use clap::{Parser, Subcommand};

use crate::receiver::Kind;

/// Traffic generator and measuring harness of mirror-capture.
#[derive(Debug, Parser)]
#[command(name = "mirror-bench", version)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send traffic like that of a Gateway Load Balancer, or write it to a capture file.
    Generate(generate::Generate),
    /// Drop in the driver: as many packets as the kernel can take from the cable.
    XdpDrop(rate::RateArguments),
    /// Receive over AF_XDP and recycle, nothing else: the upper bound.
    Rxdrop(rate::RateArguments),
    /// The daemon's whole pipeline.
    Pipeline(rate::PipelineRate),
    /// The pipeline against rxdrop, taking turns under the same offered rate.
    Retention(retention::RetentionArguments),
    /// The highest rate without loss, and the highest with 0.5 % of it.
    Ndr(ndr::NdrArguments),
    /// How long a packet takes from the moment for which it was meant to its record.
    Latency(latency::LatencyArguments),
    /// Twice what the pipeline can take: rate, memory and ledger must bear it.
    Overload(overload::OverloadArguments),
    /// The same traffic for other programs that are installed: tcpdump, Suricata, gwlbtun.
    Compare(compare::CompareArguments),
    /// The parts of the pipeline in memory: nanoseconds, allocations, instructions, and two workers side by side.
    Micro(micro::MicroArguments),
    /// Everything in one run: JSON, a Markdown page and plots.
    Report(report::ReportArguments),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    ///
    /// Those of the command.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Generate(generate) => generate.run(),
            Self::XdpDrop(rate) => rate.run("xdp-drop", &Kind::XdpDrop),
            Self::Rxdrop(rate) => rate.run("rxdrop", &Kind::RxDrop),
            Self::Pipeline(pipeline) => pipeline.run(),
            Self::Retention(retention) => retention.run(),
            Self::Ndr(ndr) => ndr.run(),
            Self::Latency(latency) => latency.run(),
            Self::Overload(overload) => overload.run(),
            Self::Compare(compare) => compare.run(),
            Self::Micro(micro) => micro.run(),
            Self::Report(report) => report.run(),
        }
    }
}

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
pub mod traffic;

use clap::{Parser, Subcommand};

use crate::receiver::ReceiverKind;

/// Traffic generator and measuring harness of mirror-capture.
#[derive(Debug, Parser)]
#[command(name = "mirror-bench", version)]
pub struct CommandLine {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send traffic like that of a Gateway Load Balancer, or write it to a capture file.
    Generate(generate::Generate),
    /// Drop packets in the driver: the highest rate that the kernel can receive.
    XdpDrop(rate::RateArguments),
    /// Receive over AF_XDP and recycle, nothing else: the upper bound of any AF_XDP program.
    Rxdrop(rate::RateArguments),
    /// Measure the throughput of the daemon's whole pipeline.
    Pipeline(rate::PipelineRate),
    /// Compare the pipeline with rxdrop, in turns at the same offered rate.
    Retention(retention::RetentionArguments),
    /// Find the highest rate without loss, and the highest with 0.5 % loss.
    Ndr(ndr::NdrArguments),
    /// Measure the latency from the intended time of sending to the record.
    Latency(latency::LatencyArguments),
    /// Overload the pipeline with twice its sustainable rate: throughput, memory and ledger must hold.
    Overload(overload::OverloadArguments),
    /// Measure other installed programs under the same traffic: tcpdump, Suricata, gwlbtun.
    Compare(compare::CompareArguments),
    /// Measure the parts of the pipeline in memory: nanoseconds, allocations, instructions, two workers side by side.
    Micro(micro::MicroArguments),
    /// Measure everything in one run: JSON, a Markdown page and plots.
    Report(report::ReportArguments),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// Those of the command.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Generate(generate) => generate.run(),
            Self::XdpDrop(rate) => rate.run("xdp-drop", &ReceiverKind::XdpDrop),
            Self::Rxdrop(rate) => rate.run("rxdrop", &ReceiverKind::RxDrop),
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

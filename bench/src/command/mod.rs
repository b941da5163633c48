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
pub mod timestamps;
pub mod traffic;
pub mod xdp;

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
    /// Repeat the headline: mirrored sessions to the pipeline and to rxdrop, in turns, every pair shown; three minutes.
    Headline(retention::HeadlineArguments),
    /// Compare the pipeline with rxdrop, in turns, under any traffic.
    Retention(retention::RetentionArguments),
    /// Measure the cost of the XDP program alone, against the least program that redirects.
    Xdp(xdp::XdpArguments),
    /// Find the highest rate without loss, and the highest with 0.5 % loss.
    Ndr(ndr::NdrArguments),
    /// Measure the latency from the intended time of sending to the record.
    Latency(latency::LatencyArguments),
    /// Measure the error of timestamps that are worked out from those of some packets.
    Timestamps(timestamps::TimestampArguments),
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
            Self::Headline(headline) => headline.run(),
            Self::Retention(retention) => retention.run(),
            Self::Xdp(xdp) => xdp.run(),
            Self::Ndr(ndr) => ndr.run(),
            Self::Latency(latency) => latency.run(),
            Self::Timestamps(timestamps) => timestamps.run(),
            Self::Overload(overload) => overload.run(),
            Self::Compare(compare) => compare.run(),
            Self::Micro(micro) => micro.run(),
            Self::Report(report) => report.run(),
        }
    }
}

//! Tasks of the workspace, run as `cargo xtask TASK`.
//!
//! - [`setup`]: installs the tools that the others need, and nothing that is there already.
//! - [`build_ebpf`]: builds the XDP programs and lists their programs and maps.
//! - [`demo`]: generator and daemon on a veth pair, with the ledger checked against what was sent.
//! - [`test`](mod@test): every check and test of the workspace.
//!
//! They stand on [`cargo`] (its command and its messages) and the light part of `mirror-testkit` (child processes, signals,
//! network namespaces). Nothing here needs more than a Rust toolchain to compile, because this program installs
//! everything else.

mod build_ebpf;
mod cargo;
mod demo;
mod setup;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mirror_testkit::interrupt::Interrupt;

/// Tasks of the workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building, the demo and the tests need; what is there already stays as it is.
    Setup(setup::Arguments),
    /// Build the XDP programs into target/bpf and list their programs and maps.
    BuildEbpf(build_ebpf::Arguments),
    /// Send traffic through the daemon on a veth pair and check its ledger against what was sent.
    Demo(demo::Arguments),
    /// The part of the demo that needs root, with the programs built already.
    #[command(hide = true)]
    DemoLive(demo::LiveArguments),
    /// Run every check and test: formatting, lints, unit, property, golden and live tests, documentation.
    Test(test::Arguments),
}

fn main() -> ExitCode {
    run(&Arguments::parse().task).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: &Task) -> Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    match task {
        Task::Setup(arguments) => setup::run(arguments, &interrupt),
        Task::BuildEbpf(arguments) => build_ebpf::run(arguments, &interrupt),
        Task::Demo(arguments) => demo::run(arguments, &interrupt),
        Task::DemoLive(arguments) => demo::run_live(arguments, &interrupt),
        Task::Test(arguments) => test::run(arguments, &interrupt),
    }
}

//! `mirror-bench`: traffic generator and measuring harness.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use mirror_bench::command::CommandLine;
use mirror_testkit::allocations::Counting;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
    match command_line.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mirror-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! `mirror-capture`: the command line.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mirror_user::command::{Outcome, replay, run};
use mirror_user::config::options::{CaptureOptions, FlowOptions, OutputOptions, TunnelOptions};
use mirror_user::config::value::HumanDuration;
use mirror_user::config::{ConfigError, Options, Settings};
use mirror_user::shutdown::Shutdown;
use tracing_subscriber::EnvFilter;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped by SIGINT, SIGTERM or SIGHUP; every packet is accounted for
  1  it could not start or go on, or a file could not be read in full; the message says why, and what to do
  2  the command line or the configuration is wrong
  3  the ledger does not balance: a packet is unaccounted for";

/// Turns mirrored traffic in GENEVE or VXLAN into records of flows and packets, past the kernel's network stack.
#[derive(Parser)]
#[command(name = "mirror-capture", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Capture from an interface until SIGINT, SIGTERM or SIGHUP
    #[command(display_name = "mirror-capture", after_help = EXIT_CODES, args_override_self = true)]
    Run(RunArgs),
    /// Read capture files (pcap or pcapng, also compressed with gzip or zstd) through the same pipeline
    #[command(display_name = "mirror-capture", after_help = EXIT_CODES, args_override_self = true)]
    Replay(ReplayArgs),
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    capture: CaptureOptions,
    #[command(flatten)]
    common: CommonArgs,
    /// Log packet rates this often; 0s: never
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = None::<&str>)]
    stats_interval: HumanDuration,
}

#[derive(Args)]
struct ReplayArgs {
    /// Capture files, pipes, or directories of capture files, in this order; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args)]
struct CommonArgs {
    /// Configuration file in TOML; docs/mirror-capture.toml describes every key. Flags override the file
    #[arg(long, value_name = "FILE", help_heading = None::<&str>)]
    config: Option<PathBuf>,
    #[command(flatten)]
    tunnel: TunnelOptions,
    #[command(flatten)]
    flow: FlowOptions,
    #[command(flatten)]
    output: OutputOptions,
    /// Log filter: a level (error, warn, info, debug, trace), or targets with levels
    #[arg(long, value_name = "FILTER", default_value = "info", env = "MIRROR_LOG", help_heading = None::<&str>)]
    log: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (Command::Run(RunArgs { common, .. }) | Command::Replay(ReplayArgs { common, .. })) = &cli.command;
    if let Err(error) = start_log(&common.log) {
        let filter = &common.log;
        tell(&format!(
            "error: --log {filter:?} is not a level (error, warn, info, debug, trace) or filter: {error}\n"
        ));
        return ExitCode::from(2);
    }
    match execute(cli.command) {
        Ok(Outcome { ledger, failure }) => {
            tell(&ledger.table());
            if let Some(failure) = failure {
                tell(&format!("error: {failure}\n"));
                return ExitCode::from(1);
            }
            ExitCode::from(if ledger.balanced { 0 } else { 3 })
        }
        Err(error) => {
            tell(&format!("error: {}\n", told_once(&error)));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
}

/// Writes to standard error. That nobody reads it any more is no reason to end otherwise.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// An error with its causes, but for those that a message before them names.
fn told_once(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn execute(command: Command) -> anyhow::Result<Outcome> {
    let shutdown = Shutdown::new();
    shutdown.listen()?;
    match command {
        Command::Run(RunArgs { common, capture, stats_interval }) => {
            let settings = settle(common, capture)?;
            let interval = Some(stats_interval.0).filter(|&interval| interval > Duration::ZERO);
            Ok(run::run(&settings, interval, &shutdown)?)
        }
        Command::Replay(ReplayArgs { files, common }) => {
            let settings = settle(common, CaptureOptions::default())?;
            Ok(replay::run(files, &settings, &shutdown)?)
        }
    }
}

fn settle(common: CommonArgs, capture: CaptureOptions) -> Result<Settings, ConfigError> {
    let file = common.config.as_deref().map(Options::read).transpose()?.unwrap_or_default();
    let CommonArgs { tunnel, flow, output, .. } = common;
    Settings::resolve(Options { capture, tunnel, flow, output, ..Options::default() }, file)
}

/// Logs go to standard error, so that standard output holds records and nothing else.
fn start_log(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // It would be written to standard error too, where a reader that has gone would make a panic of it.
        .log_internal_errors(false)
        .init();
    Ok(())
}

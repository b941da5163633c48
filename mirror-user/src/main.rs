//! `mirror-capture`: the command line.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use mirror_user::command::rules::{self, RulesError};
use mirror_user::command::{Outcome, config, replay, run};
use mirror_user::config::{CaptureConfig, Config, ConfigError, Flags, OutputConfig};
use mirror_user::decap::DecapConfig;
use mirror_user::enrichment::EnrichmentConfig;
use mirror_user::error::chain;
use mirror_user::flow::{ApplicationConfig, FlowConfig};
use mirror_user::shutdown::Shutdown;
use mirror_user::sink::SinkConfig;
use mirror_user::value::duration;
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
    /// Ask about the rules of a configuration; try and learn egress rules
    #[command(display_name = "mirror-capture", subcommand)]
    Rules(rules::RulesCommand),
    /// Check configuration files
    #[command(display_name = "mirror-capture", subcommand)]
    Config(config::ConfigCommand),
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    capture: Flags<CaptureConfig>,
    #[command(flatten)]
    common: CommonArgs,
    /// Log packet rates this often; 0s: never
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse, help_heading = None::<&str>)]
    stats_interval: Duration,
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
    tunnel: Flags<DecapConfig>,
    #[command(flatten)]
    flow: Flags<FlowConfig>,
    #[command(flatten)]
    application: Flags<ApplicationConfig>,
    #[command(flatten)]
    output: Flags<OutputConfig>,
    #[command(flatten)]
    enrichment: Flags<EnrichmentConfig>,
    #[command(flatten)]
    sink: Flags<SinkConfig>,
    /// Log filter: a level (error, warn, info, debug, trace), or targets with levels
    #[arg(long, value_name = "FILTER", default_value = "info", env = "MIRROR_LOG", help_heading = None::<&str>)]
    log: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match &cli.command {
        Command::Run(RunArgs { common, .. }) | Command::Replay(ReplayArgs { common, .. }) => &common.log,
        Command::Rules(_) | Command::Config(_) => "info",
    };
    if let Err(error) = start_log(filter) {
        tell(&format!(
            "error: --log {filter:?} is not a level (error, warn, info, debug, trace) or filter: {error}\n"
        ));
        return ExitCode::from(2);
    }
    match execute(cli.command) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(Outcome { ledger, failure })) => {
            tell(&ledger.table());
            if let Some(failure) = failure {
                tell(&format!("error: {}\n", chain(&failure)));
                return ExitCode::from(1);
            }
            ExitCode::from(if ledger.balanced { 0 } else { 3 })
        }
        Err(error) => {
            tell(&format!("error: {error:#}\n"));
            ExitCode::from(if error.is::<ConfigError>() { 2 } else { 1 })
        }
    }
}

/// Writes to standard error. That nobody reads it any more is no reason to end otherwise.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Carries out a command. One that makes no records has no outcome.
fn execute(command: Command) -> anyhow::Result<Option<Outcome>> {
    let shutdown = Shutdown::new();
    shutdown.listen()?;
    match command {
        Command::Run(RunArgs { common, capture, stats_interval }) => {
            let config = configure(&common, Some(&capture))?;
            let interval = Some(stats_interval).filter(|&interval| interval > Duration::ZERO);
            Ok(Some(run::run(&config, interval, &shutdown)?))
        }
        Command::Replay(ReplayArgs { files, common }) => {
            let config = configure(&common, None)?;
            Ok(Some(replay::run(files, &config, &shutdown)?))
        }
        Command::Rules(question) => {
            let answer = rules::run(&question, &shutdown).map_err(|error| match error {
                RulesError::Config(error) => error.into(),
                error => anyhow::Error::from(error),
            })?;
            // A reader that has gone wants no more of it.
            let _ = std::io::stdout().write_all(answer.as_bytes());
            Ok(None)
        }
        Command::Config(command) => {
            let _ = std::io::stdout().write_all(config::run(&command)?.as_bytes());
            Ok(None)
        }
    }
}

/// The options of the file, the flags over them.
fn configure(common: &CommonArgs, capture: Option<&Flags<CaptureConfig>>) -> Result<Config, ConfigError> {
    let mut config = common.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    if let Some(capture) = capture {
        capture.apply(&mut config.capture)?;
    }
    common.tunnel.apply(&mut config.tunnel)?;
    common.flow.apply(&mut config.flow)?;
    common.application.apply(&mut config.application)?;
    common.output.apply(&mut config.output)?;
    common.enrichment.apply(&mut config.enrichment)?;
    if common.sink.is_given() {
        common.sink.apply(config.only_sink_mut()?)?;
    }
    config.check()
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

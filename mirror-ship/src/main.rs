//! `mirror-ship`: delivers finished records from the spool to lakes, brokers and collectors.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use mirror_ship::config::Config;
use mirror_ship::{command, status};
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing_subscriber::EnvFilter;

/// Delivers finished records from the spool to lakes, brokers and collectors.
#[derive(Debug, Parser)]
#[command(name = "mirror-ship", version)]
struct Cli {
    /// Configuration file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "MIRROR_SHIP_CONFIG",
        default_value = "/etc/mirror/mirror-ship.toml"
    )]
    config: PathBuf,
    /// Log level on standard error: off, error, warn, info, debug or trace, or a filter in the syntax of tracing's EnvFilter
    #[arg(long, global = true, value_name = "FILTER", env = "MIRROR_SHIP_LOG", default_value = "info")]
    log: String,
    /// Format of log lines
    #[arg(long, global = true, value_enum, env = "MIRROR_SHIP_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Deliver until SIGTERM
    Watch,
    /// Deliver what is in the spool, and leave
    Once,
    /// Show lag and account of every destination
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check spool, clock and every destination, without delivering anything
    Check,
    /// Recount the spool from its files alone
    Verify,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mirror-ship: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let filter = EnvFilter::try_new(&cli.log).with_context(|| format!("--log {:?}", cli.log))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    let config = Config::read(&cli.config)?;
    match cli.command {
        Command::Status { json } => {
            let statuses = status::read(&config)?;
            if json {
                println!("{}", serde_json::to_string(&statuses)?);
            } else {
                print!("{}", status::table(&statuses));
            }
            Ok(true)
        }
        Command::Check => Ok(command::check(&config)?),
        Command::Verify => {
            let found = mirror_spool::verify(&config.spool, true)?;
            println!(
                "{} files with {} records as the manifest tells; {} lost and {} removed, by name",
                found.files, found.stored.records, found.lost.records, found.removed.records
            );
            found.problems.iter().for_each(|problem| println!("{problem}"));
            Ok(found.problems.is_empty())
        }
        Command::Once | Command::Watch => {
            std::fs::create_dir_all(&config.state)
                .with_context(|| format!("cannot create {}", config.state.display()))?;
            let stop = Arc::new(AtomicBool::new(false));
            for signal in [SIGINT, SIGTERM] {
                // A second signal ends the program at once: what is delivered then is delivered again under the same names.
                signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))?;
                signal_hook::flag::register(signal, Arc::clone(&stop))?;
            }
            command::deliver(&config, matches!(cli.command, Command::Once), &stop)?;
            Ok(true)
        }
    }
}

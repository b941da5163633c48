//! `mirror-sessions`: keeps the traffic mirror sessions of a whole organisation equal to a policy.

mod cli;
mod command;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, GlobalOptions, LogFormat};
use command::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = run(cli).unwrap_or_else(|error| {
        eprintln!("mirror-sessions: {error:#}");
        Exit::Error
    });
    exit.into()
}

fn run(cli: Cli) -> Result<Exit> {
    start_logging(&cli.global)?;
    let Some(policy) = command::policy(&cli.global)? else { return Ok(Exit::Usage) };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(async {
        match cli.command {
            Command::Validate => command::validate(&policy),
            Command::Init(template) => command::init(&policy, template),
            Command::Plan(args) => command::plan(&cli.global, policy, args).await,
            Command::Apply(args) => command::apply(&cli.global, policy, args).await,
            Command::Reconcile(args) => command::reconcile(&cli.global, policy, args).await,
            Command::Prune(args) => command::prune(&cli.global, policy, args).await,
            Command::Watch(args) => command::watch(&cli.global, policy, args).await,
            Command::List(args) => command::list(&cli.global, policy, args).await,
            Command::Show(args) => command::show(&cli.global, policy, args).await,
            Command::Map(args) => command::map(&cli.global, policy, args).await,
            Command::Check(args) => command::check(&cli.global, policy, args).await,
        }
    })
}

fn start_logging(global: &GlobalOptions) -> Result<()> {
    let filter = EnvFilter::try_new(&global.log).with_context(|| format!("--log {:?}", global.log))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match global.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

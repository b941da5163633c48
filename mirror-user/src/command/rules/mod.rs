//! `mirror-capture rules`: questions about the rules of a configuration; egress rules tried on flow records, and learned from them.
//!
//! - `files`: the lines of files; capture files go through the replay pipeline first.
//! - `record`: what a flow record tells of a connection.
//! - `explain`: a tunnel, and a connection in it, as the command line describes them.

mod explain;
mod files;
mod record;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use mirror_egress::learn::{LearnOptions, Learner, Scope};
use mirror_egress::summary::{Summary, Tally};
use mirror_egress::{Action, Amount, Connection, Engine, Time};
use thiserror::Error;

pub use self::explain::ExplainArgs;
pub use self::files::FileError;
use self::record::Reading;
use crate::config::{Config, ConfigError};
use crate::pipeline::PipelineError;
use crate::shutdown::Shutdown;

/// Reasons why a command on rules fails.
#[derive(Debug, Error)]
pub enum RulesError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A capture file cannot be replayed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// No file has a flow record.
    #[error(
        "no flow records in {files} file(s), but {others} line(s) of other kinds; give NDJSON that mirror-capture wrote with \
         --records flow, or a capture file"
    )]
    NoRecords {
        /// Number of files.
        files: usize,
        /// Lines that are no flow records.
        others: u64,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There are no rules to try.
    #[error("the configuration has no [[egress]] table; `mirror-capture rules learn` proposes some")]
    NoRules,
}

/// A question about the rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Tell which rules are for a tunnel, and what its records may have; and the verdict on a connection
    Explain(Box<ExplainArgs>),
    /// Judge flow records by the configuration's egress rules: hits of each rule, with examples
    Test(TestArgs),
    /// Propose egress rules that allow what flow records tell of, as TOML for the configuration
    Learn(LearnArgs),
}

/// Arguments of `rules test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Configuration file with the rules
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// NDJSON of flow records, also compressed with gzip or zstd, or capture files; - is NDJSON on standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Arguments of `rules learn`.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// Whom a rule is for
    #[arg(long, value_name = "WHOM", default_value = "account")]
    per: Per,
    /// Names below one registrable domain that become a wildcard; 0: none do
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    wildcard_from: usize,
    /// Configuration file, for how capture files are read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// NDJSON of flow records, also compressed with gzip or zstd, or capture files; - is NDJSON on standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Scope of learned rules, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Per {
    /// Rules for each account
    Account,
    /// The same rules for every source
    Everyone,
}

/// The answer to a question, in lines.
///
/// # Errors
///
/// When the configuration is wrong, a file cannot be read, or none has flow records.
pub fn run(command: &RulesCommand, shutdown: &Shutdown) -> Result<String, RulesError> {
    match command {
        RulesCommand::Explain(arguments) => explain::run(arguments),
        RulesCommand::Test(TestArgs { config, files }) => {
            test(files, &Config::read(config)?.check()?, shutdown)
        }
        RulesCommand::Learn(arguments) => learn(arguments, shutdown),
    }
}

/// Judges flow records by the configuration's egress rules. Returns the report.
fn test(files: &[PathBuf], config: &Config, shutdown: &Shutdown) -> Result<String, RulesError> {
    let engine = config.egress_engine().map_err(ConfigError::from)?;
    if engine.is_empty() {
        return Err(RulesError::NoRules);
    }
    let mut summary = Summary::new(&engine);
    let reading =
        read(files, config, shutdown, |connection, amount| summary.observe(&engine, connection, amount))?;
    Ok(report(&engine, &summary, &reading))
}

/// Proposes egress rules for flow records. Returns them as text for the configuration.
fn learn(arguments: &LearnArgs, shutdown: &Shutdown) -> Result<String, RulesError> {
    let config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default().check()?;
    let scope = match arguments.per {
        Per::Account => Scope::Account,
        Per::Everyone => Scope::Everyone,
    };
    let options = LearnOptions { scope, wildcard_from: arguments.wildcard_from, ..LearnOptions::default() };
    let mut learner = Learner::new(options);
    let observe = |connection: &Connection<'_>, amount: &Amount| learner.observe(connection, amount);
    let reading = read(&arguments.files, &config, shutdown, observe)?;
    Ok(format!("{}{}", learner.propose(), reading.notes("# ")))
}

/// Reads the connections of all files.
fn read(
    files: &[PathBuf],
    config: &Config,
    shutdown: &Shutdown,
    mut each: impl FnMut(&Connection<'_>, &Amount) + Send,
) -> Result<Reading, RulesError> {
    let mut reading = Reading::default();
    files::read(files, config, shutdown, |line| reading.line(line, &mut each))?;
    if reading.records == 0 {
        let others = reading.others + reading.malformed + reading.too_long;
        return Err(RulesError::NoRecords { files: files.len(), others });
    }
    Ok(reading)
}

/// The present time, which decides which exceptions have lapsed.
fn now() -> Time {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

/// Hits of each rule, with examples, and what the rules' author should know.
fn report(engine: &Engine, summary: &Summary, reading: &Reading) -> String {
    let mut text = String::new();
    let [allow, alert, deny] = summary.verdicts();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} flow records: {allow} allowed, {alert} alerts, {deny} would be denied",
        reading.records
    );
    text.push_str(&reading.notes(""));
    for (rule, tally) in summary.tallies() {
        let Tally { total, verdicts: [_, alert, deny], examples } = tally;
        let _ = writeln!(text, "\n{}: {total}", engine.rule_name(rule));
        if *alert + *deny > 0 {
            let _ = writeln!(text, "  {alert} alerts, {deny} would be denied");
        }
        for example in examples.iter().filter(|example| example.action != Action::Allow) {
            let _ = writeln!(
                text,
                "  {}: {} ({})",
                example.action.name(),
                example.connection.escape_debug(),
                example.reason.text()
            );
        }
    }
    for finding in engine.findings(now()) {
        let _ = writeln!(text, "\nnote: {finding}");
    }
    text
}

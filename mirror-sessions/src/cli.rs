//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
Exit codes:
  0  done, or nothing to do
  1  an error
  2  wrong usage, or a policy with faults
  3  partly done: an account or region could not be reached, or a change failed
  4  the saved plan is out of date: the resources or the policy have changed since
  5  changes are needed (plan --exit-code), or check found a fault

Credentials, the default region and endpoints come from the environment, as for the AWS CLI (AWS_PROFILE, \
AWS_REGION, AWS_ENDPOINT_URL_EC2). The guide is docs/sessions.md.";

/// Keeps the traffic mirror sessions of many AWS accounts equal to a policy.
#[derive(Debug, Parser)]
#[command(name = "mirror-sessions", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Options of all commands.
    #[command(flatten)]
    pub global: GlobalOptions,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Debug, Args)]
pub struct GlobalOptions {
    /// Policy file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "MIRROR_SESSIONS_POLICY",
        default_value = "/etc/mirror-sessions/policy.toml"
    )]
    pub policy: PathBuf,
    /// Log level on standard error: off, error, warn, info, debug or trace, or a filter in the syntax of tracing's EnvFilter
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "MIRROR_SESSIONS_LOG",
        default_value = "mirror_sessions=info,warn"
    )]
    pub log: String,
    /// Format of log lines
    #[arg(long, global = true, value_enum, env = "MIRROR_SESSIONS_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Write metrics to this file, for the textfile collector of node_exporter
    #[arg(long, global = true, value_name = "FILE", env = "MIRROR_SESSIONS_METRICS")]
    pub metrics: Option<PathBuf>,
    /// Keep the instance types that the API refuses in this file
    #[arg(long, global = true, value_name = "FILE", env = "MIRROR_SESSIONS_LEARNT")]
    pub learnt: Option<PathBuf>,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the policy file, without calling AWS
    Validate,
    /// Show the changes that the policy requires
    Plan(PlanArgs),
    /// Apply a saved plan, unless it is out of date
    Apply(ApplyArgs),
    /// Plan and apply once; with an event, only for the resources that it affects
    Reconcile(ReconcileArgs),
    /// Delete the sessions, filters and targets of this owner that the policy no longer requires; change nothing else
    #[command(name = "reap")]
    Prune(PruneArgs),
    /// Reconcile on events, and everything every few minutes
    Watch(WatchArgs),
    /// List the sessions
    List(ListArgs),
    /// Show a session, or the sessions of an interface or instance
    Show(ShowArgs),
    /// Write the enrichment map for mirror-capture
    Map(MapArgs),
    /// Print CloudFormation templates of the required roles, event rules and queues
    #[command(subcommand)]
    Init(InitCommand),
    /// Check permissions, quotas, instance types, endpoints and packet lengths; change nothing
    Check(CheckArgs),
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    /// Save the plan to this file, for `apply`
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Exit with 5 if changes are needed
    #[arg(long)]
    pub exit_code: bool,
}

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Plan file that `plan --output` wrote
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Change nothing; ask the API with DryRun whether each change would be allowed
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Reconcile only the resources that this EventBridge event affects, or a batch of events as Lambda receives it from a
    /// queue; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub event: Option<PathBuf>,
    /// Change nothing; ask the API with DryRun whether each change would be allowed
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `reap`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Delete nothing; ask the API with DryRun whether each deletion would be allowed
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// SQS queue of events; without it, there are only the periodic reconciles
    #[arg(long, value_name = "URL", env = "MIRROR_SESSIONS_QUEUE_URL")]
    pub queue_url: Option<String>,
    /// Dead-letter queue for messages that are not events; without it, the queue's redrive policy moves them
    #[arg(long, value_name = "URL", env = "MIRROR_SESSIONS_DEAD_LETTER_URL", requires = "queue_url")]
    pub dead_letter_url: Option<String>,
    /// Seconds between full reconciles, with a random deviation of up to a fifth
    #[arg(long, value_name = "SECONDS", env = "MIRROR_SESSIONS_INTERVAL", default_value = "300", value_parser = seconds)]
    pub interval: Duration,
    /// Keep the enrichment map for mirror-capture up to date in this file
    #[arg(long, value_name = "FILE", env = "MIRROR_SESSIONS_MAP")]
    pub map: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|interval| !interval.is_zero())
        .ok_or_else(|| "not above zero".to_owned())
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Include the sessions of other owners
    #[arg(long)]
    pub all: bool,
    /// Print the sessions as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of a session (tms-…), interface (eni-…) or instance (i-…)
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print the sessions as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `map`.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// Replace this file atomically; without it, print the map
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `init`.
#[derive(Debug, Subcommand)]
pub enum InitCommand {
    /// For the account and region in which mirror-sessions runs: queue, event rules, role
    Hub {
        /// Service that can assume the role of mirror-sessions
        #[arg(long, default_value = "ec2.amazonaws.com")]
        principal: String,
    },
    /// For another account: the role to assume, and rules that forward events; to be deployed in each of its regions
    Member {
        /// Account id; the policy must have a role_arn for it
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// Account in which the hub's template is deployed
        #[arg(long, value_name = "ACCOUNT")]
        hub_account: String,
        /// Region in which the hub's template is deployed
        #[arg(long, value_name = "REGION")]
        hub_region: String,
        /// Leave out the roles, which are global: for every region but the first
        #[arg(long)]
        without_roles: bool,
    },
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn intervals() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("0").is_err() && seconds("-1").is_err() && seconds("soon").is_err());
    }
}

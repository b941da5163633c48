//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
Exit codes:
  0  done, or nothing to do
  1  an error
  2  wrong usage, or a policy with faults
  3  partly done: some account or region could not be reached, or some change failed
  4  the saved plan is out of date: the world has moved since it was made
  5  there are changes to make (plan --exit-code), or check found a fault

Credentials, the default region and endpoints come from the environment, as for the AWS CLI (AWS_PROFILE, \
AWS_REGION, AWS_ENDPOINT_URL_EC2). The guide is docs/sessions.md.";

/// Keeps the traffic mirror sessions of many AWS accounts equal to a policy.
#[derive(Debug, Parser)]
#[command(name = "mirror-sessions", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all commands.
#[derive(Debug, Args)]
pub struct Common {
    /// The policy
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "MIRROR_SESSIONS_POLICY",
        default_value = "/etc/mirror-sessions/policy.toml"
    )]
    pub policy: PathBuf,
    /// Which log lines are written to standard error: off, error, warn, info, debug or trace, or as for tracing's
    /// EnvFilter
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "MIRROR_SESSIONS_LOG",
        default_value = "mirror_sessions=info,warn"
    )]
    pub log: String,
    /// How log lines are written
    #[arg(long, global = true, value_enum, env = "MIRROR_SESSIONS_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// Write metrics to this file, for node_exporter's textfile collector
    #[arg(long, global = true, value_name = "FILE", env = "MIRROR_SESSIONS_METRICS")]
    pub metrics: Option<PathBuf>,
    /// Keep which instance types the API has refused in this file
    #[arg(long, global = true, value_name = "FILE", env = "MIRROR_SESSIONS_LEARNT")]
    pub learnt: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the policy file alone, without AWS
    Validate,
    /// Show what would be changed
    Plan(PlanArgs),
    /// Carry out a saved plan, unless the world has moved since
    Apply(ApplyArgs),
    /// Plan and apply, once; with an event, only what that is about
    Reconcile(ReconcileArgs),
    /// Delete what is ours and not wanted any more, and change nothing else
    Reap(ReapArgs),
    /// Reconcile when events come, and every few minutes
    Watch(WatchArgs),
    /// List the sessions that are there
    List(ListArgs),
    /// Show one session, or those of an interface or instance
    Show(ShowArgs),
    /// Write the enrichment map for mirror-capture
    Map(MapArgs),
    /// Print what AWS must have first, as CloudFormation templates
    #[command(subcommand)]
    Init(InitCommand),
    /// Check permissions, quotas, instance types, endpoints and packet lengths; changes nothing
    Check(CheckArgs),
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    /// Save the plan, for `apply`
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Exit with 5 if there are changes to make
    #[arg(long)]
    pub exit_code: bool,
}

/// Options of `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan that `plan --output` saved
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Only ask the API whether each change would be allowed (its own DryRun)
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `reconcile`.
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// Only what this EventBridge event is about, or the batch of them that Lambda gets from a queue; `-` for standard
    /// input
    #[arg(long, value_name = "FILE")]
    pub event: Option<PathBuf>,
    /// Only ask the API whether each change would be allowed (its own DryRun)
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `reap`.
#[derive(Debug, Args)]
pub struct ReapArgs {
    /// Only ask the API whether each deletion would be allowed (its own DryRun)
    #[arg(long)]
    pub dry_run: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The queue that events come through; without one, there are only the regular reconciles
    #[arg(long, value_name = "URL", env = "MIRROR_SESSIONS_QUEUE_URL")]
    pub queue_url: Option<String>,
    /// Where messages go that cannot be read; without it, the queue's redrive policy moves them
    #[arg(long, value_name = "URL", env = "MIRROR_SESSIONS_DEAD_LETTER_URL", requires = "queue_url")]
    pub dead_letter_url: Option<String>,
    /// Seconds between full reconciles; each comes up to a fifth earlier or later
    #[arg(long, value_name = "SECONDS", env = "MIRROR_SESSIONS_INTERVAL", default_value = "300", value_parser = seconds)]
    pub interval: Duration,
    /// Keep the enrichment map for mirror-capture in this file
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
    /// Also those that others made
    #[arg(long)]
    pub all: bool,
    /// Print them as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of a session (tms-…), an interface (eni-…) or an instance (i-…)
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `map`.
#[derive(Debug, Args)]
pub struct MapArgs {
    /// Replace this file, so that a reader never sees half of it; without it, print
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Options of `init`.
#[derive(Debug, Subcommand)]
pub enum InitCommand {
    /// For the account and region that the manager runs in: queue, event rules, role
    Hub {
        /// The service that may assume the manager's role
        #[arg(long, default_value = "ec2.amazonaws.com")]
        principal: String,
    },
    /// For another account: the role to assume, and rules that forward events. Deploy it in each of its regions
    Member {
        /// The account, which the policy names with its role
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// The account that the hub's template is deployed in
        #[arg(long, value_name = "ACCOUNT")]
        hub_account: String,
        /// The region that the hub's template is deployed in
        #[arg(long, value_name = "REGION")]
        hub_region: String,
        /// Leave out the roles, which are the same for all regions: for every region but the first
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

//! The commands, each a few lines around the library.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use mirror_sessions::apply::ApplyOutcome;
use mirror_sessions::check::{self, Severity};
use mirror_sessions::connection::Connections;
use mirror_sessions::ec2::Aws;
use mirror_sessions::enrichment_map::EnrichmentMap;
use mirror_sessions::file::write_atomically;
use mirror_sessions::list::{self, Details, Table};
use mirror_sessions::metrics::{EventOutcome, Metrics};
use mirror_sessions::observation::Observations;
use mirror_sessions::policy::{self, Policy};
use mirror_sessions::reconciler::{ApplySummary, Reconciler};
use mirror_sessions::sqs::Sqs;
use mirror_sessions::watch::{OutputFiles, Watch};
use mirror_sessions::{cloudformation, event, plan};
use serde_json::json;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::cli::{
    ApplyArgs, CheckArgs, GlobalOptions, InitCommand, ListArgs, MapArgs, PlanArgs, PruneArgs, ReconcileArgs,
    ShowArgs, WatchArgs,
};

/// Exit codes of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// An error.
    Error = 1,
    /// Wrong usage, or a policy with faults; clap uses the same number.
    Usage = 2,
    /// Partly done.
    Partial = 3,
    /// The saved plan is out of date.
    OutOfDate = 4,
    /// Changes are needed, or there is a fault.
    Pending = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reads the policy; `None` if it has faults, which have been printed then.
pub fn policy(global: &GlobalOptions) -> Result<Option<Policy>> {
    let file = global.policy.display().to_string();
    let text = std::fs::read_to_string(&global.policy)
        .with_context(|| format!("{file} cannot be read (name a policy with --policy)"))?;
    Ok(policy::parse(&file, &text).inspect_err(|faults| eprintln!("{faults}")).ok())
}

fn reconciler_with(aws: Aws, global: &GlobalOptions, policy: Policy) -> Result<Reconciler<Aws>> {
    let connections = Connections::new(policy, aws, Arc::new(Metrics::default()));
    Reconciler::new(connections, global.learnt.clone()).with_context(|| {
        let file = global.learnt.as_deref().unwrap_or(Path::new("")).display();
        format!("the refused instance types cannot be read from {file} (remove the file to begin anew)")
    })
}

async fn reconciler(global: &GlobalOptions, policy: Policy) -> Result<Reconciler<Aws>> {
    reconciler_with(Aws::from_environment().await, global, policy)
}

fn write_metrics(global: &GlobalOptions, reconciler: &Reconciler<Aws>) -> Result<()> {
    let Some(path) = &global.metrics else { return Ok(()) };
    reconciler.metrics().write(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints to standard output; a closed pipe is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// `validate`.
pub fn validate(policy: &Policy) -> Result<Exit> {
    let account_regions = policy.account_regions().count();
    print(&format!(
        "{} rules for {} accounts, {account_regions} accounts and regions\n",
        policy.rules.len(),
        policy.accounts.len()
    ))?;
    Ok(Exit::Done)
}

/// `init`.
pub fn init(policy: &Policy, template: InitCommand) -> Result<Exit> {
    match template {
        InitCommand::Hub { principal } => print_json(&cloudformation::hub(policy, &principal))?,
        InitCommand::Member { account, hub_account, hub_region, without_roles } => {
            match cloudformation::member(policy, &account, &hub_account, &hub_region, !without_roles) {
                Some(template) => print_json(&template)?,
                None => bail!("the policy has no account {account} with a role_arn: add it there first"),
            }
        }
    }
    Ok(Exit::Done)
}

/// `plan`.
pub async fn plan(global: &GlobalOptions, policy: Policy, args: PlanArgs) -> Result<Exit> {
    let reconciler = reconciler(global, policy).await?;
    let mut observations = reconciler.observe().await;
    let plan = reconciler.plan(&mut observations, OffsetDateTime::now_utc());
    if let Some(path) = &args.output {
        write_atomically(path, &serde_json::to_vec_pretty(&plan)?)
            .with_context(|| format!("cannot save the plan as {}", path.display()))?;
    }
    if args.json {
        print_json(&plan)?;
    } else {
        print(&format!("{plan}\n"))?;
    }
    Ok(match plan.is_empty() {
        _ if !plan.unobserved.is_empty() => Exit::Partial,
        false if args.exit_code => Exit::Pending,
        _ => Exit::Done,
    })
}

/// `apply`.
pub async fn apply(global: &GlobalOptions, policy: Policy, args: ApplyArgs) -> Result<Exit> {
    let saved = plan::load(&args.plan)?;
    if saved.owner != policy.owner {
        bail!(
            "the plan belongs to owner {:?}, the policy to {:?}: use the policy that the plan was made from",
            saved.owner,
            policy.owner
        );
    }
    let reconciler = reconciler(global, policy).await?;
    let since = Instant::now();
    let mut observations = reconciler.observe().await;
    let mut current = reconciler.plan(&mut observations, OffsetDateTime::now_utc());
    let difference = saved.difference(&current);
    if !difference.is_empty() {
        eprintln!("{difference}");
        eprintln!(
            "mirror-sessions: the plan is out of date, as the resources or the policy have changed: plan again"
        );
        return Ok(Exit::OutOfDate);
    }
    // Accounts and regions that the saved plan does not have are left alone.
    current
        .account_regions
        .retain(|plan| saved.account_regions.iter().any(|saved| saved.account_region == plan.account_region));
    current.unobserved.retain(|unobserved| {
        saved.account_regions.iter().any(|saved| saved.account_region == unobserved.account_region)
    });
    let summary = reconciler.apply(current, &observations, since, args.dry_run).await;
    finish(global, &reconciler, &summary, args.dry_run, args.json)
}

/// `reconcile`.
pub async fn reconcile(global: &GlobalOptions, policy: Policy, args: ReconcileArgs) -> Result<Exit> {
    let reconciler = reconciler(global, policy).await?;
    if let Some(path) = &args.event {
        let exit = reconcile_event(&reconciler, path, args.dry_run).await;
        write_metrics(global, &reconciler)?;
        return exit;
    }
    let summary = reconciler.reconcile(OffsetDateTime::now_utc(), args.dry_run).await;
    finish(global, &reconciler, &summary, args.dry_run, args.json)
}

async fn reconcile_event(reconciler: &Reconciler<Aws>, path: &Path, dry_run: bool) -> Result<Exit> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read the event from standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the event {}", path.display()))?;
    }
    let mut exit = Exit::Done;
    for event in event::parse(&text)? {
        if !reconciler.policy().covers(&event.account_region) || event.affected.is_empty() {
            tracing::info!(account_region = %event.account_region, "the event affects nothing that the policy covers");
            reconciler.metrics().event(EventOutcome::Ignored, None);
            continue;
        }
        let now = OffsetDateTime::now_utc();
        let result =
            reconciler.reconcile_affected(&event.account_region, &event.affected, now, dry_run).await;
        let failed = match result {
            Ok((plan, outcome)) => {
                print(&format!("{plan}\n"))?;
                !outcome.failed.is_empty()
            }
            Err(error) => {
                tracing::error!(account_region = %event.account_region, code = error.code, %error, "the event failed");
                true
            }
        };
        let lag = event.time.map(|time| (OffsetDateTime::now_utc() - time).as_seconds_f64());
        let outcome = if failed { EventOutcome::Failed } else { EventOutcome::Done };
        reconciler.metrics().event(outcome, lag.filter(|_| !failed));
        if failed {
            exit = Exit::Partial;
        }
    }
    Ok(exit)
}

/// `reap`.
pub async fn prune(global: &GlobalOptions, policy: Policy, args: PruneArgs) -> Result<Exit> {
    let reconciler = reconciler(global, policy).await?;
    let since = Instant::now();
    let mut observations = reconciler.observe().await;
    let plan = reconciler.plan(&mut observations, OffsetDateTime::now_utc()).prune();
    let summary = reconciler.apply(plan, &observations, since, args.dry_run).await;
    finish(global, &reconciler, &summary, args.dry_run, args.json)
}

/// Prints the outcome of a plan.
fn finish(
    global: &GlobalOptions,
    reconciler: &Reconciler<Aws>,
    summary: &ApplySummary,
    dry_run: bool,
    as_json: bool,
) -> Result<Exit> {
    write_metrics(global, reconciler)?;
    if as_json {
        print_json(&outcome_json(summary, dry_run))?;
    } else {
        print(&outcome_text(summary, dry_run))?;
    }
    Ok(if summary.failed() { Exit::Partial } else { Exit::Done })
}

fn outcome_text(summary: &ApplySummary, dry_run: bool) -> String {
    let mut text = format!("{}\n", summary.plan);
    let mut line = |label: &str, detail: String| text += &format!("{label}: {detail}\n");
    for (account_region, error) in &summary.unreached {
        line("not reached", format!("{account_region}: {error}"));
    }
    for (account_region, outcome) in &summary.outcomes {
        for (change, reason) in &outcome.skipped {
            line("skipped", format!("{account_region}: {change}: {reason}"));
        }
        for (change, error) in &outcome.failed {
            line("failed", format!("{account_region}: {change}: {error}"));
        }
    }
    let count = |count: fn(&ApplyOutcome) -> usize| -> usize {
        summary.outcomes.iter().map(|(_, outcome)| count(outcome)).sum()
    };
    let done = if dry_run { "would be allowed" } else { "done" };
    text += &format!(
        "{} {done}, {} skipped, {} failed\n",
        summary.done(),
        count(|outcome| outcome.skipped.len()),
        count(|outcome| outcome.failed.len())
    );
    text
}

fn outcome_json(summary: &ApplySummary, dry_run: bool) -> serde_json::Value {
    let account_regions: Vec<_> = summary
        .outcomes
        .iter()
        .map(|(account_region, outcome)| {
            let skipped: Vec<_> =
                outcome.skipped.iter().map(|(change, reason)| json!({"change": change, "reason": reason})).collect();
            let failed: Vec<_> = outcome
                .failed
                .iter()
                .map(|(change, error)| json!({"change": change, "code": error.code, "error": error.to_string()}))
                .collect();
            json!({"account": account_region.account, "region": account_region.region, "done": outcome.done, "skipped": skipped, "failed": failed})
        })
        .collect();
    let unreached: Vec<_> = summary
        .unreached
        .iter()
        .map(|(account_region, error)| json!({"account": account_region.account, "region": account_region.region, "code": error.code, "error": error.to_string()}))
        .collect();
    json!({"dry_run": dry_run, "plan": summary.plan, "places": account_regions, "unreached": unreached})
}

/// `watch`.
pub async fn watch(global: &GlobalOptions, policy: Policy, args: WatchArgs) -> Result<Exit> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let aws = Aws::from_environment().await;
    let queue = args.queue_url.map(|url| Sqs::new(aws.config(), url, args.dead_letter_url));
    let reconciler = reconciler_with(aws, global, policy)?;
    let files = OutputFiles { map: args.map, metrics: global.metrics.clone() };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Watch::new(&reconciler, queue.as_ref(), args.interval, files).run(stop).await;
    Ok(Exit::Done)
}

/// Observes everything; the exit code is [`Exit::Partial`] if an account and region could not be observed.
async fn observe(global: &GlobalOptions, policy: Policy) -> Result<(Reconciler<Aws>, Observations, Exit)> {
    let reconciler = reconciler(global, policy).await?;
    let observations = reconciler.observe().await;
    let exit = if observations.unobserved.is_empty() { Exit::Done } else { Exit::Partial };
    Ok((reconciler, observations, exit))
}

/// `list`.
pub async fn list(global: &GlobalOptions, policy: Policy, args: ListArgs) -> Result<Exit> {
    let (reconciler, observations, exit) = observe(global, policy).await?;
    let rows = list::rows(&observations, &reconciler.policy().owner, args.all);
    if args.json {
        print_json(&rows)?;
    } else {
        print(&Table(&rows).to_string())?;
    }
    Ok(exit)
}

/// `show`.
pub async fn show(global: &GlobalOptions, policy: Policy, args: ShowArgs) -> Result<Exit> {
    let (reconciler, observations, exit) = observe(global, policy).await?;
    let mut rows = list::rows(&observations, &reconciler.policy().owner, true);
    rows.retain(|row| row.matches_id(&args.id));
    if rows.is_empty() {
        bail!("there is no session of {}: `mirror-sessions list --all` lists all sessions", args.id);
    }
    if args.json {
        print_json(&rows)?;
    } else {
        let details: Vec<String> = rows.iter().map(|row| Details(row).to_string()).collect();
        print(&details.join("\n"))?;
    }
    Ok(exit)
}

/// `map`.
pub async fn map(global: &GlobalOptions, policy: Policy, args: MapArgs) -> Result<Exit> {
    let (reconciler, observations, exit) = observe(global, policy).await?;
    let mut map = EnrichmentMap::new(reconciler.policy());
    map.set_endpoint_interfaces(reconciler.endpoint_interfaces().await);
    for (account_region, observation) in &observations.account_regions {
        map.replace(account_region, observation);
    }
    let now = OffsetDateTime::now_utc();
    match &args.output {
        Some(path) => map.write(path, now).with_context(|| format!("cannot write {}", path.display()))?,
        None => print(&String::from_utf8_lossy(&map.json(now)?))?,
    }
    Ok(exit)
}

/// `check`.
pub async fn check(global: &GlobalOptions, policy: Policy, args: CheckArgs) -> Result<Exit> {
    let reconciler = reconciler(global, policy).await?;
    let findings = check::check(&reconciler, OffsetDateTime::now_utc()).await;
    if args.json {
        print_json(&findings)?;
    } else {
        let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        print(&lines)?;
    }
    let fault = findings.iter().any(|finding| finding.severity == Severity::Fault);
    Ok(if fault { Exit::Pending } else { Exit::Done })
}

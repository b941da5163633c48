//! The commands: each a few lines around the library.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use mirror_sessions::check::{self, Level};
use mirror_sessions::connection::Fleet;
use mirror_sessions::ec2::Aws;
use mirror_sessions::file::write_atomically;
use mirror_sessions::list::{self, Details, Table};
use mirror_sessions::manager::{Manager, Summary, World, load_plan};
use mirror_sessions::map::EnrichmentMap;
use mirror_sessions::metrics::{EventOutcome, Metrics};
use mirror_sessions::observe::Touched;
use mirror_sessions::policy::{self, Policy};
use mirror_sessions::sqs::Sqs;
use mirror_sessions::watch::{Files, Watch};
use mirror_sessions::{event, init as templates};
use serde_json::json;
use time::OffsetDateTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::cli::{
    ApplyArgs, CheckArgs, Common, InitCommand, ListArgs, MapArgs, PlanArgs, ReapArgs, ReconcileArgs,
    ShowArgs, WatchArgs,
};

/// How the program ends; the help text says what each means.
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
    /// There is something to be done.
    Pending = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reads the policy; `None` if it has faults, which have been told then.
pub fn policy(common: &Common) -> Result<Option<Policy>> {
    let file = common.policy.display().to_string();
    let text = std::fs::read_to_string(&common.policy)
        .with_context(|| format!("{file} cannot be read: name a policy with --policy"))?;
    Ok(policy::read(&file, &text).inspect_err(|faults| eprintln!("{faults}")).ok())
}

async fn manager(common: &Common, policy: Policy) -> Result<Manager<Aws>> {
    let fleet = Fleet::new(policy, Aws::from_environment().await, Arc::new(Metrics::default()));
    Manager::new(fleet, common.learnt.clone()).context("cannot read what was learnt about instance types")
}

fn write_metrics(common: &Common, manager: &Manager<Aws>) -> Result<()> {
    let Some(path) = &common.metrics else { return Ok(()) };
    manager.fleet().metrics.write(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Prints to standard output; a reader that has gone away is no error.
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
    let places = policy.places().count();
    print(&format!(
        "{} rules for {} accounts, {places} accounts and regions\n",
        policy.rules.len(),
        policy.accounts.len()
    ))?;
    Ok(Exit::Done)
}

/// `init`.
pub fn init(policy: &Policy, template: InitCommand) -> Result<Exit> {
    match template {
        InitCommand::Hub { principal } => print_json(&templates::hub(policy, &principal))?,
        InitCommand::Member { account, hub_account, hub_region, without_roles } => {
            match templates::member(policy, &account, &hub_account, &hub_region, !without_roles) {
                Some(template) => print_json(&template)?,
                None => bail!("the policy has no account {account} with a role_arn: add it there first"),
            }
        }
    }
    Ok(Exit::Done)
}

/// `plan`.
pub async fn plan(common: &Common, policy: Policy, args: PlanArgs) -> Result<Exit> {
    let manager = manager(common, policy).await?;
    let mut world = manager.observe().await;
    let plan = manager.plan(&mut world, OffsetDateTime::now_utc());
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
        _ if !plan.unseen.is_empty() => Exit::Partial,
        false if args.exit_code => Exit::Pending,
        _ => Exit::Done,
    })
}

/// `apply`.
pub async fn apply(common: &Common, policy: Policy, args: ApplyArgs) -> Result<Exit> {
    let saved = load_plan(&args.plan)?;
    if saved.owner != policy.owner {
        bail!(
            "the plan is of owner {:?} and the policy of {:?}: name the policy that it was made with",
            saved.owner,
            policy.owner
        );
    }
    let manager = manager(common, policy).await?;
    let since = Instant::now();
    let mut world = manager.observe().await;
    let mut current = manager.plan(&mut world, OffsetDateTime::now_utc());
    let difference = saved.difference(&current);
    if !difference.is_empty() {
        eprintln!("{difference}");
        eprintln!("mirror-sessions: the world or the policy has moved since the plan was made: plan again");
        return Ok(Exit::OutOfDate);
    }
    // Places that the saved plan does not have are not its business.
    current.places.retain(|place| saved.places.iter().any(|saved| saved.place == place.place));
    current.unseen.retain(|unseen| saved.places.iter().any(|saved| saved.place == unseen.place));
    let summary = manager.apply(current, &world, since, args.dry_run).await;
    finish(common, &manager, &summary, args.dry_run, args.json)
}

/// `reconcile`.
pub async fn reconcile(common: &Common, policy: Policy, args: ReconcileArgs) -> Result<Exit> {
    let manager = manager(common, policy).await?;
    if let Some(path) = &args.event {
        let exit = reconcile_event(&manager, path, args.dry_run).await;
        write_metrics(common, &manager)?;
        return exit;
    }
    let summary = manager.reconcile(OffsetDateTime::now_utc(), args.dry_run).await;
    finish(common, &manager, &summary, args.dry_run, args.json)
}

async fn reconcile_event(manager: &Manager<Aws>, path: &Path, dry_run: bool) -> Result<Exit> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("cannot read the event from standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the event {}", path.display()))?;
    }
    let mut exit = Exit::Done;
    for event in event::read(&text)? {
        let ours = manager.fleet().policy.places().any(|place| place == event.place);
        if !ours || event.touched == Touched::default() {
            tracing::info!(place = %event.place, "the event is about nothing that the policy looks after");
            manager.fleet().metrics.event(EventOutcome::Ignored, None);
            continue;
        }
        let now = OffsetDateTime::now_utc();
        let result = manager.reconcile_touched(&event.place, &event.touched, now, dry_run).await;
        let failed = match result {
            Ok((plan, outcome)) => {
                print(&format!("{plan}\n"))?;
                !outcome.failed.is_empty()
            }
            Err(error) => {
                tracing::error!(place = %event.place, code = error.code, %error, "the work of the event failed");
                true
            }
        };
        let lag = event.time.map(|time| (OffsetDateTime::now_utc() - time).as_seconds_f64());
        let outcome = if failed { EventOutcome::Failed } else { EventOutcome::Done };
        manager.fleet().metrics.event(outcome, lag.filter(|_| !failed));
        if failed {
            exit = Exit::Partial;
        }
    }
    Ok(exit)
}

/// `reap`.
pub async fn reap(common: &Common, policy: Policy, args: ReapArgs) -> Result<Exit> {
    let manager = manager(common, policy).await?;
    let since = Instant::now();
    let mut world = manager.observe().await;
    let plan = manager.plan(&mut world, OffsetDateTime::now_utc()).reap();
    let summary = manager.apply(plan, &world, since, args.dry_run).await;
    finish(common, &manager, &summary, args.dry_run, args.json)
}

/// Tells what became of a plan.
fn finish(
    common: &Common,
    manager: &Manager<Aws>,
    summary: &Summary,
    dry_run: bool,
    as_json: bool,
) -> Result<Exit> {
    write_metrics(common, manager)?;
    if as_json {
        print_json(&outcome_json(summary, dry_run))?;
    } else {
        print(&outcome_text(summary, dry_run))?;
    }
    Ok(if summary.failed() { Exit::Partial } else { Exit::Done })
}

fn outcome_text(summary: &Summary, dry_run: bool) -> String {
    let mut text = format!("{}\n", summary.plan);
    let mut line = |label: &str, what: String| text += &format!("{label}: {what}\n");
    for (place, error) in &summary.unreached {
        line("not reached", format!("{place}: {error}"));
    }
    for (place, outcome) in &summary.outcomes {
        for (change, reason) in &outcome.skipped {
            line("skipped", format!("{place}: {change}: {reason}"));
        }
        for (change, error) in &outcome.failed {
            line("failed", format!("{place}: {change}: {error}"));
        }
    }
    let count = |count: fn(&mirror_sessions::apply::Outcome) -> usize| -> usize {
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

fn outcome_json(summary: &Summary, dry_run: bool) -> serde_json::Value {
    let places: Vec<_> = summary
        .outcomes
        .iter()
        .map(|(place, outcome)| {
            let skipped: Vec<_> =
                outcome.skipped.iter().map(|(change, reason)| json!({"change": change, "reason": reason})).collect();
            let failed: Vec<_> = outcome
                .failed
                .iter()
                .map(|(change, error)| json!({"change": change, "code": error.code, "error": error.to_string()}))
                .collect();
            json!({"account": place.account, "region": place.region, "done": outcome.done, "skipped": skipped, "failed": failed})
        })
        .collect();
    let unreached: Vec<_> = summary
        .unreached
        .iter()
        .map(|(place, error)| json!({"account": place.account, "region": place.region, "code": error.code, "error": error.to_string()}))
        .collect();
    json!({"dry_run": dry_run, "plan": summary.plan, "places": places, "unreached": unreached})
}

/// `watch`.
pub async fn watch(common: &Common, policy: Policy, args: WatchArgs) -> Result<Exit> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let aws = Aws::from_environment().await;
    let queue = args.queue_url.map(|url| Sqs::new(aws.config(), url, args.dead_letter_url));
    let fleet = Fleet::new(policy, aws, Arc::new(Metrics::default()));
    let manager = Manager::new(fleet, common.learnt.clone())
        .context("cannot read what was learnt about instance types")?;
    let files = Files { map: args.map, metrics: common.metrics.clone() };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Watch::new(&manager, queue.as_ref(), args.interval, files).run(stop).await;
    Ok(Exit::Done)
}

/// Everything that can be observed; the exit code says whether that is all.
async fn look(common: &Common, policy: Policy) -> Result<(Manager<Aws>, World, Exit)> {
    let manager = manager(common, policy).await?;
    let world = manager.observe().await;
    let exit = if world.unseen.is_empty() { Exit::Done } else { Exit::Partial };
    Ok((manager, world, exit))
}

/// `list`.
pub async fn list(common: &Common, policy: Policy, args: ListArgs) -> Result<Exit> {
    let (manager, world, exit) = look(common, policy).await?;
    let rows = list::rows(&world, &manager.fleet().policy.owner, args.all);
    if args.json {
        print_json(&rows)?;
    } else {
        print(&Table(&rows).to_string())?;
    }
    Ok(exit)
}

/// `show`.
pub async fn show(common: &Common, policy: Policy, args: ShowArgs) -> Result<Exit> {
    let (manager, world, exit) = look(common, policy).await?;
    let mut rows = list::rows(&world, &manager.fleet().policy.owner, true);
    rows.retain(|row| row.is_about(&args.id));
    if rows.is_empty() {
        bail!("no session is about {}: `mirror-sessions list --all` shows what there is", args.id);
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
pub async fn map(common: &Common, policy: Policy, args: MapArgs) -> Result<Exit> {
    let (manager, world, exit) = look(common, policy).await?;
    let mut map = EnrichmentMap::new(&manager.fleet().policy);
    map.endpoint_interfaces(manager.endpoint_interfaces().await);
    for (place, observed) in &world.places {
        map.replace(place, observed);
    }
    let now = OffsetDateTime::now_utc();
    match &args.output {
        Some(path) => map.write(path, now).with_context(|| format!("cannot write {}", path.display()))?,
        None => print(&String::from_utf8_lossy(&map.json(now)?))?,
    }
    Ok(exit)
}

/// `check`.
pub async fn check(common: &Common, policy: Policy, args: CheckArgs) -> Result<Exit> {
    let manager = manager(common, policy).await?;
    let findings = check::check(&manager, OffsetDateTime::now_utc()).await;
    if args.json {
        print_json(&findings)?;
    } else {
        let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        print(&lines)?;
    }
    let fault = findings.iter().any(|finding| finding.level == Level::Fault);
    Ok(if fault { Exit::Pending } else { Exit::Done })
}

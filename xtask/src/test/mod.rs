//! Every check and test of the workspace; skipped tests are named and counted as skipped.

mod outcome;
mod strays;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use anyhow::Result;
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::process::{self, Running};

use crate::cargo;
use crate::setup::{self, Scope};
use outcome::Outcome;

/// The tests of the workspace, as cargo calls them.
const TEST: [&str; 2] = ["test", "--workspace"];

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// A skipped test fails the run; the default where CI=true.
    #[arg(long)]
    ci: bool,
}

/// Installs what is missing, runs everything, and closes with the line `N passed, N failed, N skipped`, in which
/// each check counts like a test.
///
/// # Errors
///
/// On an interrupt. Whatever else goes wrong is told, counted as a failure, and makes the exit code 1.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<ExitCode> {
    let strict = arguments.ci || env::var("CI").is_ok_and(|value| value == "true");
    let mut outcome = Outcome::default();
    let ready = setup::ensure(Scope::Tests, interrupt);
    let proceed = ready.is_ok();
    outcome.check("set-up", ready);
    if proceed {
        run_all(&mut outcome, interrupt);
    }
    interrupt.check()?;

    for ignored in &outcome.ignored {
        println!("not run: {ignored}");
    }
    for skipped in &outcome.skipped {
        println!("skipped: {skipped}");
    }
    for failed in &outcome.failed {
        println!("failed: {failed}");
    }
    if strict && !outcome.skipped.is_empty() {
        println!("a skipped test fails this run, as --ci or CI=true asks");
    }
    let success = outcome.succeeded(strict);
    println!("{outcome}");
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_all(outcome: &mut Outcome, interrupt: &Interrupt) {
    let mut check = |name: &str, command: &mut Command| {
        println!("\n{name}: {}", process::show(command));
        let result = process::run(command, interrupt);
        let passed = result.is_ok();
        outcome.check(name, result.map_err(Into::into));
        passed
    };
    check("formatting", cargo::command().args(["fmt", "--all", "--check"]));
    let linted = check("lints", linting(cargo::command().args(TEST).arg("--no-run")));
    // Documentation needs dependencies compiled in another way than tests do, and the AWS SDK takes minutes each time.
    let document = |arguments: &[&str]| {
        let mut command = cargo::command();
        command.args(["doc", "--no-deps"]).args(arguments).env("RUSTDOCFLAGS", "--deny warnings");
        command
    };
    check("documentation", &mut document(&["--workspace", "--exclude", "mirror-sessions"]));
    let without_sdk = ["--package", "mirror-sessions", "--lib", "--no-default-features"];
    check("documentation of mirror-sessions without the AWS SDK", &mut document(&without_sdk));
    if process::find("cargo-deny").is_some() {
        // Not the advisories: they change from day to day and are fetched, and a test should do neither.
        check("dependencies", cargo::command().args(["deny", "check", "bans", "licenses", "sources"]));
    } else {
        println!("\ndependencies: not checked against deny.toml, because cargo-deny is not installed");
    }

    for subject in ["terraform", "policies", "templates", "fleet", "guide"] {
        let script = cargo::workspace().join("deploy/tests/run");
        check(&format!("deployment: {subject}"), Command::new(script).arg(subject));
    }

    // A count, not a time: it is the same on a busy machine.
    let gate = ["run", "--release", "--package", "mirror-bench", "--", "micro", "--check"];
    check("instructions per packet", cargo::command().args(gate));

    println!();
    let before = strays::in_other_namespaces().unwrap_or_default();
    if let Err(error) = run_tests(linted, outcome, interrupt) {
        outcome.check("cargo test", Err(error));
    }
    outcome.check("no process left behind in a network namespace", no_strays(&before));
}

/// Has the compiler of the workspace's crates lint what it compiles, and refuse what has a warning. `cargo clippy` does the
/// same, but compiles nothing that a test could use: everything would be compiled twice.
fn linting(command: &mut Command) -> &mut Command {
    command
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        .env("CLIPPY_ARGS", "--deny__CLIPPY_HACKERY__warnings")
}

/// Runs the tests of the workspace one after the other, so that those that measure have the machine to themselves; with what
/// was compiled when they were `linted`.
fn run_tests(linted: bool, outcome: &mut Outcome, interrupt: &Interrupt) -> Result<()> {
    let mut command = cargo::command();
    command.args(TEST).args(["--no-fail-fast", "--", "--show-output", "--test-threads", "1"]);
    if linted {
        linting(&mut command);
    }
    if io::IsTerminal::is_terminal(&io::stderr()) {
        command.env("CARGO_TERM_COLOR", "always");
    }
    println!("tests: {}", process::show(&command));
    let (running, mut stdout, mut stderr) = Running::spawn_shown(&mut command)?;
    let status = running.wait(interrupt)?;
    let failed = outcome.failed.len();
    outcome.read(stdout.finish().iter().chain(&stderr.finish()));
    // Where no test failed, something did not compile or a test program died.
    if !status.success() && outcome.failed.len() == failed {
        anyhow::bail!("`{}` failed ({status}); its words are above", process::show(&command));
    }
    Ok(())
}

/// Checks that no processes but those of `before` are in other network namespaces. Those that are ending may take a moment.
fn no_strays(before: &BTreeSet<String>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let now = strays::in_other_namespaces()?;
        let left: Vec<&str> = now.difference(before).map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            anyhow::bail!("left behind: {}; end each with: kill ID", left.join(", "));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

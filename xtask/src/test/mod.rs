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
        outcome.check(name, process::run(command, interrupt).map_err(Into::into));
    };
    check("formatting", cargo::command().args(["fmt", "--all", "--check"]));
    check(
        "lints",
        cargo::command().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    );
    check(
        "documentation",
        cargo::command().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"),
    );
    if process::find("cargo-deny").is_some() {
        // Not the advisories: they change from day to day and are fetched, and a test should do neither.
        check("dependencies", cargo::command().args(["deny", "check", "bans", "licenses", "sources"]));
    } else {
        println!("\ndependencies: not checked against deny.toml, because cargo-deny is not installed");
    }

    // A count, not a time: it is the same on a busy machine.
    let gate = ["run", "--release", "--package", "mirror-bench", "--", "micro", "--check"];
    check("instructions per packet", cargo::command().args(gate));

    println!();
    let before = strays::in_other_namespaces().unwrap_or_default();
    if let Err(error) = run_tests(outcome, interrupt) {
        outcome.check("cargo test", Err(error));
    }
    outcome.check("no process left behind in a network namespace", no_strays(&before));
}

/// Runs the tests of the workspace one after the other, so that those that measure have the machine to themselves.
fn run_tests(outcome: &mut Outcome, interrupt: &Interrupt) -> Result<()> {
    let mut command = cargo::command();
    command.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output", "--test-threads", "1"]);
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

//! Installs missing tools and packages, each with its purpose; where none is missing, does nothing.
//!
//! - `scope`: the extent of a set-up.
//! - `distribution`: names of packages, and the commands that install them.
//! - `machine`: the things that are there.
//! - `plan`: the things that are missing, and the steps that install them; a pure function of the two above.
//! - `execute`: runs a step.

mod distribution;
mod execute;
mod machine;
mod plan;
mod scope;

use std::process::ExitCode;

use anyhow::{Result, bail};
use mirror_testkit::interrupt::Interrupt;

use machine::Machine;
use plan::{Missing, Step};
pub use scope::Scope;

/// Arguments of `setup`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only report what is missing; exit with 1 if anything is.
    #[arg(long)]
    check: bool,
}

/// Installs everything that is missing, or reports it.
///
/// # Errors
///
/// When something cannot be installed; the message names the remedy.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<ExitCode> {
    if !arguments.check {
        ensure(Scope::Tests, interrupt)?;
        return Ok(ExitCode::SUCCESS);
    }
    let missing = plan::missing(&Machine::probe(), Scope::Tests);
    report(&missing);
    if missing.is_empty() {
        Ok(ExitCode::SUCCESS)
    } else {
        println!("install it with: cargo xtask setup");
        Ok(ExitCode::FAILURE)
    }
}

/// Fails with the names of what is missing for `scope`, and the command that installs it.
///
/// # Errors
///
/// When anything is missing.
pub fn require(scope: Scope) -> Result<()> {
    let missing = plan::missing(&Machine::probe(), scope);
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|missing| missing.name).collect();
        bail!("missing: {}; install it with: cargo xtask setup", names.join(", "));
    }
    Ok(())
}

/// Installs what is missing for `scope`.
///
/// # Errors
///
/// When something cannot be installed; the message names the remedy.
pub fn ensure(scope: Scope, interrupt: &Interrupt) -> Result<()> {
    let mut refreshed = false;
    let mut done: Vec<Step> = Vec::new();
    let mut machine = Machine::probe();
    let mut missing = plan::missing(&machine, scope);
    report(&missing);
    while !missing.is_empty() {
        for step in plan::plan(&machine, &missing, refreshed)? {
            if done.contains(&step) {
                let names: Vec<&str> = missing.iter().map(|missing| missing.name).collect();
                bail!(
                    "set-up did this and it did not help: {step}; still missing: {} \
                     (is cargo's bin directory on PATH?)",
                    names.join(", ")
                );
            }
            execute::execute(&step, &machine, interrupt)?;
            refreshed |= step == Step::RefreshLists;
            done.push(step);
        }
        machine = Machine::probe();
        missing = plan::missing(&machine, scope);
    }
    if !done.is_empty() {
        println!("set-up: done");
    }
    Ok(())
}

fn report(missing: &[Missing]) {
    if missing.is_empty() {
        println!("set-up: everything is there");
    }
    for Missing { name, purpose, .. } in missing {
        println!("set-up: missing: {name}, which {purpose}");
    }
}

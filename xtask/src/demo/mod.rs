//! Generator and daemon on a veth pair between two network namespaces: live progress, a summary, and the details: some
//! records, the ledger, and whether every packet that was sent is accounted for.
//!
//! - `arguments`, `output`: the command line; the files of a run.
//! - `live`: the two programs at work.
//! - `records`: the records that the daemon wrote.
//! - `accounting`: the check; a pure function of the two programs' reports.
//! - `summary`: the outcome in a few lines; `report`: the details; `number`: numbers for readers.

mod accounting;
mod arguments;
mod live;
mod number;
mod output;
mod records;
mod report;
mod summary;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::process;
use mirror_testkit::root::is_root;
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::cargo;
use crate::setup::{self, Scope};
use accounting::{Check, Generated, Ledger};
use arguments::Mode;
pub use arguments::{Arguments, LiveArguments};
use live::Daemon;
use number::millions;
use output::Output;
use records::Records;

/// Bytes of an Ethernet header, which an MTU does not count.
const ETHERNET_HEADER: u32 = 14;

/// Builds the two programs and runs the demo, with sudo where that takes root.
///
/// # Errors
///
/// When something needed cannot be installed or built, or when one of the two programs fails. Packets that are not
/// accounted for are no error but the exit code 1.
pub fn run(arguments: &Arguments, interrupt: &Interrupt) -> Result<ExitCode> {
    setup::ensure(Scope::Demo, interrupt)?;
    println!("building the daemon and the generator");
    let built =
        cargo::build(&["--release", "--package", "mirror-user", "--package", "mirror-bench"], interrupt)?;
    let executable = |name: &str| {
        built.executables.get(name).cloned().with_context(|| format!("cargo built no executable {name}"))
    };
    let (capture, generator) = (executable("mirror-capture")?, executable("mirror-bench")?);
    let directory = cargo::target_directory()?;
    if is_root() {
        return live(arguments, &capture, &generator, &directory, interrupt);
    }
    println!("making network namespaces needs root: going on with sudo");
    let given = std::env::args_os().skip(2); // this program and the task
    let mut command = Command::new("sudo");
    command.arg(std::env::current_exe()?).arg("demo-live").args(given);
    for (name, path) in [("--capture", capture), ("--generator", generator), ("--directory", directory)] {
        command.arg(name).arg(path);
    }
    process::run(&mut command, interrupt)?;
    Ok(ExitCode::SUCCESS)
}

/// The part of the demo that needs root.
///
/// # Errors
///
/// When one of the two programs fails.
pub fn run_live(arguments: &LiveArguments, interrupt: &Interrupt) -> Result<ExitCode> {
    let LiveArguments { arguments, capture, generator, directory } = arguments;
    live(arguments, capture, generator, directory, interrupt)
}

fn live(
    arguments: &Arguments,
    capture: &Path,
    generator: &Path,
    directory: &Path,
    interrupt: &Interrupt,
) -> Result<ExitCode> {
    let output = Output::create(directory)?;
    // What is made here is unmade in reverse, however this function ends: the daemon, the namespaces.
    let mtu = arguments.frame_size.saturating_sub(ETHERNET_HEADER).max(1500);
    let pair = VethPair::new(VethOptions { mtu, queues: 1 })?;
    if arguments.mode == Mode::Generic {
        // Without a native program the interface takes XDP frames only where GRO has given it NAPI.
        pair.receiver.ethtool(&format!("--offload {} gro on", VethPair::RECEIVING))?;
    }

    let mut daemon = Daemon::start(&pair, capture, arguments, &output, interrupt)?;
    let generated = live::send(&pair, generator, arguments, &mut daemon, interrupt)?;
    daemon.stop()?;

    let text = fs::read_to_string(&output.ledger).context("the daemon has written no ledger")?;
    let ledger: Ledger =
        serde_json::from_str(&text).with_context(|| format!("the ledger cannot be understood: {text}"))?;
    let records = Records::read(&output.records)?;
    output.hand_over()?;
    let checks = accounting::check(&ledger, &generated, records.packets);
    print!("{}", summary::summary(&ledger, &generated, &records, &checks, arguments, &output, capture));
    show(&ledger, &generated, &records, &checks);
    let complete = checks.iter().all(|check| check.holds);
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows the details of the run.
fn show(ledger: &Ledger, generated: &Generated, records: &Records, checks: &[Check]) {
    println!("\ndetails\n\nsome records");
    for sample in &records.samples {
        println!("{}", report::indented(sample));
    }
    let Generated { sent, seconds, pps, .. } = generated;
    println!("\nrates");
    println!("  sent      {} packets/s for {seconds:.2} s", millions(*pps));
    let share = |count: u64| millions(pps * (count as f64) / (*sent).max(1) as f64);
    println!("  recorded  {} packets/s", share(ledger.recorded));
    println!("\nledger (packets)\n{}", report::table(ledger, generated));
    if ledger.lost_before_worker() > 0 {
        println!(
            "Nobody can tell the kinds of packets that were lost before the worker: each kind has an `at most` below.\n"
        );
    }
    println!("checks\n{}", report::verdicts(checks));
}

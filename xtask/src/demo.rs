//! Generator and daemon on a veth pair between two network namespaces: live progress, some records, the ledger,
//! and whether every packet that was sent is accounted for.
//!
//! - `live`: the two programs at work.
//! - `records`: what the daemon wrote.
//! - `accounting`: the check; a pure function of what the two programs report.
//! - `report`: what is shown of it.

mod accounting;
mod live;
mod records;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cargo;
use crate::interrupt::Interrupt;
use crate::netns::{INTERFACE, Link};
use crate::process::{self, is_root};
use crate::setup::{self, Scope};
use accounting::{Generated, Ledger};
use live::Daemon;
use records::Records;
use report::{grouped, millions};

/// Bytes of an Ethernet header, which an MTU does not count.
const ETHERNET_HEADER: u32 = 14;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many packets are sent.
    #[arg(long, default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
    /// Over how many mirrored flows.
    #[arg(long, default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    flows: u32,
    /// Bytes of a frame on the wire, tunnel headers included; those of IPv6 in VXLAN in GENEVE need 192.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=9000))]
    frame_size: u32,
    /// Packets per second; 0 for as fast as possible. The default is one that a worker keeps up with that shares
    /// the machine with the generator and writes every record to a file.
    #[arg(long, default_value_t = 500_000)]
    rate: u64,
    /// Where the XDP program runs.
    #[arg(long, value_enum, default_value_t = Mode::Native)]
    mode: Mode,
    /// Leave records and ledger on the disk and say where.
    #[arg(long)]
    keep_output: bool,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's network stack, with any driver.
    Generic,
}

impl Mode {
    /// What the daemon calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Arguments of the part that needs root.
#[derive(clap::Args)]
pub struct LiveArguments {
    #[command(flatten)]
    arguments: Arguments,
    /// The daemon.
    #[arg(long)]
    capture: PathBuf,
    /// The generator.
    #[arg(long)]
    generator: PathBuf,
    /// Where records and ledger are written.
    #[arg(long)]
    directory: PathBuf,
}

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
    // What is made here is unmade in reverse, however this function ends: the daemon, the namespaces, the files.
    let output = tempfile::Builder::new()
        .prefix("mirror-demo-")
        .tempdir_in(directory)
        .with_context(|| format!("no directory can be made in {}", directory.display()))?;
    let (records, ledger) = (output.path().join("records.ndjson"), output.path().join("ledger.json"));
    let link = Link::create(arguments.frame_size.saturating_sub(ETHERNET_HEADER).max(1500))?;
    if arguments.mode == Mode::Generic {
        // Without a native program the interface takes XDP frames only where GRO has given it NAPI.
        process::output(link.sensor.command("ethtool").args(["--offload", INTERFACE, "gro", "on"]))?;
    }

    let mut daemon = Daemon::start(&link, capture, arguments.mode, &records, &ledger, interrupt)?;
    let generated = live::send(&link, generator, arguments, &mut daemon, interrupt)?;
    daemon.stop()?;

    let text = fs::read_to_string(&ledger).context("the daemon has written no ledger")?;
    let ledger: Ledger =
        serde_json::from_str(&text).with_context(|| format!("the ledger cannot be understood: {text}"))?;
    let records = Records::read(&records, ledger.recorded)?;
    let complete = show(&ledger, &generated, &records);
    if arguments.keep_output {
        println!("\nrecords and ledger are in {}", output.keep().display());
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Shows the run. Returns whether every packet is accounted for.
fn show(ledger: &Ledger, generated: &Generated, records: &Records) -> bool {
    println!("\nsome records");
    for sample in &records.samples {
        println!("{}", report::indented(sample));
    }
    let Generated { sent, seconds, pps, .. } = generated;
    println!("\nrates");
    println!("  sent      {} packets/s for {seconds:.2} s", millions(*pps));
    let share = |count: u64| millions(pps * (count as f64) / (*sent).max(1) as f64);
    println!("  recorded  {} records/s", share(ledger.recorded));
    println!("\nledger (packets)\n{}", report::table(ledger, generated));
    let lost = ledger.lost_before_worker();
    if lost > 0 {
        println!("{} packets were lost before the worker had them, and counted;", grouped(lost));
        println!(
            "a lower --rate avoids that. Nobody can tell their kinds, so each kind has an `at most` below.\n"
        );
    }
    let checks = accounting::check(ledger, generated, records.lines);
    println!("checks\n{}", report::verdicts(&checks));
    let complete = checks.iter().all(|check| check.holds);
    println!(
        "{}",
        if complete { "every packet is accounted for" } else { "packets are NOT all accounted for" }
    );
    complete
}

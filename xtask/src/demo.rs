//! Generator and daemon on a veth pair between two network namespaces: live progress, a summary, and the details: some
//! records, the ledger, and whether every packet that was sent is accounted for.
//!
//! - `live`: the two programs at work.
//! - `records`: what the daemon wrote.
//! - `accounting`: the check; a pure function of what the two programs report.
//! - `summary`: the outcome in a few lines; `report`: the details.

mod accounting;
mod live;
mod records;
mod report;
mod summary;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::process;
use mirror_testkit::root::is_root;
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::cargo;
use crate::setup::{self, Scope};
use accounting::{Check, Generated, Ledger};
use live::Daemon;
use records::Records;
use report::millions;

/// Bytes of an Ethernet header, which an MTU does not count.
const ETHERNET_HEADER: u32 = 14;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Arguments {
    /// How many packets are sent.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    packets: u64,
    /// Over how many mirrored flows.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    flows: u32,
    /// What there is a record of.
    #[arg(long, value_enum, default_value_t = RecordKind::Flow)]
    records: RecordKind,
    /// Bytes of a frame on the wire, tunnel headers included; those of IPv6 in VXLAN in GENEVE need 192.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=9000))]
    frame_size: u32,
    /// Packets per second; 0 for as fast as possible. The default is one that two busy processors keep up with:
    /// generator, kernel, worker and sink share the machine.
    #[arg(long, default_value_t = 200_000)]
    rate: u64,
    /// Where the XDP program runs.
    #[arg(long, value_enum, default_value_t = Mode::Native)]
    mode: Mode,
}

/// What there is a record of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RecordKind {
    /// Each flow, as in a capture that is told nothing else.
    Flow,
    /// Each packet.
    Packet,
}

impl RecordKind {
    /// What the daemon calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Packet => "packet",
        }
    }
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
    /// The directory in which there is to be one for records and ledger.
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

/// The files that a run leaves: those of the run before are replaced.
struct Output {
    directory: PathBuf,
    records: PathBuf,
    ledger: PathBuf,
}

impl Output {
    /// Makes the directory `demo` in `directory`, without the files of an earlier run.
    fn create(directory: &Path) -> Result<Self> {
        let directory = directory.join("demo");
        let output = Self {
            records: directory.join("records.ndjson"),
            ledger: directory.join("ledger.json"),
            directory,
        };
        fs::create_dir_all(&output.directory)
            .with_context(|| format!("{} cannot be made", output.directory.display()))?;
        for file in [&output.records, &output.ledger] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{} cannot be removed", file.display()));
                }
                _ => {}
            }
        }
        Ok(output)
    }

    /// Gives the files, which root has made for itself, to the owner of the directory that they lie in.
    fn hand_over(&self) -> Result<()> {
        let owner = fs::metadata(self.directory.parent().unwrap_or(&self.directory))?;
        for path in [&self.directory, &self.records, &self.ledger] {
            chown(path, Some(owner.uid()), Some(owner.gid()))
                .with_context(|| format!("{} cannot be given to its owner", path.display()))?;
        }
        Ok(())
    }
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

//! The same traffic for other programs: what they get of it, and what a packet costs them.
//!
//! They receive from the kernel's network stack, which does its part on the generator's processor; like the pipeline's
//! worker they have the other one. What is compared is the processor time that the programs themselves take.

mod gwlbtun;
mod process;
mod suricata;
mod tcpdump;

use std::fmt;
use std::io;
use std::time::Duration;

use mirror_testkit::namespace::{Namespace, NamespaceError};
use mirror_testkit::process::ProcessError;
use mirror_testkit::traffic::Profile;
use mirror_testkit::veth::VethPair;
use mirror_user::error::chain;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::process::Process;
use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError};
use crate::receiver::{PipelineSetup, ReceiverKind};

/// The programs under the same traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// One for each program, this one's pipeline first.
    pub programs: Vec<Compared>,
    /// Programs that were left out, and why.
    pub skipped: Vec<Skipped>,
}

/// The result of a program under the traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The program.
    pub program: String,
    /// Its version, as it prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Packets that were offered.
    pub offered: u64,
    /// Packets among them that it got.
    pub delivered: u64,
    /// Duration of the traffic.
    pub seconds: f64,
    /// Processor time of the program. A worker that looks for packets all the time uses all there is.
    pub processor_seconds: f64,
    /// Nanoseconds per packet without the looking, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_nanoseconds: Option<f64>,
}

/// A program that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The program.
    pub program: String,
    /// The reason.
    pub reason: String,
}

impl Compared {
    /// Packets per second that it got, in millions.
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { millions(self.delivered as f64 / self.seconds) } else { 0.0 }
    }

    /// Processor time for each packet that it got, in nanoseconds.
    pub fn nanoseconds_per_packet(&self) -> f64 {
        self.processor_seconds * 1e9 / self.delivered.max(1) as f64
    }
}

/// A program could not be compared.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// It is not installed.
    #[error("not installed")]
    Absent,
    /// The testbed.
    #[error(transparent)]
    Testbed(#[from] NamespaceError),
    /// It could not be started or watched.
    #[error("cannot be run")]
    Run(#[from] io::Error),
    /// Its process could not be started or watched.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It ended too early, or did not get ready.
    #[error("did not get ready; it printed: {0}")]
    NotReady(String),
    /// It did not print how many packets it received.
    #[error("did not print how many packets it received; it printed: {0}")]
    NoCount(String),
}

/// Another program, which receives from the kernel's network stack.
trait Program {
    /// Its name, also that of its executable.
    fn name(&self) -> &'static str;

    /// The arguments that make it tell its version.
    fn version_arguments(&self) -> &'static [&'static str];

    /// Starts it on the interface [`VethPair::RECEIVING`] of `namespace`, on `processor`; it is ready when this returns.
    fn start(&self, namespace: &Namespace, processor: usize) -> Result<Process, ProgramError>;

    /// Number of packets that it has received so far, where that can be seen while it runs.
    fn count_running(&self, namespace: &Namespace) -> Result<Option<u64>, ProgramError>;

    /// Number of packets that it had received at its end, where it prints that.
    fn count_ended(&self, process: &Process) -> Option<u64>;
}

/// The programs that are compared with.
fn programs() -> [Box<dyn Program>; 3] {
    [Box::new(tcpdump::Tcpdump), Box::new(suricata::Suricata), Box::new(gwlbtun::Gwlbtun)]
}

impl Comparison {
    /// Sends `load` of `profile` to the pipeline and to each program that is there.
    ///
    /// # Errors
    ///
    /// When nothing can be sent. A program that fails is left out, with the reason.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        pipeline: &PipelineSetup,
        load: Load,
    ) -> Result<Self, MeasureError> {
        let mut comparison = Self {
            traffic: profile.into(),
            programs: vec![own(setting, profile, pipeline, load)?],
            skipped: Vec::new(),
        };
        for program in programs() {
            setting.progress.set_message(program.name());
            let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
            match compare(&harness, program.as_ref(), load)? {
                Ok(compared) => comparison.programs.push(compared),
                Err(error) => {
                    let (program, reason) = (program.name().to_owned(), chain(&error).to_string());
                    comparison.skipped.push(Skipped { program, reason });
                }
            }
            setting.progress.inc(1);
        }
        Ok(comparison)
    }
}

/// The pipeline under the same traffic.
fn own(
    setting: &Setting,
    profile: &Profile,
    pipeline: &PipelineSetup,
    load: Load,
) -> Result<Compared, MeasureError> {
    setting.progress.set_message("mirror-capture");
    let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
    let (measured, _) = harness.measure(&ReceiverKind::Pipeline(pipeline.clone()), WARM_UP, load)?;
    setting.progress.inc(1);
    Ok(Compared {
        program: "mirror-capture".to_owned(),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        offered: measured.offered,
        delivered: measured.delivered,
        seconds: measured.seconds,
        processor_seconds: measured.worker_seconds + measured.sink_seconds,
        busy_nanoseconds: measured.nanoseconds_per_packet,
    })
}

/// Traffic before the measurement.
const WARM_UP: Duration = Duration::from_millis(300);
/// Time for a program to read what stands in its buffers.
const DRAIN: Duration = Duration::from_millis(500);

/// Sends the load to `program`. The outer error is the generator's, the inner one the program's.
fn compare(
    harness: &Harness,
    program: &dyn Program,
    load: Load,
) -> Result<Result<Compared, ProgramError>, MeasureError> {
    let receiver = &harness.bed().receiver;
    // With GRO a veth takes the generator's frames although no XDP program is at its other end.
    receiver.ethtool(&format!("-K {} gro on", VethPair::RECEIVING))?;
    let process = match program.start(receiver, harness.processors().worker) {
        Ok(process) => process,
        Err(error) => return Ok(Err(error)),
    };
    let before = process.processor_seconds();
    let report = harness.send(load)?;
    std::thread::sleep(DRAIN);
    let counted = || -> Result<Compared, ProgramError> {
        let processor_seconds = process.processor_seconds()? - before?;
        let running = program.count_running(receiver)?;
        let process = process.stop()?;
        let delivered = running.or_else(|| program.count_ended(&process));
        Ok(Compared {
            program: program.name().to_owned(),
            version: process::version(program.name(), program.version_arguments()),
            offered: report.offered,
            delivered: delivered.ok_or_else(|| ProgramError::NoCount(process.printed()))?,
            seconds: report.seconds,
            processor_seconds,
            busy_nanoseconds: None,
        })
    };
    Ok(counted())
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, programs, skipped } = self;
        writeln!(formatter, "{traffic}")?;
        let [program, offered, delivered] = ["program", "offered", "delivered"];
        write!(formatter, "  {program:<16} {offered:>10} {delivered:>10}    Mpps  ns per packet")?;
        for compared in programs {
            let Compared { program, offered, delivered, busy_nanoseconds, .. } = compared;
            let (rate, nanoseconds) = (compared.rate(), compared.nanoseconds_per_packet());
            write!(
                formatter,
                "\n  {program:<16} {offered:>10} {delivered:>10} {rate:>7.3} {nanoseconds:>14.0}"
            )?;
            if let Some(busy) = busy_nanoseconds {
                write!(formatter, ", of which {busy:.0} in the worker without polling")?;
            }
        }
        for Skipped { program, reason } in skipped {
            write!(formatter, "\n  {program:<16} skipped: {reason}")?;
        }
        Ok(())
    }
}

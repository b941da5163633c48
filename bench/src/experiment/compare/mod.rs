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
use crate::statistics::Summary;

/// The programs under the same traffic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// One for each rate that was offered.
    pub offers: Vec<Offer>,
    /// Programs that were left out, and why.
    pub skipped: Vec<Skipped>,
}

/// The programs at one rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// Packets per second that were to be offered, in millions; none where the generator sent as fast as it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// One for each program, this one's pipeline first.
    pub programs: Vec<Compared>,
}

/// A program under the traffic, in several rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Compared {
    /// The program.
    pub program: String,
    /// Its version, as it prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Packets per second that were offered, in millions.
    pub offered: Summary,
    /// Packets per second that it got, in millions.
    pub delivered: Summary,
    /// The part of the offered packets that it did not get.
    pub loss: Summary,
    /// Processor time of the program for each packet that it got, in nanoseconds. A worker that looks for packets all the time
    /// uses all there is.
    pub nanoseconds: Summary,
    /// Processor time for each packet without the looking, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_nanoseconds: Option<Summary>,
    /// The rounds, in order.
    pub rounds: Vec<Round>,
}

/// The result of a program in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Packets that were offered.
    pub offered: u64,
    /// Packets among them that it got.
    pub delivered: u64,
    /// Duration of the traffic.
    pub seconds: f64,
    /// Processor time of the program.
    pub processor_seconds: f64,
    /// Nanoseconds per packet without looking for packets, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_nanoseconds: Option<f64>,
}

/// Rounds of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Packets per second to offer, and as fast as possible where there is none.
    pub rates: Vec<Option<u64>>,
    /// Traffic of each measurement.
    pub duration: Duration,
    /// Rounds, in each of which every program is measured once.
    pub rounds: usize,
}

impl Plan {
    /// Five rounds at a rate that every program can take, and as many at the most that the generator can offer.
    pub fn thorough() -> Self {
        Self { rates: vec![Some(BEARABLE), None], duration: Duration::from_secs(2), rounds: 5 }
    }

    /// One short round, to see that everything works.
    pub fn quick() -> Self {
        Self { rates: vec![Some(20_000), None], duration: Duration::from_millis(200), rounds: 1 }
    }
}

/// Packets per second that each of the programs can take on one processor.
pub const BEARABLE: u64 = 200_000;

/// A program that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The program.
    pub program: String,
    /// The reason.
    pub reason: String,
}

impl Compared {
    fn of(program: String, version: Option<String>, rounds: Vec<Round>) -> Self {
        let summary = |value: fn(&Round) -> f64| Summary::of(rounds.iter().map(value)).unwrap_or_default();
        let rate = |packets: u64, seconds: f64| if seconds > 0.0 { packets as f64 / seconds } else { 0.0 };
        Self {
            program,
            version,
            offered: Summary::of(rounds.iter().map(|round| millions(rate(round.offered, round.seconds))))
                .unwrap_or_default(),
            delivered: Summary::of(rounds.iter().map(|round| millions(rate(round.delivered, round.seconds))))
                .unwrap_or_default(),
            loss: summary(|round| {
                round.offered.saturating_sub(round.delivered) as f64 / round.offered.max(1) as f64
            }),
            nanoseconds: summary(|round| round.processor_seconds * 1e9 / round.delivered.max(1) as f64),
            busy_nanoseconds: Summary::of(rounds.iter().filter_map(|round| round.busy_nanoseconds)),
            rounds,
        }
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
    /// Sends `profile` to the pipeline and to each program that is there, in turns, at each rate of `plan`.
    ///
    /// # Errors
    ///
    /// When nothing can be sent. A program that fails is left out from then on, with the reason.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        pipeline: &PipelineSetup,
        plan: &Plan,
    ) -> Result<Self, MeasureError> {
        let mut others: Vec<Box<dyn Program>> = programs().into();
        let mut skipped = Vec::new();
        let mut offers = Vec::with_capacity(plan.rates.len());
        for &rate in &plan.rates {
            let load = Load { rate, duration: plan.duration };
            let mut own_rounds = Vec::new();
            let mut rounds: Vec<Vec<Round>> = others.iter().map(|_| Vec::new()).collect();
            for _ in 0..plan.rounds {
                own_rounds.push(own(setting, profile, pipeline, load)?);
                let mut place = 0;
                while place < others.len() {
                    let program = others[place].as_ref();
                    setting.progress.set_message(program.name());
                    let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
                    match compare(&harness, program, load)? {
                        Ok(round) => {
                            rounds[place].push(round);
                            place += 1;
                        }
                        Err(error) => {
                            let (program, reason) = (program.name().to_owned(), chain(&error).to_string());
                            skipped.push(Skipped { program, reason });
                            others.remove(place);
                            rounds.remove(place);
                        }
                    }
                }
                setting.progress.inc(1);
            }
            let version = Some(env!("CARGO_PKG_VERSION").to_owned());
            let own = Compared::of("mirror-capture".to_owned(), version, own_rounds);
            let compared = others.iter().zip(rounds).map(|(program, rounds)| {
                let version = process::version(program.name(), program.version_arguments());
                Compared::of(program.name().to_owned(), version, rounds)
            });
            offers.push(Offer {
                rate: rate.map(|rate| millions(rate as f64)),
                programs: std::iter::once(own).chain(compared).collect(),
            });
        }
        Ok(Self { traffic: profile.into(), offers, skipped })
    }
}

/// The pipeline under the same traffic.
fn own(
    setting: &Setting,
    profile: &Profile,
    pipeline: &PipelineSetup,
    load: Load,
) -> Result<Round, MeasureError> {
    setting.progress.set_message("mirror-capture");
    let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
    let session = harness.start(&ReceiverKind::Pipeline(pipeline.clone()))?;
    session.send(WARM_UP)?;
    let measured = session.send(load)?;
    session.stop()?;
    Ok(Round {
        offered: measured.offered,
        delivered: measured.delivered,
        seconds: measured.seconds,
        processor_seconds: measured.worker_seconds + measured.sink_seconds,
        busy_nanoseconds: measured.nanoseconds_per_packet,
    })
}

/// Traffic before each measurement: little enough that every program takes all of it, so that a program that says at its end
/// how much it got has got this, too.
const WARM_UP: Load = Load { rate: Some(50_000), duration: Duration::from_secs(1) };
/// Time for a program to read what stands in its buffers.
const DRAIN: Duration = Duration::from_millis(500);

/// Sends the load to `program`. The outer error is the generator's, the inner one the program's.
fn compare(
    harness: &Harness,
    program: &dyn Program,
    load: Load,
) -> Result<Result<Round, ProgramError>, MeasureError> {
    let receiver = &harness.bed().receiver;
    // With GRO a veth takes the generator's frames although no XDP program is at its other end.
    receiver.ethtool(&format!("-K {} gro on", VethPair::RECEIVING))?;
    let process = match program.start(receiver, harness.processors().worker) {
        Ok(process) => process,
        Err(error) => return Ok(Err(error)),
    };
    let warm_up = harness.send(WARM_UP)?;
    std::thread::sleep(DRAIN);
    let before = process.processor_seconds();
    let report = harness.send(load)?;
    std::thread::sleep(DRAIN);
    let counted = || -> Result<Round, ProgramError> {
        let processor_seconds = process.processor_seconds()? - before?;
        let running = program.count_running(receiver)?;
        let process = process.stop()?;
        let delivered = running.or_else(|| program.count_ended(&process));
        let delivered = delivered.ok_or_else(|| ProgramError::NoCount(process.printed()))?;
        Ok(Round {
            offered: report.offered,
            delivered: delivered.saturating_sub(warm_up.sent).min(report.offered),
            seconds: report.seconds,
            processor_seconds,
            busy_nanoseconds: None,
        })
    };
    Ok(counted())
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, offers, skipped } = self;
        write!(formatter, "{traffic}")?;
        for Offer { rate, programs } in offers {
            let rounds = programs.first().map_or(0, |program| program.rounds.len());
            match rate {
                Some(rate) => write!(formatter, "\n  {rate:.3} Mpps to each, {rounds} rounds")?,
                None => write!(formatter, "\n  as much as the generator can offer, {rounds} rounds")?,
            }
            for Compared { program, offered, delivered, loss, nanoseconds, busy_nanoseconds, .. } in programs
            {
                write!(
                    formatter,
                    "\n    {program:<16} offered {offered:.3}, delivered {delivered:.3} Mpps, loss {loss:.4}; \
                     {nanoseconds:.0} ns of processor time per packet"
                )?;
                if let Some(busy) = busy_nanoseconds {
                    write!(formatter, ", of which {busy:.0} in the worker without polling")?;
                }
            }
        }
        for Skipped { program, reason } in skipped {
            write!(formatter, "\n  {program:<16} skipped: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_summed_up_by_their_medians() {
        let round = |delivered, processor_seconds| Round {
            offered: 2_000_000,
            delivered,
            seconds: 2.0,
            processor_seconds,
            busy_nanoseconds: None,
        };
        let rounds = vec![round(2_000_000, 1.0), round(1_000_000, 1.5), round(1_000_000, 0.5)];
        let compared = Compared::of("one".to_owned(), None, rounds);
        assert_eq!(
            (compared.offered.median, compared.delivered.median, compared.loss.median),
            (1.0, 0.5, 0.5)
        );
        assert_eq!(compared.nanoseconds.median, 500.0);
        assert_eq!((compared.rounds.len(), compared.busy_nanoseconds), (3, None));
    }
}

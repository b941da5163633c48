//! The parts of the pipeline in memory, without a network.
//!
//! - `synthetic`: the generator's traffic as a source; `sessions`: that of mirror sessions; `setup`: a worker on either.
//! - [`time`]: nanoseconds per packet and per record.
//! - [`allocations`]: memory allocations in the steady state.
//! - [`callgrind`]: instructions per packet, the gate in CI.
//! - [`scaling`]: the speed of two workers side by side.

pub mod allocations;
pub mod callgrind;
pub mod scaling;
mod sessions;
mod setup;
mod synthetic;
pub mod time;

use std::{fmt, io};

use indicatif::ProgressBar;
use mirror_testkit::interrupt::{Interrupt, Interrupted};
use mirror_testkit::processors::Processors;
use mirror_testkit::traffic::ProfileError;
use mirror_user::DropReason;
use mirror_user::degrade::DegradeConfigError;
use mirror_user::error::chain;
use mirror_user::sink::SinkError;
use mirror_user::value::ValueError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::allocations::Allocations;
use self::callgrind::{CallgrindError, Instructions, Stage};
use self::scaling::Scaling;
use self::time::{Amount, Time};
use crate::receiver::Records;

/// The user's interrupt and the progress display of a measurement in memory.
#[derive(Clone, Debug)]
pub struct Observer {
    /// The user's request for an end.
    pub interrupt: Interrupt,
    /// The progress display.
    pub progress: ProgressBar,
}

/// Something could not be measured.
#[derive(Debug, Error)]
pub enum MicroError {
    /// The user interrupted the measurement.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The traffic contradicts itself.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The traffic is not what it is meant to be.
    #[error("a packet of the synthetic traffic is dropped as {}", .0.name())]
    Traffic(DropReason),
    /// The traffic makes no flow.
    #[error("the synthetic traffic makes no flow")]
    NoFlow,
    /// The flow table.
    #[error(transparent)]
    Flow(#[from] ValueError),
    /// The level of the work.
    #[error(transparent)]
    Degrade(#[from] DegradeConfigError),
    /// The sink cannot be started.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The sink could not write.
    #[error("the sink could not write everything: {}", .0.iter().map(|error| chain(error).to_string()).collect::<Vec<_>>().join("; "))]
    Output(Vec<SinkError>),
    /// Instructions.
    #[error(transparent)]
    Callgrind(#[from] CallgrindError),
    /// The operating system.
    #[error("the operating system refused")]
    System(#[from] io::Error),
}

/// The parts that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Part {
    /// Nanoseconds.
    Time,
    /// Allocations.
    Allocations,
    /// Instructions.
    Instructions,
    /// Two workers side by side.
    Scaling,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Time, Self::Allocations, Self::Instructions, Self::Scaling];

    /// Steps of progress that the part has.
    pub const fn steps(self, amount: Amount) -> usize {
        match self {
            Self::Time => time::steps(amount),
            Self::Allocations => 1,
            Self::Instructions => Stage::ALL.len(),
            Self::Scaling => amount.runs,
        }
    }
}

/// The results.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Micro {
    /// Nanoseconds per packet or record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Time>,
    /// Allocations, by kind of record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocations: Vec<Allocations>,
    /// Instructions per packet.
    #[serde(default, skip_serializing_if = "Instructions::is_empty")]
    pub instructions: Instructions,
    /// Two workers side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Parts that could not be measured, and the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_measured: Vec<String>,
}

impl Micro {
    /// Measures `parts`.
    ///
    /// # Errors
    ///
    /// When the pipeline cannot be made, or the user interrupts it.
    pub fn measure(observer: &Observer, parts: &[Part], amount: Amount) -> Result<Self, MicroError> {
        let mut micro = Self::default();
        for part in parts {
            match part {
                Part::Time => micro.times = time::measure(observer, amount)?,
                Part::Allocations => micro.count_allocations(observer, amount)?,
                Part::Instructions => match callgrind::measure(observer) {
                    Ok(instructions) => micro.instructions = instructions,
                    Err(MicroError::Callgrind(
                        error @ (CallgrindError::NotOptimised | CallgrindError::Missing(_)),
                    )) => {
                        observer.progress.inc(part.steps(amount) as u64);
                        micro.not_measured.push(format!("instructions: {}", chain(&error)));
                    }
                    Err(error) => return Err(error),
                },
                Part::Scaling => match Processors::choose() {
                    Ok(processors) => {
                        micro.scaling = Some(scaling::measure(observer, processors, amount)?);
                    }
                    Err(error) => {
                        micro.not_measured.push(format!("two workers side by side: {}", chain(&error)));
                    }
                },
            }
        }
        Ok(micro)
    }

    fn count_allocations(&mut self, observer: &Observer, amount: Amount) -> Result<(), MicroError> {
        observer.progress.set_message("allocations");
        for records in [Records::Flow, Records::Packet, Records::Both] {
            match allocations::measure(records, amount.packets)? {
                Some(allocations) => self.allocations.push(allocations),
                None => {
                    self.not_measured.push("allocations: another allocator is in use".to_owned());
                    break;
                }
            }
        }
        observer.progress.inc(1);
        Ok(())
    }
}

impl fmt::Display for Micro {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { times, allocations, instructions, scaling, not_measured } = self;
        if !times.is_empty() {
            writeln!(formatter, "nanoseconds, median and quartiles")?;
        }
        for Time { name, item, nanoseconds } in times {
            writeln!(formatter, "  {name:<40} {nanoseconds:.1} per {item}")?;
        }
        if !allocations.is_empty() {
            writeln!(formatter, "allocations once warmed up")?;
        }
        for Allocations { records, packets, worker, sink } in allocations {
            let name = format!("{} records, {packets} packets", records.name());
            writeln!(formatter, "  {name:<40} {worker} in the worker, {sink} in the sink")?;
        }
        if !instructions.is_empty() {
            writeln!(formatter, "instructions per packet")?;
        }
        for (stage, count) in instructions {
            writeln!(formatter, "  {:<40} {count:.1}", stage.name())?;
        }
        if let Some(Scaling { compute, workers, ratio }) = scaling {
            writeln!(formatter, "two side by side, as a part of each alone")?;
            writeln!(formatter, "  {:<40} {compute:.3}", "loops that only compute")?;
            writeln!(formatter, "  {:<40} {workers:.3}", "workers")?;
            writeln!(formatter, "  {:<40} {ratio:.3}", "workers against loops")?;
        }
        for reason in not_measured {
            writeln!(formatter, "not measured: {reason}")?;
        }
        Ok(())
    }
}

//! What is measured, and what the results look like.
//!
//! - [`rate`]: how much a receiver takes.
//! - [`retention`]: the pipeline against the bare loop; [`matrix`]: under which traffic.
//! - [`ndr`]: the highest rate without loss, and with little of it.
//! - [`latency`]: how long a packet takes to its record.
//! - [`overload`]: whether the pipeline bears twice what it can take.
//! - [`compare`]: other programs under the same traffic.

pub mod compare;
pub mod latency;
pub mod matrix;
pub mod ndr;
pub mod overload;
pub mod rate;
pub mod retention;

use std::fmt;
use std::time::Duration;

use indicatif::ProgressBar;
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::processors::Processors;
use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

/// Where, and under whose eyes, something is measured.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Which processor does what.
    pub processors: Processors,
    /// Whether the user wants an end.
    pub interrupt: Interrupt,
    /// Shows how far it has come.
    pub progress: ProgressBar,
}

/// The traffic of a measurement, as results name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficFacts {
    /// Bytes of a frame, or `imix`.
    pub frame_size: String,
    /// Flows.
    pub flows: u64,
    /// Share of flows inside VXLAN.
    pub vxlan: f64,
}

impl From<&Profile> for TrafficFacts {
    fn from(profile: &Profile) -> Self {
        Self {
            frame_size: profile.frame_size.to_string(),
            flows: profile.flows,
            vxlan: profile.vxlan.fraction(),
        }
    }
}

impl fmt::Display for TrafficFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame_size, flows, vxlan } = self;
        let unit = if frame_size == "imix" { "" } else { " bytes" };
        write!(formatter, "frames of {frame_size}{unit}, {flows} flows")?;
        match vxlan {
            0.0 => Ok(()),
            1.0 => formatter.write_str(", VXLAN"),
            part => write!(formatter, ", {:.0} % VXLAN", part * 100.0),
        }
    }
}

/// How long to measure, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Traffic before each measurement, which nothing is read from.
    pub warm_up: Duration,
    /// Each measurement.
    pub duration: Duration,
    /// Measurements.
    pub repeat: usize,
}

/// Packets per second as millions.
fn millions(rate: f64) -> f64 {
    rate / 1e6
}

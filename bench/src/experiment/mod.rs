//! The experiments and their results.
//!
//! - [`rate`]: throughput of one receiver.
//! - [`retention`]: the pipeline against the bare loop; [`matrix`]: the traffic and pipelines for it.
//! - [`xdp`]: the cost of the XDP program alone.
//! - [`ndr`]: the highest rate without loss, and with 0.5 % of it.
//! - [`latency`]: time from a packet to its record.
//! - [`timestamps`]: the error of receive times that are worked out.
//! - [`overload`]: the pipeline at twice its sustainable rate.
//! - [`compare`]: other programs under the same traffic.
//! - [`plan`]: durations and rates of latency and overload.

pub mod compare;
pub mod latency;
pub mod matrix;
pub mod ndr;
pub mod overload;
pub mod plan;
pub mod rate;
pub mod retention;
pub mod timestamps;
pub mod xdp;

use std::fmt;
use std::time::Duration;

use indicatif::ProgressBar;
use mirror_testkit::interrupt::Interrupt;
use mirror_testkit::processors::Processors;
use mirror_testkit::traffic::{Lifetimes, Profile};
use serde::{Deserialize, Serialize};

/// The surroundings of a measurement: processors, the user's interrupt and the progress display.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The processors of generator and worker.
    pub processors: Processors,
    /// The user's request for an end.
    pub interrupt: Interrupt,
    /// The progress display.
    pub progress: ProgressBar,
}

/// The traffic of a measurement, as results name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficFacts {
    /// Bytes of a frame, or `imix`.
    pub frame_size: String,
    /// Flows at a time.
    pub flows: u64,
    /// True where flows end and others begin in their place.
    pub ends: bool,
    /// Tunnels: pairs of endpoint and VNI.
    pub tunnels: u64,
    /// Share of flows inside VXLAN.
    pub vxlan: f64,
    /// Share of flows of UDP.
    pub udp: f64,
    /// Share of flows of IPv6.
    pub ipv6: f64,
}

impl From<&Profile> for TrafficFacts {
    fn from(profile: &Profile) -> Self {
        Self {
            frame_size: profile.frame_size.to_string(),
            flows: profile.flows,
            ends: profile.lifetimes == Lifetimes::HeavyTailed,
            tunnels: profile.tunnels(),
            vxlan: profile.vxlan.fraction(),
            udp: profile.udp.fraction(),
            ipv6: profile.ipv6.fraction(),
        }
    }
}

impl fmt::Display for TrafficFacts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frame_size, flows, ends, tunnels, vxlan, udp, ipv6 } = self;
        let unit = if frame_size == "imix" { "" } else { " bytes" };
        let lifetimes = if *ends { " that begin and end" } else { "" };
        write!(formatter, "frames of {frame_size}{unit}, {flows} flows{lifetimes}, {tunnels} tunnels")?;
        for (name, part) in [("VXLAN", *vxlan), ("UDP", *udp), ("IPv6", *ipv6)] {
            if part > 0.0 {
                write!(formatter, ", {:.0} % {name}", part * 100.0)?;
            }
        }
        Ok(())
    }
}

/// Duration and number of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Traffic before each measurement, which is not measured.
    pub warm_up: Duration,
    /// Duration of each measurement.
    pub duration: Duration,
    /// Number of measurements.
    pub repeat: usize,
}

/// Packets per second as millions.
fn millions(rate: f64) -> f64 {
    rate / 1e6
}

//! Throughput of one receiver.

use std::fmt;

use mirror_testkit::traffic::Profile;
use serde::{Deserialize, Serialize};

use super::{Effort, Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError, Measured};
use crate::receiver::ReceiverKind;
use crate::statistics::Summary;

/// The throughput of a receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// The receiver.
    pub receiver: String,
    /// The traffic.
    pub traffic: TrafficFacts,
    /// Packets per second that were offered, in millions.
    pub offered: Summary,
    /// Packets per second that were delivered, in millions.
    pub delivered: Summary,
    /// User-space nanoseconds per packet in batches that were not empty; for the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds_per_packet: Option<Summary>,
    /// The measurements, one by one.
    pub measured: Vec<Measured>,
}

impl Rate {
    /// Measures `kind` under `profile`, at `rate` packets per second or as fast as possible.
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(
        setting: &Setting,
        profile: &Profile,
        kind: &ReceiverKind,
        rate: Option<u64>,
        effort: Effort,
    ) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let load = Load { rate, duration: effort.duration };
        let mut measured = Vec::with_capacity(effort.repeat);
        for _ in 0..effort.repeat {
            setting.progress.set_message(format!("{}: {}", kind.name(), TrafficFacts::from(profile)));
            measured.push(harness.measure(kind, effort.warm_up, load)?.0);
            setting.progress.inc(1);
        }
        Ok(Self::of(kind, profile, measured))
    }

    /// Sums measurements of `kind` up.
    pub(super) fn of(kind: &ReceiverKind, profile: &Profile, measured: Vec<Measured>) -> Self {
        let summary =
            |value: fn(&Measured) -> f64| Summary::of(measured.iter().map(value)).unwrap_or_default();
        Self {
            receiver: kind.name().to_owned(),
            traffic: profile.into(),
            offered: summary(|measured| millions(measured.offered_rate())),
            delivered: summary(|measured| millions(measured.delivered_rate())),
            nanoseconds_per_packet: Summary::of(
                measured.iter().filter_map(|measured| measured.nanoseconds_per_packet),
            ),
            measured,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receiver, traffic, offered, delivered, nanoseconds_per_packet, measured } = self;
        writeln!(formatter, "{receiver}, {traffic}: {} measurements, median and quartiles", measured.len())?;
        writeln!(formatter, "  offered    {offered:.3} Mpps")?;
        write!(formatter, "  delivered  {delivered:.3} Mpps")?;
        if let Some(nanoseconds) = nanoseconds_per_packet {
            write!(formatter, "\n  user space {nanoseconds:.1} ns per packet")?;
        }
        Ok(())
    }
}

//! Levels of degradation.

use std::fmt;

use crate::number::SamplingRate;

/// Number of levels.
pub const LEVELS: usize = 5;

/// Degradation level: the records that a worker makes, from all to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DegradeLevel {
    /// Everything that the configuration asks for.
    Full,
    /// Flows, but no packets.
    Flows,
    /// One in so many flows.
    Sampled(SamplingRate),
    /// Nothing: packets are counted.
    Counters,
}

impl DegradeLevel {
    /// Name in log, ledger and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Flows => "flows",
            Self::Sampled(_) => "sampled",
            Self::Counters => "counters",
        }
    }

    /// Sampling rate of flows; none where they are not followed at all.
    pub const fn sampling(self) -> Option<SamplingRate> {
        match self {
            Self::Full | Self::Flows => Some(SamplingRate::EVERY),
            Self::Sampled(rate) => Some(rate),
            Self::Counters => None,
        }
    }
}

impl fmt::Display for DegradeLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        match self {
            Self::Sampled(rate) => write!(formatter, " 1:{}", rate.get()),
            Self::Full | Self::Flows | Self::Counters => Ok(()),
        }
    }
}

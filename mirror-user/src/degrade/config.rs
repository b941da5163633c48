//! Configuration of degradation.

use std::time::Duration;

use thiserror::Error;

use super::level::{DegradeLevel, LEVELS};
use crate::number::SamplingRate;

/// Levels that a worker may take.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum DegradeMode {
    /// Record everything; packets that a worker cannot keep up with are dropped and counted
    #[default]
    Off,
    /// Record flows only
    Flows,
    /// Record sampled flows only
    Sampled,
    /// Record nothing, only count
    Counters,
    /// Leave out as much as it takes to keep up: packet records, then flows by sampling, then all
    Auto,
}

/// Configuration of a [`Degradation`](super::Degradation).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DegradeConfig {
    /// Levels that the worker may take.
    pub mode: DegradeMode,
    /// Rates of the sampled levels, in ascending order. The mode [`DegradeMode::Sampled`] uses the first.
    pub rates: [SamplingRate; 2],
    /// Part of the receive ring that must be filled, for a window, for a step down; 0 to 1.
    pub high_fill: f32,
    /// Part of the receive ring that may be filled in calm times, below `high_fill`.
    pub low_fill: f32,
    /// Time for which the ring must be full, and the least time between two changes of the level.
    pub window: Duration,
    /// Time for which pressure must have lasted for the step down from each level, from [`DegradeLevel::Full`] on, in ascending order.
    pub down_after: [Duration; LEVELS - 1],
    /// Time for which it must be calm for a step up, at first; longer than the window.
    pub calm: Duration,
    /// Longest time for which it must be calm, after relapses.
    pub longest_calm: Duration,
    /// To leave a level within this time after stepping up to it is a relapse.
    pub relapse: Duration,
}

impl Default for DegradeConfig {
    /// Off. In the automatic mode: one in 8 and one in 64 flows; pressure when the ring has been filled by three quarters for
    /// 50 ms; down at once, after 50 ms, 200 ms and 1 s of pressure; up when the ring has been filled by less than one quarter
    /// for 1 s, and for up to 8 s when a step up has not held for 10 s.
    fn default() -> Self {
        Self {
            mode: DegradeMode::Off,
            rates: [8, 64].map(|flows| SamplingRate::one_in(flows).unwrap_or(SamplingRate::HIGHEST)),
            high_fill: 0.75,
            low_fill: 0.25,
            window: Duration::from_millis(50),
            down_after: [0, 50, 200, 1000].map(Duration::from_millis),
            calm: Duration::from_secs(1),
            longest_calm: Duration::from_secs(8),
            relapse: Duration::from_secs(10),
        }
    }
}

impl DegradeConfig {
    /// Every level, from [`DegradeLevel::Full`] down.
    pub fn levels(&self) -> [DegradeLevel; LEVELS] {
        let [first, second] = self.rates.map(DegradeLevel::Sampled);
        [DegradeLevel::Full, DegradeLevel::Flows, first, second, DegradeLevel::Counters]
    }

    /// The same, if it can be followed.
    ///
    /// # Errors
    ///
    /// The first value that does not fit the others.
    pub fn checked(self) -> Result<Self, DegradeConfigError> {
        let [first, second] = self.rates;
        if first <= SamplingRate::EVERY || second <= first {
            return Err(DegradeConfigError::Rates(first.get(), second.get()));
        }
        if !(0.0 < self.low_fill && self.low_fill < self.high_fill && self.high_fill < 1.0) {
            return Err(DegradeConfigError::Fill(self.low_fill, self.high_fill));
        }
        if self.window.is_zero() || self.calm <= self.window {
            return Err(DegradeConfigError::Calm(self.calm, self.window));
        }
        if !self.down_after.is_sorted() {
            return Err(DegradeConfigError::DownAfter(self.down_after));
        }
        if self.longest_calm < self.calm {
            return Err(DegradeConfigError::LongestCalm(self.longest_calm, self.calm));
        }
        Ok(self)
    }
}

/// Reason for which a [`DegradeConfig`] cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum DegradeConfigError {
    /// [`DegradeConfig::rates`].
    #[error("degradation: sampling rates {0} and {1}; set them to ascending powers of two above 1")]
    Rates(u32, u32),
    /// [`DegradeConfig::low_fill`] and [`DegradeConfig::high_fill`].
    #[error("degradation: fill of the ring from {0} to {1}; set both between 0 and 1, the low one first")]
    Fill(f32, f32),
    /// [`DegradeConfig::down_after`].
    #[error("degradation: down after {0:?} of pressure; set each to at least the one before")]
    DownAfter([Duration; LEVELS - 1]),
    /// [`DegradeConfig::calm`] and [`DegradeConfig::window`].
    #[error(
        "degradation: up after {0:?} of calm, down after {1:?}; set both above 0, and calm to the longer"
    )]
    Calm(Duration, Duration),
    /// [`DegradeConfig::longest_calm`].
    #[error(
        "degradation: at most {0:?} of calm after relapses; set it to at least the {1:?} of the first time"
    )]
    LongestCalm(Duration, Duration),
}

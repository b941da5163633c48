//! Declared degradation: what a worker leaves off when it cannot keep up, by rule, instead of losing packets at random.
//!
//! A [`Degradation`] belongs to one worker. It is told of the pressure that the worker is under, and answers at which
//! [`Level`] to work. It counts time and packets at each level, for the ledger. It does no work itself and reads no
//! clock.
//!
//! # The rule of the automatic mode
//!
//! - Down one level when packets are dropped, or when the receive ring has been filled above
//!   [`DegradeConfig::high_fill`] for a whole [`DegradeConfig::window`]; but not within a window after the level
//!   changed, since it takes that long to show effect.
//! - Up one level when for [`DegradeConfig::calm`] no packet was dropped and the ring was filled below
//!   [`DegradeConfig::low_fill`].
//! - Who has to step down within [`DegradeConfig::relapse`] after stepping up must be calm for twice as long before the
//!   next attempt, up to [`DegradeConfig::longest_calm`]. When a step up has held for that time, the wait is the first
//!   one again.
//!
//! So the level changes at most once per window, rises at most once per calm period, and under a load that is too high
//! for a level, the worker visits that level less and less often.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::flow::SamplingRate;
use crate::source::Timestamp;

/// Time between two observations that counts as observed, at most: longer silence is no evidence of anything.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// What a worker records of its packets, from all to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everything that the configuration asks for.
    Full,
    /// Flows, but no packets.
    Flows,
    /// One in so many flows.
    Sampled(SamplingRate),
    /// Nothing: packets are counted.
    Counters,
}

impl Level {
    /// Name in log, ledger and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Flows => "flows",
            Self::Sampled(_) => "sampled",
            Self::Counters => "counters",
        }
    }

    /// How flows are sampled; none where they are not followed at all.
    pub const fn sampling(self) -> Option<SamplingRate> {
        match self {
            Self::Full | Self::Flows => Some(SamplingRate::EVERY),
            Self::Sampled(rate) => Some(rate),
            Self::Counters => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        match self {
            Self::Sampled(rate) => write!(formatter, " 1:{}", rate.get()),
            Self::Full | Self::Flows | Self::Counters => Ok(()),
        }
    }
}

/// Which levels a worker may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
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

/// What a [`Degradation`] is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DegradeConfig {
    /// Which levels the worker may take.
    pub mode: DegradeMode,
    /// Rates of the sampled levels, in ascending order. The mode [`DegradeMode::Sampled`] uses the first.
    pub rates: [SamplingRate; 2],
    /// Part of the receive ring that must be filled, for a window, for a step down; 0 to 1.
    pub high_fill: f32,
    /// Part of the receive ring that may be filled in calm times, below `high_fill`.
    pub low_fill: f32,
    /// How long the ring must be full, and the least time between two changes of the level.
    pub window: Duration,
    /// How long it must be calm for a step up, at first; longer than the window.
    pub calm: Duration,
    /// How long it must be calm at most, after relapses.
    pub longest_calm: Duration,
    /// A step down within this time after a step up is a relapse.
    pub relapse: Duration,
}

impl Default for DegradeConfig {
    /// Off. In the automatic mode: one in 8 and one in 64 flows; down when the ring has been filled by three quarters
    /// for 50 ms, up when it has been filled by less than one quarter for 10 s, and for up to 5 minutes when a step up
    /// has not held for a minute.
    fn default() -> Self {
        Self {
            mode: DegradeMode::Off,
            rates: [8, 64].map(|flows| SamplingRate::one_in(flows).unwrap_or(SamplingRate::HIGHEST)),
            high_fill: 0.75,
            low_fill: 0.25,
            window: Duration::from_millis(50),
            calm: Duration::from_secs(10),
            longest_calm: Duration::from_mins(5),
            relapse: Duration::from_mins(1),
        }
    }
}

impl DegradeConfig {
    /// Every level, from [`Level::Full`] down.
    pub fn levels(&self) -> [Level; LEVELS] {
        let [first, second] = self.rates.map(Level::Sampled);
        [Level::Full, Level::Flows, first, second, Level::Counters]
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
        if self.longest_calm < self.calm {
            return Err(DegradeConfigError::LongestCalm(self.longest_calm, self.calm));
        }
        Ok(self)
    }
}

/// Why a [`DegradeConfig`] cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum DegradeConfigError {
    /// [`DegradeConfig::rates`].
    #[error("degradation: sampling rates {0} and {1}; set them to ascending powers of two above 1")]
    Rates(u32, u32),
    /// [`DegradeConfig::low_fill`] and [`DegradeConfig::high_fill`].
    #[error("degradation: fill of the ring from {0} to {1}; set both between 0 and 1, the low one first")]
    Fill(f32, f32),
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

/// What a worker has seen since the last time that it said so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Part of the receive ring that is filled: 0 to 1.
    pub ring_fill: f32,
    /// Packets that the kernel dropped because the ring was full, or there was no buffer.
    pub ring_drops: u64,
    /// Records that the queue to the sink had no room for.
    pub sink_queue_full: u64,
}

/// Why a level was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The receive ring was filled too far for too long.
    RingFill,
    /// The kernel dropped packets.
    RingDrops,
    /// The queue to the sink was full.
    SinkQueueFull,
    /// There was no pressure for long enough.
    Calm,
}

impl Reason {
    /// Name in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFill => "ring_fill",
            Self::RingDrops => "ring_drops",
            Self::SinkQueueFull => "sink_queue_full",
            Self::Calm => "calm",
        }
    }
}

/// A change of the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The level before.
    pub from: Level,
    /// The level from now on: the next one.
    pub to: Level,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Transition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "from {} to {} ({})", self.from, self.to, self.reason.name())
    }
}

/// What was done at a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelUse {
    /// The level.
    pub level: Level,
    /// How long it was in force, from the first observation to the latest.
    pub time: Duration,
    /// Packets that were worked on meanwhile.
    pub packets: u64,
}

/// How many levels there are.
pub const LEVELS: usize = 5;

/// At which level a worker works.
#[derive(Debug)]
pub struct Degradation {
    config: DegradeConfig,
    /// What was done at each level, from [`Level::Full`] down.
    levels: [LevelUse; LEVELS],
    /// The position of the level in force.
    current: usize,
    latest: Option<Timestamp>,
    /// Time since the level changed, or since the first observation.
    since_change: Duration,
    /// Time since the last step up, if it may still turn out too early.
    since_up: Option<Duration>,
    /// For how long the ring has been filled too far.
    high_for: Option<Duration>,
    /// For how long there has been no pressure.
    calm_for: Option<Duration>,
    /// For how long there must be none for a step up.
    calm_needed: Duration,
}

impl Degradation {
    /// Begins at the level of the mode; the automatic one at [`Level::Full`].
    ///
    /// # Errors
    ///
    /// When the values of `config` do not fit each other.
    pub fn new(config: DegradeConfig) -> Result<Self, DegradeConfigError> {
        let config = config.checked()?;
        let levels = config.levels();
        Ok(Self {
            config,
            levels: levels.map(|level| LevelUse { level, time: Duration::ZERO, packets: 0 }),
            current: match config.mode {
                DegradeMode::Off | DegradeMode::Auto => 0,
                DegradeMode::Flows => 1,
                DegradeMode::Sampled => 2,
                DegradeMode::Counters => LEVELS - 1,
            },
            latest: None,
            since_change: Duration::ZERO,
            since_up: None,
            high_for: None,
            calm_for: None,
            calm_needed: config.calm,
        })
    }

    /// The level in force.
    pub fn level(&self) -> Level {
        self.levels.get(self.current).map_or(Level::Full, |used| used.level)
    }

    /// What was done at each level, from [`Level::Full`] down to [`Level::Counters`].
    pub const fn levels(&self) -> &[LevelUse; LEVELS] {
        &self.levels
    }

    /// Counts packets that are worked on at the level in force.
    pub fn count(&mut self, packets: u64) {
        if let Some(used) = self.levels.get_mut(self.current) {
            used.packets += packets;
        }
    }

    /// Takes note of the pressure, at least every few milliseconds, and changes the level where the rule says so.
    ///
    /// A clock that is set back stands still for that observation, and goes on from there.
    pub fn observe(&mut self, now: Timestamp, pressure: Pressure) -> Option<Transition> {
        let before = self.latest.replace(now).unwrap_or(now);
        let elapsed = Duration::from_nanos(now.0.saturating_sub(before.0));
        if let Some(used) = self.levels.get_mut(self.current) {
            used.time += elapsed;
        }
        if self.config.mode != DegradeMode::Auto {
            return None;
        }
        self.follow(elapsed.min(LONGEST_SILENCE), pressure);
        if self.since_change < self.config.window {
            None
        } else if let Some(reason) = self.overload(pressure) {
            self.step_down(reason)
        } else if self.calm_for.is_some_and(|calm_for| calm_for >= self.calm_needed) {
            self.step_up()
        } else {
            None
        }
    }

    /// Brings the state up to date.
    fn follow(&mut self, elapsed: Duration, pressure: Pressure) {
        let DegradeConfig { calm, relapse, high_fill, low_fill, .. } = self.config;
        self.since_change += elapsed;
        self.since_up = self.since_up.map(|since_up| since_up + elapsed);
        if self.since_up.is_some_and(|since_up| since_up > relapse) {
            self.since_up = None;
            self.calm_needed = calm;
        }
        let lasting = |state: Option<Duration>| state.map_or(Duration::ZERO, |so_far| so_far + elapsed);
        let Pressure { ring_fill, ring_drops, sink_queue_full } = pressure;
        self.high_for = (ring_fill > high_fill).then(|| lasting(self.high_for));
        let is_calm = ring_fill < low_fill && ring_drops == 0 && sink_queue_full == 0;
        self.calm_for = is_calm.then(|| lasting(self.calm_for));
    }

    /// Why the level is too high, if it is.
    fn overload(&self, pressure: Pressure) -> Option<Reason> {
        if pressure.ring_drops > 0 {
            Some(Reason::RingDrops)
        } else if pressure.sink_queue_full > 0 {
            Some(Reason::SinkQueueFull)
        } else if self.high_for.is_some_and(|high_for| high_for >= self.config.window) {
            Some(Reason::RingFill)
        } else {
            None
        }
    }

    fn step_down(&mut self, reason: Reason) -> Option<Transition> {
        let transition = self.change(self.current.checked_add(1)?, reason)?;
        if self.since_up.take().is_some() {
            self.calm_needed = self.calm_needed.saturating_mul(2).min(self.config.longest_calm);
        }
        Some(transition)
    }

    fn step_up(&mut self) -> Option<Transition> {
        let transition = self.change(self.current.checked_sub(1)?, Reason::Calm)?;
        self.since_up = Some(Duration::ZERO);
        Some(transition)
    }

    /// Goes to the level at a position, if there is one.
    fn change(&mut self, position: usize, reason: Reason) -> Option<Transition> {
        let to = self.levels.get(position)?.level;
        let from = self.level();
        self.current = position;
        self.since_change = Duration::ZERO;
        // What was seen at the level before says nothing of this one.
        self.high_for = None;
        self.calm_for = None;
        Some(Transition { from, to, reason })
    }
}

#[cfg(test)]
mod tests;

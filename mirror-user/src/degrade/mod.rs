//! Declared degradation: a worker that cannot keep up leaves out records by rule, instead of losing packets at random.
//!
//! A [`Degradation`] belongs to one worker. It takes the pressure on the worker, and returns the [`DegradeLevel`] at which to
//! work. It counts time and packets at each level, for the ledger. It does no work itself and reads no
//! clock.
//!
//! # The rule of the automatic mode
//!
//! - There is pressure when packets are dropped, when records are refused, or when the receive ring has been filled above
//!   [`DegradeConfig::high_fill`] for a whole [`DegradeConfig::window`]. It lasts until there was none for
//!   two windows.
//! - Down one level when there is pressure that has lasted long enough for that step ([`DegradeConfig::down_after`]): the
//!   less is recorded at the next level, the longer. But not within a window after the level changed, since it takes that
//!   long to show effect.
//! - Up one level when for [`DegradeConfig::calm`] no packet was dropped, no record refused, and the ring was filled below
//!   [`DegradeConfig::low_fill`].
//! - A worker that has to leave a level within [`DegradeConfig::relapse`] after stepping up to it must be calm for twice as
//!   long before it steps up to that level again, up to [`DegradeConfig::longest_calm`]. When a level has held for that time, or the worker
//!   could go further up, the wait for it is the first one again.
//! - [`DegradeLevel::Counters`], at which nothing is recorded, is left after [`DegradeConfig::longest_calm`] for a try, calm or not.
//!
//! # Consequences, with the values of [`DegradeConfig::default`]
//!
//! A sender of mirrored traffic can cause pressure, and must not gain much by it.
//!
//! - A burst of 100 ms leads to one in 8 flows at most, and all is as before 2 s later; 16 s later if it is one of many. Bursts
//!   once a minute find the worker at [`DegradeLevel::Full`] each time.
//! - Pressure that is over within a second never leads to [`DegradeLevel::Counters`], however often it comes.
//! - [`DegradeLevel::Counters`] ends within 8 s after the pressure has gone, and all is as before after 11 s, if it was a single flood
//!   of whatever length, and after 32 s in any case. While a flood goes on, one in 64 flows are recorded for a second at
//!   least in every nine.
//! - Under a load that is too high for a level, the worker visits that level less and less often, at last every 8 s.

mod config;
mod level;

use std::fmt;
use std::time::Duration;

pub use self::config::{DegradeConfig, DegradeConfigError, DegradeMode};
pub use self::level::{DegradeLevel, LEVELS};
use crate::time::Timestamp;

/// Time between two observations that counts as observed, at most: longer silence is no evidence of anything.
const LONGEST_SILENCE: Duration = Duration::from_millis(500);

/// Pressure on a worker since the last observation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Part of the receive ring that is filled: 0 to 1.
    pub ring_fill: f32,
    /// Packets that the kernel dropped because the ring was full, or there was no buffer.
    pub ring_drops: u64,
    /// Records that the queue to the sink had no room for.
    pub sink_queue_full: u64,
}

/// Reason for a change of the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionReason {
    /// The receive ring was filled too far for too long.
    RingFill,
    /// The kernel dropped packets.
    RingDrops,
    /// The queue to the sink was full.
    SinkQueueFull,
    /// There was no pressure for long enough.
    Calm,
    /// Nothing was recorded for long enough.
    Try,
}

impl TransitionReason {
    /// Name in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFill => "ring_fill",
            Self::RingDrops => "ring_drops",
            Self::SinkQueueFull => "sink_queue_full",
            Self::Calm => "calm",
            Self::Try => "try",
        }
    }
}

/// A change of the level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The level before.
    pub from: DegradeLevel,
    /// The level from now on: the next one.
    pub to: DegradeLevel,
    /// The reason.
    pub reason: TransitionReason,
}

impl fmt::Display for Transition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "from {} to {} ({})", self.from, self.to, self.reason.name())
    }
}

/// Use of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelUse {
    /// The level.
    pub level: DegradeLevel,
    /// Time for which it was in force, from the first observation to the latest.
    pub time: Duration,
    /// Packets that were worked on meanwhile.
    pub packets: u64,
}

/// The degradation of one worker.
#[derive(Debug)]
pub struct Degradation {
    config: DegradeConfig,
    /// Use of each level, from [`DegradeLevel::Full`] down.
    levels: [LevelUse; LEVELS],
    /// Position of the level in force.
    current: usize,
    latest: Option<Timestamp>,
    /// Time since the level changed, or since the first observation.
    since_change: Duration,
    /// Time since the level in force was stepped up to, if it may still turn out too early.
    since_up: Option<Duration>,
    /// Time for which the ring has been filled too far.
    high_for: Option<Duration>,
    /// Time for which there has been pressure.
    pressed_for: Option<Duration>,
    /// Time since there was pressure last.
    since_pressed: Duration,
    /// Time for which it has been calm.
    calm_for: Option<Duration>,
    /// Time for which it must be calm for a step up to each level.
    calm_needed: [Duration; LEVELS],
}

impl Degradation {
    /// Begins at the level of the mode; the automatic one at [`DegradeLevel::Full`].
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
            pressed_for: None,
            since_pressed: Duration::ZERO,
            calm_for: None,
            calm_needed: [config.calm; LEVELS],
        })
    }

    /// The level in force.
    pub fn level(&self) -> DegradeLevel {
        self.levels.get(self.current).map_or(DegradeLevel::Full, |used| used.level)
    }

    /// Use of each level, from [`DegradeLevel::Full`] down to [`DegradeLevel::Counters`].
    pub const fn levels(&self) -> &[LevelUse; LEVELS] {
        &self.levels
    }

    /// Counts packets that are worked on at the level in force.
    pub fn count(&mut self, packets: u64) {
        if let Some(used) = self.levels.get_mut(self.current) {
            used.packets += packets;
        }
    }

    /// Takes the pressure, at least every few milliseconds, and changes the level where the rule says so.
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
        let reason = self.update(elapsed.min(LONGEST_SILENCE), pressure);
        if self.since_change < self.config.window {
            return None;
        }
        match reason {
            Some(reason) if self.has_lasted() => self.step_down(reason),
            None if self.is_calm_enough() => self.step_up(TransitionReason::Calm),
            _ if self.is_try_due() => self.step_up(TransitionReason::Try),
            Some(_) | None => None,
        }
    }

    /// Updates the state; returns the reason for pressure, if there is any.
    fn update(&mut self, elapsed: Duration, pressure: Pressure) -> Option<TransitionReason> {
        let DegradeConfig { window, calm, relapse, high_fill, low_fill, .. } = self.config;
        let lasting = |state: Option<Duration>| state.map_or(Duration::ZERO, |so_far| so_far + elapsed);
        self.since_change += elapsed;
        self.since_up = self.since_up.map(|since_up| since_up + elapsed);
        if self.since_up.is_some_and(|since_up| since_up > relapse) {
            self.since_up = None;
            self.set_calm_needed(|_| calm);
        }
        let Pressure { ring_fill, ring_drops, sink_queue_full } = pressure;
        self.high_for = (ring_fill > high_fill).then(|| lasting(self.high_for));
        let is_calm = ring_fill < low_fill && ring_drops == 0 && sink_queue_full == 0;
        self.calm_for = is_calm.then(|| lasting(self.calm_for));

        let reason = if ring_drops > 0 {
            Some(TransitionReason::RingDrops)
        } else if sink_queue_full > 0 {
            Some(TransitionReason::SinkQueueFull)
        } else {
            self.high_for.filter(|high_for| *high_for >= window).map(|_| TransitionReason::RingFill)
        };
        self.pressed_for = self.pressed_for.map(|pressed_for| pressed_for + elapsed);
        if reason.is_some() {
            // A ring that was full for a while was pressure from its beginning.
            self.pressed_for = self.pressed_for.max(Some(self.high_for.unwrap_or_default()));
            self.since_pressed = Duration::ZERO;
        } else {
            self.since_pressed += elapsed;
            if self.since_pressed >= 2 * window {
                self.pressed_for = None;
            }
        }
        reason
    }

    /// `true` if the pressure has lasted long enough for a step down.
    fn has_lasted(&self) -> bool {
        let needed = self.config.down_after.get(self.current);
        needed.is_some_and(|needed| self.pressed_for.is_some_and(|pressed_for| pressed_for >= *needed))
    }

    /// `true` if it has been calm for long enough for a step up.
    fn is_calm_enough(&self) -> bool {
        let above = self.current.checked_sub(1).and_then(|above| self.calm_needed.get(above));
        above.is_some_and(|needed| self.calm_for.is_some_and(|calm_for| calm_for >= *needed))
    }

    /// `true` if nothing was recorded for so long that a try is due.
    fn is_try_due(&self) -> bool {
        self.level() == DegradeLevel::Counters && self.since_change >= self.config.longest_calm
    }

    /// Changes the time for which it must be calm for a step up to the level in force.
    fn set_calm_needed(&mut self, change: impl FnOnce(Duration) -> Duration) {
        if let Some(needed) = self.calm_needed.get_mut(self.current) {
            *needed = change(*needed);
        }
    }

    fn step_down(&mut self, reason: TransitionReason) -> Option<Transition> {
        if self.since_up.take().is_some() {
            let longest = self.config.longest_calm;
            self.set_calm_needed(|needed| needed.saturating_mul(2).min(longest));
        }
        self.change(self.current.checked_add(1)?, reason)
    }

    fn step_up(&mut self, reason: TransitionReason) -> Option<Transition> {
        let calm = self.config.calm;
        self.set_calm_needed(|_| calm);
        let transition = self.change(self.current.checked_sub(1)?, reason)?;
        self.since_up = Some(Duration::ZERO);
        self.pressed_for = None;
        Some(transition)
    }

    /// Goes to the level at a position, if there is one.
    fn change(&mut self, position: usize, reason: TransitionReason) -> Option<Transition> {
        let to = self.levels.get(position)?.level;
        let from = self.level();
        self.current = position;
        self.since_change = Duration::ZERO;
        // Observations at the previous level say nothing of this one.
        self.high_for = None;
        self.calm_for = None;
        Some(Transition { from, to, reason })
    }
}

#[cfg(test)]
mod tests;

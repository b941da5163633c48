//! The highest rate at which a device loses no more than a goal allows: a binary search after RFC 2544, section 26.1,
//! with short trials, and a long one to confirm.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Greatest shortfall of a trial's offered rate, as a part of the rate that was asked for.
const OFFER: f64 = 0.02;
/// Greatest number of long trials.
const LONG_TRIALS: u32 = 8;

/// The trials of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trials {
    /// Duration of each trial of the binary search.
    pub short: Duration,
    /// Duration of the trial that confirms the result.
    pub long: Duration,
    /// Greatest error of the result, as a part of it.
    pub resolution: f64,
    /// Attempts at a rate before it has failed. More than one tolerates a disturbance of the machine.
    pub attempts: usize,
}

impl Default for Trials {
    /// Trials of a second, confirmed for half a minute, to one percent.
    fn default() -> Self {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { short, long, resolution: 0.01, attempts: 2 }
    }
}

impl Trials {
    /// A few short trials, to see that everything works.
    pub const fn quick() -> Self {
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(100));
        Self { short, long, resolution: 0.5, attempts: 1 }
    }
}

/// The response of a device to the packets of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Packets per second that were in fact offered.
    pub offered_rate: f64,
    /// The part of them that was lost.
    pub loss: f64,
}

/// One trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Packets per second to be offered.
    pub rate: u64,
    /// Duration.
    pub seconds: f64,
    /// The device's response.
    pub response: Response,
    /// True if no more was lost than allowed.
    pub passed: bool,
}

impl Trial {
    /// True if the generator offered less than asked for.
    fn was_not_offered(&self) -> bool {
        self.response.offered_rate < self.rate as f64 * (1.0 - OFFER)
    }
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The part of the packets that may be lost.
    pub loss: f64,
    /// Packets per second that were offered in the long trial that confirmed the highest rate; none where none did.
    pub rate: Option<u64>,
    /// True if the generator offered no more, so that the device may be better.
    pub limited_by_generator: bool,
    /// Every trial, in order.
    pub trials: Vec<Trial>,
}

/// Searches for the highest rate at which no more than `loss` of the packets is lost, from `greatest` packets per second
/// downwards. `device` is offered a rate for some time.
///
/// # Errors
///
/// Those of the device.
pub fn search<E>(
    loss: f64,
    trials: &Trials,
    greatest: u64,
    mut device: impl FnMut(u64, Duration) -> Result<Response, E>,
) -> Result<Found, E> {
    let mut done: Vec<Trial> = Vec::new();
    let mut passes = |rate, duration: Duration| {
        for _ in 0..trials.attempts.max(1) {
            let response: Response = device(rate, duration)?;
            let passed = response.loss <= loss;
            let trial = Trial { rate, seconds: duration.as_secs_f64(), response, passed };
            done.push(trial);
            if passed {
                return Ok(Some(trial));
            }
        }
        Ok(None)
    };
    let step = |rate: u64| portion(rate, trials.resolution);
    let (mut low, mut high) = (0, greatest);
    if passes(greatest, trials.short)?.is_some() {
        low = greatest;
    }
    while low + step(high) < high {
        let middle = low + (high - low) / 2;
        if passes(middle, trials.short)?.is_some() {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut confirmed = None;
    for attempt in 0..LONG_TRIALS {
        if low == 0 || confirmed.is_some() {
            break;
        }
        confirmed = passes(low, trials.long)?;
        // Ever further away: a device that is well below what short trials said is found in few long ones.
        low = low.saturating_sub(step(low) << attempt);
    }
    Ok(Found {
        loss,
        rate: confirmed.map(|trial| portion(trial.rate, trial.response.offered_rate / trial.rate as f64)),
        limited_by_generator: confirmed
            .is_some_and(|trial| trial.rate == greatest || trial.was_not_offered()),
        trials: done,
    })
}

/// A part of a rate, and at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive part of a rate")]
fn portion(rate: u64, part: f64) -> u64 {
    ((rate as f64 * part) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const TRIALS: Trials = Trials {
        resolution: 0.01,
        short: Duration::from_secs(1),
        long: Duration::from_secs(10),
        attempts: 1,
    };

    /// A device that takes `capacity` packets per second, and in long trials a tenth less.
    struct Simulated {
        capacity: f64,
        tires: bool,
        generator: f64,
        calls: usize,
    }

    impl Simulated {
        fn new(capacity: f64) -> Self {
            Self { capacity, tires: false, generator: f64::MAX, calls: 0 }
        }

        fn offer(&mut self, rate: u64, duration: Duration) -> Result<Response, Infallible> {
            self.calls += 1;
            let capacity = if self.tires && duration == TRIALS.long { 0.9 } else { 1.0 } * self.capacity;
            let offered_rate = (rate as f64).min(self.generator);
            Ok(Response { offered_rate, loss: (1.0 - capacity / offered_rate).max(0.0) })
        }

        fn search(&mut self, loss: f64, trials: &Trials, greatest: u64) -> Found {
            let Ok(found) = search(loss, trials, greatest, |rate, duration| self.offer(rate, duration));
            found
        }
    }

    #[test]
    fn finds_the_capacity_within_the_resolution() {
        for capacity in [1_234.0, 100_000.0, 4_567_890.0, 9_999_999.0] {
            let mut device = Simulated::new(capacity);
            let found = device.search(0.0, &TRIALS, 10_000_000);
            let rate = found.rate.unwrap() as f64;
            assert!(rate <= capacity && rate >= capacity * 0.985 - 1.0, "{rate} of {capacity}");
            assert!(!found.limited_by_generator);
            assert!(device.calls < 30, "{} trials", device.calls);
            let last = found.trials.last().unwrap();
            assert_eq!((last.passed, last.seconds), (true, 10.0), "a long trial confirms");
        }
    }

    #[test]
    fn allowed_loss_gives_a_higher_rate() {
        let trials = Trials { resolution: 0.0005, ..TRIALS };
        let strict = Simulated::new(1e6).search(0.0, &trials, 10_000_000).rate.unwrap();
        let lenient = Simulated::new(1e6).search(0.005, &trials, 10_000_000).rate.unwrap();
        assert!(lenient > strict, "{lenient} {strict}");
        assert!((1.003e6..=1.005_03e6).contains(&(lenient as f64)), "{lenient}");
    }

    #[test]
    fn a_device_that_tires_is_found_by_the_long_trials() {
        let mut device = Simulated { tires: true, ..Simulated::new(1e6) };
        let found = device.search(0.0, &TRIALS, 10_000_000);
        let rate = found.rate.unwrap() as f64;
        assert!((0.8e6..=0.9e6).contains(&rate), "{rate}");
    }

    #[test]
    fn the_generator_s_limit_is_told_from_the_device_s() {
        let mut device = Simulated { generator: 2e6, ..Simulated::new(5e6) };
        let found = device.search(0.0, &TRIALS, 10_000_000);
        let rate = found.rate.unwrap() as f64;
        assert!((1.99e6..=2e6).contains(&rate), "{rate}");
        assert!(found.limited_by_generator);
        assert!(
            Simulated::new(5e6).search(0.0, &TRIALS, 1_000_000).limited_by_generator,
            "nothing failed at all"
        );
    }

    #[test]
    fn a_device_that_loses_at_any_rate_has_none() {
        let trials = Trials { resolution: 0.5, ..TRIALS };
        let always = |rate: u64, _| Ok::<_, Infallible>(Response { offered_rate: rate as f64, loss: 0.1 });
        let Ok(found) = search(0.0, &trials, 1000, always);
        assert_eq!((found.rate, found.limited_by_generator), (None, false));
    }

    #[test]
    fn a_disturbance_is_forgiven_where_there_are_attempts() {
        let mut device = Simulated::new(1e6);
        let mut disturbed = |rate, duration| {
            let Ok(response) = device.offer(rate, duration);
            let loss = if device.calls.is_multiple_of(2) { response.loss } else { 0.01 };
            Ok::<_, Infallible>(Response { loss, ..response })
        };
        let Ok(found) = search(0.0, &Trials { attempts: 2, ..TRIALS }, 10_000_000, &mut disturbed);
        assert!(found.rate.unwrap() > 980_000, "{found:?}");
    }

    #[test]
    fn a_device_s_error_ends_the_search() {
        assert_eq!(search(0.0, &TRIALS, 1000, |_, _| Err("gone")), Err("gone"));
    }
}

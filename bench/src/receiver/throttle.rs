//! Slowdown of a worker, as if its processor were slower, for a generator that cannot overload it otherwise.

use std::hint;

use super::tsc::{ticks, ticks_per_nanosecond};

/// Longest work on a batch of at most 64 packets, in nanoseconds. Longer times mean that another thread had the
/// processor, which would have taken as long beside a slower worker.
const LONGEST_WORK: f64 = 100_000.0;

/// A delay in proportion to the work of a worker.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Time to wait for each tick of work.
    share: f64,
    /// Most ticks that count as work.
    longest: f64,
}

impl Throttle {
    /// A throttle that makes a worker `slowdown` times slower; none where that is 1 or less.
    pub fn new(slowdown: f64) -> Option<Self> {
        (slowdown > 1.0)
            .then(|| Self { share: slowdown - 1.0, longest: LONGEST_WORK * ticks_per_nanosecond() })
    }

    /// Waits after `work` ticks of work that ended at `now`, and returns the time after that.
    #[inline]
    pub fn wait(&self, now: u64, work: u64) -> u64 {
        let wait = (work as f64).min(self.longest) * self.share;
        loop {
            let time = ticks();
            if time.wrapping_sub(now) as f64 >= wait {
                return time;
            }
            hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_so_many_times_as_long() {
        let throttle = Throttle::new(5.0).unwrap();
        let microseconds_held = |work: u64| {
            let now = ticks();
            (throttle.wait(now, work) - now) as f64 / ticks_per_nanosecond() / 1e3
        };
        let work = 50_000; // ticks, which are some ten microseconds on any processor
        let expected = 4.0 * work as f64 / ticks_per_nanosecond() / 1e3;
        assert!(microseconds_held(work) >= expected * 0.99);
        // Another thread had the processor in between: that is not multiplied.
        assert!((399.0..100_000.0).contains(&microseconds_held(1_000_000_000)));
    }

    #[test]
    fn a_worker_without_slowdown_has_no_throttle() {
        assert!(Throttle::new(1.0).is_none());
        assert!(Throttle::new(f64::NAN).is_none());
    }
}

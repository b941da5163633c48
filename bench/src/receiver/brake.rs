//! A worker as it would be on a slower processor, for a generator that cannot overload it on this one.

use std::hint;

use super::meter::{ticks, ticks_per_nanosecond};

/// What takes longer, in nanoseconds, is no work on a batch of at most 64 packets: another thread had the processor. It
/// would have taken as long next to a slower worker.
const LONGEST_WORK: f64 = 100_000.0;

/// Holds a worker up, in proportion to its own work: it becomes so many times slower, with all its habits.
#[derive(Debug)]
pub(super) struct Brake {
    /// Time to wait for each tick of work.
    share: f64,
    /// Most ticks that count as work.
    longest: f64,
}

impl Brake {
    /// Makes a worker `slowdown` times slower; none where that is 1 or less.
    pub fn new(slowdown: f64) -> Option<Self> {
        (slowdown > 1.0)
            .then(|| Self { share: slowdown - 1.0, longest: LONGEST_WORK * ticks_per_nanosecond() })
    }

    /// Waits after `work` ticks of work that ended at `now`, and returns the time after that.
    #[inline]
    pub fn hold(&self, now: u64, work: u64) -> u64 {
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
        let brake = Brake::new(5.0).unwrap();
        let microseconds_held = |work: u64| {
            let now = ticks();
            (brake.hold(now, work) - now) as f64 / ticks_per_nanosecond() / 1e3
        };
        let work = 50_000; // ticks, which are some ten microseconds on any processor
        let expected = 4.0 * work as f64 / ticks_per_nanosecond() / 1e3;
        assert!(microseconds_held(work) >= expected * 0.99);
        // Another thread had the processor in between: that is not multiplied.
        assert!((399.0..100_000.0).contains(&microseconds_held(1_000_000_000)));
    }

    #[test]
    fn who_is_to_be_as_fast_as_ever_has_no_brake() {
        assert!(Brake::new(1.0).is_none());
        assert!(Brake::new(f64::NAN).is_none());
    }
}

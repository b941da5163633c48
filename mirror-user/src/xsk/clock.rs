//! From the kernel's monotonic receive time to wall-clock time.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::source::Timestamp;

/// How long one measurement of the distance between the clocks is used, in nanoseconds.
const SYNCHRONISE_NS: u64 = 100_000_000;

/// The distance between the kernel's monotonic clock, which the metadata has, and the wall clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    offset: u64,
    synchronised_at: u64,
}

impl Clock {
    /// The time now, on the kernel's monotonic clock, in nanoseconds.
    pub(super) fn monotonic(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::Monotonic))
    }

    /// Wall-clock time of the moment `monotonic_ns`.
    pub(super) fn wall(&mut self, monotonic_ns: u64) -> Timestamp {
        if monotonic_ns.abs_diff(self.synchronised_at) > SYNCHRONISE_NS {
            let Timestamp(wall) = wall_now();
            self.synchronised_at = self.monotonic();
            self.offset = wall.wrapping_sub(self.synchronised_at);
        }
        Timestamp(monotonic_ns.wrapping_add(self.offset))
    }
}

/// The time now, on the wall clock.
pub(super) fn wall_now() -> Timestamp {
    Timestamp(nanoseconds(clock_gettime(ClockId::Realtime)))
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_wall_clock() {
        let mut clock = Clock::default();
        let Timestamp(before) = wall_now();
        let Timestamp(wall) = clock.wall(clock.monotonic());
        let Timestamp(after) = wall_now();
        // The two clocks are read one after the other, so the result may be off by the time in between.
        assert!((before - 1_000_000..=after + 1_000_000).contains(&wall), "{before} {wall} {after}");
    }

    #[test]
    fn keeps_the_distances_between_packets() {
        let mut clock = Clock::default();
        let now = clock.monotonic();
        let later = clock.wall(now);
        let earlier = clock.wall(now - 5_000);
        assert_eq!(later.0 - earlier.0, 5_000, "a packet from before the measurement uses the same distance");
    }
}

//! From the kernel's monotonic receive time to wall-clock time.
//!
//! In Linux both clocks run at the same rate, also while that is adjusted (`adjtimex`): their distance changes only when
//! the wall clock is set, by an administrator, by NTP in a step, or after the machine slept. So a [`WallClock`] measures the
//! distance once and keeps it, and checks now and then whether it still holds. Successive packets are as far apart as the
//! kernel's clock says, to the nanosecond.
//!
//! # The rule
//!
//! - The distance is measured by reading the monotonic clock, the wall clock, and the monotonic clock again. It is known as
//!   exactly as the two outer readings are close; of several measurements the closest counts. A measurement that was
//!   preempted between the readings is known to be inexact.
//! - A measurement that agrees with the distance in use, as exactly as both are known, changes nothing. One that does not is
//!   a step of the wall clock: the distance follows it at once, forward or back, and the step is logged.
//! - A measurement that is not exact enough counts for nothing and is soon repeated. If they stay inexact, as where reading
//!   a clock takes long, ever less exact ones will do.

use std::fs;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::Timestamp;

/// Interval between two checks of the distance, in nanoseconds.
const CHECK_NS: u64 = 100_000_000;

/// Interval until the next check where a measurement was not exact enough, in nanoseconds.
const RETRY_NS: u64 = 1_000_000;

/// Most measurements of which the best one counts.
const ATTEMPTS: usize = 8;

/// Most measurements at the start.
const FIRST_ATTEMPTS: usize = 200;

/// Error of a measurement that needs no better one, in nanoseconds: reading a clock takes some 50.
const GOOD_NS: u64 = 500;

/// Error of a measurement that is exact enough, in nanoseconds.
const ACCEPTABLE_NS: u64 = 10_000;

/// Readings of the two clocks, in nanoseconds.
pub(super) trait Readings {
    /// The monotonic clock, as the kernel's programs see it.
    fn monotonic(&self) -> u64;
    /// The wall clock.
    fn wall(&self) -> u64;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct System {
    /// Offset of this process's time namespace to the monotonic clock (`time_namespaces(7)`).
    namespace: i64,
}

impl System {
    fn new() -> Self {
        let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        Self { namespace: namespace_offset(&offsets) }
    }
}

impl Readings for System {
    fn monotonic(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::Monotonic)).wrapping_sub(self.namespace.cast_unsigned())
    }

    fn wall(&self) -> u64 {
        nanoseconds(clock_gettime(ClockId::Realtime))
    }
}

/// The offset of the monotonic clock, in nanoseconds; 0 where the kernel has no time namespaces.
fn namespace_offset(offsets: &str) -> i64 {
    let Some(line) = offsets.lines().find_map(|line| line.strip_prefix("monotonic")) else { return 0 };
    let mut numbers = line.split_ascii_whitespace().map_while(|number| number.parse::<i64>().ok());
    let (seconds, nanoseconds) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Distance of the wall clock ahead of the monotonic one, modulo 2^64.
#[derive(Clone, Copy, Debug)]
struct Distance {
    nanoseconds: u64,
    /// Greatest difference to the true distance, in nanoseconds.
    error: u64,
}

impl Distance {
    /// Difference to the distance `other`, in nanoseconds; [`None`] where the two may be the same.
    fn beyond(self, other: Self) -> Option<i64> {
        let difference = self.nanoseconds.wrapping_sub(other.nanoseconds).cast_signed();
        (difference.unsigned_abs() > self.error.saturating_add(other.error)).then_some(difference)
    }
}

/// The wall-clock time of the kernel's monotonic times.
#[derive(Debug)]
pub(super) struct WallClock<R = System> {
    readings: R,
    distance: Distance,
    /// Time of the next check of the distance, on the monotonic clock.
    due: u64,
    /// Measurements in a row that were not exact enough.
    rejected: u32,
    steps: u64,
}

impl WallClock {
    /// A clock that follows the system's.
    pub(super) fn new() -> Self {
        Self::with_readings(System::new())
    }
}

impl<R: Readings> WallClock<R> {
    fn with_readings(readings: R) -> Self {
        let distance = measure(&readings, FIRST_ATTEMPTS);
        let due = readings.monotonic().saturating_add(CHECK_NS);
        Self { readings, distance, due, rejected: 0, steps: 0 }
    }

    /// The time now, on the kernel's monotonic clock, in nanoseconds.
    pub(super) fn monotonic(&self) -> u64 {
        self.readings.monotonic()
    }

    /// Wall-clock time of the moment `monotonic_ns`.
    #[inline(always)]
    pub(super) fn wall(&self, monotonic_ns: u64) -> Timestamp {
        Timestamp(monotonic_ns.wrapping_add(self.distance.nanoseconds))
    }

    /// The time now, on the clock of the timestamps.
    pub(super) fn now(&self) -> Timestamp {
        self.wall(self.monotonic())
    }

    /// `true` if [`Self::follow`] is due at the time `monotonic_ns`.
    #[inline(always)]
    pub(super) const fn is_due(&self, monotonic_ns: u64) -> bool {
        monotonic_ns >= self.due
    }

    /// Checks whether the wall clock was set; returns its step in nanoseconds, which timestamps follow from now on.
    #[cold]
    pub(super) fn follow(&mut self) -> Option<i64> {
        let measured = measure(&self.readings, ATTEMPTS);
        let now = self.readings.monotonic();
        // Ten in a row allow for a hundredth of a second, as long as other threads may have the CPU.
        if measured.error > ACCEPTABLE_NS << self.rejected.min(32) {
            self.rejected += 1;
            self.due = now.saturating_add(RETRY_NS);
            return None;
        }
        self.rejected = 0;
        self.due = now.saturating_add(CHECK_NS);
        let step = measured.beyond(self.distance);
        if step.is_some() || (self.distance.error > ACCEPTABLE_NS && measured.error < self.distance.error) {
            self.distance = measured;
        }
        self.steps += u64::from(step.is_some());
        step
    }

    /// Steps of the wall clock.
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }
}

/// The most exact of up to `attempts` measurements.
fn measure(readings: &impl Readings, attempts: usize) -> Distance {
    let mut best = Distance { nanoseconds: 0, error: u64::MAX };
    for _ in 0..attempts {
        let before = readings.monotonic();
        let wall = readings.wall();
        let half = readings.monotonic().saturating_sub(before).div_ceil(2);
        if half < best.error {
            best = Distance { nanoseconds: wall.wrapping_sub(before.wrapping_add(half)), error: half };
        }
        if best.error <= GOOD_NS {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: u64 = 1_000_000;
    /// Distance of the clocks at first.
    const DISTANCE: u64 = 1_700_000_000_000_000_000;

    /// Two clocks of which reading one takes some time, and between two readings now and then more.
    #[derive(Debug)]
    struct Scripted {
        now: Cell<u64>,
        distance: u64,
        /// Nanoseconds that a reading takes.
        cost: u64,
        /// Nanoseconds for which the reader is preempted after each of the next readings, the last one first.
        preempted: RefCell<Vec<u64>>,
    }

    impl Scripted {
        fn new() -> Self {
            Self {
                now: Cell::new(1_000_000_000),
                distance: DISTANCE,
                cost: 40,
                preempted: RefCell::default(),
            }
        }

        /// The time of a reading.
        fn read(&self) -> u64 {
            let preempted = self.preempted.borrow_mut().pop().unwrap_or(0);
            self.now.replace(self.now.get() + self.cost + preempted)
        }
    }

    impl Readings for Scripted {
        fn monotonic(&self) -> u64 {
            self.read()
        }

        fn wall(&self) -> u64 {
            self.read().wrapping_add(self.distance)
        }
    }

    impl WallClock<Scripted> {
        /// Lets time pass, and has a packet come then: its timestamp, less what it should be, and the step that was reported.
        fn packet(&mut self, after: u64) -> (i64, Option<i64>) {
            let now = self.readings.now.get() + after;
            self.readings.now.set(now);
            let step = if self.is_due(now) { self.follow() } else { None };
            let expected = now.wrapping_add(self.readings.distance);
            (self.wall(now).0.wrapping_sub(expected).cast_signed(), step)
        }
    }

    #[test]
    fn preemption_between_two_readings_moves_no_timestamp() {
        for preempted in [50_000, 10 * MILLISECOND, 1000 * MILLISECOND] {
            for reading in 0..3 * ATTEMPTS {
                let mut clock = WallClock::with_readings(Scripted::new());
                let (error, _) = clock.packet(0);
                assert!(error.unsigned_abs() <= 40, "{error}");
                // After one of the next readings, or after all of them.
                let mut script = vec![0; reading];
                script.insert(0, preempted);
                clock.readings.preempted = script.into();
                assert_eq!(
                    clock.packet(2 * CHECK_NS),
                    (error, None),
                    "{preempted} ns after reading {reading}"
                );
                clock.readings.preempted = vec![preempted; 3 * ATTEMPTS + 1].into();
                assert_eq!(clock.packet(2 * CHECK_NS), (error, None), "{preempted} ns after each");
                assert_eq!(clock.packet(2 * RETRY_NS), (error, None));
                assert_eq!(clock.steps(), 0);
            }
        }
    }

    #[test]
    fn preemption_at_the_start_moves_no_timestamp() {
        let preempted = vec![10 * MILLISECOND; 3 * (FIRST_ATTEMPTS - 1)].into();
        let mut clock = WallClock::with_readings(Scripted { preempted, ..Scripted::new() });
        assert!(clock.packet(0).0.unsigned_abs() <= 40);
        // Where all of them are bad, the first good one later on mends it, and is no step.
        let preempted = vec![10 * MILLISECOND; 3 * FIRST_ATTEMPTS].into();
        let mut clock = WallClock::with_readings(Scripted { preempted, ..Scripted::new() });
        assert!(clock.packet(0).0.unsigned_abs() <= 10 * MILLISECOND);
        let (error, step) = clock.packet(2 * CHECK_NS);
        assert!(error.unsigned_abs() <= 40 && step.is_none(), "{error} {step:?}");
        assert_eq!(clock.steps(), 0);
    }

    #[test]
    fn steps_of_the_wall_clock_are_followed_and_reported() {
        let mut clock = WallClock::with_readings(Scripted::new());
        let steps = [1_000, -1_000, 128_000_000, -3_600_000_000_000, i64::MAX / 4, -(1 << 60)];
        for (number, step) in (1..).zip(steps) {
            clock.readings.distance = clock.readings.distance.wrapping_add_signed(step);
            assert_eq!(clock.packet(CHECK_NS / 4).1, None, "not looked at yet");
            let (error, reported) = clock.packet(CHECK_NS);
            assert!(error.unsigned_abs() <= 100, "{error}");
            assert!(
                reported.is_some_and(|reported| reported.abs_diff(step) <= 100),
                "{reported:?} for {step}"
            );
            assert_eq!(clock.steps(), number);
            assert_eq!(clock.packet(2 * CHECK_NS).1, None);
        }
    }

    #[test]
    fn packets_from_before_the_look_do_not_look_again() {
        let mut clock = WallClock::with_readings(Scripted::new());
        clock.packet(10 * CHECK_NS);
        let now = clock.readings.now.get();
        assert!(!clock.is_due(now - 5 * CHECK_NS) && !clock.is_due(now));
        assert!(clock.is_due(now + CHECK_NS));
        assert_eq!(clock.wall(now).0 - clock.wall(now - 5_000).0, 5_000);
    }

    #[test]
    fn clocks_that_are_slow_to_read_are_followed_all_the_same() {
        let mut clock = WallClock::with_readings(Scripted { cost: 300_000, ..Scripted::new() });
        clock.readings.distance += 1000 * MILLISECOND;
        let step = (0..100).find_map(|_| clock.packet(2 * RETRY_NS + CHECK_NS).1);
        assert!(step.is_some_and(|step| step.abs_diff(1_000_000_000) <= 600_000), "{step:?}");
        assert_eq!(clock.steps(), 1);
        assert_eq!((0..100).find_map(|_| clock.packet(CHECK_NS).1), None);
    }

    #[test]
    fn follows_the_system() {
        let mut clock = WallClock::new();
        let system = System::new();
        for _ in 0..3 {
            let before = system.wall();
            let now = clock.monotonic();
            let Timestamp(wall) = clock.wall(now);
            let after = system.wall();
            assert!((before - 20_000..=after + 20_000).contains(&wall), "{before} {wall} {after}");
            assert!(!clock.is_due(now));
            clock.follow();
        }
    }

    #[test]
    fn offsets_of_time_namespaces() {
        for (text, expected) in [
            ("", 0),
            ("monotonic           0         0\nboottime            0         0\n", 0),
            ("monotonic      864000         7\nboottime       1728000         0\n", 864_000_000_000_007),
            ("monotonic         -10  500000000\n", -9_500_000_000),
            ("boottime            1         0\n", 0),
        ] {
            assert_eq!(namespace_offset(text), expected, "{text:?}");
        }
    }

    proptest! {
        /// Whatever preempts the reader, timestamps of successive packets go back only with a step, and a step is followed
        /// as soon as a measurement is possible.
        #[test]
        fn time_goes_back_only_with_a_step(
            events in prop::collection::vec(
                (0..3 * CHECK_NS, prop::collection::vec(prop_oneof![3 => Just(0_u64), 1 => 0..20 * MILLISECOND], 0..40),
                 prop_oneof![20 => Just(0_i64), 1 => -2_000_000_000..2_000_000_000_i64]),
                1..200,
            ),
        ) {
            let mut clock = WallClock::with_readings(Scripted::new());
            let mut latest = Timestamp(0);
            for (after, preempted, step) in events {
                clock.readings.distance = clock.readings.distance.wrapping_add_signed(step);
                clock.readings.preempted = preempted.into();
                let (_, reported) = clock.packet(after);
                let timestamp = clock.now();
                prop_assert!(timestamp >= latest || reported.is_some_and(|reported| reported < 0), "{latest:?} {timestamp:?}");
                latest = timestamp;
            }
            clock.readings.preempted = RefCell::default();
            clock.packet(CHECK_NS);
            let (error, _) = clock.packet(CHECK_NS);
            prop_assert!(error.unsigned_abs() <= 2 * ACCEPTABLE_NS, "{error}");
        }
    }
}

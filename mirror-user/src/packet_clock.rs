//! The packets' clock: the time by their timestamps, in whatever order they come.
//!
//! Times in records are always the packets' own. This clock only drives what happens without a packet: flows that end by a
//! timeout. Captures may be slow, be read in the wrong order, or interleave capture points whose clocks differ, so that time
//! seems to jump ahead and back. So the clock trusts no single packet: its watermark is the *lowest* timestamp of the latest
//! packets, 8,192 of them at least. A flow that ends by it has been idle for its timeout by every clock that takes part.

use std::time::Duration;

use crate::time::Timestamp;

/// Greatest lateness of a packet: one that is older than the packet before by more is by another clock, or by one that was
/// set back.
pub const MAX_LATENESS: Duration = Duration::from_secs(1);

/// Packets of one of the two windows whose lowest timestamp is known.
const WINDOW: u32 = 8192;

/// A clock that follows timestamps.
#[derive(Debug)]
pub struct PacketClock {
    /// The highest timestamp since the latest step back.
    latest: Timestamp,
    /// The lowest timestamp of the previous window and of the current one.
    lowest: [Timestamp; 2],
    /// Packets of the current window.
    packets: u32,
    /// `true` for a step back in the previous window and in the current one.
    stepped: [bool; 2],
    steps: u64,
}

/// No packet yet.
const NEVER: Timestamp = Timestamp(u64::MAX);

impl Default for PacketClock {
    fn default() -> Self {
        Self { latest: Timestamp(0), lowest: [NEVER; 2], packets: 0, stepped: [false; 2], steps: 0 }
    }
}

impl PacketClock {
    /// Takes a packet's timestamp; returns the step back of the clock, if it exceeds [`MAX_LATENESS`].
    #[inline]
    pub fn observe(&mut self, timestamp: Timestamp) -> Option<Duration> {
        if self.packets == WINDOW {
            self.lowest = [self.lowest[1], NEVER];
            self.stepped = [self.stepped[1], false];
            self.packets = 0;
        }
        self.packets += 1;
        self.lowest[1] = self.lowest[1].min(timestamp);
        if timestamp >= self.latest {
            self.latest = timestamp;
            return None;
        }
        let back = Duration::from_nanos(self.latest.0 - timestamp.0);
        if back <= MAX_LATENESS {
            return None;
        }
        self.latest = timestamp;
        self.stepped[1] = true;
        self.steps += 1;
        Some(back)
    }

    /// The time that has passed by every clock that takes part; `None` before the first packet.
    pub fn watermark(&self) -> Option<Timestamp> {
        let [previous, current] = self.lowest;
        Some(previous.min(current)).filter(|&time| time != NEVER)
    }

    /// The time when no packet follows: that of the latest packet where a single clock took part lately, else the watermark.
    pub fn end_time(&self) -> Option<Timestamp> {
        let passed = self.watermark()?;
        Some(if self.stepped == [false; 2] { self.latest } else { passed })
    }

    /// Number of steps back.
    pub const fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn observe(clock: &mut PacketClock, seconds: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let stepped = |second| clock.observe(Timestamp(second * SECOND)).map(|back| back.as_secs());
        seconds.into_iter().filter_map(stepped).collect()
    }

    fn seconds(time: Option<Timestamp>) -> Option<u64> {
        time.map(|time| time.0 / SECOND)
    }

    #[test]
    fn a_single_clock_is_followed() {
        let mut clock = PacketClock::default();
        assert_eq!((clock.watermark(), clock.end_time()), (None, None));
        // A second late is no step.
        assert_eq!(observe(&mut clock, [100, 500, 499, 1000]), [0; 0]);
        assert_eq!((seconds(clock.watermark()), seconds(clock.end_time())), (Some(100), Some(1000)));
        assert_eq!(observe(&mut clock, 1000..100_000), [0; 0]);
        let behind = 100_000 - seconds(clock.watermark()).unwrap();
        assert!((u64::from(WINDOW)..=2 * u64::from(WINDOW)).contains(&behind), "{behind}");
        assert_eq!((seconds(clock.end_time()), clock.steps()), (Some(99_999), 0));
    }

    #[test]
    fn steps_back_are_counted_and_followed() {
        let mut clock = PacketClock::default();
        assert_eq!(observe(&mut clock, [7200, 7201, 3600, 3601, 3602]), [3601]);
        assert_eq!((seconds(clock.watermark()), seconds(clock.end_time())), (Some(3600), Some(3600)));
        assert_eq!(observe(&mut clock, (3603..).take(2 * WINDOW as usize)), [0; 0]);
        assert_eq!(seconds(clock.end_time()), Some(3602 + 2 * u64::from(WINDOW)));
        assert_eq!(clock.steps(), 1);
    }

    #[test]
    fn of_several_clocks_the_slowest_counts() {
        let mut clock = PacketClock::default();
        for second in 0..50_000 {
            clock.observe(Timestamp((1_000_000 + second) * SECOND));
            clock.observe(Timestamp(second * SECOND));
        }
        let passed = seconds(clock.watermark()).unwrap();
        assert!((50_000 - u64::from(WINDOW)..50_000).contains(&passed), "{passed}");
        assert_eq!((clock.end_time(), clock.steps()), (clock.watermark(), 50_000));
    }

    #[test]
    fn impossible_timestamps_do_no_harm() {
        let mut clock = PacketClock::default();
        for time in [5, u64::MAX, 0, u64::MAX - 1, 7] {
            clock.observe(Timestamp(time));
        }
        assert_eq!((clock.watermark(), clock.steps()), (Some(Timestamp(0)), 2));
    }
}

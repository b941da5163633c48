//! The table's time, which never goes back.

use crate::source::Timestamp;

/// Packets that are older than the latest by at most this came late; older ones mean that the clock was set
/// back.
const LATE: u64 = 1_000_000_000;
/// Packets that are further ahead of the latest, ten years, are an error of the clock as well.
const FURTHEST: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// Packet time, made steady.
///
/// As long as the clock of the packets is not set back by more than [`LATE`], the table's time is the
/// packets' own. When it is, or jumps ahead by more than [`FURTHEST`], the table's time stands still for that
/// packet and goes on from there with the packets' clock: timeouts neither fire at once nor hang, and no
/// duration is ever negative. Times of flows that began before are told in the new clock.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// The latest time; 0 before the first packet.
    now: u64,
    /// How far the table's time is ahead of the packets', modulo 2^64.
    ahead: u64,
    steps: u64,
}

impl Clock {
    /// The table's time of a packet.
    #[inline(always)]
    pub(super) fn packet(&mut self, timestamp: Timestamp) -> u64 {
        let time = timestamp.0.wrapping_add(self.ahead);
        if self.is_ahead(time) {
            self.now = time;
        } else if self.now.wrapping_sub(time) > LATE {
            self.ahead = self.now.wrapping_sub(timestamp.0);
            self.steps += 1;
            return self.now;
        }
        time
    }

    /// Moves on without a packet; never back.
    pub(super) fn move_on(&mut self, timestamp: Timestamp) {
        let time = timestamp.0.wrapping_add(self.ahead);
        if self.is_ahead(time) {
            self.now = time;
        }
    }

    #[inline(always)]
    const fn is_ahead(&self, time: u64) -> bool {
        time.wrapping_sub(self.now) <= FURTHEST || self.now == 0
    }

    /// The latest of the table's times, in nanoseconds.
    #[inline(always)]
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// A table's time in the packets' clock.
    pub(super) const fn timestamp(&self, time: u64) -> Timestamp {
        Timestamp(time.wrapping_sub(self.ahead))
    }

    /// How often the packets' clock was set back.
    pub(super) const fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_back_are_taken_out() {
        const HOUR: u64 = 3_600_000_000_000;
        let mut clock = Clock::default();
        for (timestamp, time, now, steps) in [
            (HOUR, HOUR, HOUR, 0),
            (HOUR - LATE, HOUR - LATE, HOUR, 0),
            (HOUR + 1, HOUR + 1, HOUR + 1, 0),
            (1000, HOUR + 1, HOUR + 1, 1),
            (1500, HOUR + 501, HOUR + 501, 1),
            (1400, HOUR + 401, HOUR + 501, 1),
            // The clock is set right again: time passes at once.
            (2 * HOUR, 3 * HOUR - 999, 3 * HOUR - 999, 1),
        ] {
            assert_eq!(clock.packet(Timestamp(timestamp)), time);
            assert_eq!((clock.now(), clock.steps()), (now, steps));
            assert_eq!(clock.timestamp(time), Timestamp(timestamp));
        }
    }

    #[test]
    fn moves_on_without_packets() {
        let mut clock = Clock::default();
        clock.packet(Timestamp(500));
        clock.move_on(Timestamp(400));
        assert_eq!(clock.now(), 500);
        clock.move_on(Timestamp(900));
        assert_eq!(clock.now(), 900);
        assert_eq!(clock.steps(), 0);
    }

    /// A timestamp that cannot be stops the time for one packet, and no more.
    #[test]
    fn recovers_from_an_impossible_timestamp() {
        const NOW: u64 = 1_800_000_000_000_000_000;
        let mut clock = Clock::default();
        for (timestamp, time) in [(NOW, NOW), (u64::MAX, NOW), (NOW + 5, NOW), (NOW + 9, NOW + 4)] {
            assert_eq!(clock.packet(Timestamp(timestamp)), time);
            assert_eq!(clock.timestamp(time), Timestamp(timestamp));
        }
        assert_eq!(clock.steps(), 2);
    }
}

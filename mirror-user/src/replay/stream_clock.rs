//! Clock of a stream of packets that come as they are captured.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// Greatest distance between the time of a packet that has just come and this machine's for the stream to be a running
/// capture. The two clocks are seldom the same: the packets may come from another machine.
const NEAR: Duration = Duration::from_secs(60);

/// Clock of a stream: the time of the latest packet plus the time since it came. It never runs ahead of the clock
/// that the packets have their times from. Where an old capture is piped in, time is what the packets say: a pause is one of
/// the pipe, not of the traffic, and there is no time until the next packet comes.
#[derive(Debug, Default)]
pub(super) struct StreamClock {
    latest: Option<(Timestamp, Instant)>,
}

impl StreamClock {
    /// Takes the time of a packet that came just now.
    pub(super) fn observe(&mut self, packet: Timestamp) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.observe_at(packet, wall, Instant::now());
    }

    fn observe_at(&mut self, packet: Timestamp, wall: Duration, now: Instant) {
        let distance = wall.abs_diff(Duration::from_nanos(packet.0));
        self.latest = (distance <= NEAR).then_some((packet, now));
    }

    /// The time now, where time passes by itself.
    pub(super) fn now(&self) -> Option<Timestamp> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<Timestamp> {
        let (packet, came) = self.latest?;
        let passed = u64::try_from(now.saturating_duration_since(came).as_nanos()).unwrap_or(u64::MAX);
        Some(Timestamp(packet.0.saturating_add(passed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_between_packets_that_are_captured_now() {
        let start = Instant::now();
        let wall = Duration::from_secs(1_700_000_000);
        let packet = Timestamp(1_699_999_990_000_000_000);
        let mut clock = StreamClock::default();
        assert_eq!(clock.at(start), None);
        clock.observe_at(packet, wall, start);
        let second = Duration::from_secs(1);
        assert_eq!(clock.at(start + second), Some(Timestamp(packet.0 + 1_000_000_000)));
        // An hour ago: a file that was captured then.
        clock.observe_at(Timestamp(packet.0 - 3_600_000_000_000), wall, start);
        assert_eq!(clock.at(start + second), None);
        clock.observe_at(packet, wall, start + second);
        assert_eq!(clock.at(start + second), Some(packet));
    }
}

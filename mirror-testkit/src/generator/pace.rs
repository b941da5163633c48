//! The times at which packets are due.

use std::time::Duration;

use mirror_traffic::program::LONGEST_LAG_NS;

/// Tells how many packets are due, at a steady rate. Time is an argument: since the start.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: Option<u64>,
    /// When the packets that count began, and how many of them were taken.
    base: Duration,
    taken: u64,
}

impl Pacer {
    /// Packets at `rate` per second; without one, always due.
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate, base: Duration::ZERO, taken: 0 }
    }

    /// Number of packets to send now, at most `most`. Delays beyond [`LONGEST_LAG_NS`] are not made up for, unless a
    /// full batch is due in less.
    pub fn take(&mut self, now: Duration, most: u64) -> u64 {
        let Some(rate) = self.rate else { return most };
        let allowed = |elapsed: Duration| {
            let passed = elapsed.as_nanos() * u128::from(rate) / 1_000_000_000;
            u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1)
        };
        let lag = most.max(allowed(Duration::from_nanos(LONGEST_LAG_NS)));
        let mut due = allowed(now.saturating_sub(self.base)).saturating_sub(self.taken);
        if due > lag {
            self.base = now;
            self.taken = 0;
            due = 1;
        }
        let taken = due.min(most);
        self.taken += taken;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_to_the_packet() {
        let mut pacer = Pacer::new(Some(1_000_000));
        let sent: u64 = (0..1000).map(|step| pacer.take(Duration::from_micros(step * 10), 64)).sum();
        assert_eq!(sent, 9991); // one at 0, one more each microsecond until 9,990
    }

    #[test]
    fn a_batch_is_never_exceeded() {
        let mut pacer = Pacer::new(Some(1_000_000));
        assert_eq!(pacer.take(Duration::from_micros(90), 64), 64);
        assert_eq!(pacer.take(Duration::from_micros(90), 64), 27);
        assert_eq!(Pacer::new(None).take(Duration::ZERO, 64), 64);
    }

    #[test]
    fn a_stall_does_not_end_in_a_burst() {
        let mut pacer = Pacer::new(Some(1_000_000));
        assert_eq!(pacer.take(Duration::ZERO, 64), 1);
        assert_eq!(pacer.take(Duration::from_secs(1), 64), 1);
        assert_eq!(pacer.take(Duration::from_secs(1) + Duration::from_micros(5), 64), 5);
    }
}

//! A bound on the alerts of each rule: a bucket of tokens that fills with time.

use crate::Time;
use crate::rule::EgressDefault;
use crate::verdict::Verdict;

const NANOSECONDS_PER_MINUTE: u64 = 60_000_000_000;

/// Decision on an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is raised.
    Raise {
        /// Alerts of the same rule that were suppressed since the one before.
        suppressed: u64,
    },
    /// It is suppressed, and counted.
    Suppress,
}

/// Limits the alerts of each rule, and of the default. Its memory is fixed by the number of rules.
#[derive(Clone, Debug)]
pub struct AlertLimiter {
    /// Time in which one token comes, in nanoseconds.
    interval: u64,
    burst: u64,
    /// One per rule, and behind them that of the default.
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// The time at which the bucket is (or was) full again.
    full_at: u64,
    /// The latest time that it was asked at.
    latest: u64,
    suppressed: u64,
}

impl AlertLimiter {
    /// A limiter for so many rules, all of whose buckets are full.
    pub fn new(rules: usize, default: &EgressDefault) -> Self {
        Self {
            interval: NANOSECONDS_PER_MINUTE / u64::from(default.alerts_per_minute.max(1)),
            burst: u64::from(default.alert_burst.max(1)),
            buckets: vec![Bucket::default(); rules + 1],
        }
    }

    /// Decides on an alert for `verdict`. A time before an earlier one counts as no time passed.
    pub fn admit(&mut self, verdict: &Verdict, now: Time) -> Admission {
        let last = self.buckets.len() - 1;
        let index =
            verdict.rule.and_then(|rule| usize::try_from(rule).ok()).map_or(last, |rule| rule.min(last));
        let bucket = &mut self.buckets[index];
        bucket.latest = bucket.latest.max(now.0);
        // A token is taken by putting off the time at which the bucket is full; it is empty where that is a burst away.
        let full_at = bucket.full_at.max(bucket.latest).saturating_add(self.interval);
        if full_at - bucket.latest > self.interval.saturating_mul(self.burst) {
            bucket.suppressed += 1;
            return Admission::Suppress;
        }
        bucket.full_at = full_at;
        Admission::Raise { suppressed: std::mem::take(&mut bucket.suppressed) }
    }

    /// Alerts that were suppressed and told with no later alert, with the index of their rule ([`None`]: the default). They count
    /// from 0 again.
    pub fn take_suppressed(&mut self) -> impl Iterator<Item = (Option<u32>, u64)> + '_ {
        let default = self.buckets.len() - 1;
        self.buckets.iter_mut().enumerate().filter(|(_, bucket)| bucket.suppressed > 0).map(
            move |(index, bucket)| {
                let rule = u32::try_from(index).ok().filter(|_| index < default);
                (rule, std::mem::take(&mut bucket.suppressed))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Action;
    use crate::verdict::Reason;

    const SECOND: u64 = 1_000_000_000;

    fn verdict(rule: Option<u32>) -> Verdict {
        Verdict { action: Action::Alert, rule, reason: Reason::Rule }
    }

    fn limiter() -> AlertLimiter {
        AlertLimiter::new(
            2,
            &EgressDefault { alerts_per_minute: 6, alert_burst: 3, ..EgressDefault::default() },
        )
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut limiter = limiter();
        let start = 1_800_000_000 * SECOND;
        let raised: Vec<u64> = (0..600)
            .filter(|second| {
                let now = Time(start + second * SECOND);
                matches!(limiter.admit(&verdict(Some(0)), now), Admission::Raise { .. })
            })
            .collect();
        assert_eq!(raised[..6], [0, 1, 2, 10, 20, 30]);
        assert_eq!(raised.len(), 3 + 59);
        assert_eq!(limiter.take_suppressed().collect::<Vec<_>>(), [(Some(0), 9)], "since the alert at 590 s");
        assert_eq!(limiter.take_suppressed().next(), None);
    }

    #[test]
    fn rules_have_buckets_of_their_own() {
        let mut limiter = limiter();
        let now = Time(SECOND);
        for rule in [Some(0), Some(1), None] {
            for _ in 0..3 {
                assert_eq!(limiter.admit(&verdict(rule), now), Admission::Raise { suppressed: 0 });
            }
            for _ in 0..5 {
                assert_eq!(limiter.admit(&verdict(rule), now), Admission::Suppress);
            }
        }
        let later = Time(11 * SECOND);
        assert_eq!(limiter.admit(&verdict(Some(1)), later), Admission::Raise { suppressed: 5 });
        let left: Vec<_> = limiter.take_suppressed().collect();
        assert_eq!(left, [(Some(0), 5), (None, 5)]);
    }

    #[test]
    fn time_that_goes_back_gives_nothing_and_breaks_nothing() {
        let mut limiter = limiter();
        for now in [100, 90, 95] {
            assert_eq!(limiter.admit(&verdict(None), Time(now * SECOND)), Admission::Raise { suppressed: 0 });
        }
        assert_eq!(limiter.admit(&verdict(None), Time(0)), Admission::Suppress);
        assert_eq!(limiter.admit(&verdict(None), Time(u64::MAX)), Admission::Raise { suppressed: 1 });
    }
}

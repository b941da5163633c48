//! The policy by which a worker waits for packets. It decides and does nothing itself; time is an argument.
//!
//! A worker spins on an empty ring for [`SPIN_NS`], longer than the pauses between the bursts of a busy queue, and sleeps then:
//! waking a sleeping worker costs the CPU that receives as much as twenty packets.

/// Time for which a worker spins on an empty ring before it sleeps, in nanoseconds.
pub(super) const SPIN_NS: u64 = 50_000;

/// Looks at an empty ring between two readings of the clock.
const LOOKS: u32 = 64;

/// The next step of a worker whose ring is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Looks again at once.
    Spin,
    /// Sleeps until a packet arrives.
    Poll,
}

/// State of a worker's waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// Looks in a row that found the ring empty.
    looks: u32,
    /// Time of the first reading of the clock among those, in nanoseconds.
    empty_since: u64,
}

impl Waiting {
    /// Packets have arrived.
    pub(super) fn received(&mut self) {
        self.looks = 0;
    }

    /// The ring was found empty. `true` if the time is to be read and given to [`Self::next`].
    pub(super) fn found_empty(&mut self) -> bool {
        self.looks = self.looks.wrapping_add(1);
        self.looks.is_multiple_of(LOOKS)
    }

    /// The next step at the time `now` of a monotonic clock, in nanoseconds.
    pub(super) fn next(&mut self, now: u64) -> Wait {
        if self.looks == LOOKS {
            self.empty_since = now;
        }
        if now.saturating_sub(self.empty_since) > SPIN_NS { Wait::Poll } else { Wait::Spin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at an empty ring every `step_ns` from `now` on, until the worker sleeps; the time then.
    fn sleeps_at(waiting: &mut Waiting, mut now: u64, step_ns: u64) -> u64 {
        loop {
            if waiting.found_empty() && waiting.next(now) == Wait::Poll {
                return now;
            }
            now += step_ns;
        }
    }

    #[test]
    fn a_worker_spins_through_a_short_pause_and_sleeps_in_a_long_one() {
        let mut waiting = Waiting::default();
        let asleep = sleeps_at(&mut waiting, 1_000_000, 10);
        let spun = asleep - 1_000_000;
        assert!((SPIN_NS..SPIN_NS + 3 * u64::from(LOOKS) * 10).contains(&spun), "{spun}");
        // As long as nothing arrives, it sleeps again without spinning.
        let again = sleeps_at(&mut waiting, asleep + 10_000_000, 10);
        assert!(again - asleep - 10_000_000 <= u64::from(LOOKS) * 10);
        // A packet begins a new pause.
        waiting.received();
        let later = sleeps_at(&mut waiting, again, 10);
        assert!(later - again > SPIN_NS);
    }
}

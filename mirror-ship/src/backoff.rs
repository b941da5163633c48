//! Waiting between attempts: twice as long each time, with jitter, so that many shippers do not come back at once.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The waits of one delivery.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
    state: RandomState,
    attempt: u64,
}

impl Backoff {
    /// Begins with `first`, and does not go past `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, most, state: RandomState::new(), attempt: 0 }
    }

    /// The next wait: between half of the present one and all of it.
    pub fn wait(&mut self) -> Duration {
        self.attempt += 1;
        let whole = self.next;
        self.next = (self.next * 2).min(self.most);
        // Keyed at random for each value, which is all that jitter needs.
        let share = self.state.hash_one(self.attempt) % 1000;
        whole / 2 + (whole / 2 * u32::try_from(share).unwrap_or(0)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_differ() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut one = Backoff::new(first, most);
        let waits: Vec<_> = (0..20).map(|_| one.wait()).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits[10..].iter().all(|wait| *wait >= most / 2 && *wait <= most));
        let mut other = Backoff::new(first, most);
        assert_ne!(waits, (0..20).map(|_| other.wait()).collect::<Vec<_>>());
    }
}

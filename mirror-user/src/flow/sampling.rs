//! Selection of the flows that are recorded when not all can be.
//!
//! A flow is selected by a hash of its addresses, ports and protocol, which is the same in both directions, in all
//! tunnels and on all workers and appliances that have the same seed: the two halves of a conversation, and a
//! conversation that is mirrored at both of its ends, are selected together or not at all. What is selected at a
//! rate is selected at all lower ones as well.
//!
//! # Scaling
//!
//! A record's counters times its rate estimate what there was, without bias. For that a flow's rate is the lowest
//! that was in force since it began: a flow that is in the table stays when the rate rises. When it falls, flows that
//! were not selected before join in, so those that were stand for fewer from then on. Their records are cut
//! at that point.

use super::hash::Hasher;
use super::key::{self, Key};
use crate::number::SamplingRate;

/// Selects flows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    rate: SamplingRate,
    hasher: Hasher,
}

impl Sampler {
    /// Selects every flow.
    pub(super) fn new(seed: u64) -> Self {
        Self { rate: SamplingRate::EVERY, hasher: Hasher::new(seed) }
    }

    /// The rate in force.
    #[inline(always)]
    pub(super) const fn rate(&self) -> SamplingRate {
        self.rate
    }

    /// Selects one in so many flows from now on.
    pub(super) const fn set_rate(&mut self, rate: SamplingRate) {
        self.rate = rate;
    }

    /// `true` if the flow is selected.
    #[inline(always)]
    pub(super) fn selects(&self, key: &Key) -> bool {
        self.rate == SamplingRate::EVERY
            || key::hash_without_scope(key, &self.hasher) & u64::from(self.rate.get() - 1) == 0
    }
}

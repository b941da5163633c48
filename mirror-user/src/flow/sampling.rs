//! Which flows are recorded when not all can be.
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

/// One in so many flows: a power of two up to [`SamplingRate::HIGHEST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SamplingRate {
    /// Of the power of two.
    exponent: u8,
}

impl SamplingRate {
    /// Every flow.
    pub const EVERY: Self = Self { exponent: 0 };
    /// One in 32,768: the table has four bits per flow for its rate.
    pub const HIGHEST: Self = Self { exponent: 15 };

    /// One in `flows`; none if that is no power of two up to [`SamplingRate::HIGHEST`].
    #[expect(clippy::cast_possible_truncation, reason = "at most 31")]
    pub const fn one_in(flows: u32) -> Option<Self> {
        let rate = Self { exponent: flows.trailing_zeros() as u8 };
        if flows.is_power_of_two() && rate.exponent <= Self::HIGHEST.exponent { Some(rate) } else { None }
    }

    /// One in this many.
    pub const fn get(self) -> u32 {
        1 << self.exponent
    }

    /// The rate with this number, of which the lower four bits count.
    pub(super) const fn from_number(number: u64) -> Self {
        Self { exponent: (number & 0xf) as u8 }
    }

    /// A number of four bits.
    pub(super) const fn number(self) -> u64 {
        self.exponent as u64
    }
}

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

    /// Whether the flow is selected.
    #[inline(always)]
    pub(super) fn selects(&self, key: &Key) -> bool {
        self.rate == SamplingRate::EVERY
            || key::hash_without_scope(key, &self.hasher) & u64::from(self.rate.get() - 1) == 0
    }
}

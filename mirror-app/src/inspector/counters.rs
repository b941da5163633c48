//! The counters of an inspector.

use std::collections::BTreeMap;

use crate::given_up::GivenUp;
use crate::protocol::Protocol;

/// What an inspector did, since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows taken up.
    pub begun: u64,
    /// Flows that were not, because as many as may be were there.
    pub refused: u64,
    /// Flows of which all was found that is looked for.
    pub finished: u64,
    /// Findings handed out.
    pub events: u64,
    given_up: [u64; GivenUp::ALL.len()],
    malformed: BTreeMap<(Protocol, &'static str), u64>,
}

impl Counters {
    /// Flows that were followed no further, for this reason.
    pub const fn given_up(&self, reason: GivenUp) -> u64 {
        self.given_up[reason as usize]
    }

    /// Flows and messages that were malformed, by protocol and the fault's name. There are as many faults as the parsers have names.
    pub fn malformed(&self) -> impl Iterator<Item = (Protocol, &'static str, u64)> + '_ {
        self.malformed.iter().map(|(&(protocol, fault), &count)| (protocol, fault, count))
    }

    /// Adds the counters of another inspector.
    pub fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.refused += other.refused;
        self.finished += other.finished;
        self.events += other.events;
        for (sum, count) in self.given_up.iter_mut().zip(other.given_up) {
            *sum += count;
        }
        for (&fault, count) in &other.malformed {
            *self.malformed.entry(fault).or_default() += count;
        }
    }

    pub(super) const fn give_up(&mut self, reason: GivenUp) {
        self.given_up[reason as usize] += 1;
    }

    pub(super) fn count_malformed(&mut self, protocol: Protocol, fault: &'static str) {
        *self.malformed.entry((protocol, fault)).or_default() += 1;
    }
}

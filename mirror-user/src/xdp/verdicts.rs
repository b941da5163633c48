//! The program's counters.

use mirror_common::verdict::Counts;

use super::maps::add;

/// Packets by receive queue and verdict since the program was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Of each queue that [`ProgramConfig::queues`] counted.
    pub queues: Vec<Counts>,
    /// Of all other queues together: the interface got them later.
    pub other_queues: Counts,
}

impl Verdicts {
    /// Over all queues.
    pub fn total(&self) -> Counts {
        self.queues.iter().chain([&self.other_queues]).fold(Counts::default(), add)
    }
}

//! The program's counters.

use mirror_common::verdict::Counts;

use super::maps::add;

/// Packets by receive queue and verdict since the program was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Counters of each queue that [`ProgramConfig::queues`](super::ProgramConfig::queues) counted.
    pub queues: Vec<Counts>,
    /// Counters of all other queues together, which the interface got later.
    pub other_queues: Counts,
}

impl Verdicts {
    /// Sums over all queues.
    pub fn total(&self) -> Counts {
        self.queues.iter().chain([&self.other_queues]).fold(Counts::default(), add)
    }
}

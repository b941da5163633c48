//! The plan of an experiment that begins with a sustainable rate.

use std::time::Duration;

use crate::search::Trials;

/// Traffic at a sustainable rate, or at parts or multiples of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The sustainable rate in packets per second; without it, the highest with 0.5 % loss.
    pub rate: Option<u64>,
    /// Duration of each measurement.
    pub duration: Duration,
    /// The search for the rate.
    pub search: Trials,
}

impl Plan {
    /// Measurements of this duration, after a search that is confirmed for five seconds.
    pub fn thorough(duration: Duration) -> Self {
        let search = Trials { long: Duration::from_secs(5), ..Trials::default() };
        Self { rate: None, duration, search }
    }

    /// Measurements of this duration, after the shortest search, to see that everything works.
    pub const fn quick(duration: Duration) -> Self {
        Self { rate: None, duration, search: Trials::quick() }
    }
}

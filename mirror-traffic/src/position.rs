//! A packet number and its place among the flows.

use crate::lifetime::PERIOD;

/// A packet number and its place among the flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the packet, from 0.
    pub number: u64,
    /// Its slot, in which one flow comes after the other: number modulo slots.
    pub slot: u64,
    /// Number of packets of that slot before it: number divided by slots.
    pub round: u64,
    /// Round divided by [`PERIOD`].
    pub cycle: u64,
    /// Round modulo [`PERIOD`].
    pub phase: u64,
}

impl Position {
    /// Position of packet `number` among `slots` flows at a time, at least 1.
    pub const fn new(number: u64, slots: u64) -> Self {
        let round = number / slots;
        Self { number, slot: number % slots, round, cycle: round / PERIOD, phase: round % PERIOD }
    }

    /// Goes on to the next packet. Without the divisions of [`new`](Self::new), which cost more than the rest.
    #[inline(always)]
    pub const fn advance(&mut self, slots: u64) {
        self.number += 1;
        self.slot += 1;
        if self.slot >= slots {
            self.slot = 0;
            self.round += 1;
            self.phase += 1;
            if self.phase >= PERIOD {
                self.phase = 0;
                self.cycle += 1;
            }
        }
    }
}

//! A packet number and its place among the flows.

/// A packet number and its place among the flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Number of the packet, from 0.
    pub number: u64,
    /// Its flow: number modulo flows.
    pub flow: u64,
    /// Number of packets of that flow before it: number divided by flows.
    pub round: u64,
}

impl Position {
    /// Position of packet `number` among `flows` flows, at least 1.
    pub const fn new(number: u64, flows: u64) -> Self {
        Self { number, flow: number % flows, round: number / flows }
    }

    /// Goes on to the next packet. Without the division of [`new`](Self::new), which costs more than the rest.
    #[inline(always)]
    pub const fn advance(&mut self, flows: u64) {
        self.number += 1;
        self.flow += 1;
        if self.flow >= flows {
            self.flow = 0;
            self.round += 1;
        }
    }
}

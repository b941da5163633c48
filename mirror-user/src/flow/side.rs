//! The two sides of a flow.

/// One side of a flow. The sides are ordered by address and port, so that both directions have one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Side {
    /// The side with the lower address and port.
    Low = 0,
    /// The other one.
    High = 1,
}

impl Side {
    /// The side that sent a packet, by address and port of its source and destination.
    #[inline(always)]
    pub(super) fn of_source<T: Ord + Copy>(source: T, destination: T) -> Self {
        if source <= destination { Self::Low } else { Self::High }
    }

    /// The other side.
    #[inline(always)]
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

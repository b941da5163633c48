//! The two sides of a flow.

/// One side of a flow. The caller orders them, by address and port, say: both directions have the same sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// The one side.
    Low = 0,
    /// The other one.
    High = 1,
}

impl Side {
    /// The other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

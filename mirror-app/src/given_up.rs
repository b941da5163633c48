//! The reasons why a flow's application is followed no further.

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GivenUp {
    /// No parser knows the first bytes.
    Unknown,
    /// The bytes contradict the protocol that they began with.
    Malformed,
    /// A message has more bytes than are kept of one direction.
    TooLong,
    /// More pieces with gaps between them than are kept of one direction.
    Gaps,
    /// The memory for what is in progress is used up.
    Memory,
    /// More packets than are looked at.
    Packets,
    /// More messages than are told of one flow.
    Messages,
    /// More time than is waited.
    Time,
    /// A packet was captured shorter than it was sent.
    Cut,
    /// The flow ended.
    Ended,
}

impl GivenUp {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Unknown,
        Self::Malformed,
        Self::TooLong,
        Self::Gaps,
        Self::Memory,
        Self::Packets,
        Self::Messages,
        Self::Time,
        Self::Cut,
        Self::Ended,
    ];

    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Gaps => "gaps",
            Self::Memory => "memory",
            Self::Packets => "packets",
            Self::Messages => "messages",
            Self::Time => "time",
            Self::Cut => "cut",
            Self::Ended => "ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions() {
        for (position, reason) in GivenUp::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position, "{}", reason.name());
        }
    }
}

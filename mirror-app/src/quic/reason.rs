//! What is wrong with an Initial packet whose keys are known.

/// The first fault that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A frame runs past the end of its packet.
    FrameLength,
    /// A frame is of a type that Initial packets may not have (RFC 9000, section 12.4).
    FrameType,
}

impl Reason {
    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FrameLength => "frame_length",
            Self::FrameType => "frame_type",
        }
    }
}

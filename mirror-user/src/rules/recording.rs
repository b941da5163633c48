//! The records that may be made of a packet.

/// The records that may be made of a packet, and their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// A record of the packet itself.
    pub packets: bool,
    /// The packet in the record of its flow.
    pub flows: bool,
    /// Bytes of the outer frame to keep, from its first one on; all where it is absent. The kernel truncates by it, so it
    /// does not apply to packets from a capture file.
    pub snap_length: Option<u32>,
    /// The payload behind the transport header, and what is derived from it. Without it, packet bytes in a record end at the
    /// [`header_length`](super::header_length). The kernel only truncates to the snap length, as it does not know where
    /// headers end.
    pub payload: bool,
}

impl Recording {
    /// What both this and `other` allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            packets: self.packets && other.packets,
            flows: self.flows && other.flows,
            snap_length: match (self.snap_length, other.snap_length) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            payload: self.payload && other.payload,
        }
    }

    /// `true` if there is no record to which the packet could contribute.
    pub const fn excludes(self) -> bool {
        !self.packets && !self.flows
    }
}

impl Default for Recording {
    /// Everything.
    fn default() -> Self {
        Self { packets: true, flows: true, snap_length: None, payload: true }
    }
}

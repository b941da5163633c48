//! The records that may be made of a packet.

/// What may be recorded of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// A record of the packet itself.
    pub packets: bool,
    /// The packet in the record of its flow.
    pub flows: bool,
    /// Bytes of the outer frame to keep, from its first one on; all where it is absent. The kernel cuts by it, so it
    /// says nothing of packets from a capture file.
    pub snap_length: Option<u32>,
    /// What follows the transport header, and what is derived from it. Without it, packet bytes in a record end where
    /// [`header_length`](super::header_length) says. The kernel only cuts at the snap length, as it does not know where headers end.
    pub payload: bool,
}

impl Recording {
    /// Whether there is no record to which the packet could contribute.
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

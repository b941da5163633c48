//! The records that may be made of a packet.

use super::rule::RecordKind;

/// The records that may be made of a packet, and their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// A record of the packet itself.
    pub packets: bool,
    /// The packet in the record of its flow.
    pub flows: bool,
    /// Records of what the packet's flow tells of its application.
    pub applications: ApplicationKinds,
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
            applications: ApplicationKinds(self.applications.0 & other.applications.0),
            snap_length: match (self.snap_length, other.snap_length) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            payload: self.payload && other.payload,
        }
    }

    /// `true` if there is no record to which the packet could contribute.
    pub const fn excludes(self) -> bool {
        !self.packets && !self.follows()
    }

    /// `true` if the packet's flow is to be followed.
    #[inline(always)]
    pub const fn follows(self) -> bool {
        self.flows || self.applications.0 != 0
    }
}

/// A set of the kinds of records that tell of applications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplicationKinds(u8);

impl ApplicationKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self(7);

    /// Those of `kinds` that tell of applications.
    pub fn of(kinds: &[RecordKind]) -> Self {
        Self(kinds.iter().fold(0, |set, &kind| set | Self::bit(kind)))
    }

    /// Those of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `true` if `kind` is one of them.
    pub const fn has(self, kind: RecordKind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    const fn bit(kind: RecordKind) -> u8 {
        match kind {
            RecordKind::Packet | RecordKind::Flow | RecordKind::Both => 0,
            RecordKind::Dns => 1,
            RecordKind::Tls => 2,
            RecordKind::Http => 4,
        }
    }
}

impl Default for Recording {
    /// Everything.
    fn default() -> Self {
        let applications = ApplicationKinds::ALL;
        Self { packets: true, flows: true, applications, snap_length: None, payload: true }
    }
}

//! A packet of the batch, copied out of its file.

use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

/// Bytes of a packet that are kept, as many as other programs capture at most (`MAXIMUM_SNAPLEN` of libpcap). Where a file
/// has more, the rest counts as cut off.
pub(super) const LONGEST: u32 = 256 << 10;

/// One packet of the batch.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) bytes: Vec<u8>,
    pub(super) original_length: u32,
    pub(super) timestamp: Timestamp,
    pub(super) link_type: LinkType,
}

impl Default for Slot {
    fn default() -> Self {
        let timestamp = Timestamp::default();
        Self { bytes: Vec::new(), original_length: 0, timestamp, link_type: LinkType::Ip }
    }
}

impl Slot {
    pub(super) fn frame(&self) -> Frame<'_> {
        // No more than `LONGEST`.
        let captured_length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        Frame {
            data: &self.bytes,
            captured_length,
            original_length: self.original_length.max(captured_length),
            timestamp: self.timestamp,
            link_type: self.link_type,
        }
    }
}

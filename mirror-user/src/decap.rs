//! From an outer frame to the mirrored packet and its tunnel identity.

use crate::DropReason;
use crate::packet::Packet;
use crate::source::Frame;

/// What decapsulation is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecapConfig {
    /// UDP destination port of GENEVE.
    pub geneve_port: u16,
    /// UDP destination port of VXLAN, inside GENEVE and by itself.
    pub vxlan_port: u16,
    /// How many tunnel headers are taken off at most, GENEVE included. A packet that is tunnelled more deeply is
    /// recorded as the UDP packet that it is at that depth.
    pub max_depth: u8,
}

/// Finds the mirrored packet in `frame`.
///
/// # Errors
///
/// The one reason for which the frame has no packet that could be recorded.
pub fn decapsulate(_frame: &Frame<'_>, _config: &DecapConfig) -> Result<Packet, DropReason> {
    Err(DropReason::OuterTruncated)
}

//! Reasons for which bytes are no IP header.

use thiserror::Error;

/// Reason for which bytes are no IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IpHeaderError {
    /// They end within the header, extension headers included.
    #[error("the IP header is cut off")]
    Truncated,
    /// The header contradicts itself.
    #[error("the IP header's version, header length or total length contradict each other")]
    Malformed,
    /// It has more extension headers than [are followed](super::ipv6::MAX_EXTENSION_HEADERS).
    #[error("the IPv6 header has more extension headers than are followed")]
    ExtensionHeaders,
}

//! Quotas of VPC Traffic Mirroring, from its user guide ("Traffic Mirroring quotas"), and limits from the EC2 API reference.

/// Sessions that one interface can be the source of.
pub const SESSIONS_PER_INTERFACE: usize = 3;
/// Sessions in one account, in each region.
pub const SESSIONS_PER_ACCOUNT: usize = 10_000;
/// Filters in one account, in each region.
pub const FILTERS_PER_ACCOUNT: usize = 10_000;
/// Targets in one account, in each region.
pub const TARGETS_PER_ACCOUNT: usize = 10_000;
/// Rules of one filter, both directions together.
pub const RULES_PER_FILTER: usize = 10;
/// The highest session number; the lowest is 1.
pub const MAX_SESSION_NUMBER: u16 = 32_766;
/// Maximum packet length of a session: bytes after the VXLAN header.
pub const MAX_PACKET_LENGTH: u16 = 8_500;
/// The highest virtual network id: 24 bits.
pub const MAX_VNI: u32 = (1 << 24) - 1;
/// MTU of a Gateway Load Balancer endpoint: the whole VXLAN packet must fit.
pub const ENDPOINT_MTU: u16 = 8_500;
/// Bytes of IPv4, UDP and VXLAN header before a mirrored frame, which a packet length does not count.
pub const VXLAN_OVERHEAD: u16 = 20 + 8 + 8;
/// Maximum packet length that fits through a Gateway Load Balancer endpoint.
pub const MAX_ENDPOINT_PACKET_LENGTH: u16 = ENDPOINT_MTU - VXLAN_OVERHEAD;

/// Explanation of [`MAX_ENDPOINT_PACKET_LENGTH`], for messages.
pub fn explain_endpoint_limit() -> String {
    format!(
        "its MTU of {ENDPOINT_MTU} bytes, less {VXLAN_OVERHEAD} for the headers in front of each frame (IPv4 20, UDP 8, VXLAN \
         8), leaves {MAX_ENDPOINT_PACKET_LENGTH}"
    )
}
/// Tags on one resource, the ownership tags included.
pub const TAGS_PER_RESOURCE: usize = 50;
/// Characters of a tag's key.
pub const TAG_KEY_LENGTH: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_LENGTH: usize = 256;

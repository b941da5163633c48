//! UDP destination ports of the tunnels.

/// GENEVE (RFC 8926, section 3.3).
pub const GENEVE: u16 = 6081;
/// VXLAN (RFC 7348, section 5), which VPC traffic mirroring uses inside GENEVE or by itself.
pub const VXLAN: u16 = 4789;

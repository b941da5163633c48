//! What the loader tells the XDP program before it is verified.
//!
//! The values stand in the program's read-only data: the verifier sees them as constants and removes the
//! branches that they make dead, so an option that is off costs nothing per packet.

/// Name of the global that holds the [`CaptureConfig`].
pub const GLOBAL: &str = "CONFIG";
/// Name of the XSKMAP from receive queue to AF_XDP socket.
pub const XSK_MAP: &str = "XSKS";
/// Name of the LPM trie of allowed outer sources. The key is an IPv6 address; IPv4 stands mapped (`::ffff:0:0/96`).
pub const SOURCES_MAP: &str = "ALLOWED_SOURCES";
/// Name of the program in the capture object.
pub const PROGRAM: &str = "mirror_capture";

/// The configuration of the capture program. Integers are in host byte order; booleans are 0 or 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Keep only this many bytes of the frame, counted from its first byte on the wire. 0: keep all.
    pub snap_length: u32,
    /// UDP destination port of GENEVE.
    pub geneve_port: u16,
    /// UDP destination port of VXLAN that is not inside GENEVE. 0: such packets pass to the kernel.
    pub vxlan_port: u16,
    /// 1: tunnel packets whose outer source is not in [`SOURCES_MAP`] are dropped and counted.
    pub check_sources: u32,
    /// How the packet's metadata reaches user space: one of the constants in [`crate::metadata::mode`].
    pub metadata_mode: u32,
}

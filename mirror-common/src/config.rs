//! Configuration of the XDP program, which the loader writes before it is verified.
//!
//! The values stand in the program's read-only data: the verifier sees them as constants and removes the
//! branches that they make dead, so an option that is off costs nothing per packet.

/// Name of the global that holds the [`CaptureConfig`].
pub const GLOBAL: &str = "CONFIG";
/// Name of the XSKMAP from receive queue to AF_XDP socket.
pub const XSK_MAP: &str = "XSKS";
/// Name of the LPM trie of allowed outer sources. The key is an [`Address`](crate::address::Address), whose family is
/// part of every prefix.
pub const SOURCES_MAP: &str = "ALLOWED_SOURCES";
/// Name of the global that holds the first IPv4 prefixes of those, [`FirstPrefixes`](crate::address::FirstPrefixes), which are
/// found faster.
pub const FIRST_SOURCES_GLOBAL: &str = "FIRST_SOURCES";
/// Name of the array, indexed by receive queue, of masks of 64 bits: a packet gets its receive time if the count of packets
/// that were redirected before it on the same CPU has none of the mask's bits. It may change while the program runs.
pub const STAMP_MASKS_MAP: &str = "STAMP_MASKS";
/// Name of the hash map whose keys are the interface's own [`Address`](crate::address::Address)es. It may change while
/// the program runs.
pub const DESTINATIONS_MAP: &str = "OWN_ADDRESSES";
/// Name of the array of one [`FirstAddresses`](crate::address::FirstAddresses): a few of those, which are found faster.
pub const FIRST_DESTINATIONS_MAP: &str = "FIRST_ADDRESSES";
/// Name of the hash map from [`TunnelKey`](crate::tunnel::TunnelKey) to the snap length of those tunnels, in the form
/// of [`CaptureConfig::snap_length`].
pub const SNAP_LENGTHS_MAP: &str = "SNAP_LENGTHS";
/// Name of the program in the capture object.
pub const PROGRAM: &str = "mirror_capture";

/// Least snap length: the kernel lets no program cut into the Ethernet header (`bpf_xdp_adjust_tail`).
pub const MIN_SNAP_LENGTH: u32 = 14;

/// The configuration of the capture program. Integers are in host byte order; booleans are 0 or 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Keep only this many bytes of the frame, counted from its first byte on the wire. 0: keep all; else at
    /// least [`MIN_SNAP_LENGTH`]. It holds for packets whose tunnel is known and for which [`SNAP_LENGTHS_MAP`] has no
    /// other.
    pub snap_length: u32,
    /// The shortest of all snap lengths, in the same form. It holds for packets whose tunnel the program cannot read.
    pub shortest_snap_length: u32,
    /// Receive queues of the interface: entries of [`XSK_MAP`], and one less than entries of
    /// [`verdict::MAP`](crate::verdict::MAP).
    pub queues: u32,
    /// 1: tunnel packets whose outer source is not in [`SOURCES_MAP`] are dropped and counted.
    pub check_sources: u32,
    /// 1: tunnel packets whose outer destination is not in [`DESTINATIONS_MAP`] pass to the kernel.
    pub check_destinations: u32,
    /// 1: every packet gets its receive time. 0: those that [`STAMP_MASKS_MAP`] chooses.
    pub exact_timestamps: u32,
    /// UDP destination port of GENEVE.
    pub geneve_port: u16,
    /// UDP destination port of VXLAN that is not inside GENEVE. 0: such packets pass to the kernel.
    pub vxlan_port: u16,
    /// UDP destination port of the mirror sessions' VXLAN, directly inside GENEVE, whose VNI then is the packet's. 0:
    /// the VNI of GENEVE always is.
    pub session_port: u16,
    /// Kinds of the keys of [`SNAP_LENGTHS_MAP`]: a set of the bits in [`crate::tunnel::kind`]. 0: it is empty.
    pub snap_kinds: u16,
}

impl CaptureConfig {
    /// The bytes of [`GLOBAL`], as the loader writes them.
    pub const fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let [s0, s1, s2, s3] = self.snap_length.to_ne_bytes();
        let [t0, t1, t2, t3] = self.shortest_snap_length.to_ne_bytes();
        let [q0, q1, q2, q3] = self.queues.to_ne_bytes();
        let [c0, c1, c2, c3] = self.check_sources.to_ne_bytes();
        let [d0, d1, d2, d3] = self.check_destinations.to_ne_bytes();
        let [m0, m1, m2, m3] = self.exact_timestamps.to_ne_bytes();
        let [g0, g1] = self.geneve_port.to_ne_bytes();
        let [v0, v1] = self.vxlan_port.to_ne_bytes();
        let [p0, p1] = self.session_port.to_ne_bytes();
        let [k0, k1] = self.snap_kinds.to_ne_bytes();
        [
            s0, s1, s2, s3, t0, t1, t2, t3, q0, q1, q2, q3, c0, c1, c2, c3, d0, d1, d2, d3, m0, m1, m2, m3,
            g0, g1, v0, v1, p0, p1, k0, k1,
        ]
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn bytes_lie_at_the_offsets_of_the_fields() {
        let config = CaptureConfig {
            snap_length: 0x0102_0304,
            shortest_snap_length: 0x1a1b_1c1d,
            queues: 0x0506_0708,
            check_sources: 0x090a_0b0c,
            check_destinations: 0x1e1f_2021,
            exact_timestamps: 0x0d0e_0f10,
            geneve_port: 0x1112,
            vxlan_port: 0x1314,
            session_port: 0x1516,
            snap_kinds: 0x1718,
        };
        let bytes = config.to_bytes();
        let long = |offset: usize| u32::from_ne_bytes(bytes[offset..offset + 4].try_into().unwrap());
        let short = |offset: usize| u16::from_ne_bytes(bytes[offset..offset + 2].try_into().unwrap());
        assert_eq!(long(offset_of!(CaptureConfig, snap_length)), config.snap_length);
        assert_eq!(long(offset_of!(CaptureConfig, shortest_snap_length)), config.shortest_snap_length);
        assert_eq!(long(offset_of!(CaptureConfig, queues)), config.queues);
        assert_eq!(long(offset_of!(CaptureConfig, check_sources)), config.check_sources);
        assert_eq!(long(offset_of!(CaptureConfig, check_destinations)), config.check_destinations);
        assert_eq!(long(offset_of!(CaptureConfig, exact_timestamps)), config.exact_timestamps);
        assert_eq!(short(offset_of!(CaptureConfig, geneve_port)), config.geneve_port);
        assert_eq!(short(offset_of!(CaptureConfig, vxlan_port)), config.vxlan_port);
        assert_eq!(short(offset_of!(CaptureConfig, session_port)), config.session_port);
        assert_eq!(short(offset_of!(CaptureConfig, snap_kinds)), config.snap_kinds);
    }
}

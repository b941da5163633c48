//! Metadata that the XDP program hands to user space with each packet that it redirects.
//!
//! A [`Metadata`] stands directly in front of the packet: in the driver's metadata room where there is some
//! (`bpf_xdp_adjust_meta`), so that the packet's own bytes stay as they were. Drivers without that room (ENA up
//! to 2.16, for one) get it as a [`Preamble`], a part of the frame that `bpf_xdp_adjust_head` adds. The two cannot be
//! confused: a redirected frame is IPv4 or IPv6, perhaps behind VLAN tags, and a preamble has the EtherType
//! [`PREAMBLE_ETHERTYPE`] in the place of a frame's own.

/// Ways for the metadata to reach user space, for [`CaptureConfig::metadata_mode`](crate::config::CaptureConfig).
pub mod mode {
    /// In the metadata room; where the driver refuses, in a preamble.
    pub const METADATA: u32 = 0;
    /// Always in a preamble: for tests, and for drivers that claim a metadata room but do not carry it.
    pub const PREAMBLE: u32 = 1;
}

/// Facts of the packet that its bytes do not hold.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Kernel receive time: nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`).
    pub monotonic_ns: u64,
    /// Bytes of the frame on the wire, before any cut.
    pub original_length: u32,
    /// [`MAGIC`], so that a frame that came without metadata is noticed.
    pub magic: u32,
}

/// Value of [`Metadata::magic`].
pub const MAGIC: u32 = 0x4d49_5252;

/// Size of [`Metadata`] in bytes; a multiple of 4 and at most 32, as the kernel asks of a metadata room.
pub const LENGTH: usize = size_of::<Metadata>();

/// The IEEE 802 local experimental EtherType 1, which never occurs in a redirected frame.
pub const PREAMBLE_ETHERTYPE: u16 = 0x88b5;

/// Metadata as the first bytes of the frame itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preamble {
    /// Zero, in the place of a frame's two MAC addresses.
    pub addresses: [u8; 12],
    /// [`PREAMBLE_ETHERTYPE`] in network byte order, in the place of a frame's EtherType.
    pub ethertype: [u8; 2],
    /// Zero.
    pub padding: [u8; 2],
    /// The metadata; the packet follows.
    pub metadata: Metadata,
}

/// Size of [`Preamble`] in bytes.
pub const PREAMBLE_LENGTH: usize = size_of::<Preamble>();

const _: () = assert!(LENGTH.is_multiple_of(4) && LENGTH <= 32);
const _: () = assert!(PREAMBLE_LENGTH == 32);

//! Names of the XDP programs, their maps and globals, and how they keep time.

/// Name of the program that sends, in the generator's object.
pub const SEND_PROGRAM: &str = "mirror_generate";
/// Name of the program that counts what the kernel's transmit function accepted.
pub const ACCOUNT_PROGRAM: &str = "mirror_account";
/// Name of the program that counts and drops what it receives, for the other end of the cable.
pub const DISCARD_PROGRAM: &str = "mirror_discard";
/// Name of the program that hands all it receives to one AF_XDP socket, for the other end of the cable.
pub const REDIRECT_PROGRAM: &str = "mirror_redirect";
/// The tracepoint that [`ACCOUNT_PROGRAM`] belongs to: one event per bulk of frames handed to a driver.
pub const ACCOUNT_TRACEPOINT: &str = "xdp_devmap_xmit";
/// Name of the global that holds the [`Mix`](crate::Mix).
pub const MIX: &str = "MIX";
/// Name of the global that holds the index of the interface to send from (`u32`).
pub const INTERFACE: &str = "INTERFACE";
/// Name of the global that holds the bytes of the frames that the program is given to write into (`u64`).
pub const FRAME_LENGTH: &str = "FRAME_LENGTH";
/// Name of the global that holds the number of packets to send at most (`u64`).
pub const PACKETS: &str = "PACKETS";
/// Name of the global that holds the time from packet to packet in [`DUE_FRACTION`]ths of a nanosecond (`u64`). 0:
/// no pacing.
pub const INTERVAL: &str = "INTERVAL";
/// Name of the array of templates, indexed by [`Packet::template`](crate::Packet::template).
pub const TEMPLATES_MAP: &str = "TEMPLATES";
/// Name of the array of one [`Progress`](crate::Progress).
pub const PROGRESS_MAP: &str = "PROGRESS";
/// Name of the per-CPU array of one `[packets, bytes]` that [`DISCARD_PROGRAM`] counts.
pub const DISCARDED_MAP: &str = "DISCARDED";
/// Name of the XSKMAP of one socket that [`REDIRECT_PROGRAM`] redirects to.
pub const SOCKETS_MAP: &str = "SOCKETS";

/// Parts of a nanosecond in which the time of the next packet is kept.
pub const DUE_FRACTION: u64 = 1 << 16;
/// Longest delay that a paced sender makes up for, in nanoseconds. Packets that were due in a longer one are never sent, so
/// that a stall of the machine does not end in a burst.
pub const LONGEST_LAG_NS: u64 = 5_000_000;

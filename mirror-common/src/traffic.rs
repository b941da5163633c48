//! What the load generator and its XDP program must agree on: which frame packet number n is.
//!
//! A frame is a [`Header`] followed by bytes that depend on nothing but their place. The header is a copy of a
//! template, in which the fields that vary are filled in by [`Packet::write`]. User space makes the templates; the
//! rest is computed here, by the same code on both sides, so that a checker knows every frame that was sent.
//!
//! Packets go through the flows in turn: in each round every flow gets one packet, and the rounds alternate between
//! the two directions. A flow keeps its tunnel, addresses, ports and protocol; each of its directions has outer ports of its
//! own.

mod flow;
mod header;
mod mix;
mod packet;
mod progress;

pub use self::flow::{Flow, Protocol};
pub use self::header::{HEADER_LENGTH, Header};
pub use self::mix::{FLOW_SHARE, MIX_WORDS, Mix, PACKET_SHARE, Position};
pub use self::packet::{Packet, valid_template};
pub use self::progress::{PROGRESS_WORDS, Progress};

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
/// Name of the global that holds the [`Mix`].
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
/// Name of the array of templates, indexed by [`Packet::template`].
pub const TEMPLATES_MAP: &str = "TEMPLATES";
/// Name of the array of one [`Progress`].
pub const PROGRESS_MAP: &str = "PROGRESS";
/// Name of the per-CPU array of one `[packets, bytes]` that [`DISCARD_PROGRAM`] counts.
pub const DISCARDED_MAP: &str = "DISCARDED";
/// Name of the XSKMAP of one socket that [`REDIRECT_PROGRAM`] redirects to.
pub const SOCKETS_MAP: &str = "SOCKETS";

/// Parts of a nanosecond in which the time of the next packet is kept.
pub const DUE_FRACTION: u64 = 1 << 16;
/// Longest delay that a paced sender makes up for, in nanoseconds. What was due in a longer one is never sent, so
/// that a stall of the machine does not end in a burst.
pub const LONGEST_LAG_NS: u64 = 5_000_000;
/// A stamp counts units of 2 to this power of nanoseconds: in its 32 bits it comes around every 275 seconds.
pub const STAMP_SHIFT: u32 = 6;

/// Kinds of packets that are counted apart. Kind 0 is valid; the others are the faults of the mix, from 1 on.
pub const KINDS: usize = 16;
/// Sizes of a valid packet: one, or those of an internet mix.
pub const SIZES: usize = 3;
/// Valid packets have a template for each tunnel, family, protocol and size.
pub const VALID_TEMPLATES: usize = 2 * 2 * 3 * SIZES;
/// All templates: those of valid packets, then one for each fault.
pub const TEMPLATES: usize = VALID_TEMPLATES + KINDS - 1;

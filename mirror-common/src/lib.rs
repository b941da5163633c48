//! Values that the capture program and user space must agree on, and nothing else.
//!
//! - [`port`]: the UDP ports of the tunnels.
//! - [`address`]: IP addresses as keys of the XDP program's maps.
//! - [`verdict`]: the XDP program's verdict on a packet; the index of its per-CPU counter.
//! - [`drop_reason`]: the reasons why a packet ends without a record, each with its stage.
//! - [`config`]: the XDP program's configuration, which the loader writes before it is verified.
//! - [`preamble`]: receive time and length, in front of the packets that have one.
//! - [`tunnel`]: the choice of the rule for a tunnel packet.
//!
//! The crate is `no_std` and has no dependencies, so that it compiles for the `bpf` target unchanged.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod config;
pub mod drop_reason;
pub mod port;
pub mod preamble;
pub mod tunnel;
pub mod verdict;

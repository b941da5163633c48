//! What the XDP programs and user space must agree on, and nothing else.
//!
//! - [`port`]: the UDP ports of the tunnels.
//! - [`address`]: IP addresses as keys of the XDP program's maps.
//! - [`verdict`]: where the XDP program sent a packet; the index of its per-CPU counter.
//! - [`drop_reason`]: the reasons why a packet ends without a record, each with its stage.
//! - [`config`]: what the loader tells the XDP program before it is verified.
//! - [`metadata`]: what the XDP program tells user space about each packet.
//! - [`tunnel`]: which rule a tunnel packet falls under.
//!
//! The crate is `no_std` and has no dependencies, so that it compiles for the `bpf` target unchanged.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod config;
pub mod drop_reason;
pub mod metadata;
pub mod port;
pub mod tunnel;
pub mod verdict;

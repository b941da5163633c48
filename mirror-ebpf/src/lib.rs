//! The XDP programs, as the objects that `build.rs` made of them.
//!
//! - `src/bin/capture/`: the daemon's program, which steers tunnel packets into AF_XDP sockets.
//! - `src/bin/generate.rs`: the load generator's program, which turns a template into varied traffic.
//!
//! In the build of the programs themselves (feature `bpf`) the library is empty.
#![no_std]

#[cfg(not(feature = "bpf"))]
mod object;

#[cfg(not(feature = "bpf"))]
pub use object::{capture, generate};

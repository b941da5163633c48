//! The XDP programs, as the objects that `build.rs` made of them.
//!
//! - `src/bin/capture/`: the daemon's program, which steers tunnel packets into AF_XDP sockets.
//! - `src/bin/generate.rs`: the load generator's program, which turns a template into varied traffic.
#![no_std]

/// An object, aligned as an ELF reader wants it.
#[repr(C, align(32))]
struct Aligned<Bytes: ?Sized>(Bytes);

#[cfg(not(feature = "bpf"))]
static CAPTURE_OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/bpfel-unknown-none/release/capture")));
#[cfg(not(feature = "bpf"))]
static GENERATE_OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/bpfel-unknown-none/release/generate")));

/// The ELF object of the capture program.
#[cfg(not(feature = "bpf"))]
pub fn capture() -> &'static [u8] {
    &CAPTURE_OBJECT.0
}

/// The ELF object of the traffic generator's program.
#[cfg(not(feature = "bpf"))]
pub fn generate() -> &'static [u8] {
    &GENERATE_OBJECT.0
}

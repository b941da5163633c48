//! One protocol, one file: bytes in, values or a named reason out.
//!
//! Nothing here allocates, logs, panics or reads a clock. Bytes are taken from a [`Reader`](reader::Reader), which
//! cannot run past its end, so a length field in the packet is never trusted beyond the bytes that are there.

pub mod number;

//! One protocol, one file: bytes in, values or a named reason out.
//!
//! Nothing here allocates, logs, panics or reads a clock. Bytes are taken from a [`Reader`](reader::Reader), which
//! cannot run past its end, so a length field in the packet is never trusted beyond the bytes that are there.
//!
//! Each protocol has a small value type with a `parse`. Those that tests and generators make frames of have an
//! `emit` as well, which appends to a buffer and is no part of the data path. A frame is emitted from the outside in,
//! with the lengths of what follows handed to `new`.

pub mod checksum;
pub mod error;
pub mod ethernet;
pub mod geneve;
pub mod gwlb;
pub mod icmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod reader;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod vxlan;

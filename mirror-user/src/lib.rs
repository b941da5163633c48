//! `mirror-capture`: mirrored traffic from GENEVE to records, past the kernel's network stack.
//!
//! The modules stand in the order of the data:
//!
//! 1. [`source`]: where frames come from; the one seam between a NIC (`xsk`, kept alive by `rebind`) and a
//!    capture file (`replay`).
//! 2. [`wire`]: one protocol, one file; bytes in, values or a named [`DropReason`] out.
//! 3. [`decap`]: from an outer frame to the mirrored [`Packet`](packet::Packet) and its tunnel identity.
//! 4. [`rules`]: what may be recorded of which tunnel's packets.
//! 5. [`flow`]: packets gathered into flows, and what is said of a flow.
//! 6. [`record`]: what is said of a packet, in batches.
//! 7. [`sink`]: where batches go: NDJSON or pcapng; standard output, a file or a directory.
//!
//! [`xdp`] loads the XDP program that brings a NIC's frames to their source; [`degrade`] says what a worker leaves
//! off when it cannot keep up; [`drop_reason`] names each way in which a packet can end before it is recorded; [`files`]
//! makes files that are safe from others in their directory.

pub mod batch;
pub mod command;
pub mod config;
pub mod counters;
pub mod decap;
pub mod degrade;
pub mod error;
pub mod files;
pub mod flow;
pub mod ledger;
pub mod nic;
pub mod number;
pub mod packet;
pub mod packet_clock;
pub mod pipeline;
pub mod rebind;
pub mod record;
pub mod replay;
pub mod rules;
pub mod shutdown;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod time;
pub mod value;
pub mod wire;
pub mod worker;
pub mod xdp;
pub mod xsk;

pub use mirror_common::drop_reason::{self, DropReason};

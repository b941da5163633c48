//! `mirror-capture`: mirrored traffic from GENEVE to records, past the kernel's network stack.
//!
//! Values are at the bottom: [`time`], [`number`] and [`batch`] sizes, [`packet`]s, [`value`]s of options, [`error`]s as text, [`key_map`]s
//! and [`files`] that are safe from other users of their directory. Above them the data path, in the order of the data:
//!
//! 1. [`nic`] and [`xdp`]: the interface, and the XDP program that redirects its tunnel packets to sockets.
//! 2. [`source`]: the seam to the frames; behind it a socket ([`xsk`], replaced by [`rebind`] when the kernel unbinds it) or
//!    capture files ([`replay`]).
//! 3. [`wire`]: one protocol, one file; bytes in, values or a named [`DropReason`] out.
//! 4. [`decap`]: the mirrored [`Packet`](packet::Packet) in an outer frame, and its tunnel identity.
//! 5. [`rules`] and [`degrade`]: the records that a packet may have, by its tunnel and by the worker's level.
//! 6. [`flow`]: packets gathered into flows, timed by themselves and by the [`packet_clock`].
//! 7. [`privacy`]: what of a packet or flow may be in a record, by its tunnel and the owner of that.
//! 8. [`enrichment`]: the account, session and instance that a record's tunnel is of, by a map that is kept up to date.
//! 9. [`record`] and [`sink`]: batches of records, encoded as NDJSON or pcapng, to standard output, a file or a directory.
//!
//! A [`worker`] runs the steps of one queue, and its [`counters`] account for every packet. On top is the assembly:
//! [`config`], [`pipeline`], [`snapshot`] and [`ledger`], [`command`] and [`shutdown`].

pub mod batch;
pub mod command;
pub mod config;
pub mod counters;
pub mod decap;
pub mod degrade;
pub mod enrichment;
pub mod error;
pub mod files;
pub mod flow;
pub mod key_map;
pub mod ledger;
pub mod nic;
pub mod number;
pub mod packet;
pub mod packet_clock;
pub mod pipeline;
pub mod privacy;
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

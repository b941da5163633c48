//! Flows: who spoke with whom, through which tunnel, how much and for how long.
//!
//! A [`FlowTable`] belongs to one worker and shares nothing. It takes batches of packets and hands out
//! [`FlowRecord`]s as flows open, go on and end. It makes no threads and no system calls, and reads no clock.
//!
//! # Time
//!
//! The times of a flow are those of its own packets, in whatever order they come, and so are its timeouts: a packet that
//! comes after the idle timeout, by the timestamps of the flow's packets alone, begins a new flow; so does one that is
//! older than the flow by as much. What falls due without a packet is up to [`FlowTable::expire`], which is told the
//! time: the one and only clock that is not the flow's own.
//!
//! # Passes
//!
//! A batch goes through in passes, each of which fetches the memory that the next one needs, since with many
//! flows it is memory that takes the time:
//!
//! 1. each packet's key, hash and tunnel number; fetch its bucket of the index;
//! 2. the slot that the bucket names; fetch the flow;
//! 3. fetch the flow's neighbours in the order of idle time, and its addresses in IPv6;
//! 4. packet by packet: find or make the flow, count, follow TCP, make the flow the latest.
//!
//! The first three only look ahead; what is true is decided in the last one, in the order of the packets.
//!
//! # Memory
//!
//! Per flow 96 bytes for what each packet touches, 48 for what is seldom needed, 8 for the order of idle time
//! and 6.4 for the index: 158.4; with IPv6 addresses 190.4. All of it is set aside at the start, but what no flow
//! has needed yet is address space only.
//!
//! # Records
//!
//! Records tell what came since the record before, so that sums are exact. See [`FlowRecord`] for when there
//! is one.

mod community_id;
mod config;
mod direction;
mod entry;
mod expiry;
mod follow;
mod fragments;
mod hash;
mod icmp;
mod index;
mod initiators;
mod interner;
mod key;
mod lru;
mod memory;
mod prepared;
mod record;
mod sampling;
mod side;
mod slab;
mod table;
mod tcp;
#[cfg(test)]
mod testing;
mod transport;
mod tunnels;
mod update;

pub use self::community_id::CommunityId;
pub use self::config::FlowConfig;
pub use self::direction::NetworkDirection;
pub use self::record::{Action, Connection, EndReason, FlowRecord, Initiator, Traffic};
pub use self::table::{FlowCounters, FlowTable};
pub use self::transport::FlowTransport;

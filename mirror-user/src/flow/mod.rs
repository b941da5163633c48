//! Flows: packets between two sides through one tunnel, counted and timed.
//!
//! A [`FlowTable`] belongs to one worker and shares nothing. It takes batches of packets and emits
//! [`FlowRecord`]s as flows open, continue and end. It makes no threads and no system calls, and reads no clock.
//!
//! # Time
//!
//! The times of a flow are those of its own packets, in whatever order they come, and so are its timeouts: a packet that
//! comes after the idle timeout, by the timestamps of the flow's packets alone, begins a new flow; so does one that is
//! older than the flow by as much. Timeouts without a packet are up to [`FlowTable::expire`], which is given the
//! time: the only clock that is not the flow's own.
//!
//! # Passes
//!
//! A batch goes through in passes, each of which fetches the memory that the next one needs, since with many flows
//! memory takes the time:
//!
//! 1. each packet's key, hash and tunnel number; fetch its bucket of the index;
//! 2. the slot that the bucket names; fetch the flow;
//! 3. fetch the flow's neighbours in the order of idle time, and its addresses in IPv6;
//! 4. packet by packet: find or make the flow, count, follow TCP, make the flow the latest. By far most packets belong to the
//!    flow that the second pass has found, which goes on; for them that is one look.
//!
//! The first three only prefetch; the last one decides, in the order of the packets.
//!
//! # Memory
//!
//! Per flow 96 bytes that each packet touches, 52 of the cold part, 8 for the order of idle time
//! and 6.4 for the index: 162.4; with IPv6 addresses 194.4. All of it is set aside at the start, but memory that
//! no flow has used yet is address space only.
//!
//! # Records
//!
//! Records count the packets since the last record, so that sums are exact. [`FlowRecord`] says when there is one.

mod application;
mod application_config;
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
mod inspection;
mod interner;
mod key;
mod lru;
mod memory;
mod payload;
mod prepared_packet;
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

pub use self::application::{Application, ApplicationRecord, FlowIdentity};
pub use self::application_config::ApplicationConfig;
pub use self::community_id::CommunityId;
pub use self::config::FlowConfig;
pub use self::direction::{NetworkDirection, is_local, is_private};
pub use self::payload::Frames;
pub use self::record::{Action, Connection, EndReason, FlowRecord, Initiator, Traffic};
pub use self::table::{FlowCounters, FlowTable};
pub use self::transport::FlowTransport;

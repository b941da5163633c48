//! The assembly of the data path: program, sockets, workers and sinks.
//!
//! - [`preflight`]: what must be true before a capture can start.
//! - `sockets`: how the AF_XDP sockets are made, and what is tried where that fails.
//! - [`memory`]: the memory that the options ask for, and whether there is so much.
//! - [`addresses`]: the interface's own addresses, which packets are taken for.
//! - `workers` and `queue`: a worker on a thread of its own, and the receive queue that it serves.
//! - `link`: the interface, `served`: whether packets reach the workers.
//! - `drain`: how long stopping may take.

pub mod addresses;
pub(crate) mod drain;
mod error;
pub(crate) mod link;
pub mod memory;
pub mod preflight;
pub(crate) mod queue;
pub(crate) mod served;
pub(crate) mod sockets;
pub(crate) mod workers;

pub use self::error::RunError;

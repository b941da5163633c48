//! The daemon on live traffic: a veth pair between two namespaces, real XDP, real AF_XDP, and a ledger that balances
//! to the packet in every case.
//!
//! - `capture`: modes, formats, snap lengths, rules, restarts, refusals.
//! - `sessions`: mirrored sessions that begin and end, each flow to the packet.
//! - `destinations`, `directions`: packets for others; the two directions of a conversation.
//! - `queues`: several queues and their workers.
//! - `sockets`, `timestamps`: fall-backs and busy polling; the times of packets.
//! - `degradation`, `never_reached`: overload; packets that never reached the capture.
//! - `outputs`, `stopping`, `bad_day`: outputs in use; ends of every kind; interfaces and programs that change underway.
//!
//! They stand on `daemon`, the daemon and its traffic, and `bpf`, calls of bpf(2).

mod bad_day;
mod bpf;
mod capture;
mod daemon;
mod degradation;
mod destinations;
mod directions;
mod never_reached;
mod outputs;
mod queues;
mod sessions;
mod sockets;
mod stopping;
mod timestamps;

//! The traffic model that the load generator and its XDP program share: the frame of packet number n.
//!
//! A frame is a [`Header`] followed by bytes that depend on nothing but their offset. The header is a copy of a
//! template, in which [`Packet::write`] fills in the fields that vary. User space makes the templates; everything else
//! is computed here, by the same code on both sides, so that a test knows every frame that was sent.
//!
//! Packets go through slots in turn: in each round every slot gets one packet. A slot holds one flow for ever, or one flow
//! after the other; the packets of a flow alternate between its two directions. A flow keeps its tunnel, addresses, ports and
//! protocol; each of its directions has outer ports of its own.
//!
//! In the order of the data, each module building on those above it:
//!
//! - [`count`]: numbers of kinds, sizes and templates.
//! - [`mix`]: the composition of the traffic, in numbers.
//! - [`position`]: a packet number and its slot.
//! - [`lifetime`]: flows that begin and end, and a packet's place in its flow.
//! - [`flow`]: the values that all packets of a flow share.
//! - [`header`]: the first bytes of a frame.
//! - [`packet`]: one packet, and its header.
//! - [`program`]: names of the XDP programs, their maps and globals, and how they keep time.
//! - [`progress`]: the counts that the program keeps.
//!
//! The crate is `no_std` and has no dependencies, so that it compiles for the `bpf` target unchanged.
#![no_std]

pub mod count;
pub mod flow;
mod hash;
pub mod header;
pub mod lifetime;
pub mod mix;
pub mod packet;
pub mod position;
pub mod program;
pub mod progress;

pub use self::flow::{Flow, Protocol};
pub use self::header::Header;
pub use self::lifetime::Lifetime;
pub use self::mix::Mix;
pub use self::packet::Packet;
pub use self::position::Position;
pub use self::progress::Progress;

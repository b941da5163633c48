//! What the first bytes of a flow tell of its application.
//!
//! One protocol, one file or folder. A parser is pure: bytes in, a value or a named reason out. It neither logs nor reads a clock, and
//! no input makes it panic or take more memory than it says.
//!
//! - [`reader`], [`host_name`], [`side`]: ground.
//! - [`tls`], [`quic`], [`dns`], [`http`], [`ssh`], [`dhcp`], [`starttls`]: the parsers, each with the facts of its protocol.
//! - [`names`]: names for addresses, by the DNS answers that clients got; shared between workers.
//! - [`registry`]: the parsers in one table, tried on the first bytes of a direction, whatever the port. A parser is a function of what is
//!   there so far, and is asked again when there is more: so segments, their order and their overlaps cannot change its answer.
//! - [`stream`], [`buffers`]: the first bytes of a direction in order, in bounded memory.
//! - [`inspector`]: the flows of one worker, each from its first payload to its [`Summary`].

pub mod buffers;
pub mod dhcp;
pub mod dns;
pub mod finding;
pub mod given_up;
pub mod host_name;
pub mod http;
pub mod inspector;
pub mod names;
mod prefix;
pub mod protocol;
pub mod quic;
pub mod reader;
pub mod registry;
pub mod side;
pub mod ssh;
pub mod starttls;
pub mod stream;
pub mod tls;

pub use finding::Event;
pub use given_up::GivenUp;
pub use inspector::{Counters, Handle, Inspector, InspectorConfig, Interest, Segment, Summary};
pub use protocol::Protocol;
pub use side::Side;

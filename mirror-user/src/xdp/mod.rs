//! The capture program, from loading to detaching: the safe side of the XDP program in `mirror-ebpf`.
//!
//! - `program`: loads, attaches and detaches it; `config` and `mode` say how.
//! - [`queue`]: the entry of one receive queue in the map of sockets, and its counters.
//! - [`address`]: the addresses that packets are taken for.
//! - `verdicts`: the program's counters of all queues.
//! - [`interface`]: the network interfaces, as the kernel describes them; [`link_events`]: changes of one of them.
//! - [`error`]: errors and their remedies.

pub mod address;
mod config;
pub mod error;
pub mod interface;
pub mod link_events;
mod maps;
mod mode;
mod netlink;
mod program;
pub mod queue;
mod verdicts;

pub use self::address::AddressChange;
pub use self::config::{MOST_ADDRESSES, Prefix, ProgramConfig};
pub use self::error::XdpError;
pub use self::mode::{AttachMode, AttachModeRequest};
pub use self::program::{Attachment, Program};
pub use self::verdicts::Verdicts;

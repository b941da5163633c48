//! TCP connections, as far as an observer can follow them who may miss packets or see them late.
//!
//! - `segment`: the fields of a header that count.
//! - `phase`, `streams`: the state of a connection, as its flow remembers it.

mod phase;
mod segment;
mod streams;

pub(super) use self::phase::{Phase, Stage};
pub(super) use self::segment::{ACK, FIN, RST, SYN, Segment};
pub(super) use self::streams::{NEAR, Streams, is_near};

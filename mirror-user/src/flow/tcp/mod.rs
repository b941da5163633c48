//! TCP connections, as far as a bystander can follow them who may miss packets or see them late.
//!
//! - `segment`: the fields of a header that count.
//! - `phase`, `streams`: the state of a connection, as its flow remembers it.
//! - `follow`: from one state to the next.

mod follow;
mod phase;
mod segment;
mod streams;

pub(super) use self::phase::Phase;
pub(super) use self::segment::Segment;
pub(super) use self::streams::Streams;

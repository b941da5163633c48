//! One JSON object per line, with the names of the Elastic Common Schema (ECS) as nested objects.
//!
//! Fields that ECS has no name for are under `mirror`, as ECS asks of a program's own fields: the tunnel, the
//! lengths, the queue, and also ICMP's type and code. A member that a packet or flow does not have is absent.

mod application;
mod common;
mod flow;
mod packet;

pub(super) use self::application::application;
pub(super) use self::flow::flow;
pub(super) use self::packet::packet;

/// No record is longer than this many bytes.
pub(super) const LONGEST_RECORD: usize =
    if flow::LONGEST_RECORD > packet::LONGEST_RECORD { flow::LONGEST_RECORD } else { packet::LONGEST_RECORD };

//! The capture program in the kernel: attached to interfaces, and given packets one by one.
//!
//! - `attach`: modes, fallback, refusals.
//! - `verdicts`: the verdict on each kind of packet, and the metadata that it leaves with.
//! - `rules`: the snap length of a tunnel, against the rule that user space finds for the same frame.

mod attach;
mod rules;
mod verdicts;

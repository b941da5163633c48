//! The policy: which interfaces are mirrored, to which targets, and how.
//!
//! [`parse`] turns a TOML file into a [`Policy`] that is valid in itself, or into all of its faults, each with its line and
//! remedy.

mod fault;
mod model;
mod raw;
mod rule;
mod target;
mod validate;

pub mod filter;
pub mod selector;

pub use fault::{Fault, Faults};
pub use model::{Account, InstanceTypeOverrides, Policy, RateLimits};
pub use rule::{Interfaces, MirrorSettings, Rule, RuleAction, VniSource};
pub use target::{Destination, Endpoint, Target};
pub use validate::parse;

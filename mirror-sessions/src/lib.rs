//! `mirror-sessions`: the traffic mirror sessions of a whole organisation, kept to a policy.
//!
//! The modules stand in the order of the data:
//!
//! 1. [`policy`]: which interfaces are to be mirrored, where to, and how; read from a file.
//! 2. [`observed`]: what is there, and [`observe`]: how it is looked at, everything or what an event was about.
//! 3. [`desired`]: what the policy wants of each interface that was observed; [`vni`], [`instance_types`] and
//!    [`limits`] are what it and the plan go by.
//! 4. [`plan`](mod@plan): the changes from there to here, as a value that can be read, saved and applied later.
//! 5. [`apply`](mod@apply): carries a plan out.
//! 6. [`manager`]: all of it, for every account and region of the policy.
//!
//! Around them: [`api`] is what is asked of EC2, [`ec2`] the SDK behind it, [`connection`] and [`pace`] how often it is
//! asked; [`event`], [`sqs`] and [`watch`] act on what happens; [`map`](mod@map) is for the daemon, [`list`] and
//! [`metrics`] for people; [`init`] and [`check`](mod@check) come before everything.
//!
//! `policy`, `desired` and `plan` are pure: no clock, no network, the same answer for the same question.

pub mod api;
pub mod apply;
pub mod check;
pub mod connection;
pub mod desired;
pub mod ec2;
pub mod event;
pub mod file;
mod hash;
pub mod id;
pub mod init;
pub mod instance_types;
pub mod limits;
pub mod list;
mod lock;
pub mod manager;
pub mod map;
pub mod metrics;
pub mod observe;
pub mod observed;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod sqs;
pub mod tags;
pub mod vni;
pub mod watch;

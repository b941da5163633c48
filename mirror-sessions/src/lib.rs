//! `mirror-sessions`: keeps the traffic mirror sessions of a whole organisation equal to a policy.
//!
//! The modules, in the order of the data:
//!
//! 1. [`policy`]: which interfaces are mirrored, to which targets, and how; parsed from a file.
//! 2. [`resource`]: the resources of EC2; [`observation`]: those found in an account and region; [`observe`] reads them.
//! 3. [`desired`]: the policy evaluated for each observed interface, with [`vni`], [`instance_types`] and [`limits`].
//! 4. [`plan`](mod@plan): the changes from observed to desired, as a value that can be shown, saved and applied later.
//! 5. [`apply`](mod@apply): applies a plan.
//! 6. [`reconciler`]: all of this, for every account and region of the policy.
//!
//! Access to AWS: [`api`] is the part of the EC2 API that is used; [`connection`] reads and writes through it within the
//! [`rate_limit`]; [`queue`] receives events. With the feature `aws`, the modules `ec2` and `sqs` implement them with the SDK; without
//! it, everything else is built in seconds.
//!
//! Commands: [`watch`] processes each [`event`] and reconciles periodically; [`enrichment_map`] is for the daemon, [`list`] and
//! [`metrics`] are for people; [`cloudformation`] and [`check`](mod@check) prepare the accounts.
//!
//! `policy`, `desired` and `plan` are pure: they use neither clock nor network, and give the same result for the same input.

pub mod api;
pub mod api_error;
pub mod apply;
pub mod check;
pub mod cloudformation;
pub mod connection;
pub mod desired;
#[cfg(feature = "aws")]
pub mod ec2;
pub mod enrichment_map;
mod error;
pub mod event;
pub mod file;
pub mod filter_rule;
pub mod glob;
mod hash;
pub mod id;
pub mod instance_types;
pub mod limits;
pub mod list;
mod lock;
pub mod metrics;
pub mod observation;
pub mod observe;
pub mod ownership;
pub mod plan;
pub mod policy;
pub mod queue;
mod random;
pub mod rate_limit;
pub mod reconciler;
pub mod resource;
#[cfg(feature = "aws")]
mod sdk_error;
mod session_number;
#[cfg(feature = "aws")]
pub mod sqs;
pub mod vni;
pub mod watch;

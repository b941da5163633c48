//! The plan: the changes that make the observed resources what the policy requires, as a value that can be shown, saved and
//! applied later.
//!
//! - [`Change`]: one call to the API, or two for tags.
//! - [`Plan`]: the changes of all accounts and regions.
//! - [`plan`](plan()): the planner, a pure function from desired state and observation to the changes of one account and
//!   region.
//! - `text`: the plan as text for people; `file`: saved plans.

mod change;
mod diff;
mod file;
mod filters_and_targets;
mod model;
mod planner;
mod sessions;
mod text;

pub use change::{Change, FilterRef, NewSession, SessionChanges, TargetRef};
pub use diff::plan;
pub use file::{PlanFileError, load};
pub use model::{AccountRegionPlan, Difference, Plan, Problem, SessionCounts, Unobserved, VERSION};

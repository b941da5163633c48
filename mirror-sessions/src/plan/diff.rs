//! The planner put together: from desired state and observation to the changes between them.

use super::change::Change;
use super::model::AccountRegionPlan;
use super::planner::Planner;
use crate::desired::DesiredState;
use crate::observation::Observation;

/// The changes that turn the observed resources into the desired ones. No change concerns a resource of another owner or
/// exceeds a quota of AWS, and once all changes have been applied, no further ones follow.
pub fn plan(desired: &DesiredState, observation: &Observation) -> AccountRegionPlan {
    let mut planner = Planner::new(desired, observation);
    let kept = planner.keep_sessions();
    let vnis = planner.assign_vnis(&kept);
    for (interface, (session, desired)) in &kept {
        planner.modify_session(interface, session, desired, vnis.get(interface).copied());
    }
    let created = planner.new_sessions(&kept, &vnis);
    planner.plan_filters(&kept, &created);
    planner.plan_targets(&kept, &created);
    let counts = planner.counts(&kept);
    let mut changes = planner.changes;
    changes.extend(created.into_iter().map(Change::CreateSession));
    changes.sort_by_key(Change::stage);
    AccountRegionPlan {
        account_region: desired.account_region.clone(),
        changes,
        problems: planner.problems,
        counts,
    }
}

//! The plan, as a value.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::change::Change;
use crate::id::AccountRegion;

/// Version of the format of saved plans.
pub const VERSION: u32 = 1;

/// The changes that all accounts and regions of a policy need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`VERSION`] of the program that created it.
    pub version: u32,
    /// Owner of the policy.
    pub owner: String,
    /// SHA-256 of the policy's text.
    pub policy: String,
    /// The accounts and regions that could be observed.
    #[serde(rename = "places")]
    pub account_regions: Vec<AccountRegionPlan>,
    /// The accounts and regions that could not be observed, with the error.
    #[serde(rename = "unseen")]
    pub unobserved: Vec<Unobserved>,
}

/// An account and region that could not be observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unobserved {
    /// The account and region.
    #[serde(flatten)]
    pub account_region: AccountRegion,
    /// The error.
    pub error: String,
}

/// The changes that one account and region needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRegionPlan {
    /// The account and region.
    #[serde(flatten)]
    pub account_region: AccountRegion,
    /// The changes, in an order in which they can be applied.
    pub changes: Vec<Change>,
    /// Requirements of the policy that cannot be met.
    pub problems: Vec<Problem>,
    /// Numbers of sessions.
    #[serde(rename = "census")]
    pub counts: SessionCounts,
}

/// Numbers of sessions of the policy's owner, required and existing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCounts {
    /// Interfaces that the policy requires to be mirrored, including those that cannot be.
    pub desired: usize,
    /// Interfaces among them that have a session, up to date or not.
    pub present: usize,
    /// Interfaces among them that have no session.
    pub missing: usize,
    /// Sessions that the policy does not require.
    pub orphaned: usize,
}

/// A requirement of the policy that cannot be met, or a resource that needs an operator's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The resource concerned.
    pub resource: String,
    /// The problem, and its remedy.
    pub problem: String,
}

impl Plan {
    /// Returns true if no changes are needed.
    pub fn is_empty(&self) -> bool {
        self.account_regions.iter().all(|plan| plan.changes.is_empty())
    }

    /// Reduces the plan to the deletions of sessions, filters and targets. A filter or target is not deleted if a session
    /// still uses it, because the change that would replace it is left out.
    pub fn prune(mut self) -> Self {
        for plan in &mut self.account_regions {
            let (mut filters, mut targets) = (BTreeSet::new(), BTreeSet::new());
            for change in &plan.changes {
                let Change::ModifySession { changes, .. } = change else { continue };
                filters.extend(changes.filter.as_ref().map(|(from, _)| from.clone()));
                targets.extend(changes.target.as_ref().map(|(from, _)| from.clone()));
            }
            plan.changes.retain(|change| match change {
                Change::DeleteFilter { id, .. } => !filters.contains(id),
                Change::DeleteTarget { id, .. } => !targets.contains(id),
                other => other.prunes(),
            });
        }
        self
    }

    /// The changes that only this plan has, and those that only `current` has. Accounts and regions that `current` does
    /// not have are left out.
    pub fn difference<'plan>(&'plan self, current: &'plan Self) -> Difference<'plan> {
        let current: BTreeMap<&AccountRegion, &AccountRegionPlan> =
            current.account_regions.iter().map(|plan| (&plan.account_region, plan)).collect();
        let mut difference = Difference::default();
        for saved in &self.account_regions {
            let account_region = &saved.account_region;
            let Some(current) = current.get(account_region) else { continue };
            let current_changes: HashSet<&Change> = current.changes.iter().collect();
            let saved_changes: HashSet<&Change> = saved.changes.iter().collect();
            let no_longer_needed = saved.changes.iter().filter(|change| !current_changes.contains(change));
            difference.no_longer_needed.extend(no_longer_needed.map(|change| (account_region, change)));
            let needed_now = current.changes.iter().filter(|change| !saved_changes.contains(change));
            difference.needed_now.extend(needed_now.map(|change| (account_region, change)));
        }
        difference
    }
}

/// Difference between a saved and a current plan, as [`Plan::difference`] returns it.
#[derive(Clone, Debug, Default)]
pub struct Difference<'plan> {
    /// Changes of the saved plan only.
    pub no_longer_needed: Vec<(&'plan AccountRegion, &'plan Change)>,
    /// Changes of the current plan only.
    pub needed_now: Vec<(&'plan AccountRegion, &'plan Change)>,
}

impl Difference<'_> {
    /// Returns true if the two plans agree in the accounts and regions that both have.
    pub fn is_empty(&self) -> bool {
        self.no_longer_needed.is_empty() && self.needed_now.is_empty()
    }
}

//! What is to be changed, as a value that can be read, saved, and applied later.
//!
//! - [`plan`](plan()): from what is desired and what was observed in one place to its changes, without touching
//!   anything.
//! - [`Change`]: one call to the API, or as good as one.
//! - `text`: the plan as a person reads it.

mod diff;
mod resources;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{EndpointId, FilterId, FilterRuleId, InterfaceId, Place, SessionId, TargetId};
use crate::observed::Tags;
use crate::policy::filter::FilterRule;

pub use diff::plan;

/// Number of the format of saved plans.
pub const VERSION: u32 = 1;

/// The changes that bring a whole organisation to its policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`VERSION`] of the program that made it.
    pub version: u32,
    /// Owner of the policy.
    pub owner: String,
    /// Hash of the policy's text.
    pub policy: String,
    /// The places that could be observed.
    pub places: Vec<PlacePlan>,
    /// The places that could not, and why.
    pub unseen: Vec<Unseen>,
}

/// A place that could not be observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unseen {
    /// The place.
    #[serde(flatten)]
    pub place: Place,
    /// What kept it from being observed.
    pub error: String,
}

/// The changes in one account and region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacePlan {
    /// The place.
    #[serde(flatten)]
    pub place: Place,
    /// The changes, in an order in which they can be made.
    pub changes: Vec<Change>,
    /// What the policy wants and cannot have.
    pub problems: Vec<Problem>,
    /// What there is, by count.
    pub census: Census,
}

/// How many sessions of this owner there are and should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Interfaces that the policy wants mirrored, those included that cannot be.
    pub desired: usize,
    /// Those of them that have a session, as wanted or not yet quite.
    pub present: usize,
    /// Those of them that have none.
    pub missing: usize,
    /// Sessions that nothing wants.
    pub orphaned: usize,
}

/// Something that the policy wants and cannot have, or that needs a person's eye.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The resource that it is about.
    pub resource: String,
    /// What it is, and its remedy.
    pub problem: String,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Make a target for an endpoint.
    CreateTarget {
        /// The endpoint.
        endpoint: EndpointId,
        /// The target's tags.
        tags: Tags,
    },
    /// Make a filter, without rules.
    CreateFilter {
        /// Its name in the policy.
        name: String,
        /// Its tags.
        tags: Tags,
    },
    /// Remove a rule from a filter.
    DeleteFilterRule {
        /// The filter.
        filter: FilterId,
        /// The rule.
        id: FilterRuleId,
        /// What it says, for the reader.
        rule: FilterRule,
    },
    /// Make a rule of a filter say something else.
    ModifyFilterRule {
        /// The filter.
        filter: FilterId,
        /// The rule.
        id: FilterRuleId,
        /// What it says.
        from: FilterRule,
        /// What it is to say.
        to: FilterRule,
    },
    /// Add a rule to a filter.
    CreateFilterRule {
        /// The filter.
        filter: FilterRef,
        /// The rule.
        rule: FilterRule,
    },
    /// Change the network services that a filter mirrors.
    ModifyNetworkServices {
        /// The filter.
        filter: FilterRef,
        /// Those to mirror from now on.
        add: BTreeSet<String>,
        /// Those to leave out.
        remove: BTreeSet<String>,
    },
    /// Delete a session.
    DeleteSession {
        /// The session.
        id: SessionId,
        /// Its interface.
        interface: InterfaceId,
        /// Why.
        reason: String,
    },
    /// Change properties of a session.
    ModifySession {
        /// The session.
        id: SessionId,
        /// Its interface.
        interface: InterfaceId,
        /// What changes.
        changes: SessionChanges,
    },
    /// Make a session.
    CreateSession(NewSession),
    /// Set tags of a session, and remove some.
    TagSession {
        /// The session.
        id: SessionId,
        /// Its interface.
        interface: InterfaceId,
        /// The tags to set.
        set: Tags,
        /// Keys of the tags to remove.
        remove: BTreeSet<String>,
    },
    /// Delete a filter.
    DeleteFilter {
        /// The filter.
        id: FilterId,
        /// Its name in the policy that made it.
        name: String,
        /// Why.
        reason: String,
    },
    /// Delete a target.
    DeleteTarget {
        /// The target.
        id: TargetId,
        /// The endpoint that it stands for.
        endpoint: String,
        /// Why.
        reason: String,
    },
}

/// A session to be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewSession {
    /// The interface whose packets it mirrors.
    pub interface: InterfaceId,
    /// The rule that wants it.
    pub rule: String,
    /// The later of its instance's launch and its attachment, in Unix seconds.
    pub incarnation: i64,
    /// Where to.
    pub target: TargetRef,
    /// What.
    pub filter: FilterRef,
    /// Its number among the interface's sessions.
    pub number: u16,
    /// Bytes mirrored of each packet; without a number, all.
    pub packet_length: Option<u16>,
    /// Its virtual network id; without one, AWS chooses.
    pub vni: Option<u32>,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
}

/// The properties of a session that change, each as it is and as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionChanges {
    /// Where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<(TargetId, TargetRef)>,
    /// What.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<(FilterId, FilterRef)>,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<(u16, u16)>,
    /// Bytes mirrored of each packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_length: Option<(Option<u16>, Option<u16>)>,
    /// Its virtual network id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vni: Option<(u32, u32)>,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<(String, String)>,
}

/// A filter that is there, or that the same plan makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterRef {
    /// There already.
    Existing(FilterId),
    /// To be made, under this name.
    Planned(String),
}

/// A target that is there, or that the same plan makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetRef {
    /// There already.
    Existing(TargetId),
    /// To be made, for this endpoint.
    Planned(EndpointId),
}

impl Change {
    /// The interface that it is about, if it is about a session.
    pub const fn interface(&self) -> Option<&InterfaceId> {
        match self {
            Self::DeleteSession { interface, .. }
            | Self::ModifySession { interface, .. }
            | Self::TagSession { interface, .. }
            | Self::CreateSession(NewSession { interface, .. }) => Some(interface),
            _ => None,
        }
    }

    /// Whether it deletes a session, a filter or a target as a whole.
    pub const fn reaps(&self) -> bool {
        matches!(self, Self::DeleteSession { .. } | Self::DeleteFilter { .. } | Self::DeleteTarget { .. })
    }

    /// Changes with the same number can be made at the same time, once all of the lower numbers have been made.
    pub const fn stage(&self) -> u8 {
        match self {
            Self::CreateTarget { .. } | Self::CreateFilter { .. } | Self::DeleteFilterRule { .. } => 0,
            Self::ModifyFilterRule { .. } => 1,
            Self::CreateFilterRule { .. } | Self::ModifyNetworkServices { .. } => 2,
            Self::DeleteSession { .. } => 3,
            Self::ModifySession { .. } => 4,
            Self::CreateSession(_) | Self::TagSession { .. } => 5,
            Self::DeleteFilter { .. } | Self::DeleteTarget { .. } => 6,
        }
    }
}

impl Plan {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.places.iter().all(|place| place.changes.is_empty())
    }

    /// Only the deletions of whole sessions, filters and targets. A filter or target stays that a session goes on
    /// using because its change is not among the deletions.
    pub fn reap(mut self) -> Self {
        for place in &mut self.places {
            let (mut filters, mut targets) = (BTreeSet::new(), BTreeSet::new());
            for change in &place.changes {
                let Change::ModifySession { changes, .. } = change else { continue };
                filters.extend(changes.filter.as_ref().map(|(from, _)| from.clone()));
                targets.extend(changes.target.as_ref().map(|(from, _)| from.clone()));
            }
            place.changes.retain(|change| match change {
                Change::DeleteFilter { id, .. } => !filters.contains(id),
                Change::DeleteTarget { id, .. } => !targets.contains(id),
                other => other.reaps(),
            });
        }
        self
    }

    /// The changes that stand in only one of the two plans: in this one, and in the other. Places that the other does
    /// not have are left out.
    pub fn difference<'plan>(&'plan self, other: &'plan Self) -> Difference<'plan> {
        let others: BTreeMap<&Place, &PlacePlan> =
            other.places.iter().map(|place| (&place.place, place)).collect();
        let mut difference = Difference::default();
        for place in &self.places {
            let Some(other) = others.get(&place.place) else { continue };
            let theirs: std::collections::HashSet<&Change> = other.changes.iter().collect();
            let ours: std::collections::HashSet<&Change> = place.changes.iter().collect();
            let only_here = place.changes.iter().filter(|change| !theirs.contains(change));
            difference.only_here.extend(only_here.map(|change| (&place.place, change)));
            let only_there = other.changes.iter().filter(|change| !ours.contains(change));
            difference.only_there.extend(only_there.map(|change| (&place.place, change)));
        }
        difference
    }
}

/// What [`Plan::difference`] found.
#[derive(Clone, Debug, Default)]
pub struct Difference<'plan> {
    /// Changes of the first plan only.
    pub only_here: Vec<(&'plan Place, &'plan Change)>,
    /// Changes of the second plan only.
    pub only_there: Vec<(&'plan Place, &'plan Change)>,
}

impl Difference<'_> {
    /// Whether the two plans are the same in the places that both have.
    pub fn is_empty(&self) -> bool {
        self.only_here.is_empty() && self.only_there.is_empty()
    }
}

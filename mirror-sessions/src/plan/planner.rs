//! The planner's state: its inputs, indexed, and the changes and problems found so far.

use std::collections::BTreeMap;

use super::change::{Change, FilterRef, TargetRef};
use super::model::Problem;
use crate::desired::{DesiredSession, DesiredState};
use crate::id::{EndpointId, InterfaceId};
use crate::observation::Observation;
use crate::ownership::{self, Owned as _};
use crate::policy::Destination;
use crate::resource::{Filter, Session, Target};

/// State of the planner.
pub(super) struct Planner<'a> {
    pub(super) desired: &'a DesiredState,
    pub(super) observation: &'a Observation,
    /// Sessions of the policy's owner, by interface.
    pub(super) own_sessions: BTreeMap<&'a InterfaceId, Vec<&'a Session>>,
    /// Sessions of other owners, by interface.
    pub(super) foreign_sessions: BTreeMap<&'a InterfaceId, Vec<&'a Session>>,
    /// Filters of the owner, by name; the first of several is used.
    pub(super) filters: BTreeMap<&'a str, Vec<&'a Filter>>,
    /// Targets of the owner, by endpoint; the first of several is used.
    pub(super) targets: BTreeMap<&'a EndpointId, Vec<&'a Target>>,
    pub(super) changes: Vec<Change>,
    pub(super) problems: Vec<Problem>,
}

/// A session that stays, and the session that is desired.
pub(super) type KeptSession<'a> = (&'a Session, &'a DesiredSession);

impl<'a> Planner<'a> {
    pub(super) fn new(desired: &'a DesiredState, observation: &'a Observation) -> Self {
        let (mut own_sessions, mut foreign_sessions) = (BTreeMap::new(), BTreeMap::new());
        for session in observation.sessions.values() {
            let sessions =
                if session.owned_by(&desired.owner) { &mut own_sessions } else { &mut foreign_sessions };
            sessions.entry(&session.interface).or_insert_with(Vec::new).push(session);
        }
        let mut filters = BTreeMap::new();
        for filter in observation.filters.values().filter(|filter| filter.owned_by(&desired.owner)) {
            let name = filter.tags.get(ownership::FILTER_TAG).map_or("", String::as_str);
            filters.entry(name).or_insert_with(Vec::new).push(filter);
        }
        let mut targets = BTreeMap::new();
        for target in observation.targets.values().filter(|target| target.owned_by(&desired.owner)) {
            if let Some(endpoint) = &target.endpoint {
                targets.entry(endpoint).or_insert_with(Vec::new).push(target);
            }
        }
        Self {
            desired,
            observation,
            own_sessions,
            foreign_sessions,
            filters,
            targets,
            changes: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn add_problem(&mut self, resource: &impl ToString, problem: &impl ToString) {
        self.problems.push(Problem { resource: resource.to_string(), problem: problem.to_string() });
    }

    /// The target for a destination: the existing one, or the one that the plan creates.
    pub(super) fn target_ref(&self, destination: &Destination) -> TargetRef {
        match destination {
            Destination::MirrorTarget(id) => TargetRef::Existing(id.clone()),
            Destination::Endpoint(endpoint) => {
                match self.targets.get(endpoint).and_then(|found| found.first()) {
                    Some(target) => TargetRef::Existing(target.id.clone()),
                    None => TargetRef::Planned(endpoint.clone()),
                }
            }
        }
    }

    /// The filter of this name: the existing one, or the one that the plan creates.
    pub(super) fn filter_ref(&self, name: &str) -> FilterRef {
        match self.filters.get(name).and_then(|found| found.first()) {
            Some(filter) => FilterRef::Existing(filter.id.clone()),
            None => FilterRef::Planned(name.to_owned()),
        }
    }
}

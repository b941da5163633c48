//! Planning of filters and targets: created when a session uses them, changed as the policy says, deleted when no rule in
//! force uses them.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, FilterRef, NewSession, TargetRef};
use super::planner::{KeptSession, Planner};
use crate::filter_rule::{Direction, FilterRule};
use crate::id::InterfaceId;
use crate::ownership;
use crate::policy::filter;
use crate::resource::{Filter, Session, Tags};

impl Planner<'_> {
    /// Creates the filters that sessions use, updates those of rules in force, and deletes the owner's others.
    pub(super) fn plan_filters(
        &mut self,
        kept: &BTreeMap<&InterfaceId, KeptSession<'_>>,
        created: &[NewSession],
    ) {
        let desired = self.desired;
        let kept_filters = kept.values().map(|(_, desired)| self.filter_ref(&desired.filter));
        let used: BTreeSet<FilterRef> =
            kept_filters.chain(created.iter().map(|session| session.filter.clone())).collect();
        for (name, filter) in &desired.filters {
            match self.filters.get(name.as_str()).and_then(|found| found.first()) {
                Some(existing) => self.update_filter(existing, filter),
                None if used.contains(&FilterRef::Planned(name.clone())) => self.create_filter(name, filter),
                None => {}
            }
        }
        if !self.observation.complete {
            return;
        }
        for (name, found) in self.filters.clone() {
            let (surplus, reason) = match desired.filters.contains_key(name) {
                true => (found.get(1..), "there is another filter of this name"),
                false => (found.get(..), "no rule in force uses it"),
            };
            for filter in surplus.unwrap_or_default() {
                let (id, name) = (filter.id.clone(), name.to_owned());
                let change = Change::DeleteFilter { id, name, reason: reason.to_owned() };
                self.delete_unless_used(&filter.id, reason, change, |session| session.filter == filter.id);
            }
        }
    }

    /// Adds the deletion of a filter or target, unless a foreign session uses it: AWS would refuse the deletion.
    fn delete_unless_used(
        &mut self,
        id: &impl ToString,
        reason: &str,
        change: Change,
        uses: impl Fn(&Session) -> bool,
    ) {
        match self.foreign_sessions.values().flatten().find(|session| uses(session)) {
            None => self.changes.push(change),
            Some(Session { id: user, .. }) => {
                let problem = format!(
                    "{reason}, but session {user}, which is not this owner's, does: change that session"
                );
                self.add_problem(id, &problem);
            }
        }
    }

    fn create_filter(&mut self, name: &str, filter: &filter::Filter) {
        let tags = Tags::from([
            (ownership::NAME_TAG.to_owned(), format!("{}/{name}", self.desired.owner)),
            (ownership::OWNER_TAG.to_owned(), self.desired.owner.clone()),
            (ownership::FILTER_TAG.to_owned(), name.to_owned()),
        ]);
        self.changes.push(Change::CreateFilter { name: name.to_owned(), tags });
        let planned = FilterRef::Planned(name.to_owned());
        for rule in &filter.rules {
            self.changes.push(Change::CreateFilterRule { filter: planned.clone(), rule: rule.clone() });
        }
        if !filter.network_services.is_empty() {
            let add = filter.network_services.iter().cloned().collect();
            self.changes.push(Change::ModifyNetworkServices {
                filter: planned,
                add,
                remove: BTreeSet::new(),
            });
        }
    }

    fn update_filter(&mut self, existing: &Filter, desired: &filter::Filter) {
        let position = |rule: &FilterRule| (rule.direction, rule.number);
        let mut missing: BTreeMap<(Direction, u16), &FilterRule> =
            desired.rules.iter().map(|rule| (position(rule), rule)).collect();
        for (id, rule) in &existing.rules {
            let (filter, id) = (existing.id.clone(), id.clone());
            match missing.remove(&position(rule)) {
                Some(desired) if desired == rule => {}
                Some(desired) => {
                    let (from, to) = (rule.clone(), desired.clone());
                    self.changes.push(Change::ModifyFilterRule { filter, id, from, to });
                }
                None => self.changes.push(Change::DeleteFilterRule { filter, id, rule: rule.clone() }),
            }
        }
        let filter = FilterRef::Existing(existing.id.clone());
        for rule in missing.into_values() {
            self.changes.push(Change::CreateFilterRule { filter: filter.clone(), rule: rule.clone() });
        }
        let services: BTreeSet<String> = desired.network_services.iter().cloned().collect();
        if services != existing.network_services {
            let add = services.difference(&existing.network_services).cloned().collect();
            let remove = existing.network_services.difference(&services).cloned().collect();
            self.changes.push(Change::ModifyNetworkServices { filter, add, remove });
        }
    }

    /// Creates the targets that sessions use, and deletes the owner's targets that no rule in force can use.
    pub(super) fn plan_targets(
        &mut self,
        kept: &BTreeMap<&InterfaceId, KeptSession<'_>>,
        created: &[NewSession],
    ) {
        let desired = self.desired;
        let kept_targets = kept.values().map(|(_, desired)| self.target_ref(&desired.destination));
        let used: BTreeSet<TargetRef> =
            kept_targets.chain(created.iter().map(|session| session.target.clone())).collect();
        for target in used {
            let TargetRef::Planned(endpoint) = target else { continue };
            let tags = Tags::from([
                (ownership::NAME_TAG.to_owned(), format!("{}/{endpoint}", desired.owner)),
                (ownership::OWNER_TAG.to_owned(), desired.owner.clone()),
            ]);
            self.changes.push(Change::CreateTarget { endpoint, tags });
        }
        if !self.observation.complete {
            return;
        }
        for (endpoint, found) in self.targets.clone() {
            let (surplus, reason) = match desired.endpoints.contains(endpoint) {
                true => (found.get(1..), "there is another target for this endpoint"),
                false => (found.get(..), "no rule in force can send to it"),
            };
            for target in surplus.unwrap_or_default() {
                let (id, endpoint) = (target.id.clone(), endpoint.to_string());
                let change = Change::DeleteTarget { id, endpoint, reason: reason.to_owned() };
                self.delete_unless_used(&target.id, reason, change, |session| session.target == target.id);
            }
        }
    }
}

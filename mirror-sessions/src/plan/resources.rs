//! Filters and targets: made where they are used, kept to the policy, deleted when no rule in force uses them.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{Kept, Planner};
use super::{Change, FilterRef, NewSession, TargetRef};
use crate::id::InterfaceId;
use crate::observed::{Filter, Session, Tags};
use crate::policy::filter::{self, Direction, FilterRule};
use crate::tags;

impl Planner<'_> {
    /// Makes the filters that are used, keeps those of rules in force to the policy, and deletes the others.
    pub(super) fn filters(&mut self, keep: &BTreeMap<&InterfaceId, Kept<'_>>, created: &[NewSession]) {
        let desired = self.desired;
        let kept_names = keep.values().map(|(_, wanted)| self.filter_ref(&wanted.filter));
        let used: BTreeSet<FilterRef> =
            kept_names.chain(created.iter().map(|session| session.filter.clone())).collect();
        for (name, filter) in &desired.filters {
            match self.filters.get(name.as_str()).and_then(|found| found.first()) {
                Some(existing) => self.keep_filter(existing, filter),
                None if used.contains(&FilterRef::Planned(name.clone())) => self.create_filter(name, filter),
                None => {}
            }
        }
        if !self.observed.complete {
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

    /// Adds the deletion of a filter or target, unless a session of others uses it: that would be refused.
    fn delete_unless_used(
        &mut self,
        id: &impl ToString,
        reason: &str,
        change: Change,
        uses: impl Fn(&Session) -> bool,
    ) {
        match self.theirs.values().flatten().find(|session| uses(session)) {
            None => self.changes.push(change),
            Some(Session { id: user, .. }) => {
                let problem = format!(
                    "{reason}, but session {user}, which is not this owner's, does: change that session"
                );
                self.problem(id, &problem);
            }
        }
    }

    fn create_filter(&mut self, name: &str, filter: &filter::Filter) {
        let tags = Tags::from([
            (tags::NAME.to_owned(), format!("{}/{name}", self.desired.owner)),
            (tags::OWNER.to_owned(), self.desired.owner.clone()),
            (tags::FILTER.to_owned(), name.to_owned()),
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

    fn keep_filter(&mut self, existing: &Filter, wanted: &filter::Filter) {
        let place = |rule: &FilterRule| (rule.direction, rule.number);
        let mut missing: BTreeMap<(Direction, u16), &FilterRule> =
            wanted.rules.iter().map(|rule| (place(rule), rule)).collect();
        for (id, rule) in &existing.rules {
            let (filter, id) = (existing.id.clone(), id.clone());
            match missing.remove(&place(rule)) {
                Some(wanted) if wanted == rule => {}
                Some(wanted) => {
                    let (from, to) = (rule.clone(), wanted.clone());
                    self.changes.push(Change::ModifyFilterRule { filter, id, from, to });
                }
                None => self.changes.push(Change::DeleteFilterRule { filter, id, rule: rule.clone() }),
            }
        }
        let filter = FilterRef::Existing(existing.id.clone());
        for rule in missing.into_values() {
            self.changes.push(Change::CreateFilterRule { filter: filter.clone(), rule: rule.clone() });
        }
        let services: BTreeSet<String> = wanted.network_services.iter().cloned().collect();
        if services != existing.network_services {
            let add = services.difference(&existing.network_services).cloned().collect();
            let remove = existing.network_services.difference(&services).cloned().collect();
            self.changes.push(Change::ModifyNetworkServices { filter, add, remove });
        }
    }

    /// Makes the targets that are used, and deletes those of the owner that no rule in force can use.
    pub(super) fn targets(&mut self, keep: &BTreeMap<&InterfaceId, Kept<'_>>, created: &[NewSession]) {
        let desired = self.desired;
        let kept = keep.values().map(|(_, wanted)| self.target_ref(&wanted.destination));
        let used: BTreeSet<TargetRef> =
            kept.chain(created.iter().map(|session| session.target.clone())).collect();
        for target in used {
            let TargetRef::Planned(endpoint) = target else { continue };
            let tags = Tags::from([
                (tags::NAME.to_owned(), format!("{}/{endpoint}", desired.owner)),
                (tags::OWNER.to_owned(), desired.owner.clone()),
            ]);
            self.changes.push(Change::CreateTarget { endpoint, tags });
        }
        if !self.observed.complete {
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

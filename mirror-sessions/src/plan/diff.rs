//! From what is desired and what was observed to the changes between them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Census, Change, FilterRef, NewSession, PlacePlan, Problem, SessionChanges, TargetRef};
use crate::desired::{Desired, Verdict, Wanted};
use crate::id::{EndpointId, InterfaceId};
use crate::limits::{MAX_PACKET_LENGTH, MAX_SESSION_NUMBER, SESSIONS_PER_ACCOUNT, SESSIONS_PER_INTERFACE};
use crate::observed::{Filter, Observed, Owned as _, Session, Tags, Target};
use crate::policy::{Destination, VniPolicy};
use crate::{tags, vni};

/// The changes that make what was observed what is desired. Never one to a thing that the owner did not make, never
/// one beyond a limit of AWS, and none at all once the changes have been made.
pub fn plan(desired: &Desired, observed: &Observed) -> PlacePlan {
    let mut planner = Planner::new(desired, observed);
    let keep = planner.keep();
    let vnis = planner.vnis(&keep);
    for (interface, (session, wanted)) in &keep {
        planner.modify(interface, session, wanted, vnis.get(interface).copied());
    }
    let created = planner.creations(&keep, &vnis);
    planner.filters(&keep, &created);
    planner.targets(&keep, &created);
    let census = planner.census(&keep);
    let mut changes = planner.changes;
    changes.extend(created.into_iter().map(Change::CreateSession));
    changes.sort_by_key(Change::stage);
    PlacePlan { place: desired.place.clone(), changes, problems: planner.problems, census }
}

pub(super) struct Planner<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    /// Sessions of this owner, by interface.
    ours: BTreeMap<&'a InterfaceId, Vec<&'a Session>>,
    /// Sessions of others, by interface.
    pub(super) theirs: BTreeMap<&'a InterfaceId, Vec<&'a Session>>,
    /// Filters of this owner, by name; where there are several, the first is used.
    pub(super) filters: BTreeMap<&'a str, Vec<&'a Filter>>,
    /// Targets of this owner, by endpoint; where there are several, the first is used.
    pub(super) targets: BTreeMap<&'a EndpointId, Vec<&'a Target>>,
    pub(super) changes: Vec<Change>,
    problems: Vec<Problem>,
}

/// A session that stays, and what is wanted of it.
pub(super) type Kept<'a> = (&'a Session, &'a Wanted);

impl<'a> Planner<'a> {
    fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
        for session in observed.sessions.values() {
            let side = if session.owned_by(&desired.owner) { &mut ours } else { &mut theirs };
            side.entry(&session.interface).or_insert_with(Vec::new).push(session);
        }
        let mut filters = BTreeMap::new();
        for filter in observed.filters.values().filter(|filter| filter.owned_by(&desired.owner)) {
            let name = filter.tags.get(tags::FILTER).map_or("", String::as_str);
            filters.entry(name).or_insert_with(Vec::new).push(filter);
        }
        let mut targets = BTreeMap::new();
        for target in observed.targets.values().filter(|target| target.owned_by(&desired.owner)) {
            if let Some(endpoint) = &target.endpoint {
                targets.entry(endpoint).or_insert_with(Vec::new).push(target);
            }
        }
        Self { desired, observed, ours, theirs, filters, targets, changes: Vec::new(), problems: Vec::new() }
    }

    pub(super) fn problem(&mut self, resource: &impl ToString, problem: &impl ToString) {
        self.problems.push(Problem { resource: resource.to_string(), problem: problem.to_string() });
    }

    fn delete_session(&mut self, session: &Session, reason: &str) {
        let (id, interface) = (session.id.clone(), session.interface.clone());
        self.changes.push(Change::DeleteSession { id, interface, reason: reason.to_owned() });
    }

    /// Decides which sessions stay, and deletes the rest of the owner's.
    fn keep(&mut self) -> BTreeMap<&'a InterfaceId, Kept<'a>> {
        let desired = self.desired;
        let mut keep = BTreeMap::new();
        for (interface, verdict) in &desired.verdicts {
            if let Verdict::Not(reason) = verdict
                && reason.is_problem()
            {
                self.problem(interface, reason);
            }
        }
        for (interface, sessions) in std::mem::take(&mut self.ours) {
            let (reason, surplus) = match desired.verdicts.get(interface) {
                Some(Verdict::Mirror(wanted)) => {
                    let mut sessions = sessions;
                    sessions.sort_by_key(|session| (session.number, &session.id));
                    let mut sessions = sessions.into_iter();
                    keep.extend(sessions.next().map(|first| (interface, (first, &**wanted))));
                    ("the interface has another session of this owner".to_owned(), sessions.collect())
                }
                Some(Verdict::Not(reason)) => (reason.to_string(), sessions),
                None => ("the interface is gone".to_owned(), sessions),
            };
            for session in surplus {
                self.delete_session(session, &reason);
            }
        }
        keep
    }

    fn modify(&mut self, interface: &InterfaceId, session: &Session, wanted: &Wanted, vni: Option<u32>) {
        let changed = |to: Option<u32>| to.filter(|to| *to != session.vni).map(|to| (session.vni, to));
        let target = self.target_ref(&wanted.destination);
        let filter = self.filter_ref(&wanted.filter);
        let number = self.free_number(interface, wanted.number);
        // Some kinds of target have AWS write the greatest length where none was asked for.
        let all = |length: Option<u16>| length.filter(|length| *length != MAX_PACKET_LENGTH);
        let changes = SessionChanges {
            target: (target != TargetRef::Existing(session.target.clone()))
                .then(|| (session.target.clone(), target)),
            filter: (filter != FilterRef::Existing(session.filter.clone()))
                .then(|| (session.filter.clone(), filter)),
            number: (number != session.number).then_some((session.number, number)),
            packet_length: (all(wanted.packet_length) != all(session.packet_length))
                .then_some((session.packet_length, wanted.packet_length)),
            vni: changed(vni),
            description: (wanted.description != session.description)
                .then(|| (session.description.clone(), wanted.description.clone())),
        };
        if changes != SessionChanges::default() {
            let (id, interface) = (session.id.clone(), interface.clone());
            self.changes.push(Change::ModifySession { id, interface, changes });
        }
        let set: Tags = wanted
            .tags
            .iter()
            .filter(|(key, value)| session.tags.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let stale = |key: &&String| key.starts_with(tags::PREFIX) && !wanted.tags.contains_key(*key);
        let remove: BTreeSet<String> = session.tags.keys().filter(stale).cloned().collect();
        if !set.is_empty() || !remove.is_empty() {
            let (id, interface) = (session.id.clone(), interface.clone());
            self.changes.push(Change::TagSession { id, interface, set, remove });
        }
    }

    /// The virtual network ids of the interfaces whose id does not come from AWS: those that have a session keep
    /// theirs where they may, then the others get one, each in the order of the interfaces.
    fn vnis(&self, keep: &BTreeMap<&InterfaceId, Kept<'_>>) -> BTreeMap<&'a InterfaceId, u32> {
        let (desired, observed) = (self.desired, self.observed);
        let deterministic = |interface: &InterfaceId| match desired.verdicts.get(interface) {
            Some(Verdict::Mirror(wanted)) => wanted.vni == VniPolicy::Deterministic,
            _ => false,
        };
        let mut taken = observed.foreign_vnis.clone();
        let others = observed.sessions.values().filter(|session| {
            let kept = keep.get(&session.interface).is_some_and(|(kept, _)| kept.id == session.id);
            !session.owned_by(&desired.owner) || (kept && !deterministic(&session.interface))
        });
        taken.extend(others.map(|session| session.vni));
        let mut chosen = BTreeMap::new();
        let mut choose = |interface: &'a InterfaceId, current: Option<u32>| {
            let current = current.filter(|id| !taken.contains(id));
            if let Some(id) = vni::choose(&desired.place.account, interface, current, &taken) {
                taken.insert(id);
                chosen.insert(interface, id);
            }
        };
        let (held, new): (Vec<_>, Vec<_>) = desired
            .verdicts
            .keys()
            .filter(|interface| deterministic(interface))
            .map(|interface| (interface, keep.get(interface).map(|(session, _)| session.vni)))
            .partition(|(_, current)| current.is_some());
        for (interface, current) in held.into_iter().chain(new) {
            choose(interface, current);
        }
        chosen
    }

    /// The session number nearest to `preferred` that no session of others on the interface has: that one, else the
    /// next higher, else the next lower.
    fn free_number(&self, interface: &InterfaceId, preferred: u16) -> u16 {
        let taken: BTreeSet<u16> =
            self.theirs.get(interface).into_iter().flatten().map(|session| session.number).collect();
        (preferred..=MAX_SESSION_NUMBER)
            .chain((1..preferred).rev())
            .find(|number| !taken.contains(number))
            .unwrap_or(preferred)
    }

    /// The sessions to be made, earlier rules first, as far as the limits allow.
    fn creations(
        &mut self,
        keep: &BTreeMap<&InterfaceId, Kept<'_>>,
        vnis: &BTreeMap<&InterfaceId, u32>,
    ) -> Vec<NewSession> {
        let mut wanted: Vec<(&InterfaceId, &Wanted)> = self
            .desired
            .verdicts
            .iter()
            .filter_map(|(interface, verdict)| match verdict {
                Verdict::Mirror(wanted) if !keep.contains_key(interface) => Some((interface, &**wanted)),
                Verdict::Mirror(_) | Verdict::Not(_) => None,
            })
            .collect();
        wanted.sort_by_key(|(interface, wanted)| (wanted.rule_index, *interface));
        let deleted =
            self.changes.iter().filter(|change| matches!(change, Change::DeleteSession { .. })).count();
        let mut room = SESSIONS_PER_ACCOUNT.saturating_sub(self.observed.sessions.len() - deleted);
        let mut created = Vec::new();
        for (interface, wanted) in wanted {
            let problem = if self.theirs.get(interface).map_or(0, Vec::len) >= SESSIONS_PER_INTERFACE {
                Some(format!(
                    "rule {} wants it, but others have made all {SESSIONS_PER_INTERFACE} sessions that an interface can have: delete one",
                    wanted.rule
                ))
            } else if wanted.vni == VniPolicy::Deterministic && !vnis.contains_key(interface) {
                Some(format!(
                    "rule {} wants it, but every virtual network id for it is taken: set vni = \"aws\"",
                    wanted.rule
                ))
            } else if room == 0 {
                Some(format!(
                    "rule {} wants it, but the account has all {SESSIONS_PER_ACCOUNT} sessions that it can have: let the policy select less",
                    wanted.rule
                ))
            } else {
                None
            };
            if let Some(problem) = problem {
                self.problem(interface, &problem);
                continue;
            }
            room -= 1;
            created.push(NewSession {
                interface: interface.clone(),
                rule: wanted.rule.clone(),
                incarnation: wanted.incarnation,
                target: self.target_ref(&wanted.destination),
                filter: self.filter_ref(&wanted.filter),
                number: self.free_number(interface, wanted.number),
                packet_length: wanted.packet_length,
                vni: vnis.get(interface).copied(),
                description: wanted.description.clone(),
                tags: wanted.tags.clone(),
            });
        }
        created
    }

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

    pub(super) fn filter_ref(&self, name: &str) -> FilterRef {
        match self.filters.get(name).and_then(|found| found.first()) {
            Some(filter) => FilterRef::Existing(filter.id.clone()),
            None => FilterRef::Planned(name.to_owned()),
        }
    }

    fn census(&self, keep: &BTreeMap<&InterfaceId, Kept<'_>>) -> Census {
        let wants = |verdict: &&Verdict| match verdict {
            Verdict::Mirror(_) => true,
            Verdict::Not(reason) => reason.is_problem(),
        };
        let desired = self.desired.verdicts.values().filter(wants).count();
        let owner = &self.desired.owner;
        let ours = self.observed.sessions.values().filter(|session| session.owned_by(owner)).count();
        Census { desired, present: keep.len(), missing: desired - keep.len(), orphaned: ours - keep.len() }
    }
}

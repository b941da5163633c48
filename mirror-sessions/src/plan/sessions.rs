//! Planning of sessions: which ones stay, change, are created and are deleted.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, FilterRef, NewSession, SessionChanges, TargetRef};
use super::model::SessionCounts;
use super::planner::{KeptSession, Planner};
use crate::desired::{Decision, DesiredSession};
use crate::id::InterfaceId;
use crate::limits::{MAX_PACKET_LENGTH, SESSIONS_PER_ACCOUNT, SESSIONS_PER_INTERFACE};
use crate::ownership::{self, Owned as _};
use crate::policy::VniSource;
use crate::resource::{Session, Tags};
use crate::{session_number, vni};

impl<'a> Planner<'a> {
    fn delete_session(&mut self, session: &Session, reason: &str) {
        let (id, interface) = (session.id.clone(), session.interface.clone());
        self.changes.push(Change::DeleteSession { id, interface, reason: reason.to_owned() });
    }

    /// Finds the sessions of the owner that stay, and deletes the others.
    pub(super) fn keep_sessions(&mut self) -> BTreeMap<&'a InterfaceId, KeptSession<'a>> {
        let desired = self.desired;
        let mut kept = BTreeMap::new();
        for (interface, decision) in &desired.decisions {
            if let Decision::Skip(reason) = decision
                && reason.is_problem()
            {
                self.add_problem(interface, reason);
            }
        }
        for (interface, sessions) in std::mem::take(&mut self.own_sessions) {
            let (reason, surplus) = match desired.decisions.get(interface) {
                Some(Decision::Mirror(desired_session)) => {
                    let mut sessions = sessions;
                    sessions.sort_by_key(|session| (session.number, &session.id));
                    let mut sessions = sessions.into_iter();
                    kept.extend(sessions.next().map(|first| (interface, (first, &**desired_session))));
                    ("the interface has another session of this owner".to_owned(), sessions.collect())
                }
                Some(Decision::Skip(reason)) => (reason.to_string(), sessions),
                None => ("the interface is gone".to_owned(), sessions),
            };
            for session in surplus {
                self.delete_session(session, &reason);
            }
        }
        kept
    }

    /// Changes the session on an interface where it differs from the desired one.
    pub(super) fn modify_session(
        &mut self,
        interface: &InterfaceId,
        session: &Session,
        desired: &DesiredSession,
        vni: Option<u32>,
    ) {
        let target = self.target_ref(&desired.destination);
        let filter = self.filter_ref(&desired.filter);
        let number = self.free_number(interface, desired.number);
        // For some types of target, AWS shows the maximum length where none was set.
        let effective = |length: Option<u16>| length.filter(|length| *length != MAX_PACKET_LENGTH);
        let changes = SessionChanges {
            target: (target != TargetRef::Existing(session.target.clone()))
                .then(|| (session.target.clone(), target)),
            filter: (filter != FilterRef::Existing(session.filter.clone()))
                .then(|| (session.filter.clone(), filter)),
            number: (number != session.number).then_some((session.number, number)),
            packet_length: (effective(desired.packet_length) != effective(session.packet_length))
                .then_some((session.packet_length, desired.packet_length)),
            vni: vni.filter(|vni| *vni != session.vni).map(|vni| (session.vni, vni)),
            description: (desired.description != session.description)
                .then(|| (session.description.clone(), desired.description.clone())),
        };
        if changes != SessionChanges::default() {
            let (id, interface) = (session.id.clone(), interface.clone());
            self.changes.push(Change::ModifySession { id, interface, changes });
        }
        let set: Tags = desired
            .tags
            .iter()
            .filter(|(key, value)| session.tags.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let stale =
            |key: &&String| key.starts_with(ownership::TAG_PREFIX) && !desired.tags.contains_key(*key);
        let remove: BTreeSet<String> = session.tags.keys().filter(stale).cloned().collect();
        if !set.is_empty() || !remove.is_empty() {
            let (id, interface) = (session.id.clone(), interface.clone());
            self.changes.push(Change::TagSession { id, interface, set, remove });
        }
    }

    /// The virtual network ids of the interfaces that do not get one from AWS: first, interfaces with a session keep
    /// theirs where that is possible; then the others get one, each group in the order of the interfaces.
    pub(super) fn assign_vnis(
        &self,
        kept: &BTreeMap<&InterfaceId, KeptSession<'_>>,
    ) -> BTreeMap<&'a InterfaceId, u32> {
        let (desired, observation) = (self.desired, self.observation);
        let deterministic = |interface: &InterfaceId| match desired.decisions.get(interface) {
            Some(Decision::Mirror(desired_session)) => desired_session.vni == VniSource::Deterministic,
            _ => false,
        };
        let mut taken = observation.foreign_vnis.clone();
        let others = observation.sessions.values().filter(|session| {
            let stays_here = kept.get(&session.interface).is_some_and(|(stays, _)| stays.id == session.id);
            !session.owned_by(&desired.owner) || (stays_here && !deterministic(&session.interface))
        });
        taken.extend(others.map(|session| session.vni));
        let mut chosen = BTreeMap::new();
        let mut choose = |interface: &'a InterfaceId, current: Option<u32>| {
            let current = current.filter(|id| !taken.contains(id));
            if let Some(id) = vni::choose(&desired.account_region.account, interface, current, &taken) {
                taken.insert(id);
                chosen.insert(interface, id);
            }
        };
        let (held, new): (Vec<_>, Vec<_>) = desired
            .decisions
            .keys()
            .filter(|interface| deterministic(interface))
            .map(|interface| (interface, kept.get(interface).map(|(session, _)| session.vni)))
            .partition(|(_, current)| current.is_some());
        for (interface, current) in held.into_iter().chain(new) {
            choose(interface, current);
        }
        chosen
    }

    /// The session number next to `preferred` that no foreign session of the interface has.
    fn free_number(&self, interface: &InterfaceId, preferred: u16) -> u16 {
        let taken: BTreeSet<u16> = self
            .foreign_sessions
            .get(interface)
            .into_iter()
            .flatten()
            .map(|session| session.number)
            .collect();
        session_number::choose(preferred, &taken).unwrap_or(preferred)
    }

    /// The sessions to be created, earlier rules first, as far as the quotas allow.
    pub(super) fn new_sessions(
        &mut self,
        kept: &BTreeMap<&InterfaceId, KeptSession<'_>>,
        vnis: &BTreeMap<&InterfaceId, u32>,
    ) -> Vec<NewSession> {
        let mut missing: Vec<(&InterfaceId, &DesiredSession)> = self
            .desired
            .decisions
            .iter()
            .filter_map(|(interface, decision)| match decision {
                Decision::Mirror(desired_session) if !kept.contains_key(interface) => {
                    Some((interface, &**desired_session))
                }
                Decision::Mirror(_) | Decision::Skip(_) => None,
            })
            .collect();
        missing.sort_by_key(|(interface, desired_session)| (desired_session.rule_index, *interface));
        let deleted =
            self.changes.iter().filter(|change| matches!(change, Change::DeleteSession { .. })).count();
        let mut remaining = SESSIONS_PER_ACCOUNT.saturating_sub(self.observation.sessions.len() - deleted);
        let mut created = Vec::new();
        for (interface, desired_session) in missing {
            let problem = if self.foreign_sessions.get(interface).map_or(0, Vec::len)
                >= SESSIONS_PER_INTERFACE
            {
                Some(format!(
                    "rule {} wants it, but others have made all {SESSIONS_PER_INTERFACE} sessions that an interface can have: delete one",
                    desired_session.rule
                ))
            } else if desired_session.vni == VniSource::Deterministic && !vnis.contains_key(interface) {
                Some(format!(
                    "rule {} wants it, but every virtual network id for it is taken: set vni = \"aws\"",
                    desired_session.rule
                ))
            } else if remaining == 0 {
                Some(format!(
                    "rule {} wants it, but the account has all {SESSIONS_PER_ACCOUNT} sessions that it can have: let the policy select less",
                    desired_session.rule
                ))
            } else {
                None
            };
            if let Some(problem) = problem {
                self.add_problem(interface, &problem);
                continue;
            }
            remaining -= 1;
            created.push(NewSession {
                interface: interface.clone(),
                rule: desired_session.rule.clone(),
                incarnation: desired_session.incarnation,
                target: self.target_ref(&desired_session.destination),
                filter: self.filter_ref(&desired_session.filter),
                number: self.free_number(interface, desired_session.number),
                packet_length: desired_session.packet_length,
                vni: vnis.get(interface).copied(),
                description: desired_session.description.clone(),
                tags: desired_session.tags.clone(),
            });
        }
        created
    }

    pub(super) fn counts(&self, kept: &BTreeMap<&InterfaceId, KeptSession<'_>>) -> SessionCounts {
        let requires = |decision: &&Decision| match decision {
            Decision::Mirror(_) => true,
            Decision::Skip(reason) => reason.is_problem(),
        };
        let desired = self.desired.decisions.values().filter(requires).count();
        let owner = &self.desired.owner;
        let own_sessions =
            self.observation.sessions.values().filter(|session| session.owned_by(owner)).count();
        SessionCounts {
            desired,
            present: kept.len(),
            missing: desired - kept.len(),
            orphaned: own_sessions - kept.len(),
        }
    }
}

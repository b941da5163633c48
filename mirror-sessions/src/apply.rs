//! Carries out a plan in one place.
//!
//! Changes of one [stage](Change::stage) are made at the same time, as fast as the pace allows; a later stage begins
//! when the one before is done. A change that fails is reported and keeps only what depends on it from being made.
//! Stopping anywhere leaves a state from which the next plan goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep};

use crate::api::{Api, ApiError, Manner, Write, texts};
use crate::connection::Connection;
use crate::hash::sha256_hex;
use crate::id::{EndpointId, FilterId, InterfaceId, TargetId};
use crate::limits::{MAX_SESSION_NUMBER, SESSIONS_PER_INTERFACE};
use crate::lock::lock;
use crate::pace::Kind;
use crate::plan::{Change, FilterRef, NewSession, PlacePlan, TargetRef};

/// Calls under way at once in one place; the pace limits them further.
const CONCURRENCY: usize = 16;
/// A resource that was made and does not show up within this time is taken for one of an earlier life, whose client
/// token EC2 remembered.
const VISIBLE_WITHIN: Duration = Duration::from_secs(15);
/// How often a resource is made again with a new client token.
const GENERATIONS: u8 = 3;

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Changes made; with dry run, changes that would be allowed.
    pub done: Vec<Change>,
    /// Changes that were not tried, and why.
    pub skipped: Vec<(Change, String)>,
    /// Changes that failed.
    pub failed: Vec<(Change, ApiError)>,
}

impl Outcome {
    /// How many of the changes made fulfil the condition.
    pub fn count(&self, condition: impl Fn(&Change) -> bool) -> usize {
        self.done.iter().filter(|change| condition(change)).count()
    }
}

/// How to carry out a plan.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Only ask the API whether each change would be allowed.
    pub dry_run: bool,
    /// Whether an interface was looked at again after the plan was made: its changes are left to whoever did.
    pub superseded: &'a (dyn Fn(&InterfaceId) -> bool + Sync),
}

/// Carries out `plan`.
pub async fn apply<A: Api>(connection: &Connection<A>, plan: &PlacePlan, options: Options<'_>) -> Outcome {
    let executor = Executor { connection, options, made: Mutex::default(), outcome: Mutex::default() };
    for stage in plan.changes.chunk_by(|one, other| one.stage() == other.stage()) {
        executor.stage(stage).await;
    }
    executor.outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Executor<'a, A> {
    connection: &'a Connection<A>,
    options: Options<'a>,
    made: Mutex<Made>,
    outcome: Mutex<Outcome>,
}

/// Ids of what this run has made, by what the plan calls it.
#[derive(Default)]
struct Made {
    filters: BTreeMap<String, FilterId>,
    targets: BTreeMap<EndpointId, TargetId>,
}

/// Something that the plan makes and that is not there.
struct NotMade(String);

impl<A: Api> Executor<'_, A> {
    /// Makes the changes of one stage; those that make something, again and again until it shows.
    async fn stage(&self, changes: &[Change]) {
        let mut pending: Vec<&Change> = changes.iter().collect();
        for generation in 0..GENERATIONS {
            let results: Vec<(&Change, Option<String>)> = futures::stream::iter(pending)
                .map(|change| async move { (change, self.change(change, generation).await) })
                .buffer_unordered(CONCURRENCY)
                .collect()
                .await;
            let made = results.into_iter().filter_map(|(change, id)| Some((id?, change))).collect();
            pending = self.invisible(made).await;
            if pending.is_empty() {
                return;
            }
            tracing::info!(
                count = pending.len(),
                "made, but not to be seen: making again with a new client token"
            );
        }
        for change in pending {
            let operation = "Describe";
            let code = "NotVisible".to_owned();
            let message = format!("made, but not to be seen after {} s", VISIBLE_WITHIN.as_secs());
            let error = ApiError { operation, kind: crate::api::ApiErrorKind::Transient, code, message };
            self.fail(change, error);
        }
    }

    /// Makes one change. Returns the id of what it made, if that is still to be seen.
    async fn change(&self, change: &Change, generation: u8) -> Option<String> {
        if let Some(interface) = change.interface()
            && (self.options.superseded)(interface)
        {
            self.skip(change, "the interface was looked at again since".to_owned());
            return None;
        }
        let write = match self.resolve(change) {
            Ok(write) => write,
            Err(NotMade(what)) if self.options.dry_run => {
                self.skip(change, format!("needs {what}, which the plan makes"));
                return None;
            }
            Err(NotMade(what)) => {
                self.skip(change, format!("needs {what}, which could not be made"));
                return None;
            }
        };
        let result = match (change, write) {
            (Change::CreateSession(session), write) => self.create_session(session, write, generation).await,
            (Change::TagSession { id, set, remove, .. }, _) => self.tag(id.as_str(), set, remove).await,
            (_, write) => self.write(&write, 0, generation).await,
        };
        let makes = matches!(
            change,
            Change::CreateSession(_) | Change::CreateFilter { .. } | Change::CreateTarget { .. }
        );
        match result {
            Ok(id) if makes && !self.options.dry_run => Some(id),
            Ok(_) => {
                self.done(change);
                None
            }
            Err(error) => {
                self.fail(change, error);
                None
            }
        }
    }

    /// The call that makes a change, its references resolved to ids.
    fn resolve(&self, change: &Change) -> Result<Write, NotMade> {
        Ok(match change.clone() {
            Change::CreateTarget { endpoint, tags } => Write::CreateTarget { endpoint, tags },
            Change::CreateFilter { tags, .. } => Write::CreateFilter { tags },
            Change::DeleteFilterRule { id, .. } => Write::DeleteFilterRule { id },
            Change::ModifyFilterRule { id, from, to, .. } => Write::ModifyFilterRule { id, from, to },
            Change::CreateFilterRule { filter, rule } => {
                Write::CreateFilterRule { filter: self.filter(filter)?, rule }
            }
            Change::ModifyNetworkServices { filter, add, remove } => {
                Write::ModifyNetworkServices { filter: self.filter(filter)?, add, remove }
            }
            Change::DeleteSession { id, .. } => Write::DeleteSession { id },
            Change::ModifySession { id, changes, .. } => Write::ModifySession {
                id,
                target: changes.target.map(|(_, to)| self.target(to)).transpose()?,
                filter: changes.filter.map(|(_, to)| self.filter(to)).transpose()?,
                number: changes.number.map(|(_, to)| to),
                packet_length: changes.packet_length.map(|(_, to)| to),
                vni: changes.vni.map(|(_, to)| to),
                description: changes.description.map(|(_, to)| to),
            },
            Change::CreateSession(session) => Write::CreateSession {
                interface: session.interface,
                target: self.target(session.target)?,
                filter: self.filter(session.filter)?,
                number: session.number,
                packet_length: session.packet_length,
                vni: session.vni,
                description: session.description,
                tags: session.tags,
            },
            Change::TagSession { id, set, .. } => Write::SetTags { resource: id.to_string(), tags: set },
            Change::DeleteFilter { id, .. } => Write::DeleteFilter { id },
            Change::DeleteTarget { id, .. } => Write::DeleteTarget { id },
        })
    }

    fn filter(&self, filter: FilterRef) -> Result<FilterId, NotMade> {
        match filter {
            FilterRef::Existing(id) => Ok(id),
            FilterRef::Planned(name) => {
                lock(&self.made).filters.get(&name).cloned().ok_or_else(|| NotMade(format!("filter {name}")))
            }
        }
    }

    fn target(&self, target: TargetRef) -> Result<TargetId, NotMade> {
        match target {
            TargetRef::Existing(id) => Ok(id),
            TargetRef::Planned(endpoint) => lock(&self.made)
                .targets
                .get(&endpoint)
                .cloned()
                .ok_or_else(|| NotMade(format!("the target for {endpoint}"))),
        }
    }

    /// Makes a call. `incarnation` and `generation` tell its client token from that of the same call for a resource of
    /// the same content that has existed before.
    async fn write(&self, write: &Write, incarnation: i64, generation: u8) -> Result<String, ApiError> {
        let token = client_token(write, incarnation, generation);
        let manner = Manner { token: &token, dry_run: self.options.dry_run };
        let api = &self.connection.api;
        let result =
            self.connection.pace.call(Kind::Write, write.operation(), || api.write(write, manner)).await;
        match result {
            Err(error) if write.deletes() && error.is_not_found() => Ok(String::new()),
            other => other,
        }
    }

    async fn tag(
        &self,
        resource: &str,
        set: &crate::observed::Tags,
        remove: &BTreeSet<String>,
    ) -> Result<String, ApiError> {
        let resource = resource.to_owned();
        if !set.is_empty() {
            self.write(&Write::SetTags { resource: resource.clone(), tags: set.clone() }, 0, 0).await?;
        }
        if !remove.is_empty() {
            self.write(&Write::RemoveTags { resource: resource.clone(), keys: remove.clone() }, 0, 0).await?;
        }
        Ok(resource)
    }

    /// Makes a session. Where that is refused, looks at the interface's sessions again: one that is as wanted was made
    /// by an earlier run that did not live to see it, and a number that someone took since makes way for the next.
    async fn create_session(
        &self,
        session: &NewSession,
        mut write: Write,
        generation: u8,
    ) -> Result<String, ApiError> {
        loop {
            let refusal = match self.write(&write, session.incarnation, generation).await {
                Err(error) if !self.options.dry_run && !error.is_denied() => error,
                settled => return settled,
            };
            let Write::CreateSession { number, target, filter, description, .. } = &mut write else {
                return Err(refusal);
            };
            let api = &self.connection.api;
            let there = self
                .connection
                .only(
                    "DescribeTrafficMirrorSessions",
                    "network-interface-id",
                    texts([&session.interface]),
                    async |only, page| api.sessions(Some(&only), page).await,
                )
                .await?;
            let earlier = there.iter().find(|there| {
                there.target == *target
                    && there.filter == *filter
                    && there.description == *description
                    && there.tags == session.tags
            });
            if let Some(earlier) = earlier {
                return Ok(earlier.id.to_string());
            }
            let taken: BTreeSet<u16> = there.iter().map(|there| there.number).collect();
            if taken.len() >= SESSIONS_PER_INTERFACE || !taken.contains(number) {
                return Err(refusal);
            }
            let preferred = *number;
            let free = (preferred..=MAX_SESSION_NUMBER).chain((1..preferred).rev());
            *number = free.into_iter().find(|number| !taken.contains(number)).ok_or(refusal)?;
        }
    }

    /// Waits until what was made shows, as EC2 is only eventually consistent; returns the changes whose resources do
    /// not. The others are done.
    async fn invisible<'plan>(&self, made: Vec<(String, &'plan Change)>) -> Vec<&'plan Change> {
        let mut waiting: BTreeMap<String, &Change> = made.into_iter().collect();
        let deadline = Instant::now() + VISIBLE_WITHIN;
        let mut pause = Duration::from_millis(100);
        while !waiting.is_empty() {
            let seen = match self.visible(&waiting).await {
                Ok(seen) => seen,
                Err(error) => {
                    for change in waiting.into_values() {
                        self.fail(change, error.clone());
                    }
                    return Vec::new();
                }
            };
            for id in seen {
                let Some(change) = waiting.remove(&id) else { continue };
                match change {
                    Change::CreateFilter { name, .. } => {
                        lock(&self.made).filters.insert(name.clone(), id.into());
                    }
                    Change::CreateTarget { endpoint, .. } => {
                        lock(&self.made).targets.insert(endpoint.clone(), id.into());
                    }
                    _ => {}
                }
                self.done(change);
            }
            if waiting.is_empty() || Instant::now() + pause > deadline {
                break;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        waiting.into_values().collect()
    }

    /// Which of these ids the API shows.
    async fn visible(&self, ids: &BTreeMap<String, &Change>) -> Result<Vec<String>, ApiError> {
        let of = |condition: fn(&Change) -> bool| -> Vec<String> {
            ids.iter().filter(|(_, change)| condition(change)).map(|(id, _)| id.clone()).collect()
        };
        let sessions = of(|change| matches!(change, Change::CreateSession(_)));
        let filters = of(|change| matches!(change, Change::CreateFilter { .. }));
        let targets = of(|change| matches!(change, Change::CreateTarget { .. }));
        let (connection, api) = (self.connection, &self.connection.api);
        let (sessions, filters, targets) = futures::try_join!(
            connection.only(
                "DescribeTrafficMirrorSessions",
                "traffic-mirror-session-id",
                sessions,
                async |only, page| api.sessions(Some(&only), page).await
            ),
            connection.only(
                "DescribeTrafficMirrorFilters",
                "traffic-mirror-filter-id",
                filters,
                async |only, page| api.filters(Some(&only), page).await
            ),
            connection.only(
                "DescribeTrafficMirrorTargets",
                "traffic-mirror-target-id",
                targets,
                async |only, page| api.targets(Some(&only), page).await
            ),
        )?;
        let mut seen = texts(sessions.iter().map(|session| &session.id));
        seen.extend(texts(filters.iter().map(|filter| &filter.id)));
        seen.extend(texts(targets.iter().map(|target| &target.id)));
        Ok(seen)
    }

    fn done(&self, change: &Change) {
        tracing::info!(place = %self.connection.place, dry_run = self.options.dry_run, "{change}");
        lock(&self.outcome).done.push(change.clone());
    }

    fn skip(&self, change: &Change, reason: String) {
        tracing::info!(place = %self.connection.place, reason, "skipped: {change}");
        lock(&self.outcome).skipped.push((change.clone(), reason));
    }

    fn fail(&self, change: &Change, error: ApiError) {
        tracing::warn!(place = %self.connection.place, code = error.code, %error, "failed: {change}");
        lock(&self.outcome).failed.push((change.clone(), error));
    }
}

/// A token that the same call has again after a crash, and no other call: 64 hexadecimal digits.
fn client_token(write: &Write, incarnation: i64, generation: u8) -> String {
    // Maps and sets are ordered, so the text depends on the content alone.
    sha256_hex(format!("{write:?} {incarnation} {generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_tokens_follow_from_the_content() {
        let filter = |name: &str| Write::CreateFilter { tags: [("Name".to_owned(), name.to_owned())].into() };
        let token = client_token(&filter("a"), 0, 0);
        assert_eq!(token.len(), 64);
        assert_eq!(token, client_token(&filter("a"), 0, 0));
        for other in [
            client_token(&filter("b"), 0, 0),
            client_token(&filter("a"), 1, 0),
            client_token(&filter("a"), 0, 1),
        ] {
            assert_ne!(token, other);
        }
    }
}

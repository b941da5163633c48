//! Applies a plan in one account and region.
//!
//! Changes of one [stage](Change::stage) are applied concurrently, within the rate limit; a stage begins when the one
//! before is done. A change that fails is reported, and only the changes that depend on it are skipped. The program can be
//! stopped at any point: the next plan continues from there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep};

use crate::api::{Api, CallOptions, Write, filter_values};
use crate::api_error::{ApiError, ApiErrorKind};
use crate::connection::Connection;
use crate::hash::sha256_hex;
use crate::id::{EndpointId, FilterId, InterfaceId, TargetId};
use crate::limits::SESSIONS_PER_INTERFACE;
use crate::lock::lock;
use crate::plan::{AccountRegionPlan, Change, FilterRef, NewSession, TargetRef};
use crate::resource::{Filter, Session, Tags, Target};
use crate::session_number;

/// Concurrent calls in one account and region; the rate limit applies besides.
const CONCURRENCY: usize = 16;
/// Time within which a created resource becomes visible. One that does not was deleted before, and EC2 answered with its
/// id because it remembers the client token.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum number of client tokens with which a resource is created.
const MAX_GENERATIONS: u8 = 3;

/// Outcome of applying a plan in one account and region.
#[derive(Debug, Default)]
pub struct ApplyOutcome {
    /// Changes applied; in a dry run, changes that would be allowed.
    pub done: Vec<Change>,
    /// Changes that were not attempted, with the reason.
    pub skipped: Vec<(Change, String)>,
    /// Changes that failed, with the error.
    pub failed: Vec<(Change, ApiError)>,
}

impl ApplyOutcome {
    /// Number of applied changes that fulfil the condition.
    pub fn count(&self, condition: impl Fn(&Change) -> bool) -> usize {
        self.done.iter().filter(|change| condition(change)).count()
    }
}

/// Options of applying a plan.
#[derive(Clone, Copy)]
pub struct ApplyOptions<'a> {
    /// Dry run: change nothing, and ask the API whether each change would be allowed.
    pub dry_run: bool,
    /// Test for interfaces that an event has had reconciled since the plan's observation, whose changes are skipped.
    pub superseded: &'a (dyn Fn(&InterfaceId) -> bool + Sync),
}

/// Applies `plan`.
pub async fn apply<A: Api>(
    connection: &Connection<A>,
    plan: &AccountRegionPlan,
    options: ApplyOptions<'_>,
) -> ApplyOutcome {
    let executor = Executor { connection, options, created: Mutex::default(), outcome: Mutex::default() };
    for stage in plan.changes.chunk_by(|one, other| one.stage() == other.stage()) {
        executor.apply_stage(stage).await;
    }
    executor.outcome.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Executor<'a, A> {
    connection: &'a Connection<A>,
    options: ApplyOptions<'a>,
    created: Mutex<CreatedIds>,
    outcome: Mutex<ApplyOutcome>,
}

/// Ids of the resources that this run has created, by their reference in the plan.
#[derive(Default)]
struct CreatedIds {
    filters: BTreeMap<String, FilterId>,
    targets: BTreeMap<EndpointId, TargetId>,
}

/// A resource that the plan creates and that does not exist yet.
struct MissingReference(String);

impl<A: Api> Executor<'_, A> {
    /// Applies the changes of one stage, and creates a resource again while it does not become visible.
    async fn apply_stage(&self, changes: &[Change]) {
        let mut pending: Vec<&Change> = changes.iter().collect();
        for generation in 0..MAX_GENERATIONS {
            let results: Vec<(&Change, Option<String>)> = futures_util::stream::iter(pending)
                .map(|change| async move { (change, self.apply_change(change, generation).await) })
                .buffer_unordered(CONCURRENCY)
                .collect()
                .await;
            let created = results.into_iter().filter_map(|(change, id)| Some((id?, change))).collect();
            pending = self.wait_until_visible(created).await;
            if pending.is_empty() {
                return;
            }
            tracing::info!(
                count = pending.len(),
                "created resources are not visible: creating them again with new client tokens"
            );
        }
        for change in pending {
            let operation = "Describe";
            let code = "NotVisible".to_owned();
            let message = format!("created, but not visible after {} s", VISIBILITY_TIMEOUT.as_secs());
            let error = ApiError { operation, kind: ApiErrorKind::Transient, code, message };
            self.fail(change, error);
        }
    }

    /// Applies one change. Returns the id of a created resource, which has yet to become visible.
    async fn apply_change(&self, change: &Change, generation: u8) -> Option<String> {
        if let Some(interface) = change.interface()
            && (self.options.superseded)(interface)
        {
            self.skip(change, "an event has had the interface reconciled since".to_owned());
            return None;
        }
        let write = match self.resolve(change) {
            Ok(write) => write,
            Err(MissingReference(resource)) if self.options.dry_run => {
                self.skip(change, format!("needs {resource}, which the plan creates"));
                return None;
            }
            Err(MissingReference(resource)) => {
                self.skip(change, format!("needs {resource}, which could not be created"));
                return None;
            }
        };
        let result = match (change, write) {
            (Change::CreateSession(session), write) => self.create_session(session, write, generation).await,
            (Change::TagSession { id, set, remove, .. }, _) => self.tag(id.as_str(), set, remove).await,
            (_, write) => self.write(&write, 0, generation).await,
        };
        let creates = matches!(
            change,
            Change::CreateSession(_) | Change::CreateFilter { .. } | Change::CreateTarget { .. }
        );
        match result {
            Ok(id) if creates && !self.options.dry_run => Some(id),
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

    /// The call that applies a change, with references resolved to ids.
    fn resolve(&self, change: &Change) -> Result<Write, MissingReference> {
        Ok(match change.clone() {
            Change::CreateTarget { endpoint, tags } => Write::CreateTarget { endpoint, tags },
            Change::CreateFilter { tags, .. } => Write::CreateFilter { tags },
            Change::DeleteFilterRule { id, .. } => Write::DeleteFilterRule { id },
            Change::ModifyFilterRule { id, from, to, .. } => Write::ModifyFilterRule { id, from, to },
            Change::CreateFilterRule { filter, rule } => {
                Write::CreateFilterRule { filter: self.filter_id(filter)?, rule }
            }
            Change::ModifyNetworkServices { filter, add, remove } => {
                Write::ModifyNetworkServices { filter: self.filter_id(filter)?, add, remove }
            }
            Change::DeleteSession { id, .. } => Write::DeleteSession { id },
            Change::ModifySession { id, changes, .. } => Write::ModifySession {
                id,
                target: changes.target.map(|(_, to)| self.target_id(to)).transpose()?,
                filter: changes.filter.map(|(_, to)| self.filter_id(to)).transpose()?,
                number: changes.number.map(|(_, to)| to),
                packet_length: changes.packet_length.map(|(_, to)| to),
                vni: changes.vni.map(|(_, to)| to),
                description: changes.description.map(|(_, to)| to),
            },
            Change::CreateSession(session) => Write::CreateSession {
                interface: session.interface,
                target: self.target_id(session.target)?,
                filter: self.filter_id(session.filter)?,
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

    fn filter_id(&self, filter: FilterRef) -> Result<FilterId, MissingReference> {
        match filter {
            FilterRef::Existing(id) => Ok(id),
            FilterRef::Planned(name) => lock(&self.created)
                .filters
                .get(&name)
                .cloned()
                .ok_or_else(|| MissingReference(format!("filter {name}"))),
        }
    }

    fn target_id(&self, target: TargetRef) -> Result<TargetId, MissingReference> {
        match target {
            TargetRef::Existing(id) => Ok(id),
            TargetRef::Planned(endpoint) => lock(&self.created)
                .targets
                .get(&endpoint)
                .cloned()
                .ok_or_else(|| MissingReference(format!("the target for {endpoint}"))),
        }
    }

    /// Makes a call. `incarnation` and `generation` distinguish its client token from that of an equal call for a resource
    /// that existed before.
    async fn write(&self, write: &Write, incarnation: i64, generation: u8) -> Result<String, ApiError> {
        let token = client_token(write, incarnation, generation);
        let options = CallOptions { client_token: &token, dry_run: self.options.dry_run };
        match self.connection.write(write, options).await {
            Err(error) if write.is_delete() && error.is_not_found() => Ok(String::new()),
            other => other,
        }
    }

    async fn tag(&self, resource: &str, set: &Tags, remove: &BTreeSet<String>) -> Result<String, ApiError> {
        let resource = resource.to_owned();
        if !set.is_empty() {
            self.write(&Write::SetTags { resource: resource.clone(), tags: set.clone() }, 0, 0).await?;
        }
        if !remove.is_empty() {
            self.write(&Write::RemoveTags { resource: resource.clone(), keys: remove.clone() }, 0, 0).await?;
        }
        Ok(resource)
    }

    /// Creates a session. If the call is refused, reads the interface's sessions again: an equal one was created by an
    /// earlier run that ended before the answer, and if the number has been taken since, the next free one is used.
    async fn create_session(
        &self,
        session: &NewSession,
        mut write: Write,
        generation: u8,
    ) -> Result<String, ApiError> {
        loop {
            let refusal = match self.write(&write, session.incarnation, generation).await {
                Err(error) if !self.options.dry_run && !error.is_denied() => error,
                result => return result,
            };
            let Write::CreateSession { number, target, filter, description, .. } = &mut write else {
                return Err(refusal);
            };
            let interface = filter_values([&session.interface]);
            let existing: Vec<Session> =
                self.connection.describe_matching("network-interface-id", interface).await?;
            let equal = existing.iter().find(|existing| {
                existing.target == *target
                    && existing.filter == *filter
                    && existing.description == *description
                    && existing.tags == session.tags
            });
            if let Some(equal) = equal {
                return Ok(equal.id.to_string());
            }
            let taken: BTreeSet<u16> = existing.iter().map(|existing| existing.number).collect();
            if taken.len() >= SESSIONS_PER_INTERFACE || !taken.contains(number) {
                return Err(refusal);
            }
            *number = session_number::choose(*number, &taken).ok_or(refusal)?;
        }
    }

    /// Waits until created resources are visible, as EC2 is eventually consistent; returns the changes whose resources are
    /// not. The others are done.
    async fn wait_until_visible<'plan>(&self, created: Vec<(String, &'plan Change)>) -> Vec<&'plan Change> {
        let mut waiting: BTreeMap<String, &Change> = created.into_iter().collect();
        let deadline = Instant::now() + VISIBILITY_TIMEOUT;
        let mut interval = Duration::from_millis(100);
        while !waiting.is_empty() {
            let visible = match self.visible(&waiting).await {
                Ok(visible) => visible,
                Err(error) => {
                    for change in waiting.into_values() {
                        self.fail(change, error.clone());
                    }
                    return Vec::new();
                }
            };
            for id in visible {
                let Some(change) = waiting.remove(&id) else { continue };
                match change {
                    Change::CreateFilter { name, .. } => {
                        lock(&self.created).filters.insert(name.clone(), id.into());
                    }
                    Change::CreateTarget { endpoint, .. } => {
                        lock(&self.created).targets.insert(endpoint.clone(), id.into());
                    }
                    _ => {}
                }
                self.done(change);
            }
            if waiting.is_empty() || Instant::now() + interval > deadline {
                break;
            }
            sleep(interval).await;
            interval = (interval * 2).min(Duration::from_secs(2));
        }
        waiting.into_values().collect()
    }

    /// Ids among these that Describe calls return.
    async fn visible(&self, ids: &BTreeMap<String, &Change>) -> Result<Vec<String>, ApiError> {
        let ids_of = |condition: fn(&Change) -> bool| -> Vec<String> {
            ids.iter().filter(|(_, change)| condition(change)).map(|(id, _)| id.clone()).collect()
        };
        let sessions = ids_of(|change| matches!(change, Change::CreateSession(_)));
        let filters = ids_of(|change| matches!(change, Change::CreateFilter { .. }));
        let targets = ids_of(|change| matches!(change, Change::CreateTarget { .. }));
        let connection = self.connection;
        let (sessions, filters, targets) = tokio::try_join!(
            connection.describe_matching::<Session>("traffic-mirror-session-id", sessions),
            connection.describe_matching::<Filter>("traffic-mirror-filter-id", filters),
            connection.describe_matching::<Target>("traffic-mirror-target-id", targets),
        )?;
        let mut visible = filter_values(sessions.iter().map(|session| &session.id));
        visible.extend(filter_values(filters.iter().map(|filter| &filter.id)));
        visible.extend(filter_values(targets.iter().map(|target| &target.id)));
        Ok(visible)
    }

    fn done(&self, change: &Change) {
        tracing::info!(account_region = %self.connection.account_region, dry_run = self.options.dry_run, "{change}");
        lock(&self.outcome).done.push(change.clone());
    }

    fn skip(&self, change: &Change, reason: String) {
        tracing::info!(account_region = %self.connection.account_region, reason, "skipped: {change}");
        lock(&self.outcome).skipped.push((change.clone(), reason));
    }

    fn fail(&self, change: &Change, error: ApiError) {
        tracing::warn!(account_region = %self.connection.account_region, code = error.code, %error, "failed: {change}");
        lock(&self.outcome).failed.push((change.clone(), error));
    }
}

/// Client token of a call: 64 hexadecimal digits, the same after a restart, and different for every other call.
fn client_token(write: &Write, incarnation: i64, generation: u8) -> String {
    // Maps and sets are ordered, so the text depends on the contents alone.
    sha256_hex(format!("{write:?} {incarnation} {generation}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_tokens_follow_from_the_content() {
        let filter = |name: &str| Write::CreateFilter { tags: [("Name".to_owned(), name.to_owned())].into() };
        let token = client_token(&filter("a"), 0, 0);
        // A change of the derivation, such as another name in `Write`, would let a second run create a resource twice.
        assert_eq!(token, "c8dd2b61755b411e89f9366376dee482bd41239e11cc82474dd1256e8b6871c6");
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

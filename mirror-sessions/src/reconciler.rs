//! The reconciler: observes all accounts and regions of a policy, plans, and applies the plan. A failure in one account
//! and region does not affect the others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::api::{Cloud, filter_values};
use crate::api_error::ApiError;
use crate::apply::{ApplyOptions, ApplyOutcome, apply};
use crate::connection::{Connection, Connections};
use crate::desired::{Decision, DesiredState, evaluate};
use crate::error::chain;
use crate::id::{AccountRegion, EndpointId, InterfaceId};
use crate::instance_types::{self, InstanceTypes};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::observation::{Affected, Observation, Observations, Scope};
use crate::observe::observe;
use crate::plan::{AccountRegionPlan, Change, Plan, Unobserved, VERSION, plan};
use crate::policy::{Policy, VniSource};
use crate::resource::Endpoint;
use crate::vni;

/// Accounts and regions that are processed concurrently.
const CONCURRENT_ACCOUNT_REGIONS: usize = 32;

/// Keeps the sessions of all accounts and regions equal to a policy.
#[derive(Debug)]
pub struct Reconciler<C: Cloud> {
    connections: Connections<C>,
    instance_types: Mutex<InstanceTypes>,
    /// File that keeps the refused instance types between runs.
    learnt_file: Option<PathBuf>,
    /// Time of the last observation of an interface because of an event.
    observed_by_event: Mutex<HashMap<InterfaceId, Instant>>,
    /// Virtual network ids in use at the last full observation, with the accounts and regions that use them.
    vnis: Mutex<HashMap<u32, HashSet<AccountRegion>>>,
}

/// Outcome of applying a plan in all its accounts and regions.
#[derive(Debug)]
pub struct ApplySummary {
    /// The plan.
    pub plan: Plan,
    /// The outcome in each account and region that was reached.
    pub outcomes: Vec<(AccountRegion, ApplyOutcome)>,
    /// Accounts and regions that could not be reached when the plan was applied, with the error.
    pub unreached: Vec<(AccountRegion, ApiError)>,
}

impl ApplySummary {
    /// Returns true if an account and region was not observed or not reached, or a change failed.
    pub fn failed(&self) -> bool {
        !self.plan.unobserved.is_empty()
            || !self.unreached.is_empty()
            || self.outcomes.iter().any(|(_, outcome)| !outcome.failed.is_empty())
    }

    /// Number of changes that were applied.
    pub fn done(&self) -> usize {
        self.outcomes.iter().map(|(_, outcome)| outcome.done.len()).sum()
    }
}

impl<C: Cloud> Reconciler<C> {
    /// A reconciler over these connections. `learnt_file` keeps the instance types that the API has refused.
    ///
    /// # Errors
    ///
    /// When that file cannot be read.
    pub fn new(connections: Connections<C>, learnt_file: Option<PathBuf>) -> std::io::Result<Self> {
        let learnt = learnt_file.as_deref().map(instance_types::load).transpose()?.unwrap_or_default();
        let instance_types =
            Mutex::new(InstanceTypes::new(connections.policy.instance_types.clone(), learnt));
        Ok(Self {
            connections,
            instance_types,
            learnt_file,
            observed_by_event: Mutex::default(),
            vnis: Mutex::default(),
        })
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.connections.policy
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.connections.metrics
    }

    /// The connection to an account and region of the policy.
    ///
    /// # Errors
    ///
    /// Errors of [`Connections::get`].
    pub async fn connection(
        &self,
        account_region: &AccountRegion,
    ) -> Result<Arc<Connection<C::Api>>, ApiError> {
        self.connections.get(account_region).await
    }

    /// The knowledge about instance types.
    pub fn instance_types(&self) -> InstanceTypes {
        lock(&self.instance_types).clone()
    }

    /// Observes all accounts and regions.
    pub async fn observe(&self) -> Observations {
        let account_regions: Vec<AccountRegion> = self.policy().account_regions().collect();
        let results = futures_util::stream::iter(account_regions)
            .map(|account_region| async move {
                let observation = self.observe_account_region(&account_region, &Scope::Everything).await;
                (account_region, observation)
            })
            .buffer_unordered(CONCURRENT_ACCOUNT_REGIONS);
        let mut observations = Observations::default();
        for (account_region, observation) in results.collect::<Vec<_>>().await {
            match observation {
                Ok(observation) => {
                    observations.account_regions.insert(account_region, observation);
                }
                Err(error) => {
                    tracing::error!(%account_region, code = error.code, %error, "the account and region cannot be observed; the others are processed");
                    self.metrics().unobserved(&account_region);
                    observations.unobserved.push((account_region, error));
                }
            }
        }
        observations.unobserved.sort_by(|(one, _), (other, _)| one.cmp(other));
        observations
    }

    /// Observes one account and region.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or a call fails for good.
    pub async fn observe_account_region(
        &self,
        account_region: &AccountRegion,
        scope: &Scope,
    ) -> Result<Observation, ApiError> {
        let connection = self.connection(account_region).await?;
        observe(&connection, &self.policy().owner, scope).await
    }

    /// The plan for these observations. Virtual network ids are unique over all accounts and regions, as several may send
    /// to the same endpoint.
    pub fn plan(&self, observations: &mut Observations, now: OffsetDateTime) -> Plan {
        let policy = self.policy();
        let types = self.instance_types();
        let mut in_use: HashMap<u32, HashSet<AccountRegion>> = HashMap::new();
        for (account_region, observation) in &observations.account_regions {
            for session in observation.sessions.values() {
                in_use.entry(session.vni).or_default().insert(account_region.clone());
            }
        }
        let mut plans = Vec::new();
        for (account_region, observation) in &mut observations.account_regions {
            let desired = evaluate(policy, &types, account_region, observation, now);
            observation.foreign_vnis.extend(foreign_vnis(&desired, &in_use));
            let planned = plan(&desired, observation);
            for change in &planned.changes {
                let to = match change {
                    Change::CreateSession(session) => session.vni,
                    Change::ModifySession { changes, .. } => changes.vni.map(|(_, to)| to),
                    _ => None,
                };
                if let Some(vni) = to {
                    in_use.entry(vni).or_default().insert(account_region.clone());
                }
                if let Change::ModifySession { changes, .. } = change
                    && let Some((from, _)) = changes.vni
                    && let Some(account_regions) = in_use.get_mut(&from)
                {
                    account_regions.remove(account_region);
                }
            }
            plans.push(planned);
        }
        *lock(&self.vnis) = in_use;
        let unobserved = observations
            .unobserved
            .iter()
            .map(|(account_region, error)| Unobserved {
                account_region: account_region.clone(),
                error: error.to_string(),
            })
            .collect();
        Plan {
            version: VERSION,
            owner: policy.owner.clone(),
            policy: policy.digest.clone(),
            account_regions: plans,
            unobserved,
        }
    }

    /// Applies a plan that was made from `observations`, which began at `since`. Changes to interfaces that an event has had
    /// observed after that are skipped.
    pub async fn apply(
        &self,
        plan: Plan,
        observations: &Observations,
        since: Instant,
        dry_run: bool,
    ) -> ApplySummary {
        let superseded = |interface: &InterfaceId| {
            lock(&self.observed_by_event).get(interface).is_some_and(|observed_at| *observed_at > since)
        };
        let options = ApplyOptions { dry_run, superseded: &superseded };
        let results: Vec<_> = futures_util::stream::iter(&plan.account_regions)
            .map(|plan| async move { (plan, self.apply_account_region(plan, options).await) })
            .buffer_unordered(CONCURRENT_ACCOUNT_REGIONS)
            .collect()
            .await;
        let (mut outcomes, mut unreached) = (Vec::new(), Vec::new());
        for (plan, result) in results {
            let account_region = plan.account_region.clone();
            match result {
                Ok(outcome) => {
                    if let Some(observation) = observations.account_regions.get(&account_region) {
                        self.learn(observation, &outcome);
                    }
                    if !dry_run {
                        self.count(plan, &outcome);
                    }
                    outcomes.push((account_region, outcome));
                }
                Err(error) => {
                    tracing::error!(%account_region, code = error.code, %error, "the account and region cannot be reached; the others are processed");
                    unreached.push((account_region, error));
                }
            }
        }
        outcomes.sort_by(|(one, _), (other, _)| one.cmp(other));
        ApplySummary { plan, outcomes, unreached }
    }

    /// Observes everything, plans, and applies the plan.
    pub async fn reconcile(&self, now: OffsetDateTime, dry_run: bool) -> ApplySummary {
        let since = Instant::now();
        let mut observations = self.observe().await;
        let plan = self.plan(&mut observations, now);
        let summary = self.apply(plan, &observations, since, dry_run).await;
        if !dry_run {
            self.metrics().reconciled(now);
            lock(&self.observed_by_event).retain(|_, observed_at| *observed_at > since);
        }
        summary
    }

    /// Observes the resources that an event affects, plans, and applies the plan.
    ///
    /// # Errors
    ///
    /// When the account and region cannot be reached or observed.
    pub async fn reconcile_affected(
        &self,
        account_region: &AccountRegion,
        affected: &Affected,
        now: OffsetDateTime,
        dry_run: bool,
    ) -> Result<(AccountRegionPlan, ApplyOutcome), ApiError> {
        let mut observation =
            self.observe_account_region(account_region, &Scope::Affected(affected.clone())).await?;
        let observed_at = Instant::now();
        let desired = evaluate(self.policy(), &self.instance_types(), account_region, &observation, now);
        observation.foreign_vnis.extend(foreign_vnis(&desired, &lock(&self.vnis)));
        let planned = plan(&desired, &observation);
        if !dry_run {
            let mut observed_by_event = lock(&self.observed_by_event);
            observed_by_event.extend(
                observation
                    .interfaces
                    .keys()
                    .chain(&affected.interfaces)
                    .map(|interface| (interface.clone(), observed_at)),
            );
        }
        let outcome =
            self.apply_account_region(&planned, ApplyOptions { dry_run, superseded: &|_| false }).await?;
        self.learn(&observation, &outcome);
        Ok((planned, outcome))
    }

    /// The network interfaces of the policy's endpoints. Endpoints that cannot be described are logged and left out.
    pub async fn endpoint_interfaces(&self) -> BTreeMap<EndpointId, Vec<InterfaceId>> {
        let mut found = BTreeMap::new();
        for account_region in self.policy().account_regions() {
            let ids = self.policy().endpoints_in_use(&account_region, OffsetDateTime::now_utc());
            match self.endpoints(&account_region, ids).await {
                Ok(endpoints) => {
                    found.extend(endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint.interfaces)));
                }
                Err(error) => {
                    tracing::warn!(%account_region, code = error.code, %error, "the endpoints cannot be described");
                }
            }
        }
        found
    }

    /// Describes endpoints of an account and region; ids that do not exist there are left out.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or the call fails for good.
    pub async fn endpoints(
        &self,
        account_region: &AccountRegion,
        ids: impl IntoIterator<Item = &EndpointId>,
    ) -> Result<Vec<Endpoint>, ApiError> {
        let connection = self.connection(account_region).await?;
        connection.describe_matching("vpc-endpoint-id", filter_values(ids)).await
    }

    async fn apply_account_region(
        &self,
        plan: &AccountRegionPlan,
        options: ApplyOptions<'_>,
    ) -> Result<ApplyOutcome, ApiError> {
        if plan.changes.is_empty() {
            return Ok(ApplyOutcome::default());
        }
        let connection = self.connection(&plan.account_region).await?;
        Ok(apply(&connection, plan, options).await)
    }

    /// Updates the metrics of an account and region after a full observation.
    fn count(&self, plan: &AccountRegionPlan, outcome: &ApplyOutcome) {
        let created = outcome.count(|change| matches!(change, Change::CreateSession(_)));
        let deleted = outcome.count(|change| matches!(change, Change::DeleteSession { .. }));
        self.metrics().set_account_region(plan, created, deleted);
    }

    /// Records the instance types that the API refused.
    fn learn(&self, observation: &Observation, outcome: &ApplyOutcome) {
        let mut changed = false;
        let mut types = lock(&self.instance_types);
        for (change, error) in outcome.failed.iter().filter(|(_, error)| error.is_unsupported_source()) {
            let Some(instance) = change.interface().and_then(|id| observation.instance_of(id)) else {
                continue;
            };
            if types.learn(&instance.instance_type, &error.message) {
                tracing::warn!(
                    instance_type = instance.instance_type,
                    "the API refused this instance type as a source; this is recorded"
                );
                changed = true;
            }
        }
        if let (true, Some(path)) = (changed, &self.learnt_file)
            && let Err(error) = instance_types::save(path, types.learnt())
        {
            tracing::warn!(path = %path.display(), error = %chain(&error), "the refused instance types cannot be written");
        }
    }
}

/// Candidate ids of the interfaces here that sessions in other accounts and regions use.
fn foreign_vnis(desired: &DesiredState, in_use: &HashMap<u32, HashSet<AccountRegion>>) -> Vec<u32> {
    let elsewhere = |vni: &u32| {
        in_use.get(vni).is_some_and(|account_regions| {
            account_regions.iter().any(|account_region| *account_region != desired.account_region)
        })
    };
    desired
        .decisions
        .iter()
        .filter(|(_, decision)| matches!(decision, Decision::Mirror(session) if session.vni == VniSource::Deterministic))
        .flat_map(|(interface, _)| vni::candidates(&desired.account_region.account, interface))
        .filter(elsewhere)
        .collect()
}

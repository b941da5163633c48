//! From a policy to its accounts and back: observes every place, plans for all of them, carries the plan out. A place
//! that fails keeps no other from its work.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use futures::StreamExt as _;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::api::{Api as _, ApiError, Cloud, Endpoint, Only, texts};
use crate::apply::{Options, Outcome, apply};
use crate::connection::Fleet;
use crate::desired::{Desired, Verdict, desire};
use crate::id::{EndpointId, InterfaceId, Place};
use crate::instance_types::{self, InstanceTypes};
use crate::lock::lock;
use crate::observe::{Scope, Touched, observe};
use crate::observed::Observed;
use crate::plan::{Change, PlacePlan, Plan, Unseen, VERSION, plan};
use crate::policy::VniPolicy;
use crate::vni;

/// Places that are worked on at once.
const PLACES_AT_ONCE: usize = 32;

/// Keeps the accounts of a policy to it.
#[derive(Debug)]
pub struct Manager<C: Cloud> {
    fleet: Fleet<C>,
    instance_types: Mutex<InstanceTypes>,
    /// Where what was learnt about instance types is kept between runs.
    learnt: Option<PathBuf>,
    /// When an event last had an interface looked at.
    touched: Mutex<HashMap<InterfaceId, Instant>>,
    /// Virtual network ids in use when everything was last looked at, with how often by place.
    vnis: Mutex<HashMap<u32, HashSet<Place>>>,
}

/// Everything that was observed, and what could not be.
#[derive(Debug, Default)]
pub struct World {
    /// The places that could be observed.
    pub places: BTreeMap<Place, Observed>,
    /// Those that could not, and why.
    pub unseen: Vec<(Place, ApiError)>,
}

/// What became of a plan.
#[derive(Debug)]
pub struct Summary {
    /// The plan.
    pub plan: Plan,
    /// What became of it, in the places that it has.
    pub outcomes: Vec<(Place, Outcome)>,
    /// Places that could not be reached when the plan was to be carried out.
    pub unreached: Vec<(Place, ApiError)>,
}

impl Summary {
    /// Whether a place could not be worked on, or a change failed.
    pub fn failed(&self) -> bool {
        !self.plan.unseen.is_empty()
            || !self.unreached.is_empty()
            || self.outcomes.iter().any(|(_, outcome)| !outcome.failed.is_empty())
    }

    /// How many changes were made, in all places.
    pub fn done(&self) -> usize {
        self.outcomes.iter().map(|(_, outcome)| outcome.done.len()).sum()
    }
}

impl<C: Cloud> Manager<C> {
    /// Manages the accounts of a fleet. `learnt` names a file that keeps which instance types the API has refused.
    ///
    /// # Errors
    ///
    /// When that file cannot be read.
    pub fn new(fleet: Fleet<C>, learnt: Option<PathBuf>) -> std::io::Result<Self> {
        let known = learnt.as_deref().map(instance_types::load).transpose()?.unwrap_or_default();
        let instance_types = Mutex::new(InstanceTypes::new(fleet.policy.instance_types.clone(), known));
        Ok(Self { fleet, instance_types, learnt, touched: Mutex::default(), vnis: Mutex::default() })
    }

    /// The accounts.
    pub const fn fleet(&self) -> &Fleet<C> {
        &self.fleet
    }

    /// What is known about instance types.
    pub fn instance_types(&self) -> InstanceTypes {
        lock(&self.instance_types).clone()
    }

    /// Looks at everything in every place.
    pub async fn observe(&self) -> World {
        let places: Vec<Place> = self.fleet.policy.places().collect();
        let looked = futures::stream::iter(places)
            .map(|place| async move {
                let observed = self.look(&place, &Scope::Everything).await;
                (place, observed)
            })
            .buffer_unordered(PLACES_AT_ONCE);
        let mut world = World::default();
        for (place, observed) in looked.collect::<Vec<_>>().await {
            match observed {
                Ok(observed) => {
                    world.places.insert(place, observed);
                }
                Err(error) => {
                    tracing::error!(%place, code = error.code, %error, "cannot be observed; the other places go on");
                    self.fleet.metrics.unseen(&place);
                    world.unseen.push((place, error));
                }
            }
        }
        world.unseen.sort_by(|(one, _), (other, _)| one.cmp(other));
        world
    }

    /// Looks at one place.
    ///
    /// # Errors
    ///
    /// When the place cannot be reached, or a call fails for good.
    pub async fn look(&self, place: &Place, scope: &Scope) -> Result<Observed, ApiError> {
        let connection = self.fleet.connection(place).await?;
        observe(&connection, &self.fleet.policy.owner, scope).await
    }

    /// The plan for what was observed. Virtual network ids are kept distinct over all places, as appliances may get
    /// the packets of several through one endpoint.
    pub fn plan(&self, world: &mut World, now: OffsetDateTime) -> Plan {
        let policy = &self.fleet.policy;
        let types = self.instance_types();
        let mut in_use: HashMap<u32, HashSet<Place>> = HashMap::new();
        for (place, observed) in &world.places {
            for session in observed.sessions.values() {
                in_use.entry(session.vni).or_default().insert(place.clone());
            }
        }
        let mut places = Vec::new();
        for (place, observed) in &mut world.places {
            let desired = desire(policy, &types, place, observed, now);
            observed.foreign_vnis.extend(foreign_vnis(&desired, &in_use));
            let planned = plan(&desired, observed);
            for change in &planned.changes {
                let to = match change {
                    Change::CreateSession(session) => session.vni,
                    Change::ModifySession { changes, .. } => changes.vni.map(|(_, to)| to),
                    _ => None,
                };
                if let Some(vni) = to {
                    in_use.entry(vni).or_default().insert(place.clone());
                }
                if let Change::ModifySession { changes, .. } = change
                    && let Some((from, _)) = changes.vni
                    && let Some(places) = in_use.get_mut(&from)
                {
                    places.remove(place);
                }
            }
            places.push(planned);
        }
        *lock(&self.vnis) = in_use;
        let unseen = world
            .unseen
            .iter()
            .map(|(place, error)| Unseen { place: place.clone(), error: error.to_string() })
            .collect();
        Plan { version: VERSION, owner: policy.owner.clone(), policy: policy.digest.clone(), places, unseen }
    }

    /// Carries out a plan made from `world` at the moment `since`. Interfaces that an event has had looked at after that
    /// are left alone.
    pub async fn apply(&self, plan: Plan, world: &World, since: Instant, dry_run: bool) -> Summary {
        let superseded = |interface: &InterfaceId| {
            lock(&self.touched).get(interface).is_some_and(|touched| *touched > since)
        };
        let options = Options { dry_run, superseded: &superseded };
        let carried_out: Vec<_> = futures::stream::iter(&plan.places)
            .map(|place| async move { (place, self.carry_out(place, options).await) })
            .buffer_unordered(PLACES_AT_ONCE)
            .collect()
            .await;
        let (mut outcomes, mut unreached) = (Vec::new(), Vec::new());
        for (planned, result) in carried_out {
            let place = planned.place.clone();
            match result {
                Ok(outcome) => {
                    if let Some(observed) = world.places.get(&place) {
                        self.learn(observed, &outcome);
                    }
                    if !dry_run {
                        self.count(planned, &outcome);
                    }
                    outcomes.push((place, outcome));
                }
                Err(error) => {
                    tracing::error!(%place, code = error.code, %error, "cannot be reached; the other places go on");
                    unreached.push((place, error));
                }
            }
        }
        outcomes.sort_by(|(one, _), (other, _)| one.cmp(other));
        Summary { plan, outcomes, unreached }
    }

    /// Observes everything, plans, and carries the plan out.
    pub async fn reconcile(&self, now: OffsetDateTime, dry_run: bool) -> Summary {
        let since = Instant::now();
        let mut world = self.observe().await;
        let plan = self.plan(&mut world, now);
        let summary = self.apply(plan, &world, since, dry_run).await;
        if !dry_run {
            self.fleet.metrics.reconciled(now);
            lock(&self.touched).retain(|_, touched| *touched > since);
        }
        summary
    }

    /// Looks at what an event was about, and brings that to the policy.
    ///
    /// # Errors
    ///
    /// When the place cannot be reached or observed.
    pub async fn reconcile_touched(
        &self,
        place: &Place,
        touched: &Touched,
        now: OffsetDateTime,
        dry_run: bool,
    ) -> Result<(PlacePlan, Outcome), ApiError> {
        let mut observed = self.look(place, &Scope::Touched(touched.clone())).await?;
        let seen = Instant::now();
        let desired = desire(&self.fleet.policy, &self.instance_types(), place, &observed, now);
        observed.foreign_vnis.extend(foreign_vnis(&desired, &lock(&self.vnis)));
        let planned = plan(&desired, &observed);
        if !dry_run {
            let mut marks = lock(&self.touched);
            marks.extend(
                observed
                    .interfaces
                    .keys()
                    .chain(&touched.interfaces)
                    .map(|interface| (interface.clone(), seen)),
            );
        }
        let outcome = self.carry_out(&planned, Options { dry_run, superseded: &|_| false }).await?;
        self.learn(&observed, &outcome);
        Ok((planned, outcome))
    }

    /// The network interfaces of the policy's endpoints, as far as they can be found: the map does without those that
    /// cannot.
    pub async fn endpoint_interfaces(&self) -> BTreeMap<EndpointId, Vec<InterfaceId>> {
        let mut found = BTreeMap::new();
        for place in self.fleet.policy.places() {
            let ids = self.fleet.policy.endpoints_in_use(&place, OffsetDateTime::now_utc());
            match self.endpoints(&place, ids).await {
                Ok(endpoints) => {
                    found.extend(endpoints.into_iter().map(|endpoint| (endpoint.id, endpoint.interfaces)));
                }
                Err(error) => {
                    tracing::warn!(%place, code = error.code, %error, "endpoints cannot be described");
                }
            }
        }
        found
    }

    /// Describes endpoints of a place; those that are elsewhere, or not at all, are left out.
    ///
    /// # Errors
    ///
    /// When the place cannot be reached, or the call fails for good.
    pub async fn endpoints(
        &self,
        place: &Place,
        ids: impl IntoIterator<Item = &EndpointId>,
    ) -> Result<Vec<Endpoint>, ApiError> {
        let connection = self.fleet.connection(place).await?;
        let read = async |only: Only, page| connection.api.endpoints(Some(&only), page).await;
        connection.only("DescribeVpcEndpoints", "vpc-endpoint-id", texts(ids), read).await
    }

    async fn carry_out(&self, plan: &PlacePlan, options: Options<'_>) -> Result<Outcome, ApiError> {
        if plan.changes.is_empty() {
            return Ok(Outcome::default());
        }
        let connection = self.fleet.connection(&plan.place).await?;
        Ok(apply(&connection, plan, options).await)
    }

    fn count(&self, plan: &PlacePlan, outcome: &Outcome) {
        let made = outcome.count(|change| matches!(change, Change::CreateSession(_)));
        let deleted = outcome.count(|change| matches!(change, Change::DeleteSession { .. }));
        self.fleet.metrics.place(plan, made, deleted);
    }

    /// Learns instance types from refusals.
    fn learn(&self, observed: &Observed, outcome: &Outcome) {
        let mut news = false;
        let mut types = lock(&self.instance_types);
        for (change, error) in outcome.failed.iter().filter(|(_, error)| error.is_unsupported_source()) {
            let Some(instance) = change.interface().and_then(|id| observed.instance_of(id)) else { continue };
            if types.learn(&instance.instance_type, &error.message) {
                tracing::warn!(instance_type = instance.instance_type, "learnt that it cannot be a source");
                news = true;
            }
        }
        if let (true, Some(path)) = (news, &self.learnt)
            && let Err(error) = instance_types::save(path, types.learnt())
        {
            tracing::warn!(path = %path.display(), %error, "cannot keep what was learnt about instance types");
        }
    }
}

/// The candidates of the place's interfaces that sessions in other places have.
fn foreign_vnis(desired: &Desired, in_use: &HashMap<u32, HashSet<Place>>) -> Vec<u32> {
    let elsewhere =
        |vni: &u32| in_use.get(vni).is_some_and(|places| places.iter().any(|place| *place != desired.place));
    desired
        .verdicts
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Mirror(wanted) if wanted.vni == VniPolicy::Deterministic))
        .flat_map(|(interface, _)| vni::candidates(&desired.place.account, interface))
        .filter(elsewhere)
        .collect()
}

/// Reads a plan that was saved.
///
/// # Errors
///
/// When the file cannot be read, is not a plan, or is one of another version of the program.
pub fn load_plan(path: &Path) -> Result<Plan, PlanFileError> {
    let file = || path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| PlanFileError::Unreadable { file: file(), error })?;
    let plan: Plan =
        serde_json::from_str(&text).map_err(|error| PlanFileError::NotAPlan { file: file(), error })?;
    if plan.version == VERSION {
        Ok(plan)
    } else {
        Err(PlanFileError::Version { file: file(), version: plan.version })
    }
}

/// Why a saved plan cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// The file cannot be read.
    #[error("{file}: {error}: name a file that `mirror-sessions plan --output` wrote")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// It holds something else.
    #[error("{file} is not a saved plan ({error}): name a file that `mirror-sessions plan --output` wrote")]
    NotAPlan {
        /// The file.
        file: String,
        /// What was found.
        error: serde_json::Error,
    },
    /// It is of another version.
    #[error("{file} is a plan of format {version}, and this program reads format {VERSION}: plan again")]
    Version {
        /// The file.
        file: String,
        /// Its format.
        version: u32,
    },
}

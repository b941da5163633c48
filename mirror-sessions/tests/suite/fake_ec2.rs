//! EC2 in memory: an account in one region, as strict as the real API, with limits, client tokens, pages, throttling,
//! eventual consistency and faults.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use mirror_sessions::api::{Api, CallOptions, Describe, DescribeFilter, Page, Write};
use mirror_sessions::api_error::{ApiError, ApiErrorKind};
use mirror_sessions::filter_rule::FilterRule;
use mirror_sessions::id::{FilterId, SessionId, TargetId};
use mirror_sessions::limits;
use mirror_sessions::observation::Observation;
use mirror_sessions::resource::{Endpoint, Filter, Instance, Interface, Session, Target};
use tokio::time::Instant;

/// An account in one region.
#[derive(Debug, Default)]
pub struct FakeEc2 {
    state: Mutex<State>,
}

/// The resources of the account, and the behaviour of the API.
#[derive(Debug)]
pub struct State {
    pub observation: Observation,
    /// Maximum number of resources on a page.
    pub page_size: usize,
    /// Time after which a created resource becomes visible.
    pub visible_after: Duration,
    /// Token bucket of changing calls: capacity, and refill per second.
    pub writes: (f64, f64),
    /// If set, every n-th changing call fails with a server error; in turn, the change is made or not.
    pub fail_every: Option<u64>,
    /// Calls by operation and result.
    pub calls: BTreeMap<(&'static str, String), usize>,
    /// Number in the next resource's id.
    pub next_id: u64,
    created: HashMap<String, Instant>,
    tokens: HashMap<String, (Write, String)>,
    bucket: (f64, Option<Instant>),
    writes_seen: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            observation: Observation { complete: true, ..Observation::default() },
            page_size: 1000,
            visible_after: Duration::ZERO,
            writes: (f64::INFINITY, f64::INFINITY),
            fail_every: None,
            calls: BTreeMap::new(),
            next_id: 1,
            created: HashMap::new(),
            tokens: HashMap::new(),
            bucket: (f64::INFINITY, None),
            writes_seen: 0,
        }
    }
}

fn refused(operation: &'static str, code: &str) -> ApiError {
    ApiError { operation, kind: ApiErrorKind::Refused, code: code.to_owned(), message: "memory".to_owned() }
}

impl FakeEc2 {
    /// An account with these resources.
    pub fn new(observation: Observation) -> Self {
        Self { state: Mutex::new(State { observation, ..State::default() }) }
    }

    /// Changes the resources or the behaviour.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The resources, as a full observation shows them.
    pub fn observation(&self) -> Observation {
        self.state().observation.clone()
    }

    /// A page of the resources that `select` returns.
    fn page<R: Clone + Describe>(
        &self,
        next_token: Option<String>,
        select: impl Fn(&State) -> Vec<R>,
    ) -> Result<Page<R>, ApiError> {
        let mut state = self.state();
        state.count(R::OPERATION, "ok");
        let items = select(&state);
        let start: usize = next_token.map_or(0, |token| token.parse().unwrap());
        let end = items.len().min(start + state.page_size);
        let next_token = (end < items.len()).then(|| end.to_string());
        Ok(Page { items: items[start..end].to_vec(), next_token })
    }
}

impl State {
    fn count(&mut self, operation: &'static str, outcome: &str) {
        *self.calls.entry((operation, outcome.to_owned())).or_default() += 1;
    }

    fn visible(&self, id: &str) -> bool {
        self.created.get(id).is_none_or(|created| created.elapsed() >= self.visible_after)
    }

    /// Takes a token from EC2's bucket; `true` if there is none.
    fn throttled(&mut self) -> bool {
        let (burst, rate) = self.writes;
        let now = Instant::now();
        let (tokens, since) = self.bucket;
        let gained = since.map_or(burst, |since| (now - since).as_secs_f64() * rate);
        let tokens = if since.is_none() { burst } else { (tokens + gained).min(burst) };
        self.bucket = ((tokens - 1.0).max(0.0), Some(now));
        tokens < 1.0
    }

    fn id(&mut self, prefix: &str) -> String {
        let id = format!("{prefix}-{:017x}", self.next_id);
        self.next_id += 1;
        self.created.insert(id.clone(), Instant::now());
        id
    }

    /// A virtual network id as AWS chooses it: another one for each session.
    fn random_vni(&self) -> u32 {
        let scrambled = self.next_id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        1 + u32::try_from(scrambled).unwrap() % limits::MAX_VNI
    }

    fn check_session(&self, session: &Session, operation: &'static str) -> Result<(), ApiError> {
        let observation = &self.observation;
        if !observation.interfaces.contains_key(&session.interface) {
            return Err(refused(operation, "InvalidNetworkInterfaceID.NotFound"));
        }
        if !observation.targets.contains_key(&session.target) {
            return Err(refused(operation, "InvalidTrafficMirrorTargetId.NotFound"));
        }
        if !observation.filters.contains_key(&session.filter) {
            return Err(refused(operation, "InvalidTrafficMirrorFilterId.NotFound"));
        }
        if session.number == 0 || session.number > limits::MAX_SESSION_NUMBER || session.vni > limits::MAX_VNI
        {
            return Err(refused(operation, "InvalidParameterValue"));
        }
        let others: Vec<&Session> = observation
            .sessions
            .values()
            .filter(|other| other.interface == session.interface && other.id != session.id)
            .collect();
        if others.iter().any(|other| other.number == session.number) {
            return Err(refused(operation, "InvalidParameterValue"));
        }
        if others.len() >= limits::SESSIONS_PER_INTERFACE {
            return Err(refused(operation, "TrafficMirrorSessionsPerInterfaceLimitExceeded"));
        }
        Ok(())
    }

    fn apply(&mut self, write: &Write) -> Result<String, ApiError> {
        let operation = write.operation();
        let not_found = |kind: &str| refused(operation, &format!("InvalidTrafficMirror{kind}Id.NotFound"));
        match write.clone() {
            Write::CreateTarget { endpoint, tags } => {
                let id = TargetId::from(self.id("tmt"));
                self.observation
                    .targets
                    .insert(id.clone(), Target { id: id.clone(), endpoint: Some(endpoint), tags });
                Ok(id.to_string())
            }
            Write::CreateFilter { tags } => {
                let id = FilterId::from(self.id("tmf"));
                let filter = Filter {
                    id: id.clone(),
                    rules: BTreeMap::new(),
                    network_services: Default::default(),
                    tags,
                };
                self.observation.filters.insert(id.clone(), filter);
                Ok(id.to_string())
            }
            Write::CreateFilterRule { filter, rule } => {
                let id = self.id("tmfr");
                let filter = self.observation.filters.get_mut(&filter).ok_or_else(|| not_found("Filter"))?;
                let same =
                    |other: &FilterRule| (other.direction, other.number) == (rule.direction, rule.number);
                if filter.rules.values().any(same) {
                    return Err(refused(operation, "TrafficMirrorFilterRuleAlreadyExists"));
                }
                if filter.rules.len() >= limits::RULES_PER_FILTER {
                    return Err(refused(operation, "TrafficMirrorFilterRuleLimitExceeded"));
                }
                filter.rules.insert(id.clone().into(), rule);
                Ok(id)
            }
            Write::ModifyFilterRule { id, to, .. } => {
                let rule = self.observation.filters.values_mut().find_map(|filter| filter.rules.get_mut(&id));
                *rule.ok_or_else(|| not_found("FilterRule"))? = to;
                Ok(id.to_string())
            }
            Write::DeleteFilterRule { id } => {
                let found = self.observation.filters.values_mut().find_map(|filter| filter.rules.remove(&id));
                found.ok_or_else(|| not_found("FilterRule")).map(|_| id.to_string())
            }
            Write::ModifyNetworkServices { filter, add, remove } => {
                let found = self.observation.filters.get_mut(&filter).ok_or_else(|| not_found("Filter"))?;
                found.network_services.extend(add);
                found.network_services.retain(|service| !remove.contains(service));
                Ok(filter.to_string())
            }
            Write::CreateSession {
                interface,
                target,
                filter,
                number,
                packet_length,
                vni,
                description,
                tags,
            } => {
                if self.observation.sessions.len() >= limits::SESSIONS_PER_ACCOUNT {
                    return Err(refused(operation, "TrafficMirrorSessionLimitExceeded"));
                }
                let id = SessionId::from(self.id("tms"));
                let vni = vni.unwrap_or_else(|| self.random_vni());
                let session = Session {
                    id: id.clone(),
                    interface,
                    target,
                    filter,
                    number,
                    packet_length,
                    vni,
                    description,
                    tags,
                };
                self.check_session(&session, operation)?;
                self.observation.sessions.insert(id.clone(), session);
                Ok(id.to_string())
            }
            Write::ModifySession { id, target, filter, number, packet_length, vni, description } => {
                let mut session =
                    self.observation.sessions.get(&id).cloned().ok_or_else(|| not_found("Session"))?;
                session.target = target.unwrap_or(session.target);
                session.filter = filter.unwrap_or(session.filter);
                session.number = number.unwrap_or(session.number);
                session.packet_length = packet_length.unwrap_or(session.packet_length);
                session.vni = vni.unwrap_or(session.vni);
                session.description = description.unwrap_or(session.description);
                self.check_session(&session, operation)?;
                self.observation.sessions.insert(id.clone(), session);
                Ok(id.to_string())
            }
            Write::SetTags { resource, tags } => {
                let session = self.observation.sessions.get_mut(&SessionId::from(&*resource));
                session.ok_or_else(|| not_found("Session"))?.tags.extend(tags);
                Ok(resource)
            }
            Write::RemoveTags { resource, keys } => {
                let session = self.observation.sessions.get_mut(&SessionId::from(&*resource));
                session.ok_or_else(|| not_found("Session"))?.tags.retain(|key, _| !keys.contains(key));
                Ok(resource)
            }
            Write::DeleteSession { id } => self
                .observation
                .sessions
                .remove(&id)
                .ok_or_else(|| not_found("Session"))
                .map(|_| id.to_string()),
            Write::DeleteFilter { id } => {
                if self.observation.sessions.values().any(|session| session.filter == id) {
                    return Err(refused(operation, "TrafficMirrorFilterInUse"));
                }
                self.observation
                    .filters
                    .remove(&id)
                    .ok_or_else(|| not_found("Filter"))
                    .map(|_| id.to_string())
            }
            Write::DeleteTarget { id } => {
                if self.observation.sessions.values().any(|session| session.target == id) {
                    return Err(refused(operation, "TrafficMirrorTargetInUseException"));
                }
                self.observation
                    .targets
                    .remove(&id)
                    .ok_or_else(|| not_found("Target"))
                    .map(|_| id.to_string())
            }
        }
    }
}

/// Returns true if the filter lets a resource pass; `value` is the resource's value for the filter of a name.
fn matches(filter: Option<&DescribeFilter>, value: impl Fn(&str) -> Option<String>) -> bool {
    filter.is_none_or(|filter| value(filter.name).is_some_and(|value| filter.values.contains(&value)))
}

impl Api for &'static FakeEc2 {
    async fn interfaces(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Interface>, ApiError> {
        self.page(next_token, |state| {
            let all = state.observation.interfaces.values();
            let value = |interface: &Interface, name: &str| match name {
                "network-interface-id" => Some(interface.id.to_string()),
                "attachment.instance-id" => {
                    interface.attachment.as_ref().map(|attachment| attachment.instance.to_string())
                }
                other => panic!("filter {other}"),
            };
            all.filter(|interface| matches(filter, |name| value(interface, name))).cloned().collect()
        })
    }

    async fn instances(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Instance>, ApiError> {
        self.page(next_token, |state| {
            let all = state.observation.instances.values();
            all.filter(|instance| matches(filter, |_| Some(instance.id.to_string()))).cloned().collect()
        })
    }

    async fn sessions(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Session>, ApiError> {
        self.page(next_token, |state| {
            let all =
                state.observation.sessions.values().filter(|session| state.visible(session.id.as_str()));
            let value = |session: &Session, name: &str| match name {
                "network-interface-id" => Some(session.interface.to_string()),
                "traffic-mirror-session-id" => Some(session.id.to_string()),
                "virtual-network-id" => Some(session.vni.to_string()),
                "description" => Some(session.description.clone()),
                other => panic!("filter {other}"),
            };
            all.filter(|session| matches(filter, |name| value(session, name))).cloned().collect()
        })
    }

    async fn filters(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Filter>, ApiError> {
        self.page(next_token, |state| {
            let all = state.observation.filters.values().filter(|found| state.visible(found.id.as_str()));
            all.filter(|found| matches(filter, |_| Some(found.id.to_string()))).cloned().collect()
        })
    }

    async fn targets(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Target>, ApiError> {
        self.page(next_token, |state| {
            let all = state.observation.targets.values().filter(|target| state.visible(target.id.as_str()));
            all.filter(|target| matches(filter, |_| Some(target.id.to_string()))).cloned().collect()
        })
    }

    async fn endpoints(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Endpoint>, ApiError> {
        self.page(next_token, |_| {
            let ids = filter.map(|filter| filter.values.clone()).unwrap_or_default();
            let endpoint = |id: String| Endpoint {
                id: id.into(),
                endpoint_type: "GatewayLoadBalancer".to_owned(),
                state: "available".to_owned(),
                interfaces: Vec::new(),
            };
            ids.into_iter().map(endpoint).collect()
        })
    }

    async fn zones(&self) -> Result<Vec<(String, String)>, ApiError> {
        Ok(self.state().observation.zone_ids.clone().into_iter().collect())
    }

    async fn write(&self, write: &Write, options: CallOptions<'_>) -> Result<String, ApiError> {
        let operation = write.operation();
        let mut state = self.state();
        if state.throttled() {
            state.count(operation, "RequestLimitExceeded");
            let code = "RequestLimitExceeded".to_owned();
            return Err(ApiError { operation, kind: ApiErrorKind::Throttled, code, message: String::new() });
        }
        if options.dry_run {
            state.count(operation, "DryRunOperation");
            return Ok(String::new());
        }
        state.writes_seen += 1;
        let fails = state.fail_every.is_some_and(|every| state.writes_seen.is_multiple_of(every));
        let unavailable = || {
            let code = "InternalError".to_owned();
            Err(ApiError { operation, kind: ApiErrorKind::Transient, code, message: String::new() })
        };
        let before_the_change =
            state.fail_every.is_some_and(|every| (state.writes_seen / every).is_multiple_of(2));
        if fails && before_the_change {
            state.count(operation, "InternalError");
            return unavailable();
        }
        assert!(options.client_token.len() <= 64, "EC2 takes 64 characters");
        let result = match state.tokens.get(options.client_token) {
            Some((earlier, id)) if operation.starts_with("Create") && operation != "CreateTags" => {
                assert_eq!(earlier, write, "one token for two calls");
                Ok(id.clone())
            }
            _ => state.apply(write),
        };
        if let Ok(id) = &result {
            state.tokens.insert(options.client_token.to_owned(), (write.clone(), id.clone()));
        }
        state.count(
            operation,
            result.as_ref().map_or_else(|error| &*error.code, |_| "ok").to_owned().as_str(),
        );
        if fails { unavailable() } else { result }
    }
}

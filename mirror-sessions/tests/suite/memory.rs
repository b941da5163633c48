//! An account in memory, as strict as the real API: limits, tokens, pages, throttling, eventual consistency, faults.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use mirror_sessions::api::{Api, ApiError, ApiErrorKind, Endpoint, Manner, Only, Page, Write};
use mirror_sessions::id::{FilterId, SessionId, TargetId};
use mirror_sessions::limits;
use mirror_sessions::observed::{Filter, Instance, Interface, Observed, Session, Target};
use tokio::time::Instant;

/// An account in one region.
#[derive(Debug, Default)]
pub struct Memory {
    state: Mutex<State>,
}

/// What the account holds, and how it behaves.
#[derive(Debug)]
pub struct State {
    pub observed: Observed,
    /// Items on a page.
    pub page: usize,
    /// What is made shows after this time.
    pub visible_after: Duration,
    /// Tokens of writes: how many at once, how many per second.
    pub writes: (f64, f64),
    /// Every n-th write fails with a server error, where set; it is made or not, in turn.
    pub fail_every: Option<u64>,
    /// Calls by operation and outcome.
    pub calls: BTreeMap<(&'static str, String), usize>,
    /// Digits of the next resource's id.
    pub next_id: u64,
    made: HashMap<String, Instant>,
    tokens: HashMap<String, (Write, String)>,
    bucket: (f64, Option<Instant>),
    writes_seen: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            observed: Observed { complete: true, ..Observed::default() },
            page: 1000,
            visible_after: Duration::ZERO,
            writes: (f64::INFINITY, f64::INFINITY),
            fail_every: None,
            calls: BTreeMap::new(),
            next_id: 1,
            made: HashMap::new(),
            tokens: HashMap::new(),
            bucket: (f64::INFINITY, None),
            writes_seen: 0,
        }
    }
}

fn refused(operation: &'static str, code: &str) -> ApiError {
    ApiError { operation, kind: ApiErrorKind::Refused, code: code.to_owned(), message: "memory".to_owned() }
}

impl Memory {
    /// An account with this in it.
    pub fn new(observed: Observed) -> Self {
        Self { state: Mutex::new(State { observed, ..State::default() }) }
    }

    /// Changes what is there or how it behaves.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What is there, as a full observation would find it.
    pub fn observed(&self) -> Observed {
        self.state().observed.clone()
    }

    fn read<T: Clone>(
        &self,
        operation: &'static str,
        page: Option<String>,
        items: impl Fn(&State) -> Vec<T>,
    ) -> Result<Page<T>, ApiError> {
        let mut state = self.state();
        state.count(operation, "ok");
        let items = items(&state);
        let start: usize = page.map_or(0, |token| token.parse().unwrap());
        let end = items.len().min(start + state.page);
        let next = (end < items.len()).then(|| end.to_string());
        Ok(Page { items: items[start..end].to_vec(), next })
    }
}

impl State {
    fn count(&mut self, operation: &'static str, outcome: &str) {
        *self.calls.entry((operation, outcome.to_owned())).or_default() += 1;
    }

    fn visible(&self, id: &str) -> bool {
        self.made.get(id).is_none_or(|made| made.elapsed() >= self.visible_after)
    }

    /// As EC2's token bucket.
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
        self.made.insert(id.clone(), Instant::now());
        id
    }

    fn check_session(&self, session: &Session, operation: &'static str) -> Result<(), ApiError> {
        let observed = &self.observed;
        if !observed.interfaces.contains_key(&session.interface) {
            return Err(refused(operation, "InvalidNetworkInterfaceID.NotFound"));
        }
        if !observed.targets.contains_key(&session.target) {
            return Err(refused(operation, "InvalidTrafficMirrorTargetId.NotFound"));
        }
        if !observed.filters.contains_key(&session.filter) {
            return Err(refused(operation, "InvalidTrafficMirrorFilterId.NotFound"));
        }
        if session.number == 0 || session.number > limits::MAX_SESSION_NUMBER || session.vni > limits::MAX_VNI
        {
            return Err(refused(operation, "InvalidParameterValue"));
        }
        let others: Vec<&Session> = observed
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

    fn make(&mut self, write: &Write) -> Result<String, ApiError> {
        let operation = write.operation();
        let not_found = |kind: &str| refused(operation, &format!("InvalidTrafficMirror{kind}Id.NotFound"));
        match write.clone() {
            Write::CreateTarget { endpoint, tags } => {
                let id = TargetId::from(self.id("tmt"));
                self.observed
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
                self.observed.filters.insert(id.clone(), filter);
                Ok(id.to_string())
            }
            Write::CreateFilterRule { filter, rule } => {
                let id = self.id("tmfr");
                let filter = self.observed.filters.get_mut(&filter).ok_or_else(|| not_found("Filter"))?;
                let same = |other: &mirror_sessions::policy::filter::FilterRule| {
                    (other.direction, other.number) == (rule.direction, rule.number)
                };
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
                let rule = self.observed.filters.values_mut().find_map(|filter| filter.rules.get_mut(&id));
                *rule.ok_or_else(|| not_found("FilterRule"))? = to;
                Ok(id.to_string())
            }
            Write::DeleteFilterRule { id } => {
                let found = self.observed.filters.values_mut().find_map(|filter| filter.rules.remove(&id));
                found.ok_or_else(|| not_found("FilterRule")).map(|_| id.to_string())
            }
            Write::ModifyNetworkServices { filter, add, remove } => {
                let found = self.observed.filters.get_mut(&filter).ok_or_else(|| not_found("Filter"))?;
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
                if self.observed.sessions.len() >= limits::SESSIONS_PER_ACCOUNT {
                    return Err(refused(operation, "TrafficMirrorSessionLimitExceeded"));
                }
                let id = SessionId::from(self.id("tms"));
                let vni = vni.unwrap_or_else(|| fastrand::u32(1..=limits::MAX_VNI));
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
                self.observed.sessions.insert(id.clone(), session);
                Ok(id.to_string())
            }
            Write::ModifySession { id, target, filter, number, packet_length, vni, description } => {
                let mut session =
                    self.observed.sessions.get(&id).cloned().ok_or_else(|| not_found("Session"))?;
                session.target = target.unwrap_or(session.target);
                session.filter = filter.unwrap_or(session.filter);
                session.number = number.unwrap_or(session.number);
                session.packet_length = packet_length.unwrap_or(session.packet_length);
                session.vni = vni.unwrap_or(session.vni);
                session.description = description.unwrap_or(session.description);
                self.check_session(&session, operation)?;
                self.observed.sessions.insert(id.clone(), session);
                Ok(id.to_string())
            }
            Write::SetTags { resource, tags } => {
                let session = self.observed.sessions.get_mut(&SessionId::from(&*resource));
                session.ok_or_else(|| not_found("Session"))?.tags.extend(tags);
                Ok(resource)
            }
            Write::RemoveTags { resource, keys } => {
                let session = self.observed.sessions.get_mut(&SessionId::from(&*resource));
                session.ok_or_else(|| not_found("Session"))?.tags.retain(|key, _| !keys.contains(key));
                Ok(resource)
            }
            Write::DeleteSession { id } => {
                self.observed.sessions.remove(&id).ok_or_else(|| not_found("Session")).map(|_| id.to_string())
            }
            Write::DeleteFilter { id } => {
                if self.observed.sessions.values().any(|session| session.filter == id) {
                    return Err(refused(operation, "TrafficMirrorFilterInUse"));
                }
                self.observed.filters.remove(&id).ok_or_else(|| not_found("Filter")).map(|_| id.to_string())
            }
            Write::DeleteTarget { id } => {
                if self.observed.sessions.values().any(|session| session.target == id) {
                    return Err(refused(operation, "TrafficMirrorTargetInUseException"));
                }
                self.observed.targets.remove(&id).ok_or_else(|| not_found("Target")).map(|_| id.to_string())
            }
        }
    }
}

fn wanted(only: Option<&Only>, value: impl Fn(&str) -> Option<String>) -> bool {
    only.is_none_or(|only| value(only.name).is_some_and(|value| only.values.contains(&value)))
}

impl Api for &'static Memory {
    async fn interfaces(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> Result<Page<Interface>, ApiError> {
        self.read("DescribeNetworkInterfaces", page, |state| {
            let all = state.observed.interfaces.values();
            let value = |interface: &Interface, name: &str| match name {
                "network-interface-id" => Some(interface.id.to_string()),
                "attachment.instance-id" => {
                    interface.attachment.as_ref().map(|attachment| attachment.instance.to_string())
                }
                other => panic!("filter {other}"),
            };
            all.filter(|interface| wanted(only, |name| value(interface, name))).cloned().collect()
        })
    }

    async fn instances(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Instance>, ApiError> {
        self.read("DescribeInstances", page, |state| {
            let all = state.observed.instances.values();
            all.filter(|instance| wanted(only, |_| Some(instance.id.to_string()))).cloned().collect()
        })
    }

    async fn sessions(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Session>, ApiError> {
        self.read("DescribeTrafficMirrorSessions", page, |state| {
            let all = state.observed.sessions.values().filter(|session| state.visible(session.id.as_str()));
            let value = |session: &Session, name: &str| match name {
                "network-interface-id" => Some(session.interface.to_string()),
                "traffic-mirror-session-id" => Some(session.id.to_string()),
                "virtual-network-id" => Some(session.vni.to_string()),
                "description" => Some(session.description.clone()),
                other => panic!("filter {other}"),
            };
            all.filter(|session| wanted(only, |name| value(session, name))).cloned().collect()
        })
    }

    async fn filters(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Filter>, ApiError> {
        self.read("DescribeTrafficMirrorFilters", page, |state| {
            let all = state.observed.filters.values().filter(|filter| state.visible(filter.id.as_str()));
            all.filter(|filter| wanted(only, |_| Some(filter.id.to_string()))).cloned().collect()
        })
    }

    async fn targets(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Target>, ApiError> {
        self.read("DescribeTrafficMirrorTargets", page, |state| {
            let all = state.observed.targets.values().filter(|target| state.visible(target.id.as_str()));
            all.filter(|target| wanted(only, |_| Some(target.id.to_string()))).cloned().collect()
        })
    }

    async fn endpoints(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Endpoint>, ApiError> {
        self.read("DescribeVpcEndpoints", page, |_| {
            let ids = only.map(|only| only.values.clone()).unwrap_or_default();
            let endpoint = |id: String| Endpoint {
                id: id.into(),
                kind: "GatewayLoadBalancer".to_owned(),
                state: "available".to_owned(),
                interfaces: Vec::new(),
            };
            ids.into_iter().map(endpoint).collect()
        })
    }

    async fn zones(&self) -> Result<Vec<(String, String)>, ApiError> {
        Ok(self.state().observed.zone_ids.clone().into_iter().collect())
    }

    async fn write(&self, write: &Write, manner: Manner<'_>) -> Result<String, ApiError> {
        let operation = write.operation();
        let mut state = self.state();
        if state.throttled() {
            state.count(operation, "RequestLimitExceeded");
            let code = "RequestLimitExceeded".to_owned();
            return Err(ApiError { operation, kind: ApiErrorKind::Throttled, code, message: String::new() });
        }
        if manner.dry_run {
            state.count(operation, "DryRunOperation");
            return Ok(String::new());
        }
        state.writes_seen += 1;
        let fails = state.fail_every.is_some_and(|every| state.writes_seen.is_multiple_of(every));
        let unavailable = || {
            let code = "InternalError".to_owned();
            Err(ApiError { operation, kind: ApiErrorKind::Transient, code, message: String::new() })
        };
        let before_the_work =
            state.fail_every.is_some_and(|every| (state.writes_seen / every).is_multiple_of(2));
        if fails && before_the_work {
            state.count(operation, "InternalError");
            return unavailable();
        }
        assert!(manner.token.len() <= 64, "EC2 takes 64 characters");
        let result = match state.tokens.get(manner.token) {
            Some((earlier, id)) if operation.starts_with("Create") && operation != "CreateTags" => {
                assert_eq!(earlier, write, "one token for two calls");
                Ok(id.clone())
            }
            _ => state.make(write),
        };
        if let Ok(id) = &result {
            state.tokens.insert(manner.token.to_owned(), (write.clone(), id.clone()));
        }
        state.count(
            operation,
            result.as_ref().map_or_else(|error| &*error.code, |_| "ok").to_owned().as_str(),
        );
        if fails { unavailable() } else { result }
    }
}

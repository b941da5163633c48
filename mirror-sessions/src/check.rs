//! Whether everything is in place: permissions, quotas, instance types, endpoints, packet lengths. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use crate::api::{Api, ApiError, Cloud, Manner, Write};
use crate::desired::{Verdict, desire};
use crate::id::Place;
use crate::limits::{
    FILTERS_PER_ACCOUNT, MAX_ENDPOINT_PACKET_LENGTH, SESSIONS_PER_ACCOUNT, SESSIONS_PER_INTERFACE,
    TARGETS_PER_ACCOUNT, endpoint_arithmetic,
};
use crate::manager::Manager;
use crate::observe::Scope;
use crate::observed::Observed;
use crate::pace::Kind;
use crate::policy::filter::Filter;
use crate::policy::{Destination, Policy};

/// Bytes of Ethernet, IPv4 and TCP header without options.
const TCP_HEADERS: u16 = 14 + 20 + 20;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// Worth knowing.
    Advice,
    /// Keeps something from being mirrored.
    Fault,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Account and region; none for one about the policy.
    pub place: Option<Place>,
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub subject: String,
    /// What was found, and its remedy.
    pub finding: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Good => "ok    ",
            Level::Advice => "advice",
            Level::Fault => "FAULT ",
        };
        write!(formatter, "{level}  ")?;
        if let Some(place) = &self.place {
            write!(formatter, "{place}  ")?;
        }
        write!(formatter, "{}: {}", self.subject, self.finding)
    }
}

/// Checks the policy, and each of its places.
pub async fn check<C: Cloud>(manager: &Manager<C>, now: OffsetDateTime) -> Vec<Finding> {
    let policy = &manager.fleet().policy;
    let mut findings = packet_lengths(policy, now);
    let places: Vec<Place> = policy.places().collect();
    let checks = places.iter().map(|place| check_place(manager, place, now));
    findings.extend(futures::future::join_all(checks).await.into_iter().flatten());
    findings
}

/// Advice on the packet lengths of the rules, which no API call is needed for.
fn packet_lengths(policy: &Policy, now: OffsetDateTime) -> Vec<Finding> {
    let most = MAX_ENDPOINT_PACKET_LENGTH;
    let advice = |length: Option<u16>| match length {
        None => Some(format!(
            "mirrors whole packets, and longer ones are lost at a Gateway Load Balancer endpoint: {}; where interfaces have \
             an MTU of 9001, set packet_length = {most}",
            endpoint_arithmetic()
        )),
        // With an endpoint, the policy is refused; of a mirror target, it may not be known what it stands for.
        Some(length) if length > most => Some(format!(
            "packet_length {length} does not fit if a target is a Gateway Load Balancer endpoint: {}; set that or less",
            endpoint_arithmetic()
        )),
        Some(length) if length < TCP_HEADERS => Some(format!(
            "packet_length {length} cuts the headers (Ethernet, IPv4 and TCP have {TCP_HEADERS} bytes without options, \
             20 more with IPv6): set at least 128 to keep them"
        )),
        Some(_) => None,
    };
    let finding = |rule: &str, finding| Finding {
        place: None,
        level: Level::Advice,
        subject: format!("rule {rule}"),
        finding,
    };
    let rules = policy.mirrors(now);
    rules.filter_map(|(rule, mirror)| Some(finding(&rule.name, advice(mirror.packet_length)?))).collect()
}

async fn check_place<C: Cloud>(manager: &Manager<C>, place: &Place, now: OffsetDateTime) -> Vec<Finding> {
    let mut findings = Findings { place, all: Vec::new() };
    let observed = match manager.look(place, &Scope::Everything).await {
        Ok(observed) => observed,
        Err(error) => {
            findings.add(Level::Fault, "access", error.to_string());
            return findings.all;
        }
    };
    findings.add(Level::Good, "access", "the role can be assumed and everything be described".to_owned());
    quotas(&mut findings, &observed);
    wishes(manager, &mut findings, &observed, now);
    endpoints(manager, &mut findings, now).await;
    permissions(manager, &mut findings, &observed).await;
    findings.all
}

struct Findings<'a> {
    place: &'a Place,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, level: Level, subject: impl Into<String>, finding: String) {
        self.all.push(Finding { place: Some(self.place.clone()), level, subject: subject.into(), finding });
    }
}

fn quotas(findings: &mut Findings<'_>, observed: &Observed) {
    let counts = [
        ("sessions", observed.sessions.len(), SESSIONS_PER_ACCOUNT),
        ("filters", observed.filters.len(), FILTERS_PER_ACCOUNT),
        ("targets", observed.targets.len(), TARGETS_PER_ACCOUNT),
    ];
    for (kind, count, most) in counts {
        // From nine tenths on there is reason to look.
        let level = if count >= most {
            Level::Fault
        } else if count * 10 >= most * 9 {
            Level::Advice
        } else {
            Level::Good
        };
        findings.add(level, format!("quota of {kind}"), format!("{count} of {most}"));
    }
    let mut by_interface = BTreeMap::new();
    for session in observed.sessions.values() {
        *by_interface.entry(&session.interface).or_insert(0_usize) += 1;
    }
    let full = by_interface.values().filter(|count| **count >= SESSIONS_PER_INTERFACE).count();
    if full > 0 {
        findings.add(
            Level::Advice,
            "sessions per interface",
            format!("{full} interfaces have all {SESSIONS_PER_INTERFACE} that they can have"),
        );
    }
}

/// What the policy wants, and what of it cannot be.
fn wishes<C: Cloud>(
    manager: &Manager<C>,
    findings: &mut Findings<'_>,
    observed: &Observed,
    now: OffsetDateTime,
) {
    let desired = desire(&manager.fleet().policy, &manager.instance_types(), findings.place, observed, now);
    let wanted = desired.verdicts.values().filter(|verdict| matches!(verdict, Verdict::Mirror(_))).count();
    findings.add(
        Level::Good,
        "interfaces",
        format!("{wanted} of {} are to be mirrored", observed.interfaces.len()),
    );
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in desired.verdicts.values() {
        if let Verdict::Not(reason) = verdict
            && reason.is_problem()
        {
            *reasons.entry(reason.to_string()).or_default() += 1;
        }
    }
    for (reason, count) in reasons {
        findings.add(Level::Fault, format!("{count} interfaces"), reason);
    }
    let types = manager.instance_types();
    let to_be_tried: BTreeSet<&str> = desired
        .verdicts
        .iter()
        .filter(|(_, verdict)| matches!(verdict, Verdict::Mirror(_)))
        .filter_map(|(interface, _)| Some(observed.instance_of(interface)?.instance_type.as_str()))
        .filter(|instance_type| types.is_to_be_tried(instance_type))
        .collect();
    if !to_be_tried.is_empty() {
        let names = to_be_tried.into_iter().collect::<Vec<_>>().join(", ");
        findings.add(
            Level::Advice,
            "instance types",
            format!("AWS does not list {names} as sources of mirroring: sessions are tried, and the API's answer is learnt"),
        );
    }
}

async fn endpoints<C: Cloud>(manager: &Manager<C>, findings: &mut Findings<'_>, now: OffsetDateTime) {
    let wanted = manager.fleet().policy.endpoints_in_use(findings.place, now);
    let found = match manager.endpoints(findings.place, wanted.iter().copied()).await {
        Ok(found) => found,
        Err(error) => return findings.add(Level::Fault, "endpoints", error.to_string()),
    };
    for id in wanted {
        let subject = format!("endpoint {id}");
        match found.iter().find(|endpoint| endpoint.id == *id) {
            None => findings.add(Level::Fault, subject, "is not in this account and region: say which account has it, or name a mirror target shared from there (tmt-…)".to_owned()),
            Some(endpoint) if endpoint.kind != "GatewayLoadBalancer" => {
                findings.add(Level::Fault, subject, format!("is of type {}, and only a Gateway Load Balancer endpoint can be a target", endpoint.kind));
            }
            Some(endpoint) if endpoint.state != "available" => {
                findings.add(Level::Fault, subject, format!("is {}: mirrored packets are lost until it is available", endpoint.state));
            }
            Some(_) => findings.add(Level::Good, subject, "is available".to_owned()),
        }
    }
}

/// Asks for each changing call, with DryRun, whether it would be allowed.
async fn permissions<C: Cloud>(manager: &Manager<C>, findings: &mut Findings<'_>, observed: &Observed) {
    let connection = match manager.fleet().connection(findings.place).await {
        Ok(connection) => connection,
        Err(error) => return findings.add(Level::Fault, "access", error.to_string()),
    };
    let mut denied = Vec::new();
    let mut unknown = BTreeSet::new();
    let writes = sample_writes(&manager.fleet().policy, findings.place, observed);
    let count = writes.len();
    for write in writes {
        let manner = Manner { token: "mirror-sessions-check", dry_run: true };
        let api = &connection.api;
        match connection.pace.call(Kind::Write, write.operation(), || api.write(&write, manner)).await {
            Ok(_) => {}
            Err(error) if error.is_denied() => denied.push(error),
            // EC2 may look for the resource before the permission.
            Err(ApiError { operation, .. }) => {
                unknown.insert(operation);
            }
        }
    }
    for error in &denied {
        findings.add(Level::Fault, "permission", error.to_string());
    }
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().copied().collect();
        findings.add(
            Level::Advice,
            "permission",
            format!("DryRun cannot tell before there is something to try it on: {}", names.join(", ")),
        );
    }
    let allowed = count - denied.len() - unknown.len();
    findings.add(Level::Good, "permission", format!("{allowed} of {count} changing calls are allowed"));
}

/// One call of each kind, about things that are there where there are any.
fn sample_writes(policy: &Policy, place: &Place, observed: &Observed) -> Vec<Write> {
    let endpoint = policy.targets.values().flat_map(|target| &target.endpoints).find_map(|endpoint| {
        match &endpoint.destination {
            Destination::Endpoint(id) if endpoint.serves(place) => Some(id.clone()),
            _ => None,
        }
    });
    let nothing = "00000000000000000";
    let session = observed.sessions.keys().next().cloned().unwrap_or_else(|| format!("tms-{nothing}").into());
    let filter = observed.filters.keys().next().cloned().unwrap_or_else(|| format!("tmf-{nothing}").into());
    let target = observed.targets.keys().next().cloned().unwrap_or_else(|| format!("tmt-{nothing}").into());
    let interface =
        observed.interfaces.keys().next().cloned().unwrap_or_else(|| format!("eni-{nothing}").into());
    let rule_id = observed
        .filters
        .values()
        .find_map(|filter| filter.rules.keys().next().cloned())
        .unwrap_or_else(|| format!("tmfr-{nothing}").into());
    let tags = crate::observed::Tags::from([(crate::tags::OWNER.to_owned(), policy.owner.clone())]);
    let mut writes: Vec<Write> = Filter::all()
        .rules
        .into_iter()
        .take(1)
        .flat_map(|rule| {
            [
                Write::CreateFilterRule { filter: filter.clone(), rule: rule.clone() },
                Write::ModifyFilterRule { id: rule_id.clone(), from: rule.clone(), to: rule },
            ]
        })
        .collect();
    writes.extend(endpoint.map(|endpoint| Write::CreateTarget { endpoint, tags: tags.clone() }));
    writes.extend([
        Write::CreateFilter { tags: tags.clone() },
        Write::DeleteFilterRule { id: rule_id },
        Write::ModifyNetworkServices {
            filter: filter.clone(),
            add: BTreeSet::new(),
            remove: ["amazon-dns".to_owned()].into(),
        },
        Write::CreateSession {
            interface,
            target: target.clone(),
            filter: filter.clone(),
            number: 1,
            packet_length: None,
            vni: None,
            description: String::new(),
            tags: tags.clone(),
        },
        Write::ModifySession {
            id: session.clone(),
            target: None,
            filter: None,
            number: None,
            packet_length: None,
            vni: None,
            description: Some(String::new()),
        },
        Write::SetTags { resource: session.to_string(), tags },
        Write::RemoveTags { resource: session.to_string(), keys: [crate::tags::ENDS.to_owned()].into() },
        Write::DeleteSession { id: session },
        Write::DeleteFilter { id: filter },
        Write::DeleteTarget { id: target },
    ]);
    writes
}

//! The `check` command: permissions, quotas, instance types, endpoints and packet lengths. It changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use time::OffsetDateTime;

use crate::api::{CallOptions, Cloud, Write};
use crate::api_error::ApiError;
use crate::desired::{Decision, evaluate};
use crate::id::AccountRegion;
use crate::limits::{
    FILTERS_PER_ACCOUNT, MAX_ENDPOINT_PACKET_LENGTH, SESSIONS_PER_ACCOUNT, SESSIONS_PER_INTERFACE,
    TARGETS_PER_ACCOUNT, explain_endpoint_limit,
};
use crate::observation::{Observation, Scope};
use crate::ownership::{ENDS_TAG, OWNER_TAG};
use crate::policy::filter::Filter;
use crate::policy::{Destination, Policy};
use crate::reconciler::Reconciler;
use crate::resource::Tags;

/// Bytes of the Ethernet, IPv4 and TCP headers without options.
const TCP_HEADERS: u16 = 14 + 20 + 20;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Passed.
    Good,
    /// A recommendation.
    Advice,
    /// A fault that keeps interfaces from being mirrored.
    Fault,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Account and region; `None` for a finding about the policy.
    #[serde(rename = "place")]
    pub account_region: Option<AccountRegion>,
    /// Its severity.
    #[serde(rename = "level")]
    pub severity: Severity,
    /// The subject of the check.
    pub subject: String,
    /// The result, and its remedy.
    pub finding: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Good => "ok    ",
            Severity::Advice => "advice",
            Severity::Fault => "FAULT ",
        };
        write!(formatter, "{severity}  ")?;
        if let Some(account_region) = &self.account_region {
            write!(formatter, "{account_region}  ")?;
        }
        write!(formatter, "{}: {}", self.subject, self.finding)
    }
}

/// Checks the policy, and each of its accounts and regions.
pub async fn check<C: Cloud>(reconciler: &Reconciler<C>, now: OffsetDateTime) -> Vec<Finding> {
    let policy = reconciler.policy();
    let mut findings = packet_lengths(policy, now);
    let account_regions: Vec<AccountRegion> = policy.account_regions().collect();
    let checks =
        account_regions.iter().map(|account_region| check_account_region(reconciler, account_region, now));
    findings.extend(futures_util::future::join_all(checks).await.into_iter().flatten());
    findings
}

/// Advice on the packet lengths of the rules, without API calls.
fn packet_lengths(policy: &Policy, now: OffsetDateTime) -> Vec<Finding> {
    let maximum = MAX_ENDPOINT_PACKET_LENGTH;
    let advice = |length: Option<u16>| match length {
        None => Some(format!(
            "mirrors whole packets, and longer ones are lost at a Gateway Load Balancer endpoint: {}; where interfaces have \
             an MTU of 9001, set packet_length = {maximum}",
            explain_endpoint_limit()
        )),
        // For an endpoint, the policy would be invalid; what a mirror target sends to may not be known.
        Some(length) if length > maximum => Some(format!(
            "packet_length {length} does not fit if a target is a Gateway Load Balancer endpoint: {}; set that or less",
            explain_endpoint_limit()
        )),
        Some(length) if length < TCP_HEADERS => Some(format!(
            "packet_length {length} cuts the headers (Ethernet, IPv4 and TCP have {TCP_HEADERS} bytes without options, \
             20 more with IPv6): set at least 128 to keep them"
        )),
        Some(_) => None,
    };
    let finding = |rule: &str, finding| Finding {
        account_region: None,
        severity: Severity::Advice,
        subject: format!("rule {rule}"),
        finding,
    };
    let rules = policy.active_mirror_rules(now);
    rules.filter_map(|(rule, mirror)| Some(finding(&rule.name, advice(mirror.packet_length)?))).collect()
}

async fn check_account_region<C: Cloud>(
    reconciler: &Reconciler<C>,
    account_region: &AccountRegion,
    now: OffsetDateTime,
) -> Vec<Finding> {
    let mut findings = Findings { account_region, all: Vec::new() };
    let observation = match reconciler.observe_account_region(account_region, &Scope::Everything).await {
        Ok(observation) => observation,
        Err(error) => {
            findings.add(Severity::Fault, "access", error.to_string());
            return findings.all;
        }
    };
    findings.add(Severity::Good, "access", "the role can be assumed and everything be described".to_owned());
    quotas(&mut findings, &observation);
    desired_sessions(reconciler, &mut findings, &observation, now);
    endpoints(reconciler, &mut findings, now).await;
    permissions(reconciler, &mut findings, &observation).await;
    findings.all
}

struct Findings<'a> {
    account_region: &'a AccountRegion,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, subject: impl Into<String>, finding: String) {
        self.all.push(Finding {
            account_region: Some(self.account_region.clone()),
            severity,
            subject: subject.into(),
            finding,
        });
    }
}

fn quotas(findings: &mut Findings<'_>, observation: &Observation) {
    let counts = [
        ("sessions", observation.sessions.len(), SESSIONS_PER_ACCOUNT),
        ("filters", observation.filters.len(), FILTERS_PER_ACCOUNT),
        ("targets", observation.targets.len(), TARGETS_PER_ACCOUNT),
    ];
    for (kind, count, quota) in counts {
        // Advice from nine tenths of the quota on.
        let severity = if count >= quota {
            Severity::Fault
        } else if count * 10 >= quota * 9 {
            Severity::Advice
        } else {
            Severity::Good
        };
        findings.add(severity, format!("quota of {kind}"), format!("{count} of {quota}"));
    }
    let mut by_interface = BTreeMap::new();
    for session in observation.sessions.values() {
        *by_interface.entry(&session.interface).or_insert(0_usize) += 1;
    }
    let full = by_interface.values().filter(|count| **count >= SESSIONS_PER_INTERFACE).count();
    if full > 0 {
        findings.add(
            Severity::Advice,
            "sessions per interface",
            format!("{full} interfaces have all {SESSIONS_PER_INTERFACE} that they can have"),
        );
    }
}

/// The interfaces that the policy requires to be mirrored, and those of them that cannot be.
fn desired_sessions<C: Cloud>(
    reconciler: &Reconciler<C>,
    findings: &mut Findings<'_>,
    observation: &Observation,
    now: OffsetDateTime,
) {
    let desired = evaluate(
        reconciler.policy(),
        &reconciler.instance_types(),
        findings.account_region,
        observation,
        now,
    );
    let mirrored =
        desired.decisions.values().filter(|decision| matches!(decision, Decision::Mirror(_))).count();
    findings.add(
        Severity::Good,
        "interfaces",
        format!("{mirrored} of {} are to be mirrored", observation.interfaces.len()),
    );
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for decision in desired.decisions.values() {
        if let Decision::Skip(reason) = decision
            && reason.is_problem()
        {
            *reasons.entry(reason.to_string()).or_default() += 1;
        }
    }
    for (reason, count) in reasons {
        findings.add(Severity::Fault, format!("{count} interfaces"), reason);
    }
    let types = reconciler.instance_types();
    let unknown: BTreeSet<&str> = desired
        .decisions
        .iter()
        .filter(|(_, decision)| matches!(decision, Decision::Mirror(_)))
        .filter_map(|(interface, _)| Some(observation.instance_of(interface)?.instance_type.as_str()))
        .filter(|instance_type| types.is_unknown(instance_type))
        .collect();
    if !unknown.is_empty() {
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        findings.add(
            Severity::Advice,
            "instance types",
            format!("AWS does not list {names} as sources of mirroring: sessions are tried, and the API's answer is learnt"),
        );
    }
}

async fn endpoints<C: Cloud>(reconciler: &Reconciler<C>, findings: &mut Findings<'_>, now: OffsetDateTime) {
    let in_use = reconciler.policy().endpoints_in_use(findings.account_region, now);
    let found = match reconciler.endpoints(findings.account_region, in_use.iter().copied()).await {
        Ok(found) => found,
        Err(error) => return findings.add(Severity::Fault, "endpoints", error.to_string()),
    };
    for id in in_use {
        let subject = format!("endpoint {id}");
        match found.iter().find(|endpoint| endpoint.id == *id) {
            None => findings.add(Severity::Fault, subject, "is not in this account and region: say which account has it, or name a mirror target shared from there (tmt-…)".to_owned()),
            Some(endpoint) if endpoint.endpoint_type != "GatewayLoadBalancer" => {
                findings.add(Severity::Fault, subject, format!("is of type {}, and only a Gateway Load Balancer endpoint can be a target", endpoint.endpoint_type));
            }
            Some(endpoint) if endpoint.state != "available" => {
                findings.add(Severity::Fault, subject, format!("is {}: mirrored packets are lost until it is available", endpoint.state));
            }
            Some(_) => findings.add(Severity::Good, subject, "is available".to_owned()),
        }
    }
}

/// Asks the API for each changing call, with DryRun, whether it would be allowed.
async fn permissions<C: Cloud>(
    reconciler: &Reconciler<C>,
    findings: &mut Findings<'_>,
    observation: &Observation,
) {
    let connection = match reconciler.connection(findings.account_region).await {
        Ok(connection) => connection,
        Err(error) => return findings.add(Severity::Fault, "access", error.to_string()),
    };
    let mut denied = Vec::new();
    let mut unknown = BTreeSet::new();
    let writes = sample_writes(reconciler.policy(), findings.account_region, observation);
    let count = writes.len();
    for write in writes {
        let options = CallOptions { client_token: "mirror-sessions-check", dry_run: true };
        match connection.write(&write, options).await {
            Ok(_) => {}
            Err(error) if error.is_denied() => denied.push(error),
            // EC2 may look for the resource before it checks the permission.
            Err(ApiError { operation, .. }) => {
                unknown.insert(operation);
            }
        }
    }
    for error in &denied {
        findings.add(Severity::Fault, "permission", error.to_string());
    }
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().copied().collect();
        findings.add(
            Severity::Advice,
            "permission",
            format!("DryRun gives no answer until a resource exists to try it on: {}", names.join(", ")),
        );
    }
    let allowed = count - denied.len() - unknown.len();
    findings.add(Severity::Good, "permission", format!("{allowed} of {count} changing calls are allowed"));
}

/// One changing call of each kind, for existing resources where there are any.
fn sample_writes(policy: &Policy, account_region: &AccountRegion, observation: &Observation) -> Vec<Write> {
    let endpoint = policy.targets.values().flat_map(|target| &target.endpoints).find_map(|endpoint| {
        match &endpoint.destination {
            Destination::Endpoint(id) if endpoint.serves(account_region) => Some(id.clone()),
            _ => None,
        }
    });
    let unused_id = "00000000000000000";
    let session =
        observation.sessions.keys().next().cloned().unwrap_or_else(|| format!("tms-{unused_id}").into());
    let filter =
        observation.filters.keys().next().cloned().unwrap_or_else(|| format!("tmf-{unused_id}").into());
    let target =
        observation.targets.keys().next().cloned().unwrap_or_else(|| format!("tmt-{unused_id}").into());
    let interface =
        observation.interfaces.keys().next().cloned().unwrap_or_else(|| format!("eni-{unused_id}").into());
    let rule_id = observation
        .filters
        .values()
        .find_map(|filter| filter.rules.keys().next().cloned())
        .unwrap_or_else(|| format!("tmfr-{unused_id}").into());
    let tags = Tags::from([(OWNER_TAG.to_owned(), policy.owner.clone())]);
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
        Write::RemoveTags { resource: session.to_string(), keys: [ENDS_TAG.to_owned()].into() },
        Write::DeleteSession { id: session },
        Write::DeleteFilter { id: filter },
        Write::DeleteTarget { id: target },
    ]);
    writes
}

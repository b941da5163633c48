//! Desired state: the policy evaluated for each observed interface.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::{AccountRegion, EndpointId, InstanceId, InterfaceId, TargetId};
use crate::instance_types::{InstanceTypes, UnsupportedReason};
use crate::limits::{self, MAX_ENDPOINT_PACKET_LENGTH};
use crate::observation::Observation;
use crate::ownership::{self, session_description};
use crate::policy::filter::Filter;
use crate::policy::selector::{Property, Selectable};
use crate::policy::{Destination, Interfaces, MirrorSettings, Policy, Rule, RuleAction, VniSource};
use crate::resource::{Instance, Interface, Tags};

/// The state that the policy requires in one account and region.
#[derive(Clone, Debug)]
pub struct DesiredState {
    /// The account and region.
    pub account_region: AccountRegion,
    /// Value of the ownership tag.
    pub owner: String,
    /// The decision on each observed interface.
    pub decisions: BTreeMap<InterfaceId, Decision>,
    /// The filters of the rules in force, by name.
    pub filters: BTreeMap<String, Filter>,
    /// The endpoints that sessions here may send to by the rules in force.
    pub endpoints: BTreeSet<EndpointId>,
}

/// Decision on an interface.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Mirror it with this session.
    Mirror(Box<DesiredSession>),
    /// Do not mirror it.
    Skip(Reason),
}

/// The session that an interface should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSession {
    /// The rule that selects the interface.
    pub rule: String,
    /// Position of the rule in the policy: under a quota, earlier rules come first.
    pub rule_index: usize,
    /// The instance of the interface.
    pub instance: InstanceId,
    /// The later of the instance's launch and the interface's attachment, in Unix seconds. It distinguishes the sessions
    /// of an interface before and after a restart of its instance.
    pub incarnation: i64,
    /// The destination.
    pub destination: Destination,
    /// Name of the filter.
    pub filter: String,
    /// Preferred session number.
    pub number: u16,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
    pub packet_length: Option<u16>,
    /// Source of the virtual network id.
    pub vni: VniSource,
    /// Its description, by which the sessions of an instance can be found.
    pub description: String,
    /// Its tags, the ownership tags included.
    pub tags: Tags,
}

/// Reason why an interface is not mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not attached to an instance.
    Detached,
    /// Its instance does not exist.
    InstanceGone(InstanceId),
    /// Its instance is not running.
    InstanceNotRunning(InstanceId, &'static str),
    /// Interfaces of its type cannot be mirrored.
    InterfaceType(String),
    /// The interface is selected by no rule in force.
    NoRule,
    /// The rule of this name excludes it.
    Excluded(String),
    /// A rule requires it, but its instance's type cannot be a source.
    UnsupportedType {
        /// The rule.
        rule: String,
        /// The type.
        instance_type: String,
        /// The reason.
        why: UnsupportedReason,
    },
    /// A rule requires it, but the rule's packet length does not fit through its target.
    PacketLength {
        /// The rule.
        rule: String,
        /// The packet length, in bytes.
        length: u16,
        /// The mirror target, which sends to a Gateway Load Balancer endpoint.
        target: TargetId,
    },
    /// A rule requires it, but the rule's target has no endpoint for it.
    NoEndpoint {
        /// The rule.
        rule: String,
        /// The target.
        target: String,
        /// The zone.
        zone: String,
    },
}

impl Reason {
    /// Returns true if a rule requires the interface to be mirrored, and that is not possible.
    pub const fn is_problem(&self) -> bool {
        matches!(self, Self::UnsupportedType { .. } | Self::PacketLength { .. } | Self::NoEndpoint { .. })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detached => write!(formatter, "the interface is not attached to an instance"),
            Self::InstanceGone(instance) => write!(formatter, "instance {instance} is gone"),
            Self::InstanceNotRunning(instance, state) => write!(formatter, "instance {instance} is {state}"),
            Self::InterfaceType(kind) => write!(formatter, "an interface of type {kind} cannot be mirrored"),
            Self::NoRule => write!(formatter, "no rule in force selects it"),
            Self::Excluded(rule) => write!(formatter, "rule {rule} excludes it"),
            Self::UnsupportedType { rule, instance_type, why } => {
                write!(formatter, "rule {rule} wants it, but {instance_type} cannot be a source: ")?;
                match why {
                    UnsupportedReason::Documented => write!(
                        formatter,
                        "AWS documents so (\"Supported instance types\" of Traffic Mirroring); if that has changed, add the \
                         type to instance_types.supported"
                    ),
                    UnsupportedReason::Policy => write!(formatter, "instance_types.unsupported says so"),
                    UnsupportedReason::Refused(message) => write!(
                        formatter,
                        "the API said {message:?}; to ask again, remove the type from the file of --learnt"
                    ),
                }
            }
            Self::PacketLength { rule, length, target } => write!(
                formatter,
                "rule {rule} wants it, but packet_length {length} does not fit through the Gateway Load Balancer endpoint of \
                 {target}: {}; set that or less",
                limits::explain_endpoint_limit()
            ),
            Self::NoEndpoint { rule, target, zone } => write!(
                formatter,
                "rule {rule} wants it, but target {target} has no endpoint in zone {zone}: add one, or a fallback"
            ),
        }
    }
}

/// Evaluates the policy for the observation of an account and region, at the time `now`.
pub fn evaluate(
    policy: &Policy,
    instance_types: &InstanceTypes,
    account_region: &AccountRegion,
    observation: &Observation,
    now: OffsetDateTime,
) -> DesiredState {
    let decisions = observation
        .interfaces
        .values()
        .map(|interface| {
            let decision = match decide(policy, instance_types, account_region, observation, interface, now) {
                Ok(session) => Decision::Mirror(Box::new(session)),
                Err(reason) => Decision::Skip(reason),
            };
            (interface.id.clone(), decision)
        })
        .collect();
    let filters = policy.filters_in_use(now).into_iter();
    DesiredState {
        account_region: account_region.clone(),
        owner: policy.owner.clone(),
        decisions,
        filters: filters
            .filter_map(|name| Some((name.to_owned(), policy.filters.get(name)?.clone())))
            .collect(),
        endpoints: policy.endpoints_in_use(account_region, now).into_iter().cloned().collect(),
    }
}

fn decide(
    policy: &Policy,
    instance_types: &InstanceTypes,
    account_region: &AccountRegion,
    observation: &Observation,
    interface: &Interface,
    now: OffsetDateTime,
) -> Result<DesiredSession, Reason> {
    let attachment = interface.attachment.as_ref().ok_or(Reason::Detached)?;
    let instance = observation
        .instances
        .get(&attachment.instance)
        .ok_or_else(|| Reason::InstanceGone(attachment.instance.clone()))?;
    if !instance.state.is_active() {
        return Err(Reason::InstanceNotRunning(instance.id.clone(), instance.state.name()));
    }
    if interface.interface_type != "interface" {
        return Err(Reason::InterfaceType(interface.interface_type.clone()));
    }
    let zone_id = observation.zone_ids.get(&interface.zone).map_or("", String::as_str);
    let candidate = Candidate { account_region, interface, instance, zone_id };
    let (rule_index, rule, mirror) =
        first_match(policy, &candidate, attachment.primary, now).ok_or(Reason::NoRule)?;
    let mirror = mirror.ok_or_else(|| Reason::Excluded(rule.name.clone()))?;
    if let Some(why) = instance_types.unsupported(&instance.instance_type) {
        let instance_type = instance.instance_type.clone();
        return Err(Reason::UnsupportedType { rule: rule.name.clone(), instance_type, why });
    }
    let destination = policy
        .targets
        .get(&mirror.target)
        .and_then(|target| target.destination(account_region, [&interface.zone, zone_id]))
        .ok_or_else(|| Reason::NoEndpoint {
            rule: rule.name.clone(),
            target: mirror.target.clone(),
            zone: interface.zone.clone(),
        })?;
    if let Destination::MirrorTarget(id) = destination
        && let Some(length) = mirror.packet_length.filter(|&length| length > MAX_ENDPOINT_PACKET_LENGTH)
        && observation.targets.get(id).is_some_and(|target| target.endpoint.is_some())
    {
        return Err(Reason::PacketLength { rule: rule.name.clone(), length, target: id.clone() });
    }
    Ok(DesiredSession {
        rule: rule.name.clone(),
        rule_index,
        instance: instance.id.clone(),
        incarnation: instance.launched.max(attachment.since),
        destination: destination.clone(),
        filter: mirror.filter.clone(),
        number: mirror.session_number,
        packet_length: mirror.packet_length,
        vni: mirror.vni,
        description: session_description(&policy.owner, &instance.id),
        tags: session_tags(&policy.owner, &rule.name, mirror),
    })
}

/// The first rule in force that selects the candidate, with its position and its settings; an exclusion has none.
fn first_match<'policy>(
    policy: &'policy Policy,
    candidate: &Candidate<'_>,
    primary: bool,
    now: OffsetDateTime,
) -> Option<(usize, &'policy Rule, Option<&'policy MirrorSettings>)> {
    policy.rules.iter().enumerate().find_map(|(index, rule)| {
        let mirror = match &rule.action {
            RuleAction::Exclude => None,
            RuleAction::Mirror(mirror) if mirror.has_ended(now) => return None,
            RuleAction::Mirror(mirror) => Some(mirror),
        };
        let selected = (primary || rule.interfaces == Interfaces::All) && rule.selector.selects(candidate);
        selected.then_some((index, rule, mirror))
    })
}

fn session_tags(owner: &str, rule: &str, mirror: &MirrorSettings) -> Tags {
    let mut all = Tags::from([(ownership::NAME_TAG.to_owned(), format!("{owner}/{rule}"))]);
    all.extend(mirror.tags.clone());
    all.insert(ownership::OWNER_TAG.to_owned(), owner.to_owned());
    all.insert(ownership::RULE_TAG.to_owned(), rule.to_owned());
    if let Some(ends) = mirror.ends.and_then(|ends| ends.format(&Rfc3339).ok()) {
        all.insert(ownership::ENDS_TAG.to_owned(), ends);
    }
    all
}

/// An interface with the properties that selectors test.
struct Candidate<'observation> {
    account_region: &'observation AccountRegion,
    interface: &'observation Interface,
    instance: &'observation Instance,
    zone_id: &'observation str,
}

impl Selectable for Candidate<'_> {
    fn tag(&self, key: &str) -> Option<&str> {
        self.interface.tags.get(key).or_else(|| self.instance.tags.get(key)).map(String::as_str)
    }

    fn property(&self, property: Property) -> impl Iterator<Item = &str> {
        let (value, other) = match property {
            Property::Account => (self.account_region.account.as_str(), None),
            Property::Region => (self.account_region.region.as_str(), None),
            Property::Zone => (self.interface.zone.as_str(), Some(self.zone_id)),
            Property::Vpc => (self.interface.vpc.as_str(), None),
            Property::Subnet => (self.interface.subnet.as_str(), None),
            Property::Instance => (self.instance.id.as_str(), None),
            Property::InstanceType => (self.instance.instance_type.as_str(), None),
            Property::Interface => (self.interface.id.as_str(), None),
        };
        std::iter::once(value).chain(other)
    }
}

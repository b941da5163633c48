//! What the policy wants of each interface that was observed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::{EndpointId, InstanceId, InterfaceId, Place, TargetId};
use crate::instance_types::{InstanceTypes, Unsupported};
use crate::limits::{self, MAX_ENDPOINT_PACKET_LENGTH};
use crate::observed::{Instance, Interface, Observed, Tags};
use crate::policy::filter::Filter;
use crate::policy::selector::{Property, Subject};
use crate::policy::{Action, Destination, Interfaces, Mirror, Policy, Rule, VniPolicy};
use crate::tags;

/// What the policy wants in one account and region.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Where.
    pub place: Place,
    /// Value of the ownership tag.
    pub owner: String,
    /// Of each interface, whether and how it is to be mirrored.
    pub verdicts: BTreeMap<InterfaceId, Verdict>,
    /// The filters of the rules in force, by name.
    pub filters: BTreeMap<String, Filter>,
    /// The endpoints that rules in force may send to from here.
    pub endpoints: BTreeSet<EndpointId>,
}

/// What the policy wants of one interface.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// That it is mirrored so.
    Mirror(Box<Wanted>),
    /// That it is not, or cannot be.
    Not(Reason),
}

/// The session that an interface is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The rule that wants it.
    pub rule: String,
    /// Place of that rule in the policy: where not all fits, earlier rules come first.
    pub rule_index: usize,
    /// The instance of the interface.
    pub instance: InstanceId,
    /// The later of the instance's launch and the interface's attachment, in Unix seconds. It tells the session of one
    /// life of the interface from that of the next.
    pub incarnation: i64,
    /// Where to.
    pub destination: Destination,
    /// Name of the filter.
    pub filter: String,
    /// Preferred session number.
    pub number: u16,
    /// Bytes mirrored of each packet; without a number, all.
    pub packet_length: Option<u16>,
    /// Where the virtual network id comes from.
    pub vni: VniPolicy,
    /// Its description, by which the sessions of an instance are found again.
    pub description: String,
    /// Its tags, those of ownership included.
    pub tags: Tags,
}

/// Why an interface is not mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not attached to an instance.
    Detached,
    /// Its instance is not there.
    InstanceGone(InstanceId),
    /// Its instance does not run.
    InstanceNotRunning(InstanceId, &'static str),
    /// It is of a type that cannot be mirrored.
    Kind(String),
    /// No rule in force selects it.
    NoRule,
    /// The rule of this name excludes it.
    Excluded(String),
    /// The rule wants it, but its instance's type cannot be a source.
    UnsupportedType {
        /// The rule.
        rule: String,
        /// The type.
        instance_type: String,
        /// How this is known.
        why: Unsupported,
    },
    /// The rule wants it, but what it mirrors of a packet does not fit through its target.
    PacketLength {
        /// The rule.
        rule: String,
        /// Bytes of each packet.
        length: u16,
        /// The mirror target, which stands for a Gateway Load Balancer endpoint.
        target: TargetId,
    },
    /// The rule wants it, but its target has no endpoint for it.
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
    /// Whether a rule wants the interface mirrored and cannot have it.
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
            Self::Kind(kind) => write!(formatter, "an interface of type {kind} cannot be mirrored"),
            Self::NoRule => write!(formatter, "no rule in force selects it"),
            Self::Excluded(rule) => write!(formatter, "rule {rule} excludes it"),
            Self::UnsupportedType { rule, instance_type, why } => {
                write!(formatter, "rule {rule} wants it, but {instance_type} cannot be a source: ")?;
                match why {
                    Unsupported::Documented => write!(
                        formatter,
                        "AWS documents so (\"Supported instance types\" of Traffic Mirroring); if that has changed, add the \
                         type to instance_types.supported"
                    ),
                    Unsupported::Policy => write!(formatter, "instance_types.unsupported says so"),
                    Unsupported::Refused(words) => write!(
                        formatter,
                        "the API said {words:?}; to ask again, remove the type from the file of --learnt"
                    ),
                }
            }
            Self::PacketLength { rule, length, target } => write!(
                formatter,
                "rule {rule} wants it, but packet_length {length} does not fit through the Gateway Load Balancer endpoint of \
                 {target}: {}; set that or less",
                limits::endpoint_arithmetic()
            ),
            Self::NoEndpoint { rule, target, zone } => write!(
                formatter,
                "rule {rule} wants it, but target {target} has no endpoint in zone {zone}: add one, or a fallback"
            ),
        }
    }
}

/// What `policy` wants of what was observed in `place`, at the time `now`.
pub fn desire(
    policy: &Policy,
    instance_types: &InstanceTypes,
    place: &Place,
    observed: &Observed,
    now: OffsetDateTime,
) -> Desired {
    let verdicts = observed
        .interfaces
        .values()
        .map(|interface| {
            let verdict = match judge(policy, instance_types, place, observed, interface, now) {
                Ok(wanted) => Verdict::Mirror(Box::new(wanted)),
                Err(reason) => Verdict::Not(reason),
            };
            (interface.id.clone(), verdict)
        })
        .collect();
    let filters = policy.filters_in_use(now).into_iter();
    Desired {
        place: place.clone(),
        owner: policy.owner.clone(),
        verdicts,
        filters: filters
            .filter_map(|name| Some((name.to_owned(), policy.filters.get(name)?.clone())))
            .collect(),
        endpoints: policy.endpoints_in_use(place, now).into_iter().cloned().collect(),
    }
}

fn judge(
    policy: &Policy,
    instance_types: &InstanceTypes,
    place: &Place,
    observed: &Observed,
    interface: &Interface,
    now: OffsetDateTime,
) -> Result<Wanted, Reason> {
    let attachment = interface.attachment.as_ref().ok_or(Reason::Detached)?;
    let instance = observed
        .instances
        .get(&attachment.instance)
        .ok_or_else(|| Reason::InstanceGone(attachment.instance.clone()))?;
    if !instance.state.alive() {
        return Err(Reason::InstanceNotRunning(instance.id.clone(), instance.state.name()));
    }
    if interface.kind != "interface" {
        return Err(Reason::Kind(interface.kind.clone()));
    }
    let zone_id = observed.zone_ids.get(&interface.zone).map_or("", String::as_str);
    let candidate = Candidate { place, interface, instance, zone_id };
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
        .and_then(|target| target.destination(place, [&interface.zone, zone_id]))
        .ok_or_else(|| Reason::NoEndpoint {
            rule: rule.name.clone(),
            target: mirror.target.clone(),
            zone: interface.zone.clone(),
        })?;
    if let Destination::MirrorTarget(id) = destination
        && let Some(length) = mirror.packet_length.filter(|&length| length > MAX_ENDPOINT_PACKET_LENGTH)
        && observed.targets.get(id).is_some_and(|target| target.endpoint.is_some())
    {
        return Err(Reason::PacketLength { rule: rule.name.clone(), length, target: id.clone() });
    }
    Ok(Wanted {
        rule: rule.name.clone(),
        rule_index,
        instance: instance.id.clone(),
        incarnation: instance.launched.max(attachment.since),
        destination: destination.clone(),
        filter: mirror.filter.clone(),
        number: mirror.session_number,
        packet_length: mirror.packet_length,
        vni: mirror.vni,
        description: description(&policy.owner, &instance.id),
        tags: session_tags(&policy.owner, &rule.name, mirror),
    })
}

/// The first rule in force that selects the candidate, with how it mirrors; an exclusion does not.
fn first_match<'policy>(
    policy: &'policy Policy,
    candidate: &Candidate<'_>,
    primary: bool,
    now: OffsetDateTime,
) -> Option<(usize, &'policy Rule, Option<&'policy Mirror>)> {
    policy.rules.iter().enumerate().find_map(|(index, rule)| {
        let mirror = match &rule.action {
            Action::Exclude => None,
            Action::Mirror(mirror) if mirror.ended(now) => return None,
            Action::Mirror(mirror) => Some(mirror),
        };
        let selected = (primary || rule.interfaces == Interfaces::All) && rule.selector.selects(candidate);
        selected.then_some((index, rule, mirror))
    })
}

/// Description of the sessions of an instance. Sessions can be asked for by description and not by tag, and an
/// interface that was detached does not tell any more which instance it was attached to.
pub fn description(owner: &str, instance: &InstanceId) -> String {
    format!("mirror-sessions/{owner} {instance}")
}

fn session_tags(owner: &str, rule: &str, mirror: &Mirror) -> Tags {
    let mut all = Tags::from([(tags::NAME.to_owned(), format!("{owner}/{rule}"))]);
    all.extend(mirror.tags.clone());
    all.insert(tags::OWNER.to_owned(), owner.to_owned());
    all.insert(tags::RULE.to_owned(), rule.to_owned());
    if let Some(ends) = mirror.ends.and_then(|ends| ends.format(&Rfc3339).ok()) {
        all.insert(tags::ENDS.to_owned(), ends);
    }
    all
}

/// An interface with all that a selector can ask about.
struct Candidate<'observed> {
    place: &'observed Place,
    interface: &'observed Interface,
    instance: &'observed Instance,
    zone_id: &'observed str,
}

impl Subject for Candidate<'_> {
    fn tag(&self, key: &str) -> Option<&str> {
        self.interface.tags.get(key).or_else(|| self.instance.tags.get(key)).map(String::as_str)
    }

    fn property(&self, property: Property) -> impl Iterator<Item = &str> {
        let (value, other) = match property {
            Property::Account => (self.place.account.as_str(), None),
            Property::Region => (self.place.region.as_str(), None),
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

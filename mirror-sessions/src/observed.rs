//! What is there: interfaces and their instances, sessions, filters and targets of one account and region.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{EndpointId, FilterId, FilterRuleId, InstanceId, InterfaceId, SessionId, TargetId};
use crate::policy::filter::FilterRule;
use crate::tags;

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// What was found in one account and region.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whether everything was looked at, or only what an event was about. What an incomplete observation does not
    /// show may exist all the same.
    pub complete: bool,
    /// Interfaces.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
    /// Instances.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// Sessions, whoever made them.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Filters, whoever made them.
    pub filters: BTreeMap<FilterId, Filter>,
    /// Targets, whoever made them.
    pub targets: BTreeMap<TargetId, Target>,
    /// From zone name to zone id.
    pub zone_ids: BTreeMap<String, String>,
    /// Virtual network ids that sessions elsewhere use, of which this observation has no part.
    pub foreign_vnis: BTreeSet<u32>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its id.
    pub id: InterfaceId,
    /// What it is attached to.
    pub attachment: Option<Attachment>,
    /// Its type, such as `interface` or `nat_gateway`; only the former can be mirrored.
    pub kind: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnet.
    pub subnet: String,
    /// Name of its zone.
    pub zone: String,
    /// Its addresses, primary one first.
    pub addresses: Vec<std::net::IpAddr>,
    /// Its tags.
    pub tags: Tags,
}

/// How an interface is attached to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The instance.
    pub instance: InstanceId,
    /// Whether it is the instance's primary interface: device index 0 of network card 0.
    pub primary: bool,
    /// Since when, in Unix seconds.
    pub since: i64,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// Its type, such as `m5.large`.
    pub instance_type: String,
    /// Its state.
    pub state: InstanceState,
    /// When it was last started, in Unix seconds.
    pub launched: i64,
    /// Its tags.
    pub tags: Tags,
}

/// State of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// `pending`.
    Pending,
    /// `running`.
    Running,
    /// `stopping`.
    Stopping,
    /// `stopped`.
    Stopped,
    /// `shutting-down`.
    ShuttingDown,
    /// `terminated`.
    Terminated,
}

impl InstanceState {
    /// Whether traffic can flow: an instance that has stopped sends nothing, while its session would still be paid.
    pub const fn alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    /// As AWS writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }
}

/// A traffic mirror session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The interface whose packets it mirrors.
    pub interface: InterfaceId,
    /// Where they go.
    pub target: TargetId,
    /// Which of them.
    pub filter: FilterId,
    /// Its place among the interface's sessions.
    pub number: u16,
    /// Bytes mirrored of each packet; without a number, all.
    pub packet_length: Option<u16>,
    /// Its virtual network id.
    pub vni: u32,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
}

/// A traffic mirror filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its id.
    pub id: FilterId,
    /// Its rules.
    pub rules: BTreeMap<FilterRuleId, FilterRule>,
    /// Network services that it mirrors.
    pub network_services: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A traffic mirror target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// The endpoint that it stands for; none for one that is an interface or a Network Load Balancer.
    pub endpoint: Option<EndpointId>,
    /// Its tags.
    pub tags: Tags,
}

/// What carries tags that tell whose it is.
pub trait Owned {
    /// Its tags.
    fn tags(&self) -> &Tags;

    /// Whether it was made for the policy of `owner`.
    fn owned_by(&self, owner: &str) -> bool {
        self.tags().get(tags::OWNER).is_some_and(|value| value == owner)
    }
}

macro_rules! owned {
    ($($type:ty),+) => {$(
        impl Owned for $type {
            fn tags(&self) -> &Tags {
                &self.tags
            }
        }
    )+};
}
owned!(Session, Filter, Target);

impl Observed {
    /// The instance that an interface is attached to.
    pub fn instance_of(&self, interface: &InterfaceId) -> Option<&Instance> {
        let attachment = self.interfaces.get(interface)?.attachment.as_ref()?;
        self.instances.get(&attachment.instance)
    }
}

//! Resources of EC2: interfaces and their instances, and the sessions, filters and targets of traffic mirroring.

use std::collections::{BTreeMap, BTreeSet};

use crate::filter_rule::FilterRule;
use crate::id::{EndpointId, FilterId, FilterRuleId, InstanceId, InterfaceId, SessionId, TargetId};

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its id.
    pub id: InterfaceId,
    /// Its attachment to an instance.
    pub attachment: Option<Attachment>,
    /// Its type, such as `interface` or `nat_gateway`; only the former can be mirrored.
    pub interface_type: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnet.
    pub subnet: String,
    /// Name of its zone.
    pub zone: String,
    /// Its private addresses, the primary one first.
    pub addresses: Vec<std::net::IpAddr>,
    /// Its tags.
    pub tags: Tags,
}

/// Attachment of an interface to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The instance.
    pub instance: InstanceId,
    /// True for the instance's primary interface: device index 0 of network card 0.
    pub primary: bool,
    /// Time of the attachment, in Unix seconds.
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
    /// Time of the last start, in Unix seconds.
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
    /// Returns true if the instance can send and receive. A stopped instance cannot, and its sessions would still be billed.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    /// The state in AWS's notation.
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
    /// Its source: the interface whose packets it mirrors.
    pub interface: InterfaceId,
    /// Its target.
    pub target: TargetId,
    /// Its filter.
    pub filter: FilterId,
    /// Its session number: the order of evaluation among the interface's sessions, lowest first.
    pub number: u16,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
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
    /// Amazon's network services whose traffic it mirrors.
    pub network_services: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A traffic mirror target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub id: TargetId,
    /// The Gateway Load Balancer endpoint that it sends to; `None` if it sends to an interface or a Network Load Balancer.
    pub endpoint: Option<EndpointId>,
    /// Its tags.
    pub tags: Tags,
}

/// A VPC endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its type; only `GatewayLoadBalancer` can be a target.
    pub endpoint_type: String,
    /// Its state; `available` when it can be used.
    pub state: String,
    /// Its network interfaces.
    pub interfaces: Vec<InterfaceId>,
}

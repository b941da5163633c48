//! Observations: the resources that were found in an account and region, or in all of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::api_error::ApiError;
use crate::id::{AccountRegion, FilterId, InstanceId, InterfaceId, SessionId, TargetId};
use crate::resource::{Filter, Instance, Interface, Session, Target};

/// The resources found in one account and region.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Completeness: true if all resources were read, false if only those that an event affects. A resource that is missing
    /// from an incomplete observation may exist.
    pub complete: bool,
    /// Interfaces.
    pub interfaces: BTreeMap<InterfaceId, Interface>,
    /// Instances.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// Sessions, of every owner.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Filters, of every owner.
    pub filters: BTreeMap<FilterId, Filter>,
    /// Targets, of every owner.
    pub targets: BTreeMap<TargetId, Target>,
    /// Zone ids by zone name.
    pub zone_ids: BTreeMap<String, String>,
    /// Virtual network ids of sessions that are not part of this observation.
    pub foreign_vnis: BTreeSet<u32>,
}

impl Observation {
    /// The instance that an interface is attached to.
    pub fn instance_of(&self, interface: &InterfaceId) -> Option<&Instance> {
        let attachment = self.interfaces.get(interface)?.attachment.as_ref()?;
        self.instances.get(&attachment.instance)
    }
}

/// Observations of all accounts and regions of a policy.
#[derive(Debug, Default)]
pub struct Observations {
    /// The observations that succeeded.
    pub account_regions: BTreeMap<AccountRegion, Observation>,
    /// Accounts and regions that could not be observed, with the error.
    pub unobserved: Vec<(AccountRegion, ApiError)>,
}

/// Extent of an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All resources.
    Everything,
    /// The resources that an event affects.
    Affected(Affected),
}

/// Instances and interfaces that an event affects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// Instances, with all their interfaces.
    pub instances: BTreeSet<InstanceId>,
    /// Interfaces, with the instances that they are attached to.
    pub interfaces: BTreeSet<InterfaceId>,
}

impl Affected {
    /// Adds the resources that another event affects.
    pub fn merge(&mut self, other: Self) {
        self.instances.extend(other.instances);
        self.interfaces.extend(other.interfaces);
    }

    /// Returns true if the event affects nothing that can be mirrored.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.interfaces.is_empty()
    }
}

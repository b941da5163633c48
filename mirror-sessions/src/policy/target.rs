//! Targets of the policy: where mirrored packets are sent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, AccountRegion, EndpointId, Region, TargetId};

/// A named target: Gateway Load Balancer endpoints, one for each zone.
#[derive(Clone, Debug)]
pub struct Target {
    /// The endpoints, in the order of the policy.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints for interfaces in zones without an endpoint, in order of preference.
    pub fallback: Vec<Destination>,
}

/// One endpoint of a [`Target`].
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The endpoint, or an existing mirror target for it.
    pub destination: Destination,
    /// Name (`eu-west-1a`) or id (`euw1-az1`) of its zone.
    pub zone: String,
    /// Its region.
    pub region: Region,
    /// The only account whose sessions may send to it; `None` for every account.
    pub account: Option<AccountId>,
    /// The endpoint id in the GENEVE option of its packets, if that is known to differ from the endpoint's own id.
    pub geneve_id: Option<u64>,
}

/// Destination of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// A Gateway Load Balancer endpoint, for which this program creates a mirror target.
    Endpoint(EndpointId),
    /// An existing mirror target, which may be shared from another account.
    MirrorTarget(TargetId),
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(id) => id.fmt(formatter),
            Self::MirrorTarget(id) => id.fmt(formatter),
        }
    }
}

impl Target {
    /// The destination of an interface whose zone has this name and id: the endpoint in that zone, else the first
    /// fallback that serves the account and region.
    pub fn destination(&self, account_region: &AccountRegion, zone_names: [&str; 2]) -> Option<&Destination> {
        let serving = || self.endpoints.iter().filter(|endpoint| endpoint.serves(account_region));
        serving()
            .find(|endpoint| zone_names.contains(&endpoint.zone.as_str()))
            .map(|endpoint| &endpoint.destination)
            .or_else(|| {
                self.fallback
                    .iter()
                    .find(|fallback| serving().any(|endpoint| endpoint.destination == **fallback))
            })
    }
}

impl Endpoint {
    /// Returns true if sessions in this account and region may send to it.
    pub fn serves(&self, account_region: &AccountRegion) -> bool {
        self.region == account_region.region
            && self.account.as_ref().is_none_or(|account| *account == account_region.account)
    }
}

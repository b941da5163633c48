//! The policy: which interfaces are to be mirrored, where to, and how.
//!
//! [`read`] turns a TOML file into a [`Policy`] that cannot be wrong in itself, or into every fault that it has,
//! each with its line and its remedy.

mod fault;
mod raw;
mod settle;

pub mod filter;
pub mod selector;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use wildmatch::WildMatch;

use crate::id::{AccountId, EndpointId, Place, Region, TargetId};
use filter::Filter;
use selector::Selector;

pub use fault::{Fault, Faults};
pub use settle::read;

/// A policy that has been checked.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Value of the ownership tag: what carries it is this policy's, and nothing else is ever touched.
    pub owner: String,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// Where mirrored packets can be sent, by name.
    pub targets: BTreeMap<String, Target>,
    /// What can be mirrored of an interface, by name.
    pub filters: BTreeMap<String, Filter>,
    /// The rules; the first that selects an interface decides.
    pub rules: Vec<Rule>,
    /// How fast the API may be called, in each account and region.
    pub rates: Rates,
    /// Corrections to the built-in list of instance types that cannot be sources.
    pub instance_types: InstanceTypeGlobs,
    /// Hash of the file's text, to tell one policy from another.
    pub digest: String,
}

/// An account whose interfaces are looked after.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The role to assume in it; without one, the caller's own credentials are used.
    pub role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The regions looked after.
    pub regions: Vec<Region>,
}

/// A named target: Gateway Load Balancer endpoints, one for each zone.
#[derive(Clone, Debug)]
pub struct Target {
    /// The endpoints, in the order of the policy.
    pub endpoints: Vec<Endpoint>,
    /// Which of the endpoints take the interfaces of zones that have none, in order of preference.
    pub fallback: Vec<Destination>,
}

/// One endpoint of a [`Target`].
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The endpoint, or the mirror target made for it.
    pub destination: Destination,
    /// Name (`eu-west-1a`) or id (`euw1-az1`) of its zone.
    pub zone: String,
    /// Its region.
    pub region: Region,
    /// The one account that may use it; without one, all may.
    pub account: Option<AccountId>,
    /// The id in the GENEVE option of its packets, where it was seen to differ from the endpoint's own.
    pub geneve_id: Option<u64>,
}

/// What a session sends to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// A Gateway Load Balancer endpoint, for which a mirror target is made and kept.
    Endpoint(EndpointId),
    /// A mirror target that exists, perhaps shared from another account.
    MirrorTarget(TargetId),
}

impl std::fmt::Display for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(id) => id.fmt(formatter),
            Self::MirrorTarget(id) => id.fmt(formatter),
        }
    }
}

/// A rule: which interfaces, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique in the policy.
    pub name: String,
    /// The interfaces that it decides about.
    pub selector: Selector,
    /// Whether it decides about all interfaces of an instance or the primary one only.
    pub interfaces: Interfaces,
    /// What becomes of them.
    pub action: Action,
}

/// Which interfaces of an instance a rule selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interfaces {
    /// All of them.
    #[default]
    All,
    /// The one with device index 0 on network card 0.
    Primary,
}

/// What a rule does with the interfaces that it selects.
#[derive(Clone, Debug)]
pub enum Action {
    /// They are not mirrored.
    Exclude,
    /// They are mirrored.
    Mirror(Mirror),
}

/// How an interface is mirrored.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Name of the target.
    pub target: String,
    /// Name of the filter.
    pub filter: String,
    /// Bytes of each packet that are mirrored; without a number, all.
    pub packet_length: Option<u16>,
    /// Preferred session number, 1 to 32766.
    pub session_number: u16,
    /// Where the virtual network id comes from.
    pub vni: VniPolicy,
    /// Tags of the session, beside those of ownership.
    pub tags: BTreeMap<String, String>,
    /// From then on the rule is as if it were not there.
    pub ends: Option<OffsetDateTime>,
}

/// Where a session's virtual network id comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VniPolicy {
    /// Derived from account and interface, and not used by any other session that is known.
    #[default]
    Deterministic,
    /// Chosen by AWS.
    Aws,
}

/// How fast the API may be called, in each account and region; the defaults are below EC2's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Describe calls per second, sustained.
    pub reads_per_second: f64,
    /// Describe calls at once after a pause.
    pub read_burst: u32,
    /// Changing calls per second, sustained.
    pub writes_per_second: f64,
    /// Changing calls at once after a pause.
    pub write_burst: u32,
}

impl Default for Rates {
    fn default() -> Self {
        // EC2 refills 20 and 5 per second into buckets of 100 and 50 (Request throttling for the Amazon EC2 API);
        // a fifth is left to whoever else uses the account.
        Self { reads_per_second: 16.0, read_burst: 50, writes_per_second: 4.0, write_burst: 40 }
    }
}

/// Corrections to the built-in list of instance types.
#[derive(Clone, Debug, Default)]
pub struct InstanceTypeGlobs {
    /// These can be sources after all.
    pub supported: Vec<WildMatch>,
    /// These cannot.
    pub unsupported: Vec<WildMatch>,
}

impl Policy {
    /// Every account and region of the policy.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.accounts.iter().flat_map(|account| {
            account.regions.iter().map(|region| Place { account: account.id.clone(), region: region.clone() })
        })
    }

    /// The account of this id.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == *id)
    }

    /// The rules that mirror and have not ended.
    pub fn mirrors(&self, now: OffsetDateTime) -> impl Iterator<Item = (&Rule, &Mirror)> {
        self.rules.iter().filter_map(move |rule| match &rule.action {
            Action::Mirror(mirror) if !mirror.ended(now) => Some((rule, mirror)),
            Action::Mirror(_) | Action::Exclude => None,
        })
    }

    /// Names of the filters that a rule in force uses.
    pub fn filters_in_use(&self, now: OffsetDateTime) -> BTreeSet<&str> {
        self.mirrors(now).map(|(_, mirror)| mirror.filter.as_str()).collect()
    }

    /// The endpoints in `place` that a rule in force may send to.
    pub fn endpoints_in_use(&self, place: &Place, now: OffsetDateTime) -> BTreeSet<&EndpointId> {
        self.mirrors(now)
            .filter_map(|(_, mirror)| self.targets.get(&mirror.target))
            .flat_map(|target| &target.endpoints)
            .filter(|endpoint| endpoint.serves(place))
            .filter_map(|endpoint| match &endpoint.destination {
                Destination::Endpoint(id) => Some(id),
                Destination::MirrorTarget(_) => None,
            })
            .collect()
    }
}

impl Mirror {
    /// Whether its end time has passed.
    pub fn ended(&self, now: OffsetDateTime) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

impl Target {
    /// The destination for an interface in `place` whose zone has these names (its name, its id): the endpoint of
    /// that zone, else the first fallback that serves the place.
    pub fn destination(&self, place: &Place, zone_names: [&str; 2]) -> Option<&Destination> {
        let here = || self.endpoints.iter().filter(|endpoint| endpoint.serves(place));
        here()
            .find(|endpoint| zone_names.contains(&endpoint.zone.as_str()))
            .map(|endpoint| &endpoint.destination)
            .or_else(|| {
                self.fallback
                    .iter()
                    .find(|fallback| here().any(|endpoint| endpoint.destination == **fallback))
            })
    }
}

impl Endpoint {
    /// Whether sessions in `place` may send to it.
    pub fn serves(&self, place: &Place) -> bool {
        self.region == place.region && self.account.as_ref().is_none_or(|account| *account == place.account)
    }
}

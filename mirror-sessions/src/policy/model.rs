//! The policy, as values that have been validated.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use time::OffsetDateTime;

use super::filter::Filter;
use super::rule::{MirrorSettings, Rule, RuleAction};
use super::target::{Destination, Target};
use crate::glob::Glob;
use crate::id::{AccountId, AccountRegion, EndpointId, Region};

/// A validated policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Value of the ownership tag: resources with it belong to this policy, and no others are ever changed.
    pub owner: String,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// Targets, by name.
    pub targets: BTreeMap<String, Target>,
    /// Filters, by name.
    pub filters: BTreeMap<String, Filter>,
    /// Rules; the first one that selects an interface decides.
    pub rules: Vec<Rule>,
    /// Rate limits of API calls, in each account and region.
    pub rate_limits: RateLimits,
    /// Corrections to the built-in list of instance types.
    pub instance_types: InstanceTypeOverrides,
    /// SHA-256 of the file's text, which identifies the policy.
    pub digest: String,
}

/// An account whose interfaces the policy covers.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// ARN of the role to assume in it; `None` uses the program's own credentials.
    pub role_arn: Option<String>,
    /// External id that the role's trust policy requires.
    pub external_id: Option<String>,
    /// The regions covered.
    pub regions: Vec<Region>,
}

/// Rate limits of API calls, in each account and region; the defaults are below EC2's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimits {
    /// Sustained rate of Describe calls, per second.
    pub reads_per_second: f64,
    /// Burst of Describe calls: the capacity of their token bucket.
    pub read_burst: u32,
    /// Sustained rate of changing calls, per second.
    pub writes_per_second: f64,
    /// Burst of changing calls: the capacity of their token bucket.
    pub write_burst: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        // EC2 refills 20 and 5 per second into buckets of 100 and 50 (Request throttling for the Amazon EC2 API);
        // a fifth is left to other callers in the account.
        Self { reads_per_second: 16.0, read_burst: 50, writes_per_second: 4.0, write_burst: 40 }
    }
}

/// Corrections to the built-in list of instance types.
#[derive(Clone, Debug, Default)]
pub struct InstanceTypeOverrides {
    /// Types that can be sources.
    pub supported: Vec<Glob>,
    /// Types that cannot be sources.
    pub unsupported: Vec<Glob>,
}

impl Policy {
    /// Every account and region of the policy.
    pub fn account_regions(&self) -> impl Iterator<Item = AccountRegion> {
        self.accounts.iter().flat_map(|account| {
            account
                .regions
                .iter()
                .map(|region| AccountRegion { account: account.id.clone(), region: region.clone() })
        })
    }

    /// Returns true if the policy has this account with this region.
    pub fn covers(&self, account_region: &AccountRegion) -> bool {
        let account = self.account(&account_region.account);
        account.is_some_and(|account| account.regions.contains(&account_region.region))
    }

    /// The account with this id.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id == *id)
    }

    /// The rules in force that mirror: those whose end time has not passed.
    pub fn active_mirror_rules(&self, now: OffsetDateTime) -> impl Iterator<Item = (&Rule, &MirrorSettings)> {
        self.rules.iter().filter_map(move |rule| match &rule.action {
            RuleAction::Mirror(mirror) if !mirror.has_ended(now) => Some((rule, mirror)),
            RuleAction::Mirror(_) | RuleAction::Exclude => None,
        })
    }

    /// Names of the filters that rules in force use.
    pub fn filters_in_use(&self, now: OffsetDateTime) -> BTreeSet<&str> {
        self.active_mirror_rules(now).map(|(_, mirror)| mirror.filter.as_str()).collect()
    }

    /// The endpoints that sessions in an account and region may send to by the rules in force.
    pub fn endpoints_in_use(
        &self,
        account_region: &AccountRegion,
        now: OffsetDateTime,
    ) -> BTreeSet<&EndpointId> {
        self.active_mirror_rules(now)
            .filter_map(|(_, mirror)| self.targets.get(&mirror.target))
            .flat_map(|target| &target.endpoints)
            .filter(|endpoint| endpoint.serves(account_region))
            .filter_map(|endpoint| match &endpoint.destination {
                Destination::Endpoint(id) => Some(id),
                Destination::MirrorTarget(_) => None,
            })
            .collect()
    }
}

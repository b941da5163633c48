//! The privacy rules with their keys, as all workers share them.

use std::sync::Arc;

use super::address::{AddressPolicy, AddressTreatment, Masks};
use super::fields::FieldFilter;
use super::key::Key;
use super::label::Label;
use super::name::{NameHash, NamePolicy, NameTreatment};
use super::rule::{PrivacyError, PrivacyRule};
use super::selector::{Identity, Selector};
use crate::number::{EndpointId, Vni};
use crate::rules::Recording;

/// Fields that tell of plain addresses, or were found by addresses, so that they go where addresses do not stay.
const OF_ADDRESSES: [&str; 13] = [
    "network.direction",
    "host.ip",
    "host.mac",
    "mirror.source.account",
    "mirror.source.instance",
    "mirror.source.interface",
    "mirror.source.subnet",
    "mirror.source.vpc",
    "mirror.destination.account",
    "mirror.destination.instance",
    "mirror.destination.interface",
    "mirror.destination.subnet",
    "mirror.destination.vpc",
];
/// Names that are not derived from payload, so that nothing but their fields tells them.
const OF_NAMES: [&str; 3] = ["host.name", "host.hostname", "cloud.instance.name"];
/// Fields of MAC addresses.
const OF_MACS: [&str; 2] = ["source.mac", "destination.mac"];

/// The rules, with their keys.
#[derive(Clone, Debug, Default)]
pub struct Privacy {
    pub(super) rules: Arc<[Policy]>,
}

/// A rule, ready for use.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    selector: Selector,
    pub limit: Recording,
    pub addresses: AddressPolicy,
    pub macs: bool,
    pub names: NamePolicy,
    pub fields: FieldFilter,
    pub label: Label,
}

/// Checks the rules without looking at their keys, and returns the packets that they are for. `knows_owners` says that
/// there is an enrichment map.
///
/// # Errors
///
/// The first fault.
pub fn check(rules: &[PrivacyRule], knows_owners: bool) -> Result<Vec<Selector>, PrivacyError> {
    let selectors: Vec<Selector> =
        (1..).zip(rules).map(|(number, rule)| rule.check(number)).collect::<Result<_, _>>()?;
    if let Some(place) = selectors.iter().position(Selector::needs_identity) {
        let rule = place + 1;
        if !knows_owners {
            let key = if selectors[place].account.is_some() { "account" } else { "tags" };
            let problem =
                "can match nothing, as there is no enrichment map: give one, or select by gwlbe_id and vni";
            return Err(PrivacyError::Value { rule, key, problem: problem.to_owned() });
        }
        if !selectors.last().is_some_and(Selector::is_for_all) {
            return Err(PrivacyError::NoRest { rule });
        }
    }
    match selectors.iter().position(Selector::is_for_all) {
        Some(place) if place + 1 < selectors.len() => {
            Err(PrivacyError::Unreachable { rule: place + 2, before: place + 1 })
        }
        _ => Ok(selectors),
    }
}

impl Privacy {
    /// Checks the rules as [`check`] does, and reads their keys.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub fn load(rules: &[PrivacyRule], knows_owners: bool) -> Result<Self, PrivacyError> {
        let selectors = check(rules, knows_owners)?;
        let policies = (1..).zip(rules).zip(selectors).map(|((number, rule), selector)| {
            let key = rule.key_file.as_deref().map(Key::read).transpose();
            let key = key.map_err(|source| PrivacyError::Key { rule: number, source })?;
            Ok(Policy::new(rule, selector, key.as_ref()))
        });
        Ok(Self { rules: policies.collect::<Result<_, PrivacyError>>()? })
    }

    /// `true` if there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// `true` if some rule takes away records, payload or bytes, so that each packet must be looked at.
    pub fn limits_packets(&self) -> bool {
        self.rules.iter().any(|policy| policy.limit != Recording::default())
    }

    /// Place of the rule for packets with this endpoint and VNI, whose owner is `identity` where it is known.
    pub(super) fn find(
        &self,
        endpoint: Option<EndpointId>,
        vni: Option<Vni>,
        identity: Option<&Identity>,
    ) -> Option<usize> {
        self.rules.iter().position(|policy| policy.selector.matches(endpoint, vni, identity))
    }

    /// `true` if some rule goes by the owner.
    pub(super) fn needs_identity(&self) -> bool {
        self.rules.iter().any(|policy| policy.selector.needs_identity())
    }
}

impl Policy {
    /// The rule with its key, which is there where it needs one.
    fn new(rule: &PrivacyRule, selector: Selector, key: Option<&Key>) -> Self {
        // Without its key, which `PrivacyRule::check` has asked for, nothing that would need it is kept.
        let addresses = match (rule.addresses, key) {
            (AddressTreatment::Keep, _) => AddressPolicy::Keep,
            (AddressTreatment::Mask, _) => AddressPolicy::Mask(rule.masks()),
            (AddressTreatment::Pseudonym, Some(key)) => AddressPolicy::Pseudonym(key.clone()),
            (AddressTreatment::Pseudonym, None) => AddressPolicy::Mask(Masks { ipv4: 0, ipv6: 0 }),
        };
        let names = match (rule.names, key) {
            (NameTreatment::Keep, _) => NamePolicy::Keep,
            (NameTreatment::Hash, Some(key)) => NamePolicy::Hash(NameHash::new(key)),
            (NameTreatment::Hash, None) | (NameTreatment::Drop, _) => NamePolicy::Drop,
        };
        let macs = rule.keeps_macs();
        let mut denied: Vec<&str> = Vec::new();
        if rule.addresses != AddressTreatment::Keep {
            denied.extend(OF_ADDRESSES);
        }
        if !macs {
            denied.extend(OF_MACS);
        }
        if rule.names != NameTreatment::Keep {
            denied.extend(OF_NAMES);
        }
        let fields = FieldFilter::new(rule.fields.as_deref(), &denied);
        let key_id = key.map(|key| rule.key_id.clone().unwrap_or_else(|| key.id()));
        let label = Label::new(rule.addresses, macs, rule.names, key_id.as_deref(), fields.clone());
        Self { selector, limit: rule.limit(), addresses, macs, names, fields, label }
    }
}

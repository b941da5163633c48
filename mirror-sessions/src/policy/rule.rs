//! Rules of the policy: which interfaces are mirrored, and how.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;

use super::selector::Selector;

/// A rule: a selection of interfaces, and the action on them.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, unique in the policy.
    pub name: String,
    /// Condition on the interfaces that it selects.
    pub selector: Selector,
    /// Interfaces of each instance that it can select.
    pub interfaces: Interfaces,
    /// Action on the interfaces that it selects.
    pub action: RuleAction,
}

/// Interfaces of an instance that a rule can select.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interfaces {
    /// All of them.
    #[default]
    All,
    /// The primary one: device index 0 of network card 0.
    Primary,
}

/// Action of a rule on the interfaces that it selects.
#[derive(Clone, Debug)]
pub enum RuleAction {
    /// Do not mirror them.
    Exclude,
    /// Mirror them.
    Mirror(MirrorSettings),
}

/// Settings of the sessions that a rule creates.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    /// Name of the target.
    pub target: String,
    /// Name of the filter.
    pub filter: String,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
    pub packet_length: Option<u16>,
    /// Preferred session number, 1 to 32766.
    pub session_number: u16,
    /// Source of the virtual network id.
    pub vni: VniSource,
    /// Tags of the session, in addition to the ownership tags.
    pub tags: BTreeMap<String, String>,
    /// End time: from then on, the rule has no effect.
    pub ends: Option<OffsetDateTime>,
}

/// Source of a session's virtual network id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VniSource {
    /// Derived from account and interface, and unique among the observed sessions.
    #[default]
    Deterministic,
    /// Chosen by AWS.
    Aws,
}
impl MirrorSettings {
    /// Returns true if the end time has passed.
    pub fn has_ended(&self, now: OffsetDateTime) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

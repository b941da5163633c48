//! Changes: what a plan consists of.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::filter_rule::FilterRule;
use crate::id::{EndpointId, FilterId, FilterRuleId, InterfaceId, SessionId, TargetId};
use crate::resource::Tags;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Create a target for an endpoint.
    CreateTarget {
        /// The endpoint.
        endpoint: EndpointId,
        /// The target's tags.
        tags: Tags,
    },
    /// Create a filter, without rules.
    CreateFilter {
        /// Its name in the policy.
        name: String,
        /// Its tags.
        tags: Tags,
    },
    /// Delete a rule of a filter.
    DeleteFilterRule {
        /// The filter.
        filter: FilterId,
        /// The rule.
        id: FilterRuleId,
        /// The rule's contents, for the reader of the plan.
        rule: FilterRule,
    },
    /// Modify a rule of a filter.
    ModifyFilterRule {
        /// The filter.
        filter: FilterId,
        /// The rule.
        id: FilterRuleId,
        /// The rule as it is.
        from: FilterRule,
        /// The rule as it should be.
        to: FilterRule,
    },
    /// Create a rule of a filter.
    CreateFilterRule {
        /// The filter.
        filter: FilterRef,
        /// The rule.
        rule: FilterRule,
    },
    /// Change the network services that a filter mirrors.
    ModifyNetworkServices {
        /// The filter.
        filter: FilterRef,
        /// Services to add.
        add: BTreeSet<String>,
        /// Services to remove.
        remove: BTreeSet<String>,
    },
    /// Delete a session.
    DeleteSession {
        /// The session.
        id: SessionId,
        /// Its interface.
        interface: InterfaceId,
        /// The reason.
        reason: String,
    },
    /// Modify properties of a session.
    ModifySession {
        /// The session.
        id: SessionId,
        /// Its interface.
        interface: InterfaceId,
        /// The properties that change.
        changes: SessionChanges,
    },
    /// Create a session.
    CreateSession(NewSession),
    /// Set tags of a session, and remove some.
    TagSession {
        /// The session.
        id: SessionId,
        /// Its interface.
        interface: InterfaceId,
        /// The tags to set.
        set: Tags,
        /// Keys of the tags to remove.
        remove: BTreeSet<String>,
    },
    /// Delete a filter.
    DeleteFilter {
        /// The filter.
        id: FilterId,
        /// Its name in the policy that created it.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Delete a target.
    DeleteTarget {
        /// The target.
        id: TargetId,
        /// The endpoint that it sends to.
        endpoint: String,
        /// The reason.
        reason: String,
    },
}

/// A session to be created.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewSession {
    /// The source: the interface whose packets it mirrors.
    pub interface: InterfaceId,
    /// The rule that selects the interface.
    pub rule: String,
    /// The later of the instance's launch and the interface's attachment, in Unix seconds.
    pub incarnation: i64,
    /// The target.
    pub target: TargetRef,
    /// The filter.
    pub filter: FilterRef,
    /// The session number.
    pub number: u16,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
    pub packet_length: Option<u16>,
    /// The virtual network id; `None` lets AWS choose one.
    pub vni: Option<u32>,
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
}

/// The properties of a session that change, each as it is and as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionChanges {
    /// The target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<(TargetId, TargetRef)>,
    /// The filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<(FilterId, FilterRef)>,
    /// The session number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<(u16, u16)>,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet_length: Option<(Option<u16>, Option<u16>)>,
    /// The virtual network id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vni: Option<(u32, u32)>,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<(String, String)>,
}

/// A filter that exists, or that the same plan creates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterRef {
    /// An existing one.
    Existing(FilterId),
    /// One that the plan creates, with this name in the policy.
    Planned(String),
}

/// A target that exists, or that the same plan creates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetRef {
    /// An existing one.
    Existing(TargetId),
    /// One that the plan creates, for this endpoint.
    Planned(EndpointId),
}

impl Change {
    /// The interface, for changes of sessions.
    pub const fn interface(&self) -> Option<&InterfaceId> {
        match self {
            Self::DeleteSession { interface, .. }
            | Self::ModifySession { interface, .. }
            | Self::TagSession { interface, .. }
            | Self::CreateSession(NewSession { interface, .. }) => Some(interface),
            _ => None,
        }
    }

    /// Returns true if it deletes a session, filter or target.
    pub const fn prunes(&self) -> bool {
        matches!(self, Self::DeleteSession { .. } | Self::DeleteFilter { .. } | Self::DeleteTarget { .. })
    }

    /// Number of the stage in which the change is applied. Changes of a stage are independent of each other; a stage
    /// begins when the earlier ones are done.
    pub const fn stage(&self) -> u8 {
        match self {
            Self::CreateTarget { .. } | Self::CreateFilter { .. } | Self::DeleteFilterRule { .. } => 0,
            Self::ModifyFilterRule { .. } => 1,
            Self::CreateFilterRule { .. } | Self::ModifyNetworkServices { .. } => 2,
            Self::DeleteSession { .. } => 3,
            Self::ModifySession { .. } => 4,
            Self::CreateSession(_) | Self::TagSession { .. } => 5,
            Self::DeleteFilter { .. } | Self::DeleteTarget { .. } => 6,
        }
    }
}

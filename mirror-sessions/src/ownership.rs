//! Ownership: the tags and the description by which this program recognises the resources that it created.

use crate::id::InstanceId;
use crate::resource::{Filter, Session, Tags, Target};

/// Prefix of this program's tag keys. Tags with other keys are left to whoever set them.
pub const TAG_PREFIX: &str = "mirror-sessions:";
/// The policy's owner. Only resources with this tag are ever changed or deleted.
pub const OWNER_TAG: &str = "mirror-sessions:owner";
/// On a session: the rule that selects its interface.
pub const RULE_TAG: &str = "mirror-sessions:rule";
/// On a session: the end time of its rule (RFC 3339), for information; the policy decides.
pub const ENDS_TAG: &str = "mirror-sessions:ends";
/// On a filter: its name in the policy.
pub const FILTER_TAG: &str = "mirror-sessions:filter";
/// The name that the AWS console shows.
pub const NAME_TAG: &str = "Name";
/// Tags of a resource that are reserved for this program: those above, `Name` included.
pub const RESERVED_TAGS: usize = 5;

/// A resource with tags, which say who owns it.
pub trait Owned {
    /// The tags.
    fn tags(&self) -> &Tags;

    /// Returns true if the resource was created for the policy of `owner`.
    fn owned_by(&self, owner: &str) -> bool {
        self.tags().get(OWNER_TAG).is_some_and(|value| value == owner)
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

/// Description of the sessions of an instance. Sessions can be filtered by description but not by tag, and an
/// interface that was detached no longer names the instance that it was attached to.
pub fn session_description(owner: &str, instance: &InstanceId) -> String {
    format!("mirror-sessions/{owner} {instance}")
}

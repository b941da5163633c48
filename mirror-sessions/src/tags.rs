//! The tags by which this program knows what is its own, and remembers why it made it.

/// Beginning of every key below; other keys of a resource are left to whoever set them.
pub const PREFIX: &str = "mirror-sessions:";
/// The policy's owner. Only what carries it is ever changed or deleted.
pub const OWNER: &str = "mirror-sessions:owner";
/// On a session: the rule that wants it.
pub const RULE: &str = "mirror-sessions:rule";
/// On a session: the end time of its rule (RFC 3339), for whoever looks at it; the policy decides.
pub const ENDS: &str = "mirror-sessions:ends";
/// On a filter: its name in the policy.
pub const FILTER: &str = "mirror-sessions:filter";
/// How many tags of a resource may be these, `Name` included.
pub const RESERVED: usize = 5;
/// The name that the console shows.
pub const NAME: &str = "Name";

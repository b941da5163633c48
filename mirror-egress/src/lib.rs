//! Egress rules as a value: rules in, a verdict on each connection out.
//!
//! Pure: no input or output, and time is an argument. In the order of the data:
//!
//! 1. [`rule`]: rules as the configuration states them; [`date`]: the day on which an exception ends; [`error`]: their faults,
//!    each with a remedy.
//! 2. [`name`]: domain names in the one form that they are compared in.
//! 3. [`Engine`]: the compiled rules. For each key of a rule there is an index from a connection's value to the set of rules
//!    that the value satisfies: hash tables, a trie of names, tries of prefixes, intervals of ports. The rules that a connection
//!    satisfies are the intersection of these sets.
//! 4. [`connection`] and [`verdict`]: what is judged, and the judgement; [`explain`]: the rules before it, and why they do not
//!    apply.
//! 5. [`limiter`]: bounds the alerts of each rule, and counts those that it suppresses.
//! 6. [`amount`]s of traffic; [`summary`]: verdicts over many connections; [`learn`]: the smallest list of rules that allows what was seen.
//!
//! # How a connection is judged
//!
//! - The **first rule that applies** decides; the rest are not looked at. Without one, the default action holds.
//! - A rule applies if **each of its keys** holds; a key with a list holds if **one of its entries** does. Of `tags`, each one
//!   must hold. A key that is left out always holds.
//! - A rule with `until` counts up to the end of that day (UTC), and then no longer. An exception is such a rule with
//!   `action = "allow"`, put before the rule that it is an exception to.
//! - `*.example.com` is for every name below `example.com`, at any depth, and not for `example.com` itself. `*` is for any name.
//! - IPv4 addresses that are written as IPv6 (`::ffff:192.0.2.1`) are IPv4; an IPv6 prefix, `::/0` too, is for IPv6 only.
//!
//! # Which names count
//!
//! A client can claim any name in its handshake. So a name counts for a rule with `domains` by what the rule does: one that
//! allows must be satisfied by every name that is known, one that warns or denies by any of them.
//!
//! | claimed (SNI, HTTP host) | answered by DNS | `allow` applies | `alert`, `deny` apply |
//! |---|---|---|---|
//! | in `domains` | unknown | yes | yes |
//! | not in `domains` | unknown | no | no |
//! | none | in `domains` | yes | yes |
//! | none | not in `domains` | no | no |
//! | in `domains` | in `domains` | yes | yes |
//! | in `domains` | not in `domains` | no | yes |
//! | not in `domains` | in `domains` | no | yes |
//! | not in `domains` | not in `domains` | no | no |
//! | none | unknown | no | no |
//! | contradicted by DNS (`mismatch`) | any | no | as above |
//! | no valid domain name | any | no | by DNS's name |
//!
//! An address in place of a host name, as in `Host: 192.0.2.1`, is no name at all.

pub mod amount;
pub mod connection;
pub mod date;
mod engine;
pub mod error;
pub mod explain;
pub mod learn;
pub mod limiter;
pub mod name;
mod parse;
pub mod rule;
pub mod summary;
pub mod verdict;

pub use self::amount::Amount;
pub use self::connection::{Connection, Identity};
pub use self::date::Date;
pub use self::engine::{Engine, Finding};
pub use self::error::EgressError;
pub use self::limiter::{Admission, AlertLimiter};
pub use self::rule::{Action, EgressDefault, EgressRule};
pub use self::verdict::{Reason, Verdict};

/// Nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

//! Rules as the configuration states them.
//!
//! ```toml
//! [egress_default]              # for connections that no rule applies to
//! action = "alert"
//!
//! [[egress]]                    # an exception: before the rule that it is an exception to
//! name = "migration of the old reports"
//! accounts = ["111122223333"]
//! domains = ["ftp.partner.example"]
//! action = "allow"
//! until = 2027-01-31
//!
//! [[egress]]
//! name = "no file transfer"
//! ports = ["20-21"]
//! protocols = ["tcp"]
//! action = "deny"
//!
//! [[egress]]
//! name = "payments to the bank"
//! description = "Contract 4711, asked for by the payments team"
//! accounts = ["111122223333"]
//! tags = { team = ["payments"] }
//! domains = ["api.bank.example", "*.cdn.bank.example"]
//! ports = [443]
//! protocols = ["tcp", "udp"]
//! applications = ["tls", "quic"]
//! action = "allow"
//! undecodable = "alert"
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::date::Date;

/// Judgement on a connection, from the mildest to the most severe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Nothing is to be said.
    #[default]
    Allow,
    /// It is allowed, and an alert is to be raised.
    Alert,
    /// It is not allowed. In alarm mode: an alert that it would be denied.
    Deny,
}

impl Action {
    /// All actions, from the mildest to the most severe.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Alert, Self::Deny];

    /// The name, as in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Alert => "alert",
            Self::Deny => "deny",
        }
    }
}

/// A rule: one `[[egress]]` table. Each key that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// Name, which stands in records and alerts; without one, `egress-` and the number of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Purpose, for readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Accounts of the source: 12 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<String>>,
    /// VPCs of the source: `vpc-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpcs: Option<Vec<String>>,
    /// Subnets of the source: `subnet-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnets: Option<Vec<String>>,
    /// Networks of the source's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_networks: Option<Vec<String>>,
    /// Names of the destination; `*.` in front stands for one or more labels, `*` for any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// Networks of the destination's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// Ports of the destination: numbers, and ranges such as `"8000-8999"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<Port>>,
    /// IP protocols: `tcp`, `udp`, `sctp`, `icmp`, `ipv6-icmp`, or a number in quotation marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<String>>,
    /// Applications: [`APPLICATIONS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<Vec<String>>,
    /// Action where it applies.
    pub action: Action,
    /// Last day on which it counts (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Date>,
    /// Action, if more severe, for a connection without any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_name: Option<Action>,
    /// Action, if more severe, for a connection whose handshake could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<Action>,
    /// Action, if more severe, for a ClientHello with Encrypted Client Hello, whose name may be another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ech: Option<Action>,
    /// Action, if more severe, for a claimed name that DNS contradicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Action>,
    /// Tags of the source: for each key the values, of which one must be there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Vec<String>>,
}

/// A port or a range of ports, as stated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a port such as 443 or a range such as \"8000-8999\"")]
pub enum Port {
    /// A number.
    Number(i64),
    /// A range, or a number as text.
    Text(String),
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(formatter),
            Self::Text(text) => text.fmt(formatter),
        }
    }
}

/// Table `[egress_default]`: what holds where no rule applies, and for what rules leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressDefault {
    /// Action where no rule applies.
    pub action: Action,
    /// [`EgressRule::no_name`] of rules that have none, and where no rule applies.
    pub no_name: Action,
    /// [`EgressRule::undecodable`] of rules that have none, and where no rule applies.
    pub undecodable: Action,
    /// [`EgressRule::ech`] of rules that have none, and where no rule applies.
    pub ech: Action,
    /// [`EgressRule::mismatch`] of rules that have none, and where no rule applies.
    pub mismatch: Action,
    /// Alerts per rule and minute, in the long run.
    pub alerts_per_minute: u32,
    /// Alerts of a rule that may come at once.
    pub alert_burst: u32,
}

impl Default for EgressDefault {
    /// Everything is allowed; 10 alerts a minute and rule, 20 at once.
    fn default() -> Self {
        Self {
            action: Action::Allow,
            no_name: Action::Allow,
            undecodable: Action::Allow,
            ech: Action::Allow,
            mismatch: Action::Allow,
            alerts_per_minute: 10,
            alert_burst: 20,
        }
    }
}

/// Applications that a rule can name, as `network.protocol` has them.
pub const APPLICATIONS: [&str; 11] =
    ["dhcp", "dns", "http", "imap", "mdns", "mysql", "postgresql", "quic", "smtp", "ssh", "tls"];

/// Names of IP protocols, as `network.transport` has them, with their numbers (IANA, Assigned Internet Protocol Numbers).
pub const PROTOCOLS: [(&str, u8); 8] = [
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ipv6-icmp", 58),
    ("sctp", 132),
];

//! The judgement on a connection.

use crate::rule::Action;

/// Judgement on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Action.
    pub action: Action,
    /// Index of the rule that decided, from 0 on; [`None`] for the default.
    pub rule: Option<u32>,
    /// Reason for the action.
    pub reason: Reason,
}

/// Reason for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The rule says so.
    Rule,
    /// No rule applies, and the default says so.
    Default,
    /// It has no name.
    NoName,
    /// Its handshake could not be decoded.
    Undecodable,
    /// It has Encrypted Client Hello.
    Ech,
    /// DNS contradicts the name that it claims.
    Mismatch,
}

impl Reason {
    /// A word for records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Default => "default",
            Self::NoName => "no_name",
            Self::Undecodable => "undecodable",
            Self::Ech => "ech",
            Self::Mismatch => "mismatch",
        }
    }

    /// A sentence for readers.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Rule => "the rule says so",
            Self::Default => "no rule applies",
            Self::NoName => "no name is known for the destination",
            Self::Undecodable => "the handshake could not be decoded",
            Self::Ech => "the handshake has Encrypted Client Hello, so that the name in it may be another",
            Self::Mismatch => "DNS contradicts the name that was claimed",
        }
    }
}

//! The way to a verdict: the rules that were looked at, and why they do not apply.

use std::fmt::{self, Display, Formatter};

use crate::date::Date;
use crate::rule::Action;
use crate::verdict::Verdict;

/// A verdict, with the rules up to the one that decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Name of the rule that decided.
    pub rule_name: String,
    /// The rules before it, and it.
    pub traces: Vec<Trace>,
}

/// A rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Index of the rule, from 0 on.
    pub rule: u32,
    /// Its name.
    pub name: String,
    /// Its action.
    pub action: Action,
    /// Whether it applies.
    pub outcome: Outcome,
}

/// Whether a rule applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It does, and decides.
    Applies,
    /// It would, but counts no longer.
    Lapsed(Date),
    /// These keys do not hold.
    Misses(Vec<Miss>),
}

/// A key of a rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Any other key, as in the configuration.
    Key(&'static str),
    /// A tag, by its key.
    Tag(String),
    /// `domains`.
    Domains(NameMiss),
}

/// Reasons why `domains` does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameMiss {
    /// No name is known.
    NoName,
    /// Another name.
    Other,
    /// A name that a client claimed, or that DNS answered, is none.
    Invalid,
    /// Only one of the names that are known is in the list, and an allowance needs both.
    OnlyOne,
    /// DNS contradicts the claimed name, and the rule would allow.
    Contradicted,
}

impl Display for Miss {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => formatter.write_str(key),
            Self::Tag(key) => write!(formatter, "tags.{key:?}"),
            Self::Domains(miss) => {
                let text = match miss {
                    NameMiss::NoName => "no name is known",
                    NameMiss::Other => "another name",
                    NameMiss::Invalid => "not a valid name",
                    NameMiss::OnlyOne => "the claimed name and that of DNS are not both in the list",
                    NameMiss::Contradicted => "DNS contradicts the claimed name",
                };
                write!(formatter, "domains ({text})")
            }
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applies => formatter.write_str("applies"),
            Self::Lapsed(until) => write!(formatter, "has lapsed on {until}"),
            Self::Misses(misses) => {
                for (miss, separator) in
                    misses.iter().zip(std::iter::once("not by ").chain(std::iter::repeat(", ")))
                {
                    write!(formatter, "{separator}{miss}")?;
                }
                Ok(())
            }
        }
    }
}

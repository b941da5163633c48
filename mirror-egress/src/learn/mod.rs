//! The smallest list of rules that allows what was seen.
//!
//! - [`Learner`] gathers observations: for each source, protocol and port the names and, where there are none, the addresses.
//! - `wildcard`: many names below one domain become one wildcard.
//! - `merge`: what is alike becomes one rule.
//! - [`Proposal`]: the rules, as values and as text for the configuration.
//!
//! But for wildcards, the rules allow what was seen and nothing else; an address that was seen without a name is allowed by whatever
//! name. What cannot be allowed like that is left out and counted: see
//! [`LeftOut`].

mod merge;
mod proposal;
mod wildcard;

use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

pub use self::proposal::Proposal;
use crate::amount::Amount;
use crate::connection::Connection;
use crate::name::Seen;
use crate::parse;

/// Whom a learned rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every source.
    Everyone,
    /// An account.
    #[default]
    Account,
}

/// How to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnOptions {
    /// Whom a rule is for.
    pub scope: Scope,
    /// Names below one registrable domain that become a wildcard; 0: none do.
    pub wildcard_from: usize,
    /// Different destinations (by source, protocol and port) that are kept; further ones are counted.
    pub capacity: usize,
}

impl Default for LearnOptions {
    /// Rules for accounts, wildcards from 5 names on, a million destinations.
    fn default() -> Self {
        Self { scope: Scope::default(), wildcard_from: 5, capacity: 1_000_000 }
    }
}

/// Observations that no rule is proposed for, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Those whose claimed name DNS contradicts, or that have a name that is none: to be looked into.
    pub contradicted: Amount,
    /// Those without an account, though others have one: a rule for them would be for everyone.
    pub unknown_source: Amount,
    /// Those of TCP, UDP, DCCP or SCTP without a port: a rule for them would be for every port.
    pub no_port: Amount,
    /// Those for which there was no more room.
    pub no_room: Amount,
}

/// A source, protocol and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Cell {
    who: Option<Box<str>>,
    protocol: u8,
    port: Option<u16>,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Target {
    Name(Box<str>),
    Network(IpNet),
}

/// Gathers observations, in bounded memory.
#[derive(Clone, Debug)]
pub struct Learner {
    options: LearnOptions,
    seen: HashMap<(Cell, Target), Amount>,
    total: Amount,
    left_out: LeftOut,
    /// Examples of what is contradicted.
    contradicted: Vec<String>,
}

impl Learner {
    /// Examples of contradicted names that are kept.
    const EXAMPLES: usize = 20;

    /// A learner that has seen nothing.
    pub fn new(options: LearnOptions) -> Self {
        Self {
            options,
            seen: HashMap::new(),
            total: Amount::default(),
            left_out: LeftOut::default(),
            contradicted: Vec::new(),
        }
    }

    /// Takes note of a connection.
    pub fn observe(&mut self, connection: &Connection<'_>, amount: &Amount) {
        self.total.add(amount);
        if connection.port.is_none() && matches!(connection.protocol, 6 | 17 | 33 | 132) {
            self.left_out.no_port.add(amount);
            return;
        }
        let (claimed, answered) = (Seen::read(connection.claimed), Seen::read(connection.answered));
        if connection.mismatch || claimed == Seen::Invalid || answered == Seen::Invalid {
            self.left_out.contradicted.add(amount);
            let example = connection.to_string();
            if self.contradicted.len() < Self::EXAMPLES && !self.contradicted.contains(&example) {
                self.contradicted.push(example);
            }
            return;
        }
        let source = &connection.source;
        let cell = Cell {
            who: match self.options.scope {
                Scope::Everyone => None,
                Scope::Account => source.account.and_then(|account| parse::account(account).ok()),
            },
            protocol: connection.protocol,
            port: connection.port,
        };
        let mut names: Vec<&str> = [claimed.name(), answered.name()].into_iter().flatten().collect();
        names.dedup();
        let targets: Vec<Target> = if names.is_empty() {
            vec![Target::Network(connection.destination.to_canonical().into())]
        } else {
            names.into_iter().map(|name| Target::Name(name.into())).collect()
        };
        let keys = targets.into_iter().map(|target| (cell.clone(), target));
        let (known, new): (Vec<_>, Vec<_>) = keys.partition(|key| self.seen.contains_key(key));
        if self.seen.len() + new.len() > self.options.capacity {
            self.left_out.no_room.add(amount);
            return;
        }
        for key in known.into_iter().chain(new) {
            self.seen.entry(key).or_default().add(amount);
        }
    }

    /// Proposes rules for what was seen.
    pub fn propose(self) -> Proposal {
        let Self { options, seen, total, mut left_out, contradicted } = self;
        let is_known = seen.keys().any(|(cell, _)| cell.who.is_some());
        let mut cells: BTreeMap<Cell, BTreeMap<Target, Amount>> = BTreeMap::new();
        for ((cell, target), amount) in seen {
            if is_known && cell.who.is_none() {
                left_out.unknown_source.add(&amount);
            } else {
                cells.entry(cell).or_default().insert(target, amount);
            }
        }
        let rules = merge::merge(cells, options.wildcard_from);
        let scope = if is_known { options.scope } else { Scope::Everyone };
        Proposal { scope, rules, total, left_out, contradicted }
    }
}

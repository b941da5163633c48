//! What is alike in one rule.
//!
//! Each source, protocol and port has one list of names and one of networks. Those with the same list are put together, first
//! by port, then by source, then by protocol: as every combination of a rule's entries was seen then, the rule allows no more.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::wildcard::generalise;
use super::{Cell, Target};
use crate::amount::Amount;

/// A name, or a wildcard in place of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    /// Names that it stands for.
    pub names: usize,
    pub amount: Amount,
}

/// A rule that was learned.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    pub who: BTreeSet<Box<str>>,
    pub protocols: BTreeSet<u8>,
    pub ports: BTreeSet<u16>,
    pub domains: BTreeMap<String, Domain>,
    pub networks: Vec<IpNet>,
    pub amount: Amount,
}

/// One list of destinations: names or networks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Destinations {
    Domains(Vec<String>),
    Networks(Vec<IpNet>),
}

/// The few rules that allow what the cells have.
pub(super) fn merge(cells: BTreeMap<Cell, BTreeMap<Target, Amount>>, wildcard_from: usize) -> Vec<Learned> {
    let mut rules = Vec::new();
    for (Cell { who, protocol, port }, targets) in cells {
        let (mut names, mut networks) = (BTreeMap::new(), Vec::new());
        let mut nameless = Amount::default();
        for (target, amount) in targets {
            match target {
                Target::Name(name) => drop(names.insert(name, amount)),
                Target::Network(network) => {
                    networks.push(network);
                    nameless.add(&amount);
                }
            }
        }
        let rule = Learned {
            who: who.into_iter().collect(),
            protocols: [protocol].into(),
            ports: port.into_iter().collect(),
            ..Learned::default()
        };
        if !names.is_empty() {
            let domains = generalise(names, wildcard_from);
            let mut amount = Amount::default();
            for domain in domains.values() {
                amount.add(&domain.amount);
            }
            rules.push(Learned { domains, amount, ..rule.clone() });
        }
        if !networks.is_empty() {
            let networks = IpNet::aggregate(&networks);
            rules.push(Learned { networks, amount: nameless, ..rule });
        }
    }
    let rules = unite(rules, |rule| (rule.who.clone(), rule.protocols.clone(), rule.ports.is_empty()));
    let rules = unite(rules, |rule| (rule.ports.clone(), rule.protocols.clone(), rule.who.is_empty()));
    unite(rules, |rule| (rule.who.clone(), rule.ports.clone(), false))
}

/// Unites rules with the same destinations that have the same `key`.
fn unite<K: Ord>(rules: Vec<Learned>, key: impl Fn(&Learned) -> K) -> Vec<Learned> {
    let mut united: BTreeMap<(Destinations, K), Learned> = BTreeMap::new();
    for rule in rules {
        let destinations = if rule.domains.is_empty() {
            Destinations::Networks(rule.networks.clone())
        } else {
            Destinations::Domains(rule.domains.keys().cloned().collect())
        };
        match united.entry((destinations, key(&rule))) {
            std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(rule)),
            std::collections::btree_map::Entry::Occupied(mut place) => {
                let all = place.get_mut();
                all.who.extend(rule.who);
                all.protocols.extend(rule.protocols);
                all.ports.extend(rule.ports);
                all.amount.add(&rule.amount);
                for (name, domain) in rule.domains {
                    let known =
                        all.domains.entry(name).or_insert(Domain { names: 0, amount: Amount::default() });
                    known.names = known.names.max(domain.names);
                    known.amount.add(&domain.amount);
                }
            }
        }
    }
    united.into_values().collect()
}

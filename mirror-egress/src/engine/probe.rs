//! The sets of rules that a connection satisfies, key by key, and their intersection.
//!
//! Rules that have the same keys form a class. In a class a connection satisfies the rules that are in the sets of all its
//! keys, and these sets are small; a rule that leaves a key out is in no set of that key, but in another class. So a connection
//! is compared with each class, of which there are a few, and hardly ever with a rule that does not apply.

use super::set::{Set, SetId};
use super::{Class, Engine};
use crate::connection::Connection;
use crate::explain::{Miss, NameMiss};
use crate::name::Seen;

/// Most different keys of tags in all rules together.
pub(super) const MAX_TAG_KEYS: usize = 32;

/// The keys of rules, by their places among the sets of a connection; tags are behind them. The keys with most values come
/// first.
pub(super) mod place {
    pub(in super::super) const DOMAINS: usize = 0;
    pub(in super::super) const NETWORKS: usize = 1;
    pub(in super::super) const ACCOUNTS: usize = 2;
    pub(in super::super) const PORTS: usize = 3;
    pub(in super::super) const SOURCE_NETWORKS: usize = 4;
    pub(in super::super) const VPCS: usize = 5;
    pub(in super::super) const SUBNETS: usize = 6;
    pub(in super::super) const APPLICATIONS: usize = 7;
    pub(in super::super) const PROTOCOLS: usize = 8;
    pub(in super::super) const TAGS: usize = 9;
}

/// The keys, as in the configuration, by their places.
const KEYS: [&str; place::TAGS] = [
    "domains",
    "networks",
    "accounts",
    "ports",
    "source_networks",
    "vpcs",
    "subnets",
    "applications",
    "protocols",
];

/// The sets of one connection.
pub(super) struct Probes<'e> {
    engine: &'e Engine,
    /// The rules for the connection's value of each key; for the names: those for one of both.
    sets: [&'e Set; place::TAGS + MAX_TAG_KEYS],
    names: NameSets<'e>,
}

/// The rules that a connection satisfies by its names.
struct NameSets<'e> {
    /// Rules for the claimed name, and for the answered one, where they are names.
    claimed: Option<&'e Set>,
    answered: Option<&'e Set>,
    miss: NameMiss,
    /// Names may win an allowance: DNS does not contradict them, and both are valid where they are there.
    is_trusted: bool,
    /// Rules that allow.
    allowing: &'e Set,
}

impl<'e> NameSets<'e> {
    fn new(engine: &'e Engine, connection: &Connection<'_>, claimed: &Seen, answered: &Seen) -> Self {
        let find = |seen: &Seen| Some(engine.sets.get(engine.domains.as_ref()?.find(seen.name()?)));
        let is_valid = *claimed != Seen::Invalid && *answered != Seen::Invalid;
        Self {
            claimed: find(claimed),
            answered: find(answered),
            miss: match (claimed, answered) {
                _ if connection.mismatch => NameMiss::Contradicted,
                (Seen::Absent, Seen::Absent) => NameMiss::NoName,
                _ if is_valid => NameMiss::Other,
                _ => NameMiss::Invalid,
            },
            is_trusted: is_valid && !connection.mismatch,
            allowing: engine.sets.get(engine.allowing),
        }
    }

    /// The words in which there may be rules.
    fn summary(&self, block: u32) -> u64 {
        let of = |set: Option<&Set>| set.map_or(0, |set| set.summary(block));
        of(self.claimed) | of(self.answered)
    }

    fn word(&self, index: u32) -> u64 {
        let of = |set: Option<&Set>| set.map(|set| set.word(index));
        let (either, every) = match (of(self.claimed), of(self.answered)) {
            (Some(claimed), Some(answered)) => (claimed | answered, claimed & answered),
            (Some(only), None) | (None, Some(only)) => (only, only),
            (None, None) => (0, 0),
        };
        let every = if self.is_trusted { every } else { 0 };
        let allowing = self.allowing.word(index);
        (allowing & every) | (!allowing & either)
    }

    /// Reason why a rule is not satisfied.
    fn miss_of(&self, rule: u32) -> NameMiss {
        let is_in = |set: Option<&Set>| set.is_some_and(|set| set.contains(rule));
        match (is_in(self.claimed), is_in(self.answered)) {
            (true, false) | (false, true) if self.miss == NameMiss::Other => NameMiss::OnlyOne,
            (false, false) if self.miss == NameMiss::Contradicted => NameMiss::Other,
            _ => self.miss,
        }
    }
}

impl<'e> Probes<'e> {
    pub(super) fn new(
        engine: &'e Engine,
        connection: &Connection<'_>,
        claimed: &Seen,
        answered: &Seen,
    ) -> Self {
        let source = &connection.source;
        let mut sets = [engine.sets.get(engine.empty); place::TAGS + MAX_TAG_KEYS];
        let mut put = |place: usize, found: Option<SetId>| {
            if let Some(found) = found {
                sets[place] = engine.sets.get(found);
            }
        };
        let networks = engine.networks.as_ref();
        put(place::NETWORKS, networks.and_then(|index| index.find(connection.destination.to_canonical())));
        put(place::ACCOUNTS, engine.accounts.as_ref().and_then(|index| index.find(source.account?)));
        put(place::PORTS, engine.ports.as_ref().and_then(|index| index.find(connection.port?)));
        let sources = engine.source_networks.as_ref();
        put(place::SOURCE_NETWORKS, sources.and_then(|index| index.find(source.address?.to_canonical())));
        put(place::VPCS, engine.vpcs.as_ref().and_then(|index| index.find(source.vpc?)));
        put(place::SUBNETS, engine.subnets.as_ref().and_then(|index| index.find(source.subnet?)));
        put(
            place::APPLICATIONS,
            engine.applications.as_ref().and_then(|index| index.find(connection.application?)),
        );
        put(place::PROTOCOLS, engine.protocols.as_ref().and_then(|index| index.find(&connection.protocol)));
        for (place, (key, index)) in (place::TAGS..).zip(&engine.tags) {
            let tag = source.tags.iter().find(|(name, _)| **name == **key);
            put(place, tag.and_then(|(_, value)| index.find(*value)));
        }
        Self { engine, sets, names: NameSets::new(engine, connection, claimed, answered) }
    }

    /// The first rule that the connection satisfies and that is `live`. The words that are looked at are added to `steps`.
    pub(super) fn first(&self, live: impl Fn(u32) -> bool, steps: &mut u64) -> Option<u32> {
        let mut first = None;
        for class in &self.engine.classes {
            let earlier = self.first_of(class, first.unwrap_or(u32::MAX), &live, steps);
            first = earlier.or(first);
        }
        first
    }

    /// The first such rule of a class, if it comes before another.
    fn first_of(
        &self,
        class: &Class,
        before: u32,
        live: impl Fn(u32) -> bool,
        steps: &mut u64,
    ) -> Option<u32> {
        let members = self.engine.sets.get(class.members);
        for block in 0..members.blocks() {
            *steps += 1;
            let mut words = members.summary(block);
            for &place in &class.keys {
                words &= if place == place::DOMAINS {
                    self.names.summary(block)
                } else {
                    self.sets[place].summary(block)
                };
            }
            while words != 0 {
                *steps += 1;
                let index = block * u64::BITS + words.trailing_zeros();
                words &= words - 1;
                let mut rules = class
                    .keys
                    .iter()
                    .fold(members.word(index), |rules, &place| rules & self.word(place, index));
                while rules != 0 {
                    let rule = index * u64::BITS + rules.trailing_zeros();
                    if rule >= before {
                        return None;
                    }
                    if live(rule) {
                        return Some(rule);
                    }
                    *steps += 1;
                    rules &= rules - 1;
                }
            }
        }
        None
    }

    /// The rules of one word that the connection satisfies by one key.
    fn word(&self, place: usize, index: u32) -> u64 {
        if place == place::DOMAINS { self.names.word(index) } else { self.sets[place].word(index) }
    }

    /// The keys of a rule that the connection does not satisfy.
    pub(super) fn misses(&self, rule: u32) -> Vec<Miss> {
        let (index, bit) = (rule / u64::BITS, rule % u64::BITS);
        let missed =
            self.engine.keys_of(rule).iter().filter(|&&place| self.word(place, index) >> bit & 1 == 0);
        missed
            .map(|&place| match KEYS.get(place) {
                Some(_) if place == place::DOMAINS => Miss::Domains(self.names.miss_of(rule)),
                Some(key) => Miss::Key(key),
                None => Miss::Tag(self.engine.tags[place - place::TAGS].0.to_string()),
            })
            .collect()
    }
}

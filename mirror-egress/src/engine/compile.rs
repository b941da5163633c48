//! From rules as they are stated to their indices.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use ipnet::IpNet;

use super::index::{Exact, Networks, Ports, RulesBy};
use super::names::Names;
use super::probe::{MAX_TAG_KEYS, place};
use super::set::{Set, SetPool};
use super::{Class, CompiledRule, Engine};
use crate::error::{EgressError, Fault};
use crate::parse::{self, Pattern};
use crate::rule::{Action, EgressDefault, EgressRule};

/// Most rules.
pub(super) const MAX_RULES: usize = 100_000;

impl Engine {
    /// Compiles `rules`; `default` holds where none applies.
    ///
    /// # Errors
    ///
    /// The first fault of a rule, or what makes all of them too many.
    pub fn compile(rules: &[EgressRule], default: EgressDefault) -> Result<Self, EgressError> {
        if default.alerts_per_minute == 0 {
            return Err(EgressError::NoAlerts { key: "alerts_per_minute" });
        }
        if default.alert_burst == 0 {
            return Err(EgressError::NoAlerts { key: "alert_burst" });
        }
        if rules.len() > MAX_RULES {
            return Err(EgressError::TooManyRules { rules: rules.len(), limit: MAX_RULES });
        }
        let mut columns = Columns::default();
        let mut compiled = Vec::with_capacity(rules.len());
        let mut names = HashMap::new();
        let mut classes: BTreeMap<Vec<Key>, Vec<u32>> = BTreeMap::new();
        for (index, rule) in (0..).zip(rules) {
            classes.entry(columns.add(index, rule)?).or_default().push(index);
            compiled.push(compile_rule(index, rule, &default, &mut names)?);
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_unstable_by_key(|(_, members)| members.first().copied());
        for (place, (_, members)) in classes.iter().enumerate() {
            for &member in members {
                compiled[member as usize].class = place;
            }
        }
        let mut pool = SetPool::default();
        let allowing = (0..).zip(&compiled).filter(|(_, rule)| rule.action == Action::Allow);
        let engine = Self {
            allowing: pool.add(Set::new(allowing.map(|(index, _)| index))),
            empty: pool.add(Set::default()),
            classes: classes
                .into_iter()
                .map(|(keys, members)| Class {
                    keys: keys.iter().map(|key| columns.place(key)).collect(),
                    members: pool.add(Set::new(members)),
                })
                .collect(),
            accounts: exact(columns.accounts, &mut pool),
            vpcs: exact(columns.vpcs, &mut pool),
            subnets: exact(columns.subnets, &mut pool),
            applications: exact(columns.applications, &mut pool),
            protocols: exact(columns.protocols, &mut pool),
            source_networks: index(columns.source_networks, &mut pool, Networks::new),
            networks: index(columns.networks, &mut pool, Networks::new),
            ports: index(columns.ports, &mut pool, Ports::new),
            domains: index(columns.domains, &mut pool, |by, pool| Names::new(&by, pool)),
            tags: columns.tags.into_iter().map(|(key, by)| (key, Exact::new(by, &mut pool))).collect(),
            rules: compiled.into(),
            default,
            sets: {
                if pool.is_full() {
                    return Err(EgressError::TooLarge { limit: SetPool::LIMIT_MIB });
                }
                pool.finish()
            },
        };
        Ok(engine)
    }
}

/// The index of a key; [`None`] where no rule has it.
fn index<K, I>(
    by: RulesBy<K>,
    pool: &mut SetPool,
    make: impl FnOnce(RulesBy<K>, &mut SetPool) -> I,
) -> Option<I> {
    (!by.is_empty()).then(|| make(by, pool))
}

fn exact<K: Hash + Eq>(by: RulesBy<K>, pool: &mut SetPool) -> Option<Exact<K>> {
    index(by, pool, Exact::new)
}

fn compile_rule<'a>(
    index: u32,
    rule: &'a EgressRule,
    default: &EgressDefault,
    names: &mut HashMap<&'a str, usize>,
) -> Result<CompiledRule, EgressError> {
    let number = index as usize + 1;
    if let Some(name) = &rule.name {
        let fault = |fault| EgressError::Value { rule: number, key: "name", value: name.clone(), fault };
        parse::text(name).map_err(fault)?;
        if let Some(earlier) = names.insert(name, number) {
            return Err(EgressError::Name { rule: number, earlier, name: name.clone() });
        }
    }
    if rule.domains.is_some() && rule.no_name.is_some_and(|action| action != Action::Allow) {
        return Err(EgressError::NoNameWithDomains { rule: number });
    }
    Ok(CompiledRule {
        class: 0,
        name: rule.name.as_deref().map_or_else(|| format!("egress-{number}").into(), Into::into),
        description: rule.description.as_deref().map(Into::into),
        action: rule.action,
        until: rule.until,
        end: rule.until.map(crate::Date::end),
        no_name: rule.no_name.unwrap_or(default.no_name),
        undecodable: rule.undecodable.unwrap_or(default.undecodable),
        ech: rule.ech.unwrap_or(default.ech),
        mismatch: rule.mismatch.unwrap_or(default.mismatch),
    })
}

/// A key of a rule, before the places of all keys are known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Fixed(usize),
    Tag(Box<str>),
}

/// What the rules state, key by key.
#[derive(Default)]
struct Columns {
    accounts: RulesBy<Box<str>>,
    vpcs: RulesBy<Box<str>>,
    subnets: RulesBy<Box<str>>,
    applications: RulesBy<Box<str>>,
    protocols: RulesBy<u8>,
    source_networks: RulesBy<IpNet>,
    networks: RulesBy<IpNet>,
    ports: RulesBy<(u16, u16)>,
    domains: RulesBy<Pattern>,
    /// By key of the tag.
    tags: BTreeMap<Box<str>, RulesBy<Box<str>>>,
}

impl Columns {
    /// Adds what a rule states, and returns the keys that it has.
    fn add(&mut self, index: u32, rule: &EgressRule) -> Result<Vec<Key>, EgressError> {
        let mut adding = Adding { rule: index, keys: Vec::new() };
        let domain = |value: &String| parse::domain(value);
        let network = |value: &String| parse::network(value);
        adding.list(place::DOMAINS, "domains", rule.domains.as_deref(), domain, &mut self.domains)?;
        adding.list(place::NETWORKS, "networks", rule.networks.as_deref(), network, &mut self.networks)?;
        let accounts = rule.accounts.as_deref();
        adding.list(
            place::ACCOUNTS,
            "accounts",
            accounts,
            |value| parse::account(value),
            &mut self.accounts,
        )?;
        adding.list(place::PORTS, "ports", rule.ports.as_deref(), parse::ports, &mut self.ports)?;
        let sources = rule.source_networks.as_deref();
        adding.list(
            place::SOURCE_NETWORKS,
            "source_networks",
            sources,
            network,
            &mut self.source_networks,
        )?;
        adding.list(place::VPCS, "vpcs", rule.vpcs.as_deref(), |value| parse::vpc(value), &mut self.vpcs)?;
        let subnets = rule.subnets.as_deref();
        adding.list(place::SUBNETS, "subnets", subnets, |value| parse::subnet(value), &mut self.subnets)?;
        let (applications, parse) =
            (rule.applications.as_deref(), |value: &String| parse::application(value));
        adding.list(place::APPLICATIONS, "applications", applications, parse, &mut self.applications)?;
        let protocols = rule.protocols.as_deref();
        adding.list(
            place::PROTOCOLS,
            "protocols",
            protocols,
            |value| parse::protocol(value),
            &mut self.protocols,
        )?;
        for (key, values) in &rule.tags {
            self.add_tag(&mut adding, key, values)?;
        }
        Ok(adding.keys)
    }

    fn add_tag(&mut self, adding: &mut Adding, key: &str, values: &[String]) -> Result<(), EgressError> {
        let rule = adding.rule as usize + 1;
        let fault = |fault| EgressError::Value { rule, key: "tags", value: key.to_owned(), fault };
        let key: Box<str> = parse::text(key).map_err(fault)?;
        if !self.tags.contains_key(&key) && self.tags.len() == MAX_TAG_KEYS {
            return Err(EgressError::TooManyTagKeys { rule, key: key.into(), limit: MAX_TAG_KEYS });
        }
        // A tag may have an empty value.
        let value = |value: &String| if value.is_empty() { Ok("".into()) } else { parse::text(value) };
        adding.values("tags", values, value, self.tags.entry(key.clone()).or_default())?;
        adding.keys.push(Key::Tag(key));
        Ok(())
    }

    /// The place of a key, once all rules have been read.
    fn place(&self, key: &Key) -> usize {
        match key {
            Key::Fixed(place) => *place,
            Key::Tag(key) => place::TAGS + self.tags.keys().take_while(|other| *other < key).count(),
        }
    }
}

/// A rule while what it states is added.
struct Adding {
    rule: u32,
    keys: Vec<Key>,
}

impl Adding {
    /// Adds a list, if the rule has it.
    fn list<T: ToString, K: Ord>(
        &mut self,
        place: usize,
        key: &'static str,
        values: Option<&[T]>,
        parse: impl Fn(&T) -> Result<K, Fault>,
        by: &mut RulesBy<K>,
    ) -> Result<(), EgressError> {
        let Some(values) = values else { return Ok(()) };
        self.keys.push(Key::Fixed(place));
        self.values(key, values, parse, by)
    }

    fn values<T: ToString, K: Ord>(
        &self,
        key: &'static str,
        values: &[T],
        parse: impl Fn(&T) -> Result<K, Fault>,
        by: &mut RulesBy<K>,
    ) -> Result<(), EgressError> {
        let rule = self.rule as usize + 1;
        if values.is_empty() {
            return Err(EgressError::Empty { rule, key });
        }
        for value in values {
            let fault = |fault| EgressError::Value { rule, key, value: value.to_string(), fault };
            by.entry(parse(value).map_err(fault)?).or_default().insert(self.rule);
        }
        Ok(())
    }
}

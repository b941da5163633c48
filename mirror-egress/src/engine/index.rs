//! Indices: from a connection's value to the set of rules that the value satisfies.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::set::{Set, SetId, SetPool};

/// Rules by value, under construction.
pub(super) type RulesBy<K> = BTreeMap<K, BTreeSet<u32>>;

fn set(rules: &BTreeSet<u32>) -> Set {
    Set::new(rules.iter().copied())
}

/// An index by equal values.
#[derive(Clone, Debug)]
pub(super) struct Exact<K> {
    sets: HashMap<K, SetId>,
}

impl<K: Hash + Eq> Exact<K> {
    pub(super) fn new(rules: RulesBy<K>, pool: &mut SetPool) -> Self {
        Self { sets: rules.into_iter().map(|(key, rules)| (key, pool.add(set(&rules)))).collect() }
    }

    pub(super) fn find<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> Option<SetId>
    where
        K: Borrow<Q>,
    {
        self.sets.get(value).copied()
    }
}

/// An index by network: of the longest prefix of an address, the rules for it and for all shorter ones.
#[derive(Clone, Debug)]
pub(super) struct Networks {
    v4: PrefixMap<Ipv4Net, SetId>,
    v6: PrefixMap<Ipv6Net, SetId>,
}

impl Networks {
    pub(super) fn new(rules: RulesBy<IpNet>, pool: &mut SetPool) -> Self {
        let mut networks = Self { v4: PrefixMap::new(), v6: PrefixMap::new() };
        let mut rules: Vec<_> = rules.into_iter().collect();
        // Shorter prefixes first, so that a prefix finds all that cover it.
        rules.sort_by_key(|(network, _)| network.prefix_len());
        for (network, rules) in rules {
            let own = set(&rules);
            match network {
                IpNet::V4(network) => insert(&mut networks.v4, network, own, pool),
                IpNet::V6(network) => insert(&mut networks.v6, network, own, pool),
            }
            if pool.is_full() {
                break;
            }
        }
        networks
    }

    /// The rules for `address`, which is not an IPv4 address as IPv6.
    pub(super) fn find(&self, address: IpAddr) -> Option<SetId> {
        let found = match address {
            IpAddr::V4(address) => self.v4.get_lpm(&address.into()).map(|(_, set)| set),
            IpAddr::V6(address) => self.v6.get_lpm(&address.into()).map(|(_, set)| set),
        };
        found.copied()
    }
}

fn insert<P: prefix_trie::Prefix>(map: &mut PrefixMap<P, SetId>, network: P, own: Set, pool: &mut SetPool) {
    let covering = map.get_lpm(&network).map(|(_, &set)| set);
    let number = match covering {
        Some(covering) => pool.union(covering, &own),
        None => pool.add(own),
    };
    map.insert(network, number);
}

/// An index by port: the ports between two bounds of any range have the same rules.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    /// First ports of the intervals, in ascending order.
    first: Box<[u16]>,
    sets: Box<[SetId]>,
}

impl Ports {
    /// The index for ranges: first and last port.
    pub(super) fn new(ranges: RulesBy<(u16, u16)>, pool: &mut SetPool) -> Self {
        // Of each port that is a bound: the rules that begin there, and those that ended before it.
        let mut bounds: BTreeMap<u16, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
        for ((first, last), rules) in ranges {
            bounds.entry(first).or_default().0.extend(&rules);
            if let Some(next) = last.checked_add(1) {
                bounds.entry(next).or_default().1.extend(&rules);
            }
        }
        // How many of its ranges a rule is in: they may overlap.
        let mut active: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut first, mut sets) = (Vec::new(), Vec::new());
        for (port, (begin, end)) in bounds {
            for rule in begin {
                *active.entry(rule).or_default() += 1;
            }
            for rule in end {
                if let Some(count) = active.get_mut(&rule) {
                    *count -= 1;
                    if *count == 0 {
                        active.remove(&rule);
                    }
                }
            }
            first.push(port);
            sets.push(pool.add(Set::new(active.keys().copied())));
            if pool.is_full() {
                break;
            }
        }
        Self { first: first.into(), sets: sets.into() }
    }

    pub(super) fn find(&self, port: u16) -> Option<SetId> {
        let behind = self.first.partition_point(|&first| first <= port);
        behind.checked_sub(1).map(|index| self.sets[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_by<K: Ord>(rules: impl IntoIterator<Item = (K, u32)>) -> RulesBy<K> {
        let mut by = RulesBy::new();
        for (key, rule) in rules {
            by.entry(key).or_default().insert(rule);
        }
        by
    }

    #[test]
    fn a_prefix_has_the_rules_of_all_that_cover_it() {
        let stated = [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "255.255.255.255/32",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/128",
            "ffff::/16",
            "10.0.0.0/8",
            "128.0.0.0/1",
        ];
        let mut pool = SetPool::default();
        let networks = rules_by(stated.iter().map(|text| text.parse::<IpNet>().unwrap()).zip(0..));
        let index = Networks::new(networks, &mut pool);
        let sets = pool.finish();
        for address in [
            "0.0.0.0",
            "9.255.255.255",
            "10.0.0.0",
            "10.1.0.0",
            "10.1.2.2",
            "10.1.2.3",
            "10.1.2.4",
            "10.255.255.255",
            "11.0.0.0",
            "127.255.255.255",
            "128.0.0.0",
            "255.255.255.255",
            "::",
            "2001:db8::",
            "2001:db8::1",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            let address: IpAddr = address.parse().unwrap();
            let found = sets.get(index.find(address).unwrap());
            for (text, rule) in stated.iter().zip(0..) {
                let network: IpNet = text.parse().unwrap();
                assert_eq!(found.contains(rule), network.contains(&address), "{address} in {text}");
            }
        }
        let mut pool = SetPool::default();
        let none = Networks::new(rules_by([("10.0.0.0/8".parse().unwrap(), 0)]), &mut pool);
        assert_eq!(none.find("11.0.0.1".parse().unwrap()), None);
        assert_eq!(none.find("::".parse().unwrap()), None);
    }

    #[test]
    fn a_port_has_the_rules_of_all_ranges_around_it() {
        let ranges = [
            (0, 0, 0),
            (1, 1023, 1),
            (443, 443, 2),
            (400, 500, 3),
            (450, 600, 3),
            (0, 65535, 4),
            (65535, 65535, 5),
            (1024, 65534, 6),
        ];
        let mut pool = SetPool::default();
        let index = Ports::new(rules_by(ranges.map(|(first, last, rule)| ((first, last), rule))), &mut pool);
        let sets = pool.finish();
        for port in 0..=u16::MAX {
            let found = sets.get(index.find(port).unwrap());
            for rule in 0..7 {
                let expected =
                    ranges.iter().any(|&(first, last, of)| of == rule && (first..=last).contains(&port));
                assert_eq!(found.contains(rule), expected, "port {port}, rule {rule}");
            }
        }
        let mut pool = SetPool::default();
        let none = Ports::new(rules_by([((80, 81), 0)]), &mut pool);
        assert_eq!(none.find(79), None);
        let behind = none.find(82).unwrap();
        assert_eq!(pool.finish().get(behind), &Set::default());
    }
}

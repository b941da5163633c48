//! A trie of names, label by label from the last one on.
//!
//! Each node is found by the suffix that leads to it, in one hash table. It has the rules for its name, and those for the
//! names below it; both hold the rules of the wildcards above, so that a name needs one walk and one set.

use std::collections::{BTreeSet, HashMap};

use super::index::RulesBy;
use super::set::{Set, SetId, SetPool};
use crate::parse::Pattern;

/// The rules for a node's own name, and for those below it.
#[derive(Clone, Copy, Debug)]
struct Node {
    own: SetId,
    below: SetId,
}

/// Rules of a node by themselves, under construction.
#[derive(Default)]
struct Stated {
    own: BTreeSet<u32>,
    below: BTreeSet<u32>,
}

/// An index by name.
#[derive(Clone, Debug)]
pub(super) struct Names {
    root: SetId,
    nodes: HashMap<Box<str>, Node>,
}

impl Names {
    pub(super) fn new(patterns: &RulesBy<Pattern>, pool: &mut SetPool) -> Self {
        let mut root = BTreeSet::new();
        let mut stated: HashMap<&str, Stated> = HashMap::new();
        for (pattern, rules) in patterns {
            let (Pattern::Name(name) | Pattern::Below(name)) = pattern;
            for suffix in suffixes(name) {
                stated.entry(suffix).or_default();
            }
            match pattern {
                Pattern::Below(name) if name.is_empty() => root.extend(rules),
                Pattern::Below(name) => stated.entry(name).or_default().below.extend(rules),
                Pattern::Name(name) => stated.entry(name).or_default().own.extend(rules),
            };
        }
        let root = pool.add(Set::new(root));
        let mut names = Self { root, nodes: HashMap::with_capacity(stated.len()) };
        let mut stated: Vec<_> = stated.into_iter().collect();
        // Parents first: a suffix is shorter than what it is a suffix of.
        stated.sort_by_key(|(name, _)| name.len());
        for (name, Stated { own, below }) in stated {
            let parent = name.split_once('.').and_then(|(_, parent)| names.nodes.get(parent));
            let above = parent.map_or(root, |parent| parent.below);
            let own = pool.union(above, &Set::new(own));
            let below = pool.union(above, &Set::new(below));
            names.nodes.insert(name.into(), Node { own, below });
            if pool.is_full() {
                break;
            }
        }
        names
    }

    /// The rules for `name`, which is in normal form.
    pub(super) fn find(&self, name: &str) -> SetId {
        let mut found = self.root;
        for suffix in suffixes(name) {
            let Some(node) = self.nodes.get(suffix) else { return found };
            found = if suffix.len() == name.len() { node.own } else { node.below };
        }
        found
    }
}

/// The suffixes of a name at its dots, the shortest first and the name itself last.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let whole = (!name.is_empty()).then_some(name);
    name.rmatch_indices('.').map(|(dot, _)| &name[dot + 1..]).chain(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_wildcards() {
        let patterns = [
            Pattern::Name("example.com".to_owned()),
            Pattern::Below("example.com".to_owned()),
            Pattern::Below("a.example.com".to_owned()),
            Pattern::Name("b.a.example.com".to_owned()),
            Pattern::Below(String::new()),
            Pattern::Below("com".to_owned()),
            Pattern::Name("com".to_owned()),
        ];
        let mut pool = SetPool::default();
        let rules = (0..).map(|rule| BTreeSet::from([rule]));
        let names = Names::new(&patterns.into_iter().zip(rules).collect(), &mut pool);
        let sets = pool.finish();
        for (name, expected) in [
            ("com", &[4, 6][..]),
            ("example.com", &[0, 4, 5]),
            ("a.example.com", &[1, 4, 5]),
            ("b.a.example.com", &[1, 2, 3, 4, 5]),
            ("c.a.example.com", &[1, 2, 4, 5]),
            ("x.b.a.example.com", &[1, 2, 4, 5]),
            ("z.y.x.example.com", &[1, 4, 5]),
            ("xexample.com", &[4, 5]),
            ("example.org", &[4]),
            ("org", &[4]),
        ] {
            let found = sets.get(names.find(name));
            let rules: Vec<u32> = (0..7).filter(|&rule| found.contains(rule)).collect();
            assert_eq!(rules, expected, "{name}");
        }
    }
}

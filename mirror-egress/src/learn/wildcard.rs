//! Wildcards in place of many names below one domain.

use std::collections::BTreeMap;

use super::merge::Domain;
use crate::amount::Amount;

/// The names as they are, but for those below a registrable domain (one label below a public suffix: Public Suffix List)
/// that are `from` or more: a wildcard below the longest domain that they share stands for them. A public suffix, such as
/// `co.uk` or a cloud's domain for its customers' names, never has a wildcard.
pub(super) fn generalise(names: BTreeMap<Box<str>, Amount>, from: usize) -> BTreeMap<String, Domain> {
    let mut groups: BTreeMap<String, Vec<(Box<str>, Amount)>> = BTreeMap::new();
    let mut domains = BTreeMap::new();
    for (name, amount) in names {
        match psl::domain_str(&name).filter(|domain| from > 0 && domain.len() < name.len()) {
            Some(domain) => groups.entry(domain.to_owned()).or_default().push((name, amount)),
            None => drop(domains.insert(name.into(), Domain { names: 1, amount })),
        }
    }
    for (domain, names) in groups {
        if names.len() < from {
            let names = names.into_iter().map(|(name, amount)| (name.into(), Domain { names: 1, amount }));
            domains.extend(names);
            continue;
        }
        let shared = names.iter().fold(None, |shared: Option<&str>, (name, _)| {
            let parent = name.split_once('.').map_or(&**name, |(_, parent)| parent);
            Some(shared.map_or(parent, |shared| common(shared, parent)))
        });
        let mut all = Domain { names: names.len(), amount: Amount::default() };
        for (_, amount) in &names {
            all.amount.add(amount);
        }
        domains.insert(format!("*.{}", shared.unwrap_or(&domain)), all);
    }
    domains
}

/// The longest domain that both are, or are below.
fn common<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.rsplit('.').zip(other.rsplit('.')).take_while(|(one, other)| one == other);
    let length = same.map(|(label, _)| label.len() + 1).sum::<usize>().saturating_sub(1);
    &one[one.len() - length..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_become_the_narrowest_wildcard() {
        for (names, expected) in [
            (&["a.x.com", "b.x.com"][..], &["a.x.com", "b.x.com"][..]),
            (&["a.x.com", "b.x.com", "c.x.com"], &["*.x.com"]),
            (&["x.com", "a.x.com", "b.x.com", "c.x.com"], &["*.x.com", "x.com"]),
            (&["a.eu.x.com", "b.eu.x.com", "c.eu.x.com"], &["*.eu.x.com"]),
            (&["eu.x.com", "b.eu.x.com", "c.eu.x.com"], &["*.x.com"]),
            (&["a.eu.x.com", "b.us.x.com", "c.us.x.com"], &["*.x.com"]),
            (&["a.xeu.x.com", "b.eu.x.com", "c.eu.x.com"], &["*.x.com"]),
            (&["a.co.uk", "b.co.uk", "c.co.uk"], &["a.co.uk", "b.co.uk", "c.co.uk"]),
            (&["a.github.io", "b.github.io", "c.github.io"], &["a.github.io", "b.github.io", "c.github.io"]),
            (
                &["a.cloudfront.net", "b.cloudfront.net", "c.cloudfront.net"],
                &["a.cloudfront.net", "b.cloudfront.net", "c.cloudfront.net"],
            ),
            (&["a", "b", "c"], &["a", "b", "c"]),
            (&["a.internal", "b.internal", "c.internal"], &["a.internal", "b.internal", "c.internal"]),
            (&["a.ec2.internal", "b.ec2.internal", "c.ec2.internal"], &["*.ec2.internal"]),
        ] {
            let amount = Amount { records: 1, ..Amount::default() };
            let seen = names.iter().map(|&name| (name.into(), amount)).collect();
            let found = generalise(seen, 3);
            assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected);
            let (number, records) = found.values().fold((0, 0), |(number, records), domain| {
                (number + domain.names, records + domain.amount.records)
            });
            assert_eq!((number, records), (names.len(), names.len() as u64));
            let seen = names.iter().map(|&name| (name.into(), amount)).collect();
            assert_eq!(generalise(seen, 0).len(), names.len(), "none where none is asked for");
        }
    }
}

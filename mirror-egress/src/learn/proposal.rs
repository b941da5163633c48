//! The learned rules, as text for the configuration.

use std::fmt::{self, Display, Formatter};

use super::merge::Learned;
use super::{LeftOut, Scope};
use crate::amount::Amount;
use crate::date::Date;
use crate::rule::PROTOCOLS;

/// Rules that allow what was seen. Displayed, they are TOML for the configuration, with counts as comments.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub(super) scope: Scope,
    pub(super) rules: Vec<Learned>,
    pub(super) total: Amount,
    pub(super) left_out: LeftOut,
    pub(super) contradicted: Vec<String>,
}

impl Proposal {
    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// `true` if nothing was seen that a rule could allow.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All that was observed.
    pub const fn total(&self) -> &Amount {
        &self.total
    }

    /// What no rule is proposed for.
    pub const fn left_out(&self) -> &LeftOut {
        &self.left_out
    }
}

impl Display for Proposal {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "# Learned from {}.", self.total)?;
        if let Some(first) = Date::of(self.total.first).filter(|_| self.total.records > 0) {
            writeln!(formatter, "# The first of it was seen on {first}.")?;
        }
        self.write_left_out(formatter)?;
        writeln!(formatter, "\n[egress_default]\naction = \"alert\"")?;
        (1..).zip(&self.rules).try_for_each(|(number, rule)| self.write_rule(formatter, number, rule))
    }
}

impl Proposal {
    fn write_left_out(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let LeftOut { contradicted, unknown_source, no_port, no_room } = &self.left_out;
        for (amount, reason) in [
            (contradicted, "the name is none, or DNS contradicts it: look into these"),
            (unknown_source, "the source is unknown, so that a rule would be for everyone"),
            (no_port, "no port is known, so that a rule would be for every port"),
            (no_room, "there are too many different destinations; learn from fewer files"),
        ] {
            if amount.records > 0 {
                writeln!(formatter, "# Left out, since {reason}: {amount}.")?;
            }
        }
        // Names come from packets, and a line must remain one.
        self.contradicted.iter().try_for_each(|example| writeln!(formatter, "#   {}", example.escape_debug()))
    }

    fn write_rule(&self, formatter: &mut Formatter<'_>, number: usize, rule: &Learned) -> fmt::Result {
        writeln!(formatter, "\n# {}", rule.amount)?;
        writeln!(formatter, "[[egress]]\nname = \"learned-{number}\"")?;
        if self.scope == Scope::Account {
            list(formatter, "accounts", rule.who.iter().map(|account| format!("{account:?}")))?;
        }
        if !rule.domains.is_empty() {
            writeln!(formatter, "domains = [")?;
            for (name, domain) in &rule.domains {
                let names =
                    if domain.names > 1 { format!("{} names, ", domain.names) } else { String::new() };
                writeln!(formatter, "    {name:?}, # {names}{}", domain.amount)?;
            }
            writeln!(formatter, "]")?;
        }
        if !rule.networks.is_empty() {
            list(formatter, "networks", rule.networks.iter().map(|network| format!("\"{network}\"")))?;
        }
        if !rule.ports.is_empty() {
            list(formatter, "ports", ranges(rule.ports.iter().copied()).into_iter())?;
        }
        list(
            formatter,
            "protocols",
            rule.protocols.iter().map(|&number| {
                let named = PROTOCOLS.iter().find(|(_, other)| *other == number);
                named.map_or_else(|| format!("\"{number}\""), |(name, _)| format!("{name:?}"))
            }),
        )?;
        writeln!(formatter, "action = \"allow\"")
    }
}

fn list(formatter: &mut Formatter<'_>, key: &str, values: impl Iterator<Item = String>) -> fmt::Result {
    writeln!(formatter, "{key} = [{}]", values.collect::<Vec<_>>().join(", "))
}

/// Ports as numbers, and as ranges where they are three or more in a row.
fn ranges(ports: impl Iterator<Item = u16>) -> Vec<String> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    let text = |(first, last): (u16, u16)| match last - first {
        0 => vec![first.to_string()],
        1 => vec![first.to_string(), last.to_string()],
        _ => vec![format!("\"{first}-{last}\"")],
    };
    ranges.into_iter().flat_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_in_a_row_are_ranges() {
        let ports = [0, 1, 2, 22, 80, 81, 443, 65_533, 65_534, 65_535];
        assert_eq!(ranges(ports.into_iter()), ["\"0-2\"", "22", "80", "81", "443", "\"65533-65535\""]);
    }
}

//! Plans as text: `+` created, `~` changed, `-` deleted, `!` required but not possible.

use std::fmt;

use super::change::{Change, FilterRef, NewSession, SessionChanges, TargetRef};
use super::model::{AccountRegionPlan, Difference, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for plan in &self.account_regions {
            writeln!(formatter, "{plan}")?;
        }
        for unobserved in &self.unobserved {
            writeln!(formatter, "{}\n  ! not observed: {}", unobserved.account_region, unobserved.error)?;
        }
        let changes = || self.account_regions.iter().flat_map(|plan| &plan.changes);
        let count = |symbol: char| changes().filter(|change| change.symbol() == symbol).count();
        let present: usize = self.account_regions.iter().map(|plan| plan.counts.present).sum();
        let problems: usize = self.account_regions.iter().map(|plan| plan.problems.len()).sum();
        write!(
            formatter,
            "{} to make, {} to change, {} to delete; {present} sessions are there, {problems} problems",
            count('+'),
            count('~'),
            count('-')
        )
    }
}

impl fmt::Display for AccountRegionPlan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.account_region)?;
        if self.changes.is_empty() && self.problems.is_empty() {
            write!(formatter, "\n  = {} sessions, as the policy wants", self.counts.present)?;
        }
        for change in &self.changes {
            write!(formatter, "\n  {change}")?;
        }
        for problem in &self.problems {
            write!(formatter, "\n  ! {}: {}", problem.resource, problem.problem)?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [("no longer needed", &self.no_longer_needed), ("needed now", &self.needed_now)];
        for (index, (label, (account_region, change))) in sides
            .into_iter()
            .flat_map(|(label, changes)| changes.iter().map(move |change| (label, change)))
            .enumerate()
        {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{label}: {account_region}: {change}")?;
        }
        Ok(())
    }
}

impl Change {
    /// `+`, `~` or `-`.
    const fn symbol(&self) -> char {
        match self {
            Self::CreateTarget { .. }
            | Self::CreateFilter { .. }
            | Self::CreateFilterRule { .. }
            | Self::CreateSession(_) => '+',
            Self::ModifyFilterRule { .. }
            | Self::ModifyNetworkServices { .. }
            | Self::ModifySession { .. }
            | Self::TagSession { .. } => '~',
            Self::DeleteFilterRule { .. }
            | Self::DeleteSession { .. }
            | Self::DeleteFilter { .. }
            | Self::DeleteTarget { .. } => '-',
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.symbol())?;
        match self {
            Self::CreateTarget { endpoint, .. } => write!(formatter, "target for {endpoint}"),
            Self::CreateFilter { name, .. } => write!(formatter, "filter {name}"),
            Self::DeleteFilterRule { filter, id, rule } => {
                write!(formatter, "rule {id} of filter {filter}: {rule}")
            }
            Self::ModifyFilterRule { filter, id, from, to } => {
                write!(formatter, "rule {id} of filter {filter}: {from} => {to}")
            }
            Self::CreateFilterRule { filter, rule } => write!(formatter, "rule of filter {filter}: {rule}"),
            Self::ModifyNetworkServices { filter, add, remove } => {
                write!(formatter, "network services of filter {filter}:")?;
                add.iter().try_for_each(|service| write!(formatter, " +{service}"))?;
                remove.iter().try_for_each(|service| write!(formatter, " -{service}"))
            }
            Self::DeleteSession { id, interface, reason } => {
                write!(formatter, "session {id} on {interface}: {reason}")
            }
            Self::ModifySession { id, interface, changes } => {
                write!(formatter, "session {id} on {interface}: {changes}")
            }
            Self::CreateSession(session) => write!(formatter, "session on {session}"),
            Self::TagSession { id, interface, set, remove } => {
                write!(formatter, "tags of session {id} on {interface}:")?;
                set.iter().try_for_each(|(key, value)| write!(formatter, " {key}={value}"))?;
                remove.iter().try_for_each(|key| write!(formatter, " -{key}"))
            }
            Self::DeleteFilter { id, name, reason } => write!(formatter, "filter {id} ({name}): {reason}"),
            Self::DeleteTarget { id, endpoint, reason } => {
                write!(formatter, "target {id} for {endpoint}: {reason}")
            }
        }
    }
}

impl fmt::Display for NewSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, rule, target, filter, number, packet_length, vni, .. } = self;
        write!(formatter, "{interface}: rule {rule}, number {number}, to {target}, filter {filter}, vni ")?;
        match vni {
            Some(vni) => write!(formatter, "{vni}")?,
            None => write!(formatter, "of AWS's choice")?,
        }
        packet_length.map_or(Ok(()), |length| write!(formatter, ", first {length} bytes"))
    }
}

impl fmt::Display for SessionChanges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn arrow(name: &str, change: Option<(impl fmt::Display, impl fmt::Display)>) -> Option<String> {
            change.map(|(from, to)| format!("{name} {from} => {to}"))
        }
        let Self { target, filter, number, packet_length, vni, description } = self;
        let bytes =
            |length: Option<u16>| length.map_or_else(|| "all".to_owned(), |length| length.to_string());
        let quoted = |(from, to): &(String, String)| (format!("{from:?}"), format!("{to:?}"));
        let parts = [
            arrow("target", target.as_ref().map(|(from, to)| (from, to))),
            arrow("filter", filter.as_ref().map(|(from, to)| (from, to))),
            arrow("number", *number),
            arrow("bytes", packet_length.map(|(from, to)| (bytes(from), bytes(to)))),
            arrow("vni", *vni),
            arrow("description", description.as_ref().map(quoted)),
        ];
        formatter.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for FilterRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Existing(id) => id.fmt(formatter),
            Self::Planned(name) => name.fmt(formatter),
        }
    }
}

impl fmt::Display for TargetRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Existing(id) => id.fmt(formatter),
            Self::Planned(endpoint) => endpoint.fmt(formatter),
        }
    }
}

//! The compiled rules.
//!
//! - `compile`: from the rules to their indices.
//! - `set`: sets of rules; `index` and `names`: from a connection's value to the set of rules that it satisfies.
//! - `probe`: the sets of one connection, and the first rule that has all its keys satisfied.

mod compile;
mod index;
mod names;
mod probe;
mod set;

use self::index::{Exact, Networks, Ports};
use self::names::Names;
use self::probe::Probes;
use self::set::{SetId, Sets};
use crate::connection::Connection;
use crate::date::Date;
use crate::explain::{Explanation, Outcome, Trace};
use crate::rule::{Action, EgressDefault};
use crate::verdict::{Reason, Verdict};
use crate::{Time, name};

/// Name of the default, where a rule's name would stand.
const DEFAULT_NAME: &str = "egress-default";

/// An index by equal text.
type ByText = Exact<Box<str>>;

/// Compiled rules: a value, which threads may share.
#[derive(Clone, Debug)]
pub struct Engine {
    rules: Box<[CompiledRule]>,
    default: EgressDefault,
    sets: Sets,
    /// Rules by the keys that they have, in the order of their first rules.
    classes: Box<[Class]>,
    /// Rules whose action is to allow: names count differently for them.
    allowing: SetId,
    empty: SetId,
    accounts: Option<ByText>,
    vpcs: Option<ByText>,
    subnets: Option<ByText>,
    /// By key of the tag.
    tags: Box<[(Box<str>, ByText)]>,
    source_networks: Option<Networks>,
    domains: Option<Names>,
    networks: Option<Networks>,
    ports: Option<Ports>,
    protocols: Option<Exact<u8>>,
    applications: Option<ByText>,
}

/// Rules that have the same keys.
#[derive(Clone, Debug)]
struct Class {
    /// Places of the keys, as [`probe::place`] has them.
    keys: Box<[usize]>,
    members: SetId,
}

/// What a rule says where it applies.
#[derive(Clone, Debug)]
struct CompiledRule {
    /// Its class, by its place.
    class: usize,
    name: Box<str>,
    description: Option<Box<str>>,
    action: Action,
    until: Option<Date>,
    end: Option<Time>,
    no_name: Action,
    undecodable: Action,
    ech: Action,
    mismatch: Action,
}

impl CompiledRule {
    fn has_lapsed(&self, now: Time) -> bool {
        self.end.is_some_and(|end| now >= end)
    }
}

/// Something about the rules that their author should know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A rule counts no longer.
    #[error("[[egress]] number {rule} ({name}) has lapsed on {until}: remove it, or give it a later day")]
    Lapsed {
        /// Number of the rule, from 1 on.
        rule: usize,
        /// Its name.
        name: String,
        /// Its last day.
        until: Date,
    },
    /// A rule that an earlier one without any condition comes before.
    #[error(
        "[[egress]] number {rule} ({name}) and those behind it are never reached, since number {by} applies to everything: \
         put number {by} last"
    )]
    Unreached {
        /// Number of the first rule that is not reached.
        rule: usize,
        /// Its name.
        name: String,
        /// Number of the rule before it.
        by: usize,
    },
}

impl Engine {
    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// `true` if there are no rules. The default may still say something.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What holds where no rule applies.
    pub const fn default_rule(&self) -> &EgressDefault {
        &self.default
    }

    /// Name of the rule that decided, or `egress-default`.
    pub fn rule_name(&self, rule: Option<u32>) -> &str {
        self.rule(rule).map_or(DEFAULT_NAME, |rule| &rule.name)
    }

    /// Description of the rule that decided, if it has one.
    pub fn rule_description(&self, rule: Option<u32>) -> Option<&str> {
        self.rule(rule)?.description.as_deref()
    }

    fn rule(&self, rule: Option<u32>) -> Option<&CompiledRule> {
        self.rules.get(usize::try_from(rule?).ok()?)
    }

    /// Judges a connection, at the time that decides which rules have lapsed. It allocates nothing, unless a name has
    /// characters beyond ASCII.
    pub fn judge(&self, connection: &Connection<'_>, now: Time) -> Verdict {
        self.judge_counting(connection, now, &mut 0)
    }

    /// As [`Self::judge`]; the words of sets that are looked at are added to `steps`.
    fn judge_counting(&self, connection: &Connection<'_>, now: Time, steps: &mut u64) -> Verdict {
        let claimed = name::Seen::read(connection.claimed);
        let answered = name::Seen::read(connection.answered);
        let probes = Probes::new(self, connection, &claimed, &answered);
        let live = |rule: u32| !self.rule(Some(rule)).is_some_and(|rule| rule.has_lapsed(now));
        let rule = probes.first(live, steps);
        let is_nameless = claimed.name().is_none() && answered.name().is_none();
        self.decide(rule, connection, is_nameless)
    }

    /// The verdict by this rule: its action, or a more severe one for a peculiarity of the connection.
    fn decide(&self, rule: Option<u32>, connection: &Connection<'_>, is_nameless: bool) -> Verdict {
        let default = &self.default;
        let (action, reason, [no_name, undecodable, ech, mismatch]) = match self.rule(rule) {
            Some(rule) => {
                (rule.action, Reason::Rule, [rule.no_name, rule.undecodable, rule.ech, rule.mismatch])
            }
            None => {
                let peculiar = [default.no_name, default.undecodable, default.ech, default.mismatch];
                (default.action, Reason::Default, peculiar)
            }
        };
        let peculiarities = [
            (connection.mismatch, mismatch, Reason::Mismatch),
            (connection.undecodable, undecodable, Reason::Undecodable),
            (connection.ech, ech, Reason::Ech),
            (is_nameless, no_name, Reason::NoName),
        ];
        let mut verdict = Verdict { action, rule, reason };
        for (holds, action, reason) in peculiarities {
            if holds && action > verdict.action {
                verdict = Verdict { action, rule, reason };
            }
        }
        verdict
    }

    /// The verdict on a connection, and every rule up to the one that decides, with the keys of each that do not hold.
    pub fn explain(&self, connection: &Connection<'_>, now: Time) -> Explanation {
        let claimed = name::Seen::read(connection.claimed);
        let answered = name::Seen::read(connection.answered);
        let probes = Probes::new(self, connection, &claimed, &answered);
        let verdict = self.judge(connection, now);
        let mut traces = Vec::new();
        for (index, rule) in (0..).zip(&self.rules) {
            let misses = probes.misses(index);
            let outcome = match rule.until.filter(|_| rule.has_lapsed(now)) {
                _ if !misses.is_empty() => Outcome::Misses(misses),
                Some(until) => Outcome::Lapsed(until),
                None => Outcome::Applies,
            };
            traces.push(Trace { rule: index, name: rule.name.to_string(), action: rule.action, outcome });
            if Some(index) == verdict.rule {
                break;
            }
        }
        Explanation { verdict, rule_name: self.rule_name(verdict.rule).to_owned(), traces }
    }

    /// What the author of the rules should know at this time: rules that have lapsed, rules that are never reached.
    pub fn findings(&self, now: Time) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, rule) in (1..).zip(&self.rules) {
            if let Some(until) = rule.until.filter(|_| rule.has_lapsed(now)) {
                findings.push(Finding::Lapsed { rule: number, name: rule.name.to_string(), until });
            }
        }
        let is_total =
            |(index, rule): &(u32, &CompiledRule)| rule.end.is_none() && self.keys_of(*index).is_empty();
        if let Some((by, _)) = (0..).zip(&self.rules).find(is_total)
            && let Some(next) = self.rule(Some(by + 1))
        {
            let by = by as usize + 1;
            findings.push(Finding::Unreached { rule: by + 1, name: next.name.to_string(), by });
        }
        findings
    }

    /// The places of a rule's keys.
    fn keys_of(&self, rule: u32) -> &[usize] {
        self.rule(Some(rule)).map_or(&[], |rule| &self.classes[rule.class].keys)
    }
}

#[cfg(test)]
mod scale;
#[cfg(test)]
mod tests;

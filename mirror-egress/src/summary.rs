//! Verdicts over many connections: the hits of each rule, with examples.

use crate::amount::Amount;
use crate::connection::Connection;
use crate::engine::Engine;
use crate::rule::Action;
use crate::verdict::Reason;

/// Examples that are kept of each rule.
const EXAMPLES: usize = 3;

/// Hits of each rule of an engine. Its memory is fixed by the number of rules.
#[derive(Clone, Debug)]
pub struct Summary {
    /// One per rule, and behind them that of the default.
    tallies: Vec<Tally>,
}

/// Hits of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub total: Amount,
    /// Records by verdict, in the order of [`Action::ALL`].
    pub verdicts: [u64; 3],
    /// The first ones, those with a verdict other than allow before others.
    pub examples: Vec<Example>,
}

/// A connection that a rule decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The action.
    pub action: Action,
    /// The reason for it.
    pub reason: Reason,
    /// The connection, as text.
    pub connection: String,
}

impl Summary {
    /// A summary for `engine`, without hits.
    pub fn new(engine: &Engine) -> Self {
        Self { tallies: vec![Tally::default(); engine.len() + 1] }
    }

    /// Judges a connection at the time of its last packet, and counts the hit. `engine` is the one that it was made for.
    pub fn observe(&mut self, engine: &Engine, connection: &Connection<'_>, amount: &Amount) {
        let verdict = engine.judge(connection, amount.last);
        let default = self.tallies.len() - 1;
        let index = verdict.rule.map_or(default, |rule| default.min(rule as usize));
        let tally = &mut self.tallies[index];
        tally.total.add(amount);
        tally.verdicts[verdict.action as usize] += amount.records;
        let is_mild = verdict.action == Action::Allow;
        // A place that an allowed connection holds is given up for one that is not.
        let mild = tally.examples.iter().rposition(|example| example.action == Action::Allow);
        let place = if tally.examples.len() < EXAMPLES {
            Some(tally.examples.len())
        } else {
            mild.filter(|_| !is_mild)
        };
        if let Some(place) = place {
            let example = Example {
                action: verdict.action,
                reason: verdict.reason,
                connection: connection.to_string(),
            };
            tally.examples.truncate(place);
            tally.examples.push(example);
            tally.examples.sort_by_key(|example| example.action == Action::Allow);
        }
    }

    /// The hits of each rule, with its index ([`None`]: the default, at the end).
    pub fn tallies(&self) -> impl Iterator<Item = (Option<u32>, &Tally)> {
        let default = self.tallies.len() - 1;
        (0..).zip(&self.tallies).map(move |(index, tally)| {
            let rule = if index as usize == default { None } else { Some(index) };
            (rule, tally)
        })
    }

    /// Records by verdict, over all rules, in the order of [`Action::ALL`].
    pub fn verdicts(&self) -> [u64; 3] {
        let mut sum = [0; 3];
        for tally in &self.tallies {
            for (sum, count) in sum.iter_mut().zip(tally.verdicts) {
                *sum += count;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::rule::{EgressDefault, EgressRule, Port};

    #[test]
    fn hits_are_counted_by_rule_and_verdict() {
        let rules = [
            EgressRule {
                ports: Some(vec![Port::Number(443)]),
                no_name: Some(Action::Alert),
                ..EgressRule::default()
            },
            EgressRule { ports: Some(vec![Port::Number(22)]), action: Action::Deny, ..EgressRule::default() },
        ];
        let default = EgressDefault { action: Action::Alert, ..EgressDefault::default() };
        let engine = Engine::compile(&rules, default).unwrap();
        let mut summary = Summary::new(&engine);
        let amount =
            |time| Amount { records: 1, packets: 3, bytes: 100, first: Time(time), last: Time(time + 5) };
        let named = |port, name| Connection {
            claimed: name,
            ..Connection::to("192.0.2.1".parse().unwrap(), Some(port), 6)
        };
        for time in 0..4 {
            summary.observe(&engine, &named(443, Some("a.example")), &amount(time));
        }
        for (port, name) in [(443, None), (80, None), (80, Some("b.example"))] {
            summary.observe(&engine, &named(port, name), &amount(10));
        }
        assert_eq!(summary.verdicts(), [4, 3, 0]);
        let tallies: Vec<_> = summary.tallies().collect();
        let (rule, first) = tallies[0];
        assert_eq!(rule, Some(0));
        let expected = Amount { records: 5, packets: 15, bytes: 500, first: Time(0), last: Time(15) };
        assert_eq!((first.total, first.verdicts), (expected, [4, 1, 0]));
        let actions: Vec<_> = first.examples.iter().map(|example| (example.action, example.reason)).collect();
        let allowed = (Action::Allow, Reason::Rule);
        assert_eq!(actions, [(Action::Alert, Reason::NoName), allowed, allowed]);
        assert_eq!(first.examples[1].connection, "to 192.0.2.1 port 443 (tcp), claimed a.example");
        assert_eq!(tallies[1], (Some(1), &Tally::default()));
        assert_eq!((tallies[2].0, tallies[2].1.verdicts), (None, [0, 2, 0]));
        assert_eq!(tallies.len(), 3);
    }
}

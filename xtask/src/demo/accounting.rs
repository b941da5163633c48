//! The check that the daemon counted every packet that the generator sent. A pure function of the two reports.

use std::collections::{BTreeMap, BTreeSet};

use mirror_common::drop_reason::{DropReason, Stage};
use serde::Deserialize;

use super::number::grouped;

/// The daemon's ledger, as far as the demo reads it. Counts are of packets.
#[derive(Clone, Debug, Deserialize)]
pub struct Ledger {
    /// True where the daemon itself finds every packet in exactly one counter.
    pub balanced: bool,
    /// Tunnel packets that the XDP program saw.
    pub seen: u64,
    /// Those that reached a worker.
    pub received: u64,
    /// Those that became a record.
    pub recorded: u64,
    /// Those that did not, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// The generator's report, as far as the demo reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct Generated {
    /// Packets that the kernel took.
    pub sent: u64,
    /// Time from the first packet to the last.
    pub seconds: f64,
    /// Packets per second.
    pub pps: f64,
    /// The packets by kind: [`VALID`], or the reason for which such a packet has no record.
    pub by_kind: BTreeMap<String, u64>,
}

/// The kind of the packets that are to become a record.
pub const VALID: &str = "valid";
/// Stages that lose a packet before a worker has it.
const BEFORE_WORKER: [Stage; 2] = [Stage::Xdp, Stage::AfXdp];

/// A claim about the run, true or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The claim, with its numbers.
    pub claim: String,
    /// True where it holds.
    pub holds: bool,
}

impl Ledger {
    /// Packets that ended without a record at any of `stages`.
    fn dropped_at(&self, stages: &[Stage]) -> u64 {
        let is_there = |reason: &str| stage_of(reason).is_some_and(|stage| stages.contains(&stage));
        self.dropped.iter().filter(|(reason, _)| is_there(reason)).map(|(_, packets)| packets).sum()
    }

    /// Packets that were lost before a worker had them.
    pub fn lost_before_worker(&self) -> u64 {
        self.dropped_at(&BEFORE_WORKER)
    }
}

/// The stage at which packets are counted under `reason`; [`None`] if there is no such reason.
fn stage_of(reason: &str) -> Option<Stage> {
    DropReason::ALL.iter().find(|known| known.name() == reason).map(|known| known.stage())
}

/// `true` if `reason` says that the program could not keep up, rather than that the packet was malformed.
pub fn is_loss(reason: &str) -> bool {
    stage_of(reason).is_some_and(|stage| BEFORE_WORKER.contains(&stage) || stage == Stage::Sink)
}

/// Checks that every packet sent is accounted for. `written` is the number of packets that the written records account
/// for.
///
/// Where packets were lost before a worker had them, nobody can tell of which kind they were: then a malformed kind
/// may have been counted less often than it was sent, but never more often.
pub fn check(ledger: &Ledger, generated: &Generated, written: u64) -> Vec<Check> {
    let sent = generated.sent;
    let all_dropped: u64 = ledger.dropped.values().sum();
    let lost = ledger.lost_before_worker();
    let mut checks = vec![
        Check { claim: "the daemon's own ledger balances".to_owned(), holds: ledger.balanced },
        equal("sent, by kind", generated.by_kind.values().sum(), "sent", sent),
        equal("seen by XDP", ledger.seen, "sent", sent),
        equal("received + lost before a worker", ledger.received + lost, "seen by XDP", ledger.seen),
        equal("recorded + dropped", ledger.recorded + all_dropped, "sent", sent),
        equal("in the records written", written, "recorded", ledger.recorded),
    ];
    let valid = generated.by_kind.get(VALID).copied().unwrap_or(0);
    let kept = ledger.recorded + ledger.dropped_at(&[Stage::Sink]);
    checks.push(if lost == 0 {
        equal("recorded + lost at the sink", kept, "valid ones sent", valid)
    } else {
        at_most("recorded + lost at the sink", kept, "valid ones sent", valid)
    });
    let malformed: BTreeSet<&String> = generated
        .by_kind
        .keys()
        .chain(ledger.dropped.keys())
        .filter(|kind| *kind != VALID && !is_loss(kind))
        .collect();
    for kind in malformed {
        let dropped = ledger.dropped.get(kind).copied().unwrap_or(0);
        let sent = generated.by_kind.get(kind).copied().unwrap_or(0);
        if dropped == 0 && sent == 0 {
            continue;
        }
        let name = format!("dropped as {kind}");
        checks.push(if lost == 0 {
            equal(&name, dropped, "sent", sent)
        } else {
            at_most(&name, dropped, "sent", sent)
        });
    }
    checks
}

fn equal(name: &str, value: u64, other_name: &str, other: u64) -> Check {
    relation(name, value, "=", other_name, other, value == other)
}

fn at_most(name: &str, value: u64, other_name: &str, other: u64) -> Check {
    relation(name, value, "at most", other_name, other, value <= other)
}

fn relation(name: &str, value: u64, relation: &str, other_name: &str, other: u64, holds: bool) -> Check {
    let claim = if holds && value == other {
        format!("{name} {relation} {other_name}: {}", grouped(value))
    } else {
        format!("{name} {relation} {other_name}: {} and {}", grouped(value), grouped(other))
    };
    Check { claim, holds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn generated() -> Generated {
        serde_json::from_str(
            r#"{"offered": 1000, "sent": 1000, "refused": 0, "bytes": 128000, "seconds": 0.001, "pps": 1000000.0,
                "source": "xdp", "by_kind": {"valid": 990, "geneve_version": 6, "inner_ip_header": 4}}"#,
        )
        .unwrap()
    }

    fn ledger() -> Ledger {
        serde_json::from_str(
            r#"{"balanced": true, "seen": 1000, "received": 1000, "recorded": 990,
                "dropped": {"fill_ring_empty": 0, "geneve_version": 6, "inner_ip_header": 4, "vxlan_flags": 0},
                "passed": {"passed_not_ip": 3}, "queues": []}"#,
        )
        .unwrap()
    }

    fn broken(ledger: &Ledger, generated: &Generated, lines: u64) -> Vec<String> {
        check(ledger, generated, lines)
            .into_iter()
            .filter(|check| !check.holds)
            .map(|check| check.claim)
            .collect()
    }

    #[test]
    fn a_run_without_loss_holds_exactly() {
        assert_eq!(broken(&ledger(), &generated(), 990), [""; 0]);
        let claims: Vec<String> =
            check(&ledger(), &generated(), 990).into_iter().map(|check| check.claim).collect();
        assert!(claims.contains(&"dropped as geneve_version = sent: 6".to_owned()), "{claims:?}");
        assert!(!claims.iter().any(|claim| claim.contains("vxlan_flags")), "{claims:?}");
    }

    #[test]
    fn loss_at_the_rings_loosens_the_kinds_but_not_the_sum() {
        let mut ledger = ledger();
        ledger.received = 900;
        ledger.recorded = 892;
        ledger.dropped = counts(&[
            ("fill_ring_empty", 60),
            ("rx_ring_full", 40),
            ("geneve_version", 5),
            ("inner_ip_header", 3),
        ]);
        assert_eq!(broken(&ledger, &generated(), 892), [""; 0]);
        assert_eq!(ledger.lost_before_worker(), 100);

        *ledger.dropped.get_mut("geneve_version").unwrap() = 7;
        ledger.recorded = 890;
        assert_eq!(broken(&ledger, &generated(), 890), ["dropped as geneve_version at most sent: 7 and 6"]);
    }

    #[test]
    fn loss_at_the_sink_is_of_packets_whose_kind_is_known() {
        let mut ledger = ledger();
        ledger.recorded = 980;
        ledger.dropped.insert("sink_queue_full".to_owned(), 10);
        assert_eq!(broken(&ledger, &generated(), 980), [""; 0]);
    }

    #[test]
    fn each_way_to_lose_a_packet_silently_is_noticed() {
        type Change = fn(&mut Ledger, &mut Generated, &mut u64);
        let cases: [(&str, Change); 8] = [
            ("ledger balances", |ledger, _, _| ledger.balanced = false),
            ("sent, by kind", |_, generated, _| generated.sent = 1001),
            ("seen by XDP = sent", |ledger, _, _| ledger.seen = 999),
            ("received + lost", |ledger, _, _| ledger.received = 999),
            ("recorded + dropped", |ledger, _, _| ledger.recorded = 989),
            ("in the records written", |_, _, written| *written = 989),
            ("dropped as geneve_version", |ledger, _, _| {
                ledger.dropped.insert("geneve_version".to_owned(), 5);
            }),
            ("dropped as vxlan_flags", |ledger, _, _| {
                ledger.dropped.insert("vxlan_flags".to_owned(), 1);
            }),
        ];
        for (name, change) in cases {
            let (mut ledger, mut generated, mut lines) = (ledger(), generated(), 990);
            change(&mut ledger, &mut generated, &mut lines);
            let broken = broken(&ledger, &generated, lines);
            assert!(broken.iter().any(|claim| claim.contains(name)), "{name}: {broken:?}");
        }
    }

    #[test]
    fn a_packet_counted_under_the_wrong_kind_is_noticed() {
        let mut ledger = ledger();
        ledger.dropped = counts(&[("geneve_version", 5), ("inner_ip_header", 5)]);
        assert_eq!(
            broken(&ledger, &generated(), 990),
            ["dropped as geneve_version = sent: 5 and 6", "dropped as inner_ip_header = sent: 5 and 4"]
        );
    }
}

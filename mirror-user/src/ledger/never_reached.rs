//! Packets that never reached the capture, so that nobody takes a balance of what did for the whole.
//!
//! The ledger accounts for each packet that the XDP program took. Packets are lost before that as well: the program
//! passes a tunnel packet to the kernel where its queue has no socket, the interface runs out of buffers, and AWS queues
//! or drops what goes beyond the instance's allowances.

use std::collections::BTreeMap;

use mirror_common::verdict::Verdict;
use serde::Serialize;

use crate::DropReason;
use crate::nic::meter::LOSSES;
use crate::snapshot::{InterfaceSnapshot, QueueSnapshot};

/// Drivers that count a packet which the socket's rings refused as `rx_dropped` of the interface (`veth_xdp_rcv_one`,
/// `receive_small` and `receive_mergeable` of virtio_net). The capture counts those itself.
const COUNT_REFUSED_REDIRECTS: [&str; 2] = ["veth", "virtio_net"];

/// Packets that never reached the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NeverReached {
    /// The sum of `reasons`.
    pub packets: u64,
    /// Packets by reason: `passed_no_socket`, which is of tunnel packets only; the kernel's counters of the interface,
    /// which are of any traffic; and `not_seen_by_program`, also of any traffic, which came by queues that were added
    /// meanwhile and on which the driver does not run the XDP program.
    pub reasons: BTreeMap<String, u64>,
    /// `passed_no_socket` by receive queue, where it is not zero.
    pub queues: BTreeMap<u32, u64>,
    /// The driver's own counters of losses, under its names. They may be of the same packets as those in `reasons`; the
    /// allowances of an EC2 instance count packets that were queued as well as those that were dropped.
    pub driver: BTreeMap<String, u64>,
    /// Reasons for which a number may be too low.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl NeverReached {
    /// From the counters of the interface and the XDP program.
    pub(super) fn new(nic: &InterfaceSnapshot, queues: &[QueueSnapshot]) -> Self {
        let unserved: BTreeMap<u32, u64> = queues
            .iter()
            .filter_map(|queue| Some((queue.queue.0, queue.verdict(Verdict::PassedNoSocket)?)))
            .filter(|&(_, packets)| packets != 0)
            .collect();
        let refused: u64 =
            if nic.driver.as_deref().is_some_and(|name| COUNT_REFUSED_REDIRECTS.contains(&name)) {
                let rings = [DropReason::FillRingEmpty, DropReason::RxRingFull];
                queues.iter().flat_map(|queue| rings.map(|reason| queue.dropped[reason])).sum()
            } else {
                0
            };
        let mut reasons: BTreeMap<String, u64> = LOSSES
            .iter()
            .filter_map(|&name| Some((name.to_owned(), *nic.counters.counters.get(name)?)))
            .collect();
        if let Some(dropped) = reasons.get_mut("rx_dropped") {
            *dropped = dropped.saturating_sub(refused);
        }
        reasons.insert(Verdict::PassedNoSocket.name().to_owned(), unserved.values().sum());
        if nic.unseen != 0 {
            reasons.insert("not_seen_by_program".to_owned(), nic.unseen);
        }
        let mut notes = nic.notes.clone();
        for (whose, moved) in [("interface", &nic.counters), ("driver", &nic.driver_counters)] {
            if let Some(reason) = &moved.incomplete {
                notes.push(format!("the counters of the {whose} could not be read at the end: {reason}"));
            }
            if !moved.set_back.is_empty() {
                let names: Vec<&str> = moved.set_back.iter().map(String::as_str).collect();
                notes.push(format!("counters of the {whose} were set back meanwhile: {}", names.join(", ")));
            }
        }
        Self {
            packets: reasons.values().fold(0, |sum, &packets| sum.saturating_add(packets)),
            reasons,
            queues: unserved,
            driver: nic.driver_counters.counters.clone(),
            notes,
        }
    }

    /// The losses as the end of a sentence: how many packets, which `never_did` says of them, and why; or that there are
    /// none.
    pub(super) fn told(&self, never_did: &str) -> String {
        let mut text = if self.packets == 0 {
            "the interface counts no loss before it".to_owned()
        } else {
            format!("{} {never_did}: {}", grouped(self.packets), self.list(&self.reasons))
        };
        if self.driver.values().any(|&packets| packets != 0) {
            text += "; by the driver's own counters ";
            text += &self.list(&self.driver);
        }
        for note in &self.notes {
            text += "; ";
            text += note;
        }
        text
    }

    fn list(&self, counters: &BTreeMap<String, u64>) -> String {
        let told = counters.iter().filter(|(_, packets)| **packets != 0).map(|(name, &packets)| {
            let queues: Vec<String> = self.queues.keys().map(ToString::to_string).collect();
            let of_queues = match (name == Verdict::PassedNoSocket.name(), queues.as_slice()) {
                (false, _) | (true, []) => String::new(),
                (true, [queue]) => format!(" (queue {queue})"),
                (true, queues) => format!(" (queues {})", queues.join(", ")),
            };
            format!("{} {name}{of_queues}", grouped(packets))
        });
        told.collect::<Vec<String>>().join(", ")
    }
}

/// A number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{queue, verdicts};
    use crate::nic::meter::CounterGrowth;
    use crate::number::QueueId;

    fn moved(counters: &[(&str, u64)]) -> CounterGrowth {
        let counters = counters.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        CounterGrowth { counters, ..CounterGrowth::default() }
    }

    fn unserved(number: u32, packets: u64) -> QueueSnapshot {
        QueueSnapshot::unserved(QueueId(number))
            .with_verdicts(&verdicts(&[(Verdict::PassedNoSocket, packets)]))
    }

    #[test]
    fn losses_are_summed_up_and_named() {
        let nic = InterfaceSnapshot {
            driver: Some("ena".to_owned()),
            counters: moved(&[("rx_packets", 1_000_000), ("rx_missed_errors", 345), ("rx_dropped", 0)]),
            driver_counters: moved(&[("pps_allowance_exceeded", 99), ("bw_in_allowance_exceeded", 0)]),
            ..InterfaceSnapshot::default()
        };
        let never = NeverReached::new(&nic, &[queue(), unserved(2, 7_000), unserved(4, 5_000)]);
        assert_eq!(never.packets, 12_345);
        assert_eq!(
            never.told("never did"),
            "12,345 never did: 12,000 passed_no_socket (queues 2, 4), 345 rx_missed_errors; by the driver's own \
             counters 99 pps_allowance_exceeded"
        );
        assert_eq!(never.queues, BTreeMap::from([(2, 7_000), (4, 5_000)]));
    }

    #[test]
    fn no_loss_is_said_too() {
        let nic =
            InterfaceSnapshot { counters: moved(&[("rx_missed_errors", 0)]), ..InterfaceSnapshot::default() };
        assert_eq!(
            NeverReached::new(&nic, &[queue()]).told("never did"),
            "the interface counts no loss before it"
        );
    }

    /// The queue has 4 packets that found the fill ring empty, and 6 that found the receive ring full.
    #[test]
    fn packets_that_the_rings_refused_are_counted_once() {
        for (driver, expected) in [("veth", 3), ("virtio_net", 3), ("ena", 13)] {
            let nic = InterfaceSnapshot {
                driver: Some(driver.to_owned()),
                counters: moved(&[("rx_dropped", 13)]),
                ..InterfaceSnapshot::default()
            };
            assert_eq!(NeverReached::new(&nic, &[queue()]).packets, expected, "{driver}");
        }
        let nic = InterfaceSnapshot {
            driver: Some("veth".to_owned()),
            counters: moved(&[("rx_dropped", 9)]),
            ..InterfaceSnapshot::default()
        };
        assert_eq!(NeverReached::new(&nic, &[queue()]).packets, 0, "never below nothing");
    }

    #[test]
    fn what_could_not_be_read_is_said() {
        let gone =
            CounterGrowth { incomplete: Some("No such device".to_owned()), ..moved(&[("rx_dropped", 2)]) };
        let reset = CounterGrowth { set_back: ["rx_drops".to_owned()].into(), ..moved(&[("rx_drops", 1)]) };
        let nic =
            InterfaceSnapshot { counters: gone, driver_counters: reset, ..InterfaceSnapshot::default() };
        let text = NeverReached::new(&nic, &[]).told("never did");
        assert!(
            text.starts_with("2 never did: 2 rx_dropped; by the driver's own counters 1 rx_drops; "),
            "{text}"
        );
        assert!(text.contains("could not be read at the end: No such device"), "{text}");
        assert!(text.contains("set back meanwhile: rx_drops"), "{text}");
    }

    #[test]
    fn numbers_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}

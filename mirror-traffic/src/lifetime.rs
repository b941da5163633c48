//! Flows that begin and end: which flow of a slot a packet belongs to, and its place in that flow.
//!
//! A slot holds one flow after the other, and gets one packet in each round. The flows of a slot have the [`LENGTHS`] in
//! turn, again and again, so a slot comes around after [`PERIOD`] packets, and a table says for each packet of a period which
//! flow it belongs to. Slots begin at different places of the period, spread evenly. So the traffic is as in the middle of a
//! day from its first packet on: in each round as many flows begin and end as in any other, and the first flow of a slot
//! may have begun before.
#![expect(clippy::cast_possible_truncation, reason = "entries of the schedule have parts of 8 and 12 bits")]

use crate::mix::Mix;
use crate::position::Position;

/// Packets of the flows of a slot, in their order: a Pareto distribution with a tail index of 1.3, at 64 equidistant
/// quantiles. The mean is 20; half of the flows have 10 packets or fewer, and the longest fifth sends half of all packets. The order
/// is that of the quantiles in steps of 27.
pub const LENGTHS: [u16; 64] = {
    const SORTED: [u16; 64] = [
        6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 10, 10, 10,
        10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 15, 16, 16, 17, 18, 19, 20, 21, 23, 24, 26, 28, 31,
        35, 40, 47, 57, 73, 109, 253,
    ];
    let mut lengths = [0; 64];
    let mut index = 0;
    while index < lengths.len() {
        lengths[index] = SORTED[index * 27 % SORTED.len()];
        index += 1;
    }
    lengths
};

/// Packets after which the lengths of a slot's flows repeat.
pub const PERIOD: u64 = {
    let mut sum = 0;
    let mut index = 0;
    while index < LENGTHS.len() {
        sum += LENGTHS[index] as u64;
        index += 1;
    }
    sum
};

/// Flows of a slot in a period.
const FLOWS: u64 = LENGTHS.len() as u64;
/// Entries of the schedule: a power of two, so that an index that is masked is in bounds. Those from [`PERIOD`] on are unused.
const ENTRIES: usize = PERIOD.next_power_of_two() as usize;

/// For each packet of a period: the number of its flow in the period (bits 24 to 31), packets of the flow after it (bits 12
/// to 23) and before it (bits 0 to 11).
static SCHEDULE: [u32; ENTRIES] = {
    let mut schedule = [0; ENTRIES];
    let mut packet = 0;
    let mut flow = 0;
    while flow < LENGTHS.len() {
        let mut step = 0;
        while step < LENGTHS[flow] as u32 {
            schedule[packet] = (flow as u32) << 24 | (LENGTHS[flow] as u32 - 1 - step) << 12 | step;
            packet += 1;
            step += 1;
        }
        flow += 1;
    }
    schedule
};

const _: () = assert!(PERIOD == 20 * FLOWS, "20 packets on average");

/// The place of a packet in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Number of the flow: no two flows have the same.
    pub flow: u64,
    /// Packets of the flow before this one.
    pub before: u32,
    /// Packets of the flow after this one; [`u32::MAX`] where it lasts for ever.
    pub after: u32,
}

impl Lifetime {
    /// The place of the packet at `position` in the traffic of `mix`.
    #[inline(always)]
    pub fn new(mix: &Mix, position: &Position) -> Self {
        if mix.ends == 0 {
            return Self { flow: position.slot, before: position.round as u32, after: u32::MAX };
        }
        let mut place = position.phase + start(position.slot);
        let mut cycle = position.cycle;
        if place >= PERIOD {
            place -= PERIOD;
            cycle += 1;
        }
        let entry = SCHEDULE[place as usize % ENTRIES];
        let of_slot = cycle * FLOWS + (entry >> 24) as u64;
        Self { flow: of_slot * mix.flows + position.slot, before: entry & 0xfff, after: entry >> 12 & 0xfff }
    }
}

/// Number of flows that the first `packets` packets of `mix` belong to. Time in proportion to the flows at a time.
pub fn flows(mix: &Mix, packets: u64) -> u64 {
    if mix.ends == 0 {
        return packets.min(mix.flows);
    }
    let of_slot = |place: u64| place / PERIOD * FLOWS + (SCHEDULE[(place % PERIOD) as usize] >> 24) as u64;
    (0..mix.flows.min(packets))
        .map(|slot| {
            let rounds = (packets - slot).div_ceil(mix.flows);
            of_slot(start(slot) + rounds - 1) - of_slot(start(slot)) + 1
        })
        .sum()
}

/// Place in the period at which a slot begins: multiples of the golden ratio, which spread evenly over it.
#[inline(always)]
const fn start(slot: u64) -> u64 {
    const GOLDEN_RATIO: u32 = 0x9e37_79b1;
    ((slot as u32).wrapping_mul(GOLDEN_RATIO) as u64 * PERIOD) >> 32
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashMap;
    use std::vec::Vec;

    use super::*;

    const SLOTS: u64 = 50;
    const MIX: Mix = Mix {
        seed: 1,
        flows: SLOTS,
        ends: 1,
        endpoints: 1,
        interfaces: 1,
        vxlan: 0,
        ipv6: 0,
        udp: 0,
        icmp: 0,
        malformed: 0,
        faults: 0,
        internet_mix: 0,
        stride: 0,
        stamped: 0,
    };

    /// The lifetimes of the first `packets` packets.
    fn lifetimes(packets: u64) -> impl Iterator<Item = (Position, Lifetime)> {
        let mut position = Position::new(0, SLOTS);
        (0..packets).map(move |number| {
            assert_eq!(position, Position::new(number, SLOTS), "advancing and jumping are the same");
            let lifetime = Lifetime::new(&MIX, &position);
            let at = position;
            position.advance(SLOTS);
            (at, lifetime)
        })
    }

    #[test]
    fn a_flow_has_its_packets_in_order_and_in_one_slot_and_then_another_begins() {
        let mut slots: HashMap<u64, Lifetime> = HashMap::new();
        for (position, lifetime) in lifetimes(3 * PERIOD * SLOTS) {
            if let Some(last) = slots.insert(position.slot, lifetime) {
                let expected = if last.after == 0 {
                    Lifetime { flow: last.flow + SLOTS, before: 0, ..lifetime }
                } else {
                    Lifetime { flow: last.flow, before: last.before + 1, after: last.after - 1 }
                };
                assert_eq!(lifetime, expected, "{position:?}");
            }
        }
    }

    #[test]
    fn flows_have_twenty_packets_on_average_and_a_heavy_tail() {
        let mut packets: HashMap<u64, u32> = HashMap::new();
        let mut whole = Vec::new();
        for (_, lifetime) in lifetimes(40 * PERIOD * SLOTS) {
            *packets.entry(lifetime.flow).or_default() += 1;
            if lifetime.after == 0 && packets[&lifetime.flow] == lifetime.before + 1 {
                whole.push(packets[&lifetime.flow]);
            }
        }
        whole.sort_unstable();
        let sum: u32 = whole.iter().sum();
        let mean = f64::from(sum) / whole.len() as f64;
        assert!((mean - 20.0).abs() < 0.1, "{mean}");
        assert_eq!((whole[0], whole[whole.len() / 2], whole[whole.len() - 1]), (6, 10, 253));
        let longest: u32 = whole[whole.len() * 4 / 5..].iter().sum();
        assert!((0.5..0.6).contains(&(f64::from(longest) / f64::from(sum))), "{longest} of {sum}");
    }

    #[test]
    fn in_each_round_as_many_flows_begin_as_in_any_other() {
        const SLOTS: u64 = 20_000;
        for round in [0, 1, 500, PERIOD - 1, PERIOD, 10 * PERIOD + 7] {
            let begin = (0..SLOTS)
                .map(|slot| Position::new(round * SLOTS + slot, SLOTS))
                .filter(|position| Lifetime::new(&Mix { flows: SLOTS, ..MIX }, position).before == 0)
                .count();
            assert!(begin.abs_diff(1000) < 60, "{begin} of {SLOTS} in round {round}");
        }
    }

    #[test]
    fn flows_are_counted_without_going_through_the_packets() {
        for packets in [0, 1, 49, 50, 51, 1000, PERIOD * SLOTS - 1, PERIOD * SLOTS, 5 * PERIOD * SLOTS + 17] {
            let mut numbers: Vec<u64> = lifetimes(packets).map(|(_, lifetime)| lifetime.flow).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(flows(&MIX, packets), numbers.len() as u64, "{packets} packets");
            let endless = Mix { ends: 0, ..MIX };
            assert_eq!(flows(&endless, packets), packets.min(SLOTS));
        }
    }
}

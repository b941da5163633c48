//! The flows of the test kit that begin and end.

use std::collections::{BTreeMap, HashMap, HashSet};

use mirror_testkit::traffic::{Profile, Traffic};
use mirror_traffic::lifetime::PERIOD;
use mirror_traffic::{Packet, Protocol};
use mirror_user::packet::{Network, TcpState, Transport};

use crate::generated::{decapsulated, each};
use crate::support::{ACK, FIN, SYN};

const PSH: u8 = 8;

/// Flows at a time.
const FLOWS: u64 = 50;

fn mirrored() -> Traffic {
    Traffic::new(&Profile { flows: FLOWS, ..Profile::mirrored() }).unwrap()
}

/// The TCP segments of each flow, from either side, with the packets that they were made from.
fn connections(packets: u64) -> BTreeMap<u64, Vec<(Packet, TcpState)>> {
    let traffic = mirrored();
    let mut connections = BTreeMap::new();
    let mut made = traffic.packets(packets);
    each(&traffic, packets, |_, bytes, _| {
        let packet = made.next().unwrap();
        let Network::Ip(ip) = decapsulated(bytes).unwrap().network else { panic!("{packet:?}") };
        match (packet.flow.protocol, ip.transport) {
            (Protocol::Tcp, Transport::Tcp(tcp)) => {
                let segments: &mut Vec<_> = connections.entry(packet.lifetime.flow).or_default();
                segments.push((packet, tcp.state.unwrap()));
            }
            (Protocol::Udp, Transport::Udp(_)) => {}
            other => panic!("{other:?}"),
        }
    });
    connections
}

#[test]
fn a_connection_has_syn_and_fin_of_both_sides_and_no_payload_in_them() {
    let mut whole = 0;
    for segments in connections(3 * PERIOD * FLOWS).into_values() {
        for (packet, state) in &segments {
            let expected = match (packet.lifetime.before, packet.lifetime.after) {
                (0, _) => SYN,
                (1, _) => SYN | ACK,
                (_, 0) => ACK,
                (_, 1 | 2) => FIN | ACK,
                _ => PSH | ACK,
            };
            assert_eq!(state.flags, expected, "{packet:?}");
            assert_eq!(state.payload_length == 0, expected & PSH == 0, "{packet:?}");
            assert_eq!(packet.reply(), packet.lifetime.before % 2 == 1, "the sides take turns: {packet:?}");
        }
        let is_whole =
            segments[0].0.lifetime.before == 0 && segments[segments.len() - 1].0.lifetime.after == 0;
        whole += usize::from(is_whole);
    }
    assert!(whole > 5_000, "{whole} whole connections");
}

#[test]
fn sequence_numbers_lead_from_syn_to_fin_and_both_are_acknowledged() {
    // All with payload have the longest, so that no number is left out.
    for segments in connections(PERIOD * FLOWS).into_values() {
        let stride = 1500 - 40;
        let mut next: [Option<u32>; 2] = [None, None];
        for (packet, state) in segments {
            let own = usize::from(packet.reply());
            if let Some(expected) = next[own] {
                assert_eq!(state.sequence, expected, "{packet:?}");
            }
            if let Some(expected) = next[1 - own] {
                assert_eq!(state.acknowledgment, expected, "{packet:?}");
            }
            let is_numbered = state.flags & (SYN | FIN) != 0;
            let payload = if state.flags & PSH != 0 { stride } else { 0 };
            next[own] = Some(state.sequence.wrapping_add(payload + u32::from(is_numbered)));
        }
    }
}

#[test]
fn sizes_are_an_internet_mix_in_which_segments_without_payload_are_small() {
    let mut lengths = HashMap::new();
    let packets = PERIOD * FLOWS;
    each(&mirrored(), packets, |_, bytes, _| *lengths.entry(bytes.len()).or_insert(0_u32) += 1);
    let share = |sizes: &[usize]| {
        f64::from(sizes.iter().map(|size| lengths.get(size).copied().unwrap_or(0)).sum::<u32>())
            / packets as f64
    };
    let near = |share: f64, twelfths: f64| assert!((share * 12.0 - twelfths).abs() < 0.25, "{share}");
    near(share(&[132 + 40, 132 + 60, 132 + 64]), 7.0);
    near(share(&[132 + 576]), 4.0);
    near(share(&[132 + 1500]), 1.0);
    assert_eq!(lengths.len(), 5, "{lengths:?}");
}

#[test]
fn the_tunnels_are_as_many_as_endpoints_times_interfaces() {
    for (interfaces, tunnels) in [(125, 1_000), (1_250, 10_000)] {
        let profile = Profile { interfaces, ..Profile::mirrored() };
        assert_eq!(profile.tunnels(), tunnels);
        let packets = Traffic::new(&profile).unwrap();
        let met: HashSet<_> = packets
            .packets(2 * PERIOD * FLOWS)
            .map(|packet| (packet.flow.endpoint, packet.flow.vni()))
            .collect();
        assert!(met.len() as u64 <= tunnels && met.len() as u64 > tunnels * 99 / 100, "{}", met.len());
    }
}

//! Rules that hold of flow tables for any packets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mirror_user::flow::{Action, EndReason, FlowConfig, FlowRecord, FlowTable, FlowTransport};
use mirror_user::number::SamplingRate;
use mirror_user::number::{EndpointId, EtherType, FlowCookie, IpProtocol, Vni};
use mirror_user::packet::{
    Fragment, Icmp, Ip, Network, Packet, PlainPacket, PlainTunnel, Ports, Tcp, TcpState, Transport, Tunnel,
};
use mirror_user::packet_clock::{MAX_LATENESS, PacketClock};
use mirror_user::time::Timestamp;
use proptest::prelude::*;

use crate::support::*;

/// Few of each, so that packets meet in flows.
fn transport() -> impl Strategy<Value = (u8, Transport)> {
    let ports = (0..3_u16, 0..3_u16).prop_map(|(source, destination)| Ports { source, destination });
    let number = || prop_oneof![0..5_u32, any::<u32>()];
    let state = (any::<u8>(), number(), number(), 0..4_u32, 0..2_u16).prop_map(
        |(flags, sequence, acknowledgment, payload_length, window)| TcpState {
            sequence,
            acknowledgment,
            flags,
            window,
            payload_length,
        },
    );
    let icmp = (prop_oneof![Just(0_u8), Just(8), Just(3)], 0..2_u8, prop::option::of(0..2_u16))
        .prop_map(|(kind, code, identifier)| Icmp { kind, code, identifier });
    prop_oneof![
        4 => (ports.clone(), prop::option::weighted(0.9, state))
            .prop_map(|(ports, state)| (6, Transport::Tcp(Tcp { ports, state }))),
        2 => ports.clone().prop_map(|ports| (17, Transport::Udp(ports))),
        1 => ports.prop_map(|ports| (132, Transport::Sctp(ports))),
        2 => icmp.prop_map(|icmp| (1, Transport::Icmp(icmp))),
        1 => prop_oneof![Just(6_u8), Just(17), Just(47)].prop_map(|protocol| (protocol, Transport::Unread)),
    ]
}

fn network(fragments: bool) -> impl Strategy<Value = Network> {
    let addresses = (any::<bool>(), 0..4_u8, 0..4_u8).prop_map(|(wide, source, destination)| {
        [source, destination].map(|number| {
            if wide { address(&format!("2001:db8::{number}")) } else { address(&format!("10.0.0.{number}")) }
        })
    });
    let fragment = (0..3_u32, prop_oneof![Just(0_u16), Just(8)], any::<bool>())
        .prop_map(|(identification, offset, more)| Fragment { identification, offset, more });
    let fragment = if fragments { prop::option::weighted(0.3, fragment).boxed() } else { Just(None).boxed() };
    let ip = (addresses, transport(), any::<u8>(), fragment).prop_map(
        |([source, destination], (protocol, transport), hop_limit, fragment)| {
            let later = fragment.is_some_and(|fragment| fragment.offset > 0);
            Network::Ip(Ip {
                source,
                destination,
                protocol: IpProtocol(protocol),
                length: 40,
                hop_limit,
                fragment,
                transport: if later { Transport::Unread } else { transport },
            })
        },
    );
    prop_oneof![20 => ip, 1 => Just(Network::Other(EtherType::ARP))]
}

fn any_packet(fragments: bool) -> impl Strategy<Value = Packet> {
    let tunnel = (0..3_u64, 0..2_u8, 0..2_u8, prop::option::of(0..3_u32)).prop_map(
        |(endpoint, vxlan, outer, cookie)| Tunnel {
            endpoint: (endpoint > 0).then_some(EndpointId(endpoint)),
            vxlan_vni: Some(Vni::from_bytes([0, 0, vxlan])),
            vxlan_source: (outer > 0).then_some([10, 0, 9, outer].into()),
            outer_source: address(&format!("10.200.0.{outer}")),
            cookie: cookie.map(FlowCookie),
            ..tunnel()
        },
    );
    (tunnel, network(fragments), 0..2000_u32, 0..2000_u32).prop_map(|(tunnel, network, one, other)| Packet {
        tunnel,
        network,
        captured_length: one.min(other),
        original_length: one.max(other),
        ..udp(("10.0.0.1", 0), ("10.0.0.2", 0))
    })
}

/// Packets with the time since the one before, in nanoseconds; now and then the clock is set.
fn packets(fragments: bool) -> impl Strategy<Value = Vec<(Timestamp, Packet)>> {
    let second = i64::try_from(SECOND).unwrap();
    let pause = prop_oneof![
        20 => 0..second / 10,
        5 => -second / 10..0,
        5 => 0..20 * second,
        1 => -10_000 * second..10_000 * second,
    ];
    prop::collection::vec((pause, any_packet(fragments)), 0..400).prop_map(|packets| {
        let mut now = START;
        packets
            .into_iter()
            .map(|(pause, packet)| {
                now = now.saturating_add_signed(pause);
                (Timestamp(now), packet)
            })
            .collect()
    })
}

fn configs() -> impl Strategy<Value = FlowConfig> {
    let timeout = || prop_oneof![1..1000_u64, 1000..200_000_u64].prop_map(Duration::from_millis);
    (1..60_u32, prop_oneof![1..5_u32, Just(1000)], timeout(), timeout(), timeout(), timeout(), any::<u64>())
        .prop_map(|(max_flows, max_tunnels, idle, active, closing, fragment, seed)| FlowConfig {
            max_flows,
            max_tunnels,
            idle_timeout: idle,
            active_timeout: active,
            closing_timeout: closing,
            fragment_timeout: fragment,
            seed,
            ..config()
        })
}

fn rate() -> impl Strategy<Value = SamplingRate> {
    (0..5_u32).prop_map(|exponent| SamplingRate::one_in(1 << exponent).unwrap())
}

/// The records of packets that are given in groups of `group`.
fn run(config: FlowConfig, packets: &[(Timestamp, Packet)], group: usize) -> (Vec<FlowRecord>, FlowTable) {
    let mut run = Run::new(config);
    for packets in packets.chunks(group) {
        run.packets(packets);
        assert!(run.table.active_flows() <= config.max_flows as usize);
    }
    run.finish()
}

/// A name for what packets of one flow have in common, made the plain way: the same in both directions, but for ICMP, of
/// which the end that asks, or that reports, comes first.
fn name(tunnel: &Tunnel, mut ends: [String; 2], rest: &str, is_icmp: bool) -> String {
    if !is_icmp {
        ends.sort();
    }
    format!("{:?} {:?} {:?} {ends:?} {rest}", tunnel.endpoint, tunnel.geneve_vni, tunnel.vxlan_vni)
}

fn name_of_packet(packet: &Packet) -> Option<String> {
    let Network::Ip(ip) = packet.network else { return None };
    let (ports, rest, is_icmp) = match ip.transport {
        Transport::Tcp(Tcp { ports, .. }) | Transport::Udp(ports) | Transport::Sctp(ports) => {
            (Some([ports.source, ports.destination]), String::new(), false)
        }
        Transport::Icmp(icmp) | Transport::Icmpv6(icmp) => {
            let kind = if ip.protocol == IpProtocol::ICMP && icmp.kind == 0 { 8 } else { icmp.kind };
            (None, format!("{kind} {} {:?}", icmp.code, icmp.identifier), true)
        }
        Transport::Unread => (None, "unread".into(), false),
    };
    let mut ends = [(ip.source, ports.map(|ports| ports[0])), (ip.destination, ports.map(|ports| ports[1]))];
    if matches!(ip.transport, Transport::Icmp(Icmp { kind: 0, .. })) && ip.protocol == IpProtocol::ICMP {
        ends.reverse();
    }
    let ends = ends.map(|end| format!("{end:?}"));
    Some(name(&packet.tunnel, ends, &format!("{} {rest}", ip.protocol.0), is_icmp))
}

fn name_of_record(record: &FlowRecord) -> String {
    let (ports, rest, is_icmp) = match record.transport {
        FlowTransport::Ports { source, destination } => (Some([source, destination]), String::new(), false),
        FlowTransport::Icmp { kind, code, identifier } => {
            (None, format!("{kind} {code} {identifier:?}"), true)
        }
        FlowTransport::Unread => (None, "unread".into(), false),
    };
    let ends =
        [(record.source, ports.map(|ports| ports[0])), (record.destination, ports.map(|ports| ports[1]))];
    let ends = ends.map(|end| format!("{end:?}"));
    name(&record.tunnel, ends, &format!("{} {rest}", record.protocol.0), is_icmp)
}

/// Packets, bytes and captured bytes.
type Sums = [u64; 3];

fn add(sums: &mut Sums, more: Sums) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn sums_of_record(record: &FlowRecord) -> Sums {
    let captured = record.forward.captured_bytes + record.reverse.captured_bytes;
    [record.packets(), record.bytes(), captured]
}

fn sums_of_packet(packet: &Packet) -> Sums {
    [1, packet.original_length.into(), packet.captured_length.into()]
}

/// The flows that records tell of, by name: of each one the sums, however many records it has.
fn flows(records: &[FlowRecord]) -> BTreeMap<String, Vec<Sums>> {
    let mut flows: BTreeMap<String, Vec<Sums>> = BTreeMap::new();
    let mut open: BTreeMap<String, Sums> = BTreeMap::new();
    for record in records {
        let mut sums = open.remove(&name_of_record(record)).unwrap_or_default();
        add(&mut sums, sums_of_record(record));
        if matches!(record.action, Action::End(_)) {
            flows.entry(name_of_record(record)).or_default().push(sums);
        } else {
            open.insert(name_of_record(record), sums);
        }
    }
    flows
}

/// A packet in its most frequent form, if it has that.
fn plain(packet: &Packet) -> Option<PlainPacket> {
    let Packet { tunnel, offset, captured_length, original_length, link, network } = *packet;
    let Network::Ip(ip) = network else { return None };
    let ((IpAddr::V4(source), IpAddr::V4(destination)), None) = ((ip.source, ip.destination), ip.fragment)
    else {
        return None;
    };
    let (IpAddr::V4(outer_source), IpAddr::V4(outer_destination)) =
        (tunnel.outer_source, tunnel.outer_destination)
    else {
        return None;
    };
    let (ports, tcp) = match ip.transport {
        Transport::Tcp(Tcp { ports, state: Some(state) }) => (ports, Some(state)),
        Transport::Udp(ports) => (ports, None),
        _ => return None,
    };
    let plain = PlainPacket {
        tunnel: PlainTunnel {
            outer_source,
            outer_destination,
            geneve_vni: tunnel.geneve_vni?,
            vxlan_vni: tunnel.vxlan_vni,
            vxlan_source: tunnel.vxlan_source,
            endpoint: tunnel.endpoint?,
            attachment: tunnel.attachment?,
            cookie: tunnel.cookie?,
        },
        offset,
        captured_length,
        original_length,
        is_frame: link.is_some(),
        vlans: link.map_or([None; 2], |link| link.vlans),
        source,
        destination,
        length: ip.length.try_into().ok()?,
        hop_limit: ip.hop_limit,
        ports,
        tcp,
    };
    assert_eq!(plain.with_link(link), *packet);
    Some(plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A packet in its most frequent form counts as it does in the general one.
    #[test]
    fn plain_packets_count_as_any(config in configs(), packets in packets(true), own_records in any::<u64>()) {
        let [mut records, mut plain_records] = [Vec::new(), Vec::new()];
        let [mut table, mut plain_table] = [(); 2].map(|()| FlowTable::new(config).unwrap());
        for batch in packets.chunks(50) {
            for (number, (timestamp, packet)) in batch.iter().enumerate() {
                let has_own_record = own_records >> number & 1 == 1;
                table.prepare(*timestamp, packet, has_own_record, None);
                match plain(packet) {
                    Some(plain) => plain_table.prepare_plain(*timestamp, &plain, has_own_record, None),
                    None => plain_table.prepare(*timestamp, packet, has_own_record, None),
                }
            }
            table.complete(&mut |record| records.push(record.clone()));
            plain_table.complete(&mut |record| plain_records.push(record.clone()));
        }
        let end = packets.last().map_or(Timestamp(0), |(timestamp, _)| *timestamp);
        table.drain(end, &mut |record| records.push(record.clone()));
        plain_table.drain(end, &mut |record| plain_records.push(record.clone()));
        prop_assert_eq!(records, plain_records);
        prop_assert_eq!(table.counters(), plain_table.counters());
    }

    /// Every packet is in one record or under one named counter, whatever comes in between.
    #[test]
    fn nothing_is_lost(config in configs(), packets in packets(true), group in 1..100_usize) {
        let (records, table) = run(config, &packets, group);
        let counters = table.counters();
        prop_assert_eq!(counters.packets, packets.len() as u64);
        prop_assert_eq!(
            counters.packets,
            counters.attributed
                + counters.not_ip
                + counters.fragments_unattributed
                + counters.tunnels_exhausted
        );
        prop_assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), counters.attributed);
        prop_assert_eq!(records.len() as u64, counters.records);
        let ends = records.iter().filter(|record| matches!(record.action, Action::End(_))).count() as u64;
        prop_assert_eq!(ends, counters.created);
        prop_assert_eq!((table.active_flows(), table.active_tunnels()), (0, 0));
    }

    /// The same where flows are sampled at a rate that changes.
    #[test]
    fn nothing_is_lost_where_flows_are_sampled(
        config in configs(),
        packets in packets(true),
        rates in prop::collection::vec(rate(), 1..8),
    ) {
        let mut run = Run::new(config);
        for (packets, rate) in packets.chunks(packets.len() / rates.len() + 1).zip(&rates) {
            run.table.set_sampling(*rate);
            run.packets(packets);
        }
        let (records, table) = run.finish();
        let counters = table.counters();
        let left_out = counters.not_ip + counters.fragments_unattributed + counters.tunnels_exhausted;
        prop_assert_eq!(counters.packets, packets.len() as u64);
        prop_assert_eq!(counters.packets, counters.attributed + counters.not_sampled + left_out);
        prop_assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), counters.attributed);
        prop_assert!(records.iter().all(|record| rates.contains(&record.sampling_rate)));
        prop_assert_eq!((table.active_flows(), table.active_tunnels()), (0, 0));
    }

    /// Sampling leaves flows out, and counts the same in the others.
    #[test]
    fn sampled_flows_are_those_of_all(config in configs(), packets in packets(true), rate in rate()) {
        let config = FlowConfig { max_flows: 1000, max_tunnels: 1000, ..config };
        let mut expected = flows(&run(config, &packets, 64).0);
        let mut sampled = Run::new(config);
        sampled.table.set_sampling(rate);
        sampled.packets(&packets);
        let (records, _) = sampled.finish();
        prop_assert!(records.iter().all(|record| record.sampling_rate == rate));
        let found = flows(&records);
        expected.retain(|name, _| found.contains_key(name));
        prop_assert_eq!(found, expected);
    }

    /// The sums of each flow are those of its packets, counted the plain way, whatever their order, eviction
    /// and timeouts.
    #[test]
    fn sums_of_flows_are_those_of_their_packets(
        (packets, shuffled) in packets(false).prop_flat_map(|packets| (Just(packets.clone()), Just(packets).prop_shuffle())),
        config in configs(),
        in_order in any::<bool>(),
    ) {
        let config = FlowConfig { max_tunnels: 1000, ..config };
        let mut expected: BTreeMap<String, Sums> = BTreeMap::new();
        for (_, packet) in &packets {
            if let Some(name) = name_of_packet(packet) {
                add(expected.entry(name).or_default(), sums_of_packet(packet));
            }
        }
        let (records, _) = run(config, if in_order { &packets } else { &shuffled }, 64);
        let mut found: BTreeMap<String, Sums> = BTreeMap::new();
        for record in &records {
            add(found.entry(name_of_record(record)).or_default(), sums_of_record(record));
        }
        prop_assert_eq!(found, expected);
    }

    /// Records do not depend on the grouping of packets, nor on the seed: a replay gives the flows of the
    /// capture.
    #[test]
    fn a_replay_is_identical(
        config in configs(),
        packets in packets(true),
        groups in (1..100_usize, 1..100_usize),
        seed in any::<u64>(),
    ) {
        let config = FlowConfig { max_tunnels: 1000, ..config };
        let (records, _) = run(config, &packets, groups.0);
        let (again, _) = run(FlowConfig { seed, ..config }, &packets, groups.1);
        prop_assert_eq!(records, again);
    }

    /// Calls of `expire` between packets, as a worker makes them, change when records come, but not the flows, as long as
    /// none is evicted.
    #[test]
    fn waiting_changes_nothing(config in configs(), packets in packets(true)) {
        let config = FlowConfig { max_flows: 1000, max_tunnels: 1000, ..config };
        let (records, _) = run(config, &packets, 64);
        let mut waiting = Run::new(config);
        let mut clock = PacketClock::default();
        for (time, packet) in &packets {
            waiting.packets(&[(*time, *packet)]);
            clock.observe(*time);
            let found = &mut waiting.records;
            let passed = clock.watermark().unwrap().before(MAX_LATENESS);
            waiting.table.expire(passed, &mut |record| found.push(record.clone()));
        }
        let (again, _) = waiting.finish();
        prop_assert_eq!(flows(&records), flows(&again));
    }

    /// Each record tells of an interval of time within its bounds, and a flow's records follow each other.
    #[test]
    fn records_make_sense(config in configs(), packets in packets(true)) {
        let (records, _) = run(config, &packets, 64);
        let mut open: BTreeMap<String, FlowRecord> = BTreeMap::new();
        for record in &records {
            prop_assert!(record.start <= record.end);
            prop_assert!(record.duration() < config.active_timeout.max(Duration::from_nanos(1)), "{:?}", record);
            let before = open.remove(&name_of_record(record));
            prop_assert_eq!(before.is_some(), record.action == Action::Update
                || matches!(record.action, Action::End(_)) && before.is_some());
            match record.action {
                Action::Open => prop_assert!(before.is_none() && record.packets() > 0),
                Action::Update => prop_assert!(before.is_some() && record.packets() > 0),
                Action::End(_) => prop_assert!(before.is_some() || record.packets() > 0),
            }
            if !matches!(record.action, Action::End(_)) {
                open.insert(name_of_record(record), record.clone());
            }
            for traffic in [record.forward, record.reverse] {
                prop_assert!(traffic.captured_bytes <= traffic.bytes);
                prop_assert_eq!(traffic.times.is_some(), traffic.packets > 0);
                if let (Some((first, last)), Some((lowest, highest))) = (traffic.times, traffic.hop_limits) {
                    prop_assert!(record.start <= first && first <= last && last <= record.end);
                    prop_assert!(lowest <= highest);
                }
            }
        }
        prop_assert!(open.is_empty(), "without an end: {:?}", open);
    }
}

/// A flow as the records told of it, or as a model has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    start: Timestamp,
    end: Timestamp,
    packets: u64,
    /// Of a flow that its own next packet ended.
    reason: Option<EndReason>,
}

/// A random number below `limit`, of a sequence that is the same in every run.
fn draw(state: &mut u64, limit: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % limit
}

/// The same for an index.
fn pick(state: &mut u64, limit: usize) -> usize {
    usize::try_from(draw(state, limit as u64)).unwrap()
}

/// Packets of `clocks` capture points whose clocks differ, interleaved at random. Each flow is seen by one of them, has
/// pauses of up to four times the idle timeout, and some packets are late. Now and then a clock is set back.
fn interleaved(state: &mut u64, clocks: usize, packets: usize, idle: u64) -> Vec<(Timestamp, Packet)> {
    /// Flows at a time: a multiple of all numbers of clocks.
    const FLOWS: usize = 180;

    let mut times: Vec<u64> = (0..clocks).map(|_| START + draw(state, 10_000) * idle).collect();
    let mut pauses = vec![0; FLOWS];
    (0..packets)
        .map(|number| {
            let clock = pick(state, clocks);
            times[clock] += draw(state, idle / 20);
            if draw(state, 5_000) == 0 {
                times[clock] -= draw(state, 20 * idle);
            }
            // Those that pause are passed over until their turn.
            let mut flow = pick(state, FLOWS / clocks) * clocks + clock;
            while pauses[flow] > number {
                flow = (flow + clocks) % FLOWS;
            }
            if draw(state, 20) == 0 {
                pauses[flow] = number + pick(state, FLOWS);
            }
            let late = if draw(state, 10) == 0 { draw(state, SECOND) } else { 0 };
            // Some never come back.
            let port = 1000 + u16::try_from(flow + FLOWS * (number / 15_000)).unwrap();
            (Timestamp(times[clock] - late), udp(("10.0.0.1", port), ("10.0.0.2", 9)))
        })
        .collect()
}

/// The flows of packets, by source port, as anybody would count them who has all the time in the world: a packet
/// belongs to the flow before if it is nearer to it than the idle timeout.
fn model(packets: &[(Timestamp, Packet)], idle: u64) -> BTreeMap<u16, Vec<Told>> {
    let mut flows: BTreeMap<u16, Vec<Told>> = BTreeMap::new();
    for (time, packet) in packets {
        let Network::Ip(Ip { transport: Transport::Udp(ports), .. }) = packet.network else { panic!() };
        let of_port = flows.entry(ports.source).or_default();
        let reason = of_port.last().and_then(|told| {
            if time.0 >= told.end.0 + idle {
                Some(EndReason::Idle)
            } else if time.0 + idle <= told.start.0 {
                Some(EndReason::ClockStep)
            } else {
                None
            }
        });
        match of_port.last_mut() {
            Some(told) if reason.is_none() => {
                told.start = told.start.min(*time);
                told.end = told.end.max(*time);
                told.packets += 1;
            }
            last => {
                if let Some(last) = last {
                    last.reason = reason;
                }
                of_port.push(Told { start: *time, end: *time, packets: 1, reason: None });
            }
        }
    }
    flows
}

/// Whatever the clocks do, each flow has the times of its own packets, and ends where the model ends it; no clock of
/// another flow has a say, though flows are expired all the while.
#[test]
fn times_and_ends_are_those_of_a_plain_model() {
    const IDLE: u64 = 100 * SECOND;
    let mut state = 42;
    for (round, clocks) in [1, 2, 3, 5].into_iter().cycle().enumerate().take(12) {
        let packets = interleaved(&mut state, clocks, 60_000, IDLE);
        let config = FlowConfig {
            idle_timeout: Duration::from_nanos(IDLE),
            // No record is cut, so that the model need not cut any.
            active_timeout: FlowConfig::LONGEST_ACTIVE,
            ..config()
        };
        let mut run = Run::new(config);
        let mut clock = PacketClock::default();
        let group = 1 + pick(&mut state, 64);
        let mut expired = 0;
        for packets in packets.chunks(group) {
            run.packets(packets);
            for (time, _) in packets {
                clock.observe(*time);
            }
            let found = &mut run.records;
            let passed = clock.watermark().unwrap().before(MAX_LATENESS);
            run.table.expire(passed, &mut |record| {
                expired += u32::from(matches!(record.action, Action::End(_)));
                found.push(record.clone());
            });
        }
        let (records, _) = run.finish();
        let mut told: BTreeMap<u16, Vec<Told>> = BTreeMap::new();
        let mut open: BTreeMap<u16, Told> = BTreeMap::new();
        for record in &records {
            let FlowTransport::Ports { source, .. } = record.transport else { panic!() };
            let mut so_far =
                Told { start: record.start, end: record.end, packets: record.packets(), reason: None };
            if let Some(before) = open.remove(&source) {
                so_far.start = so_far.start.min(before.start);
                so_far.end = so_far.end.max(before.end);
                so_far.packets += before.packets;
            }
            if let Action::End(reason) = record.action {
                so_far.reason = Some(reason);
                told.entry(source).or_default().push(so_far);
            } else {
                open.insert(source, so_far);
            }
        }
        assert!(open.is_empty());
        let expected = model(&packets, IDLE);
        for (port, expected) in &expected {
            let told = &told[port];
            assert_eq!(told.len(), expected.len(), "round {round}, port {port}");
            for (told, expected) in told.iter().zip(expected) {
                let times = |told: &Told| (told.start, told.end, told.packets);
                assert_eq!(times(told), times(expected), "round {round}, port {port}");
                match (told.reason, expected.reason) {
                    // What ended without a packet was idle by every clock, or the capture ended.
                    (Some(EndReason::Idle | EndReason::Shutdown), None) => {}
                    (told, expected) => assert_eq!(told, expected, "round {round}, port {port}"),
                }
            }
        }
        assert!(expected.values().map(Vec::len).sum::<usize>() > 500, "pauses end flows");
        assert!(clocks > 1 || expired > 0, "flows end without a packet of theirs");
    }
}

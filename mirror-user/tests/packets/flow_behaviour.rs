//! The packets of a flow, its end, and its records.

use std::time::Duration;

use mirror_user::flow::{
    Action, Connection, EndReason, FlowConfig, FlowRecord, FlowTransport, Initiator, NetworkDirection,
    Traffic,
};
use mirror_user::number::SamplingRate;
use mirror_user::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, QueueId, Vni};
use mirror_user::packet::{Network, Packet, Ports, Transport};
use mirror_user::time::Timestamp;

use crate::support::*;

fn ping(number: u16) -> (Packet, Packet) {
    let request = udp(("10.0.0.1", 1000 + number), ("10.0.0.2", 53));
    let reply = udp(("10.0.0.2", 53), ("10.0.0.1", 1000 + number));
    (request, reply)
}

#[test]
fn both_directions_are_one_flow() {
    let mut run = Run::new(config());
    let (request, reply) = ping(0);
    run.packet(5, &with_ip(request, |ip| ip.hop_limit = 60));
    run.packet(9, &with_ip(request, |ip| ip.hop_limit = 61));
    run.packet(20, &reply);
    let record = run.finish_one();
    let expected = FlowRecord {
        queue: QueueId(3),
        sampling_rate: SamplingRate::EVERY,
        action: Action::End(EndReason::Shutdown),
        start: at(5),
        end: at(20),
        tunnel: tunnel(),
        first_cookie: Some(FlowCookie(0x0bad_cafe)),
        vlans: [None; 2],
        source: address("10.0.0.1"),
        destination: address("10.0.0.2"),
        protocol: IpProtocol::UDP,
        transport: FlowTransport::Ports { source: 1000, destination: 53 },
        initiator: Initiator::FirstPacket,
        forward: Traffic {
            packets: 2,
            bytes: 200,
            captured_bytes: 160,
            times: Some((at(5), at(9))),
            hop_limits: Some((60, 61)),
            ..Traffic::default()
        },
        reverse: Traffic {
            packets: 1,
            bytes: 100,
            captured_bytes: 80,
            times: Some((at(20), at(20))),
            hop_limits: Some((64, 64)),
            ..Traffic::default()
        },
        accounted: 3,
        connection: None,
        handshake: None,
        application: None,
    };
    assert_eq!(record, expected);
    assert_eq!((record.packets(), record.bytes(), record.duration()), (3, 300, Duration::from_nanos(15)));
    assert_eq!(NetworkDirection::of(record.source, record.destination), NetworkDirection::Internal);
}

#[test]
fn the_high_end_may_be_the_initiator() {
    let mut run = Run::new(config());
    let (request, reply) = ping(0);
    run.packet(0, &reply);
    run.packet(1, &request);
    let record = run.finish_one();
    assert_eq!((record.source, record.destination), (address("10.0.0.2"), address("10.0.0.1")));
    assert_eq!(record.transport, FlowTransport::Ports { source: 53, destination: 1000 });
    assert_eq!((record.forward.packets, record.reverse.packets), (1, 1));
}

#[test]
fn ipv6_flows_keep_their_addresses() {
    let mut run = Run::new(config());
    for number in 0..100 {
        let (low, high) = (format!("2001:db8::{number:x}"), format!("2001:db8:1::{number:x}"));
        run.packet(number, &udp((&high, 53), (&low, 1000)));
        run.packet(number, &udp((&low, 1000), (&high, 53)));
    }
    let (records, _) = run.finish();
    assert_eq!(records.len(), 100);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.source, address(&format!("2001:db8:1::{number:x}")));
        assert_eq!(record.destination, address(&format!("2001:db8::{number:x}")));
        assert_eq!((record.forward.packets, record.reverse.packets), (1, 1));
    }
}

/// Each of these differs from the first in one thing only.
#[test]
fn tunnels_vlans_and_protocols_are_apart() {
    let base = udp(("10.0.0.1", 1000), ("10.0.0.2", 2000));
    let vlan = |vlans| {
        let mut packet = base;
        packet.link.as_mut().unwrap().vlans = vlans;
        packet
    };
    let packets = [
        base,
        with_tunnel(base, |tunnel| tunnel.endpoint = Some(EndpointId(1))),
        with_tunnel(base, |tunnel| tunnel.endpoint = None),
        with_tunnel(base, |tunnel| tunnel.geneve_vni = Some(Vni::from_bytes([0, 0, 1]))),
        with_tunnel(base, |tunnel| tunnel.vxlan_vni = Some(Vni::from_bytes([0, 0, 1]))),
        with_tunnel(base, |tunnel| tunnel.vxlan_vni = None),
        vlan([Some(5), None]),
        vlan([Some(5), Some(5)]),
        with_ip(base, |ip| ip.protocol = IpProtocol::SCTP),
        packet("10.0.0.1", "10.0.0.2", IpProtocol(47), Transport::Unread),
        packet("10.0.0.1", "10.0.0.2", IpProtocol(50), Transport::Unread),
        packet("10.0.0.1", "10.0.0.2", IpProtocol::UDP, Transport::Unread),
        icmp("10.0.0.1", "10.0.0.2", 8, 0, Some(7)),
        icmp("10.0.0.1", "10.0.0.2", 8, 0, Some(8)),
        icmp("10.0.0.1", "10.0.0.2", 3, 1, None),
        icmp("10.0.0.1", "10.0.0.2", 3, 3, None),
        icmp("10.0.0.1", "10.0.0.2", 11, 0, None),
    ];
    let mut run = Run::new(config());
    for round in 0..3 {
        for packet in &packets {
            run.packet(round, packet);
        }
    }
    let (records, table) = run.finish();
    assert_eq!(records.len(), packets.len());
    for (record, packet) in records.iter().zip(&packets) {
        assert_eq!((record.packets(), record.tunnel), (3, packet.tunnel));
        assert_eq!(record.vlans, packet.link.unwrap().vlans);
    }
    assert_eq!(table.active_tunnels(), 0);
}

#[test]
fn outer_addresses_may_change_within_a_flow() {
    let base = udp(("10.0.0.1", 1000), ("10.0.0.2", 2000));
    let other = with_tunnel(base, |tunnel| {
        tunnel.outer_source = address("10.200.9.9");
        tunnel.attachment = None;
        tunnel.cookie = Some(FlowCookie(2));
    });
    let without = with_tunnel(other, |tunnel| tunnel.cookie = None);
    let mut run = Run::new(config());
    for packet in [without, base, other, without] {
        run.packet(0, &packet);
    }
    let record = run.finish_one();
    assert_eq!(record.packets(), 4);
    assert_eq!(record.tunnel, other.tunnel);
    assert_eq!(record.first_cookie, Some(FlowCookie(0x0bad_cafe)));
}

#[test]
fn icmp_replies_belong_to_their_requests() {
    for (first, second) in [(8, 0), (0, 8)] {
        let mut run = Run::new(config());
        for kind in [first, second] {
            let packet = if kind == 8 {
                icmp("10.0.0.9", "10.0.0.2", 8, 0, Some(77))
            } else {
                icmp("10.0.0.2", "10.0.0.9", 0, 0, Some(77))
            };
            run.packet(0, &packet);
        }
        let record = run.finish_one();
        assert_eq!((record.source, record.initiator), (address("10.0.0.9"), Initiator::Request));
        assert_eq!(record.transport, FlowTransport::Icmp { kind: 8, code: 0, identifier: Some(77) });
        assert_eq!(record.transport.reply_kind(record.protocol), Some(0));
        assert_eq!((record.forward.packets, record.reverse.packets), (1, 1));
    }
}

/// A that asks B and B that asks A are two flows, as are the errors that each of them reports.
#[test]
fn icmp_of_each_end_is_a_flow_of_its_own() {
    let (a, b) = ("10.0.0.9", "10.0.0.2");
    let mut run = Run::new(config());
    for (source, destination, kind, identifier) in [
        (a, b, 8, Some(1)),
        (b, a, 8, Some(1)),
        (b, a, 0, Some(1)),
        (a, b, 0, Some(1)),
        (a, b, 3, None),
        (b, a, 3, None),
        (a, b, 42, Some(1)),
        (b, a, 42, Some(1)),
    ] {
        run.packet(0, &icmp(source, destination, kind, 0, identifier));
    }
    let (records, _) = run.finish();
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let FlowTransport::Icmp { kind, .. } = record.transport else { panic!() };
            (record.source, kind, record.forward.packets, record.reverse.packets)
        })
        .collect();
    let (a, b) = (address(a), address(b));
    assert_eq!(told, [(a, 8, 1, 1), (b, 8, 1, 1), (a, 3, 1, 0), (b, 3, 1, 0), (a, 42, 1, 0), (b, 42, 1, 0)]);
}

#[test]
fn what_is_not_ip_is_counted() {
    let mut run = Run::new(config());
    let mut arp = udp(("10.0.0.1", 1), ("10.0.0.2", 2));
    arp.network = Network::Other(EtherType::ARP);
    run.packet(0, &arp);
    let (records, table) = run.finish();
    assert!(records.is_empty());
    assert_eq!((table.counters().packets, table.counters().not_ip), (1, 1));
}

#[test]
fn fragments_follow_the_first_one() {
    let whole = udp(("10.0.0.1", 1000), ("10.0.0.2", 2000));
    let mut run = Run::new(config());
    run.packet(1, &with_fragment(whole, 1, 0, true));
    run.packet(2, &with_fragment(whole, 1, 1480, true));
    run.packet(3, &with_fragment(whole, 1, 2960, false));
    run.packet(4, &with_fragment(whole, 2, 2960, false));
    run.packet(5, &with_tunnel(with_fragment(whole, 1, 2960, false), |tunnel| tunnel.endpoint = None));
    assert_eq!(run.table.active_tunnels(), 1);
    let (records, table) = run.finish();
    let [record] = &records[..] else { panic!("one record") };
    let counters = table.counters();
    assert_eq!((counters.packets, counters.attributed, counters.fragments_unattributed), (5, 3, 2));
    assert_eq!(record.transport, FlowTransport::Ports { source: 1000, destination: 2000 });
    assert_eq!(record.forward.packets, 3);
}

/// In whatever order they come, with their own times and TTLs.
#[test]
fn fragments_that_come_before_the_first_one_join_its_flow() {
    let whole = udp(("10.0.0.9", 1000), ("10.0.0.2", 2000));
    let fragment = |offset, hop_limit| {
        with_ip(with_fragment(whole, 1, offset, offset < 2960), |ip| ip.hop_limit = hop_limit)
    };
    let mut run = Run::new(config());
    run.packet(30, &fragment(2960, 60));
    run.packet(20, &fragment(1480, 70));
    assert_eq!(run.table.counters().attributed, 0);
    run.packet(40, &fragment(0, 64));
    let record = run.finish_one();
    let expected = Traffic {
        packets: 3,
        bytes: 300,
        captured_bytes: 240,
        times: Some((at(20), at(40))),
        hop_limits: Some((60, 70)),
        ..Traffic::default()
    };
    assert_eq!((record.source, record.forward, record.start), (address("10.0.0.9"), expected, at(20)));
    assert_eq!((record.reverse, record.accounted), (Traffic::default(), 3));
}

/// Each packet has exactly one account: its own record, that of its flow, or a reason to be in none.
#[test]
fn a_packet_with_a_record_of_its_own_is_accounted_for_by_it() {
    let mut run = Run::new(config());
    let (request, reply) = ping(0);
    let mut arp = request;
    arp.network = Network::Other(EtherType::ARP);
    let fragment = |offset| with_fragment(ping(1).0, 1, offset, true);
    for (packet, has_own_record) in [
        (request, false),
        (reply, true),
        (reply, true),
        (arp, false),
        (arp, true),
        (fragment(16), true),
        (fragment(8), false),
        (with_fragment(request, 7, 8, false), true),
        (with_fragment(request, 8, 8, false), false),
        (fragment(0), true),
    ] {
        run.table.prepare(at(0), &packet, has_own_record, None);
    }
    let found = &mut run.records;
    run.table.complete(&mut |record| found.push(record.clone()));
    let (records, table) = run.finish();
    let told: Vec<_> = records.iter().map(|record| (record.packets(), record.accounted)).collect();
    assert_eq!(told, [(3, 1), (3, 1)]);
    let counters = table.counters();
    assert_eq!((counters.not_ip, counters.fragments_unattributed), (1, 1));
}

#[test]
fn a_quiet_flow_ends_at_its_idle_timeout() {
    let (request, reply) = ping(0);
    let mut run = Run::new(FlowConfig { idle_timeout: seconds(30), ..config() });
    run.packet(0, &request);
    run.expire(30 * SECOND - 1);
    assert_eq!(run.take(), []);
    run.expire(30 * SECOND);
    let record = run.take_one();
    assert_eq!((record.action, record.packets()), (Action::End(EndReason::Idle), 1));
    run.packet(40 * SECOND, &request);
    run.packet(69 * SECOND, &reply);
    run.packet(99 * SECOND, &reply);
    let record = run.take_one();
    assert_eq!((record.action, record.packets()), (Action::End(EndReason::Idle), 2));
    let record = run.finish_one();
    assert_eq!((record.source, record.packets()), (address("10.0.0.2"), 1));
}

#[test]
fn a_long_flow_has_a_record_per_interval() {
    let (request, reply) = ping(0);
    let mut run = Run::new(config());
    for second in 0..150 {
        run.packet(second * SECOND, if second % 3 == 0 { &request } else { &reply });
    }
    let (records, table) = run.finish();
    let summary: Vec<_> =
        records.iter().map(|record| (record.action, record.start, record.end, record.packets())).collect();
    assert_eq!(
        summary,
        [
            (Action::Open, at(0), at(59 * SECOND), 60),
            (Action::Update, at(60 * SECOND), at(119 * SECOND), 60),
            (Action::End(EndReason::Shutdown), at(120 * SECOND), at(149 * SECOND), 30),
        ]
    );
    for record in &records {
        assert_eq!(
            (record.source, record.forward.packets * 2),
            (address("10.0.0.1"), record.reverse.packets)
        );
    }
    assert_eq!(table.counters().records, 3);
}

#[test]
fn a_flow_that_falls_quiet_is_told_of_before_it_ends() {
    let (request, _) = ping(0);
    let mut run = Run::new(config());
    run.packet(0, &request);
    run.packet(10 * SECOND, &request);
    run.expire(70 * SECOND - 1);
    assert_eq!(run.take(), []);
    run.expire(70 * SECOND);
    let record = run.take_one();
    assert_eq!((record.action, record.packets(), record.end), (Action::Open, 2, at(10 * SECOND)));
    run.expire(130 * SECOND - 1);
    assert_eq!(run.take(), []);
    run.expire(130 * SECOND);
    let record = run.take_one();
    assert_eq!((record.action, record.packets()), (Action::End(EndReason::Idle), 0));
    assert_eq!((record.start, record.end), (at(10 * SECOND), at(10 * SECOND)));
    assert_eq!((record.forward, record.reverse), (Traffic::default(), Traffic::default()));
    assert_eq!(run.table.active_flows(), 0);
}

/// Once told of, a flow that speaks again is told of again.
#[test]
fn a_flow_may_fall_quiet_more_than_once() {
    let (request, _) = ping(0);
    let mut run = Run::new(config());
    run.packet(0, &request);
    run.expire(60 * SECOND);
    assert_eq!(run.take_one().action, Action::Open);
    run.packet(100 * SECOND, &request);
    run.expire(160 * SECOND);
    let record = run.take_one();
    assert_eq!((record.action, record.packets(), record.start), (Action::Update, 1, at(100 * SECOND)));
}

#[test]
fn the_longest_idle_flow_makes_room() {
    let mut run = Run::new(FlowConfig { max_flows: 3, ..config() });
    for (second, number) in [(0, 0), (1, 1), (2, 2), (3, 0), (4, 3)] {
        run.packet(second * SECOND, &ping(number).0);
    }
    let record = run.take_one();
    assert_eq!(record.action, Action::End(EndReason::Evicted));
    assert_eq!(record.transport, FlowTransport::Ports { source: 1001, destination: 53 });
    run.packet(5 * SECOND, &ping(1).0);
    let record = run.take_one();
    assert_eq!(record.transport, FlowTransport::Ports { source: 1002, destination: 53 });
    assert_eq!((run.table.active_flows(), run.table.counters().evicted), (3, 2));
    // Flows that have timed out make room by themselves.
    run.expire(124 * SECOND);
    let ended = |record: &FlowRecord| record.action == Action::End(EndReason::Idle);
    assert_eq!(run.take().into_iter().filter(ended).count(), 2);
    run.packet(124 * SECOND, &ping(4).0);
    run.packet(124 * SECOND, &ping(5).0);
    assert_eq!((run.table.active_flows(), run.table.counters().evicted), (3, 2));
}

#[test]
fn connections_that_are_over_are_evicted_by_idle_time_as_well() {
    let mut run = Run::new(FlowConfig { max_flows: 2, ..config() });
    run.packet(0, &client(SYN, 100, 0).packet());
    run.packet(1, &server(RST | ACK, 0, 0).packet());
    run.packet(2, &ping(0).0);
    run.packet(3, &ping(1).0);
    let record = run.take_one();
    assert_eq!(
        (record.action, record.connection),
        (Action::End(EndReason::Evicted), Some(Connection::Refused))
    );
}

/// At the limit the flows of the longest idle tunnel end, so that no packet of another is left out.
#[test]
fn the_longest_idle_tunnel_makes_room() {
    let mut run = Run::new(FlowConfig { max_tunnels: 2, ..config() });
    let packet = |number| with_tunnel(ping(0).0, |tunnel| tunnel.endpoint = Some(EndpointId(number)));
    for (time, number) in [(0, 0), (1, 1), (2, 0), (3, 2)] {
        run.packet(time, &packet(number));
    }
    let record = run.take_one();
    assert_eq!(record.action, Action::End(EndReason::Evicted));
    assert_eq!(record.tunnel.endpoint, Some(EndpointId(1)));
    let counters = run.table.counters();
    assert_eq!((counters.tunnels_exhausted, counters.tunnels_evicted, counters.evicted), (0, 1, 1));
    assert_eq!(run.table.active_tunnels(), 2);
    let (records, table) = run.finish();
    assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), 3);
    assert_eq!(table.active_tunnels(), 0);
}

/// A sender that makes tunnels up takes no more than half of the room, and nothing of others that are idle for longer.
#[test]
fn one_endpoint_cannot_shut_out_the_others() {
    let mut run = Run::new(FlowConfig { max_tunnels: 8, ..config() });
    let packet = |endpoint, attachment| {
        with_tunnel(ping(0).0, |tunnel| {
            tunnel.endpoint = Some(EndpointId(endpoint));
            tunnel.attachment = Some(AttachmentId(attachment));
        })
    };
    for endpoint in 1..=3 {
        run.packet(endpoint, &packet(endpoint, 0));
    }
    for attachment in 0..1000 {
        let made_up = with_ip(packet(9, attachment), |ip| {
            ip.transport =
                Transport::Udp(Ports { source: u16::try_from(attachment).unwrap(), destination: 9 });
        });
        run.packet(10 + attachment, &made_up);
    }
    assert!(run.take().iter().all(|record| record.tunnel.endpoint == Some(EndpointId(9))));
    for endpoint in 1..=3 {
        run.packet(2000 + endpoint, &packet(endpoint, 0));
    }
    let (records, table) = run.finish();
    for endpoint in 1..=3 {
        let of_endpoint = |record: &&FlowRecord| record.tunnel.endpoint == Some(EndpointId(endpoint));
        let [record] = records.iter().filter(of_endpoint).collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!((record.start, record.end, record.packets()), (at(endpoint), at(2000 + endpoint), 2));
    }
    assert_eq!(table.counters().tunnels_exhausted, 0);
}

/// VLAN tags tell flows apart, and take no room of tunnels.
#[test]
fn vlan_tags_take_no_room_of_tunnels() {
    let mut run = Run::new(FlowConfig { max_tunnels: 2, ..config() });
    for vlan in 0..500 {
        let mut packet = ping(0).0;
        packet.link.as_mut().unwrap().vlans = [Some(vlan), Some(4095 - vlan)];
        run.packet(0, &packet);
        run.packet(1, &packet);
    }
    assert_eq!(run.table.active_tunnels(), 1);
    let (records, table) = run.finish();
    assert_eq!((table.counters().tunnels_evicted, records.len()), (0, 500));
    for (vlan, record) in (0..).zip(&records) {
        assert_eq!((record.vlans, record.packets()), ([Some(vlan), Some(4095 - vlan)], 2));
    }
}

/// Times are told as they are, and a flow has those of its own packets only.
#[test]
fn a_clock_that_is_set_back_begins_new_flows() {
    const HOUR: u64 = 3600 * SECOND;
    let (request, reply) = ping(0);
    let mut run = Run::new(config());
    run.packet(HOUR, &request);
    run.packet(HOUR + 5, &ping(1).0);
    run.packet(0, &reply);
    let record = run.take_one();
    assert_eq!(record.action, Action::End(EndReason::ClockStep));
    assert_eq!((record.start, record.end, record.packets()), (at(HOUR), at(HOUR), 1));
    run.packet(20, &request);
    let (records, _) = run.finish();
    let told: Vec<_> = records.iter().map(|record| (record.start, record.end, record.packets())).collect();
    assert_eq!(told, [(at(HOUR + 5), at(HOUR + 5), 1), (at(0), at(20), 2)]);
}

/// A step back by less than the idle timeout is disorder: the flow goes on, and its times are the earliest and the
/// latest.
#[test]
fn a_small_step_back_is_disorder() {
    let (request, reply) = ping(0);
    let mut run = Run::new(config());
    run.packet(100 * SECOND, &request);
    run.packet(70 * SECOND, &reply);
    run.packet(71 * SECOND, &reply);
    let record = run.finish_one();
    assert_eq!((record.start, record.end, record.packets()), (at(70 * SECOND), at(100 * SECOND), 3));
    assert_eq!(record.reverse.times, Some((at(70 * SECOND), at(71 * SECOND))));
}

/// A record covers no more than the active timeout, in whatever order its packets come.
#[test]
fn a_record_of_disorder_covers_no_more_than_another() {
    let (request, _) = ping(0);
    let mut run = Run::new(config());
    run.packet(100 * SECOND, &request);
    run.packet(39 * SECOND, &request);
    run.packet(40 * SECOND, &request);
    let (records, _) = run.finish();
    let told: Vec<_> = records.iter().map(|record| (record.start, record.end, record.packets())).collect();
    assert_eq!(told, [(at(100 * SECOND), at(100 * SECOND), 1), (at(39 * SECOND), at(40 * SECOND), 2)]);
}

/// Two capture points whose clocks differ by an hour, interleaved: each flow ends by its own clock.
#[test]
fn expiry_by_one_clock_leaves_flows_of_another_alone() {
    const HOUR: u64 = 3600 * SECOND;
    let mut run = Run::new(config());
    run.packet(HOUR, &ping(0).0);
    run.packet(0, &ping(1).0);
    run.packet(SECOND, &ping(2).0);
    let mut ended = |seconds| {
        run.expire(seconds * SECOND);
        let mut records = run.take();
        records.retain(|record| record.action == Action::End(EndReason::Idle));
        records.iter().map(|record| record.transport).collect::<Vec<_>>()
    };
    assert_eq!(ended(120), [FlowTransport::Ports { source: 1001, destination: 53 }]);
    assert_eq!(ended(121), [FlowTransport::Ports { source: 1002, destination: 53 }]);
    run.packet(HOUR + SECOND, &ping(0).1);
    let record = run.finish_one();
    assert_eq!((record.start, record.end), (at(HOUR), at(HOUR + SECOND)));
}

#[test]
fn packets_that_are_a_little_late_are_counted_where_they_belong() {
    let (request, reply) = ping(0);
    let mut run = Run::new(config());
    run.packet(500 * MILLISECOND, &request);
    run.packet(100 * MILLISECOND, &reply);
    run.packet(200 * MILLISECOND, &request);
    let record = run.finish_one();
    assert_eq!((record.start, record.end), (at(100 * MILLISECOND), at(500 * MILLISECOND)));
    assert_eq!(record.forward.times, Some((at(200 * MILLISECOND), at(500 * MILLISECOND))));
}

/// A step ahead ends all flows, but not all at once, so that no packet waits for it.
#[test]
fn a_clock_that_is_set_ahead_ends_a_few_flows_at_a_time() {
    let mut run = Run::new(FlowConfig { max_flows: 5000, ..config() });
    for number in 0..5000 {
        run.packet(0, &ping(number).0);
    }
    run.expire(1_000_000 * SECOND);
    assert_eq!(run.take().len(), 1024);
    // A flow that waits for its turn does not go on.
    run.packet(1_000_000 * SECOND, &ping(4999).0);
    let record = run.take_one();
    assert_eq!((record.action, record.end), (Action::End(EndReason::Idle), at(0)));
    let (records, _) = run.finish();
    let of_old: Vec<_> = records.iter().filter(|record| record.end == at(0)).collect();
    assert_eq!(of_old.len(), 5000 - 1025);
    let is_idle = |record: &&FlowRecord| record.action == Action::End(EndReason::Idle);
    assert!(of_old.iter().all(|record| is_idle(record) && record.packets() == 1));
}

#[test]
fn ends_of_time_are_survived() {
    let mut run = Run::new(config());
    let (request, reply) = ping(0);
    let mut packets = 0;
    for timestamp in [0, 1, u64::MAX, 0, u64::MAX / 2, START, u64::MAX - 1, START, 5] {
        let records = &mut run.records;
        for packet in [&request, &reply] {
            run.table.update([(Timestamp(timestamp), packet)], &mut |record| records.push(record.clone()));
            packets += 1;
        }
    }
    let (records, _) = run.finish();
    assert_eq!(records.iter().map(FlowRecord::packets).sum::<u64>(), packets);
    assert!(records.iter().all(|record| record.start <= record.end));
}

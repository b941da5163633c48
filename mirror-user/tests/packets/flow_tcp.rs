//! TCP connections in the records of flows.

use std::time::Duration;

use mirror_user::flow::{Action, Connection, EndReason, FlowConfig, FlowTransport, Initiator};
use mirror_user::packet::{Network, Packet, Transport};

use crate::support::*;

/// A connection with a round trip of 1.2 ms, and some data.
const OPENING: [(u64, Segment); 5] = [
    (0, client(SYN, 100, 0)),
    (200, server(SYN | ACK, 900, 0)),
    (1200, client(ACK, 101, 0)),
    (1300, client(ACK, 101, 500)),
    (2000, server(ACK, 901, 1000)),
];

fn after_opening(segments: &[(u64, Segment)]) -> Vec<(u64, Segment)> {
    [&OPENING[..], segments].concat()
}

#[test]
fn states() {
    let close =
        [(3000, client(FIN | ACK, 601, 0)), (3100, server(FIN | ACK, 1901, 0)), (3200, client(ACK, 602, 0))];
    let with_rst = |rst: (u64, Segment)| [&close[..], &[rst]].concat();
    for (name, segments, expected) in [
        ("SYN alone", OPENING[..1].to_vec(), Connection::Attempted),
        ("SYN again", vec![OPENING[0], (1_000_000, client(SYN, 100, 0))], Connection::Attempted),
        ("no last ACK", OPENING[..2].to_vec(), Connection::Attempted),
        ("handshake", OPENING[..3].to_vec(), Connection::Open),
        ("only the client is seen", vec![OPENING[0], OPENING[2]], Connection::Open),
        ("only the server is seen", vec![OPENING[1], OPENING[4]], Connection::Open),
        ("from the middle", vec![OPENING[4]], Connection::Open),
        ("one FIN", after_opening(&close[..1]), Connection::Closing),
        ("the same FIN twice", after_opening(&[close[0], close[0]]), Connection::Closing),
        ("both FINs", after_opening(&close), Connection::Closed),
        ("FIN of a half that is seen alone", vec![OPENING[3], close[0]], Connection::Closed),
        ("RST after both FINs", after_opening(&with_rst((3300, server(RST, 1902, 0)))), Connection::Closed),
        ("RST", after_opening(&[(3000, server(RST | ACK, 1901, 0))]), Connection::Reset),
        ("RST after one FIN", after_opening(&[close[0], (3100, server(RST, 1901, 0))]), Connection::Reset),
        ("RST to SYN", vec![OPENING[0], (200, server(RST | ACK, 0, 0))], Connection::Refused),
        ("RST of the client to its SYN", vec![OPENING[0], (200, client(RST, 101, 0))], Connection::Reset),
        (
            "RST after SYN and ACK",
            vec![OPENING[0], OPENING[1], (900, server(RST, 901, 0))],
            Connection::Reset,
        ),
        ("RST alone", vec![(0, server(RST, 0, 0))], Connection::Reset),
    ] {
        assert_eq!(connection(&segments).connection, Some(expected), "{name}");
    }
}

#[test]
fn initiators() {
    for (name, segments, client_initiated, initiator) in [
        ("SYN", vec![OPENING[0]], true, Initiator::Syn),
        ("SYN and ACK", vec![OPENING[1]], true, Initiator::Syn),
        ("client first", vec![OPENING[3], OPENING[4]], true, Initiator::FirstPacket),
        ("server first", vec![OPENING[4], OPENING[3]], false, Initiator::FirstPacket),
        ("late SYN", vec![OPENING[1], OPENING[0]], true, Initiator::Syn),
        ("very late SYN", vec![OPENING[4], OPENING[0]], true, Initiator::Syn),
    ] {
        let record = connection(&segments);
        let expected = if client_initiated { ("10.0.0.1", 40000, 443) } else { ("10.0.0.2", 443, 40000) };
        assert_eq!(record.source, address(expected.0), "{name}");
        let ports = FlowTransport::Ports { source: expected.1, destination: expected.2 };
        assert_eq!((record.transport, record.initiator), (ports, initiator), "{name}");
    }
}

#[test]
fn time_outs() {
    let mut run = Run::new(config());
    for (microseconds, segment) in OPENING {
        run.packet(microseconds * 1000, &segment.packet());
    }
    run.expire(60 * SECOND + 2 * MILLISECOND);
    let record = run.take_one();
    assert_eq!((record.action, record.connection), (Action::Open, Some(Connection::Open)));
    run.expire(120 * SECOND + 2 * MILLISECOND);
    let record = run.take_one();
    assert_eq!(record.action, Action::End(EndReason::Idle));
    assert_eq!(record.connection, Some(Connection::TimedOut));
}

#[test]
fn connections_that_are_over_end_soon() {
    for (last, reason, state) in [
        (server(FIN | ACK, 1901, 0), EndReason::Closed, Connection::Closed),
        (server(RST, 1901, 0), EndReason::Reset, Connection::Reset),
    ] {
        let mut run = Run::new(config());
        for (microseconds, segment) in after_opening(&[(3000, client(FIN | ACK, 601, 0)), (4000, last)]) {
            run.packet(microseconds * 1000, &segment.packet());
        }
        // A straggler puts it off.
        run.packet(2 * SECOND, &client(ACK, 602, 0).packet());
        run.expire(7 * SECOND - 1);
        assert_eq!(run.take(), []);
        run.expire(7 * SECOND);
        let record = run.take_one();
        assert_eq!((record.action, record.connection), (Action::End(reason), Some(state)));
        assert_eq!(record.packets(), 8);
    }
}

#[test]
fn ports_that_are_used_again_are_a_new_flow() {
    let mut run = Run::new(config());
    for (microseconds, segment) in after_opening(&[
        (3000, client(FIN | ACK, 601, 0)),
        (3100, server(FIN | ACK, 1901, 0)),
        (3200, client(ACK, 602, 0)),
    ]) {
        run.packet(microseconds * 1000, &segment.packet());
    }
    run.packet(SECOND, &client(SYN, 5_000_000, 0).packet());
    let record = run.take_one();
    assert_eq!((record.action, record.packets()), (Action::End(EndReason::Closed), 8));
    let record = run.finish_one();
    assert_eq!((record.packets(), record.connection), (1, Some(Connection::Attempted)));
}

/// A client that is refused and asks again with the same SYN makes no further flow.
#[test]
fn a_refused_syn_may_be_repeated() {
    let record = connection(&[
        (0, client(SYN, 100, 0)),
        (100, server(RST | ACK, 0, 0)),
        (500_000, client(SYN, 100, 0)),
        (500_100, server(RST | ACK, 0, 0)),
    ]);
    assert_eq!((record.packets(), record.connection), (4, Some(Connection::Refused)));
}

#[test]
fn flags_are_those_of_each_direction() {
    let record = connection(&after_opening(&[(3000, client(FIN | ACK, 601, 0))]));
    assert_eq!((record.forward.tcp_flags, record.reverse.tcp_flags), (SYN | ACK | FIN, SYN | ACK));
}

#[test]
fn handshakes() {
    let milliseconds = |tenths: u64| Some(Duration::from_micros(tenths * 100));
    for (name, segments, expected) in [
        ("whole", OPENING.to_vec(), milliseconds(12)),
        ("only the client is seen", vec![OPENING[0], OPENING[2]], milliseconds(12)),
        ("no ACK yet", OPENING[..2].to_vec(), None),
        ("SYN repeated", vec![OPENING[0], (100, client(SYN, 100, 0)), OPENING[1], OPENING[2]], None),
        ("SYN and ACK repeated", vec![OPENING[0], OPENING[1], OPENING[1], OPENING[2]], milliseconds(12)),
        ("from the middle", OPENING[1..].to_vec(), None),
        ("only the server is seen", vec![OPENING[1], OPENING[4]], None),
        (
            "within the same microsecond",
            vec![OPENING[0], (0, client(ACK, 101, 0))],
            Some(Duration::from_micros(1)),
        ),
    ] {
        assert_eq!(connection(&segments).handshake, expected, "{name}");
    }
}

/// An answer to a SYN of the interval before cannot be timed.
#[test]
fn a_handshake_longer_than_an_interval_is_not_timed() {
    let mut run = Run::new(FlowConfig { active_timeout: seconds(1), ..config() });
    run.packet(0, &client(SYN, 100, 0).packet());
    run.packet(2 * SECOND, &client(ACK, 101, 0).packet());
    let (records, _) = run.finish();
    assert_eq!(records.len(), 2);
    assert!(records.iter().all(|record| record.handshake.is_none()));
    assert_eq!(records[1].connection, Some(Connection::Open));
}

/// (retransmissions, out of order) of the server, whose stream went to 1901 in [`OPENING`].
#[test]
fn segments_out_of_turn() {
    let wrap = [(0, server(ACK, u32::MAX - 499, 500)), (1, server(ACK, 0, 500)), (2, server(ACK, 500, 500))];
    let wrapped_again = [&wrap[..], &[(9_000, server(ACK, u32::MAX - 499, 500))]].concat();
    for (name, segments, expected) in [
        (
            "in order",
            after_opening(&[(3000, server(ACK, 1901, 100)), (3001, server(ACK, 2001, 100))]),
            (0, 0),
        ),
        ("the same again", after_opening(&[(9000, server(ACK, 901, 1000))]), (1, 0)),
        ("a part again", after_opening(&[(9000, server(ACK, 1401, 500))]), (1, 0)),
        (
            "again with more",
            after_opening(&[(9000, server(ACK, 1401, 900)), (9001, server(ACK, 2301, 5))]),
            (1, 0),
        ),
        (
            "acknowledgments",
            after_opening(&[(3000, server(ACK, 1901, 0)), (3001, server(ACK, 1901, 0))]),
            (0, 0),
        ),
        ("an old acknowledgment", after_opening(&[(3000, server(ACK, 901, 0))]), (0, 0)),
        (
            "keep-alives",
            after_opening(&[(9_000_000, server(ACK, 1900, 0)), (19_000_000, server(ACK, 1900, 1))]),
            (0, 0),
        ),
        (
            "two that changed places",
            after_opening(&[(3000, server(ACK, 2901, 1000)), (3010, server(ACK, 1901, 1000))]),
            (0, 1),
        ),
        (
            "one that came after three others",
            after_opening(&[
                (3000, server(ACK, 2901, 1000)),
                (3010, server(ACK, 3901, 1000)),
                (3020, server(ACK, 4901, 1000)),
                (3030, server(ACK, 1901, 1000)),
                (3040, server(ACK, 5901, 1000)),
            ]),
            (0, 1),
        ),
        (
            "one that is never seen",
            after_opening(&[(3000, server(ACK, 2901, 1000)), (3010, server(ACK, 3901, 9))]),
            (0, 0),
        ),
        (
            "one that is sent again after it was lost",
            after_opening(&[(3000, server(ACK, 2901, 1000)), (9000, server(ACK, 1901, 1000))]),
            (1, 0),
        ),
        ("SYN and ACK again", vec![OPENING[0], OPENING[1], (999_000, OPENING[1].1), OPENING[2]], (1, 0)),
        ("FIN again", after_opening(&[(3000, server(FIN, 1901, 0)), (9000, server(FIN, 1901, 0))]), (1, 0)),
        ("the middle, out of order", vec![(0, server(ACK, 2000, 10)), (10, server(ACK, 1990, 10))], (0, 1)),
        (
            "another stream",
            after_opening(&[(3000, server(ACK, 3_000_000_000, 10)), (3001, server(ACK, 3_000_000_010, 10))]),
            (0, 0),
        ),
        ("around the end of the numbers", wrap.to_vec(), (0, 0)),
        ("again from before the end of the numbers", wrapped_again, (1, 0)),
        ("RST", after_opening(&[(9000, server(RST, 901, 0))]), (0, 0)),
    ] {
        let record = connection(&segments);
        let server = if record.source == address("10.0.0.2") { record.forward } else { record.reverse };
        let client = if record.source == address("10.0.0.2") { record.reverse } else { record.forward };
        assert_eq!((server.retransmissions, server.out_of_order), expected, "{name}");
        assert_eq!((client.retransmissions, client.out_of_order), (0, 0), "{name}");
    }
}

/// A segment that is late by less than the round trip, if that is known, was not sent again.
#[test]
fn the_round_trip_tells_late_from_sent_again() {
    for (handshake, late, expected) in
        [(10_000, 2_900, (0, 1)), (10_000, 3_500, (1, 0)), (500, 400, (0, 1)), (500, 900, (1, 0))]
    {
        let record = connection(&[
            (0, client(SYN, 100, 0)),
            (handshake, client(ACK, 101, 0)),
            (handshake + 10, client(ACK, 201, 100)),
            (handshake + 10 + late, client(ACK, 101, 100)),
        ]);
        let found = (record.forward.retransmissions, record.forward.out_of_order);
        assert_eq!(found, expected, "round trip {handshake} µs, {late} µs late");
    }
}

/// Counters of a record are those of its interval.
#[test]
fn segments_out_of_turn_are_told_once() {
    let mut run = Run::new(FlowConfig { active_timeout: seconds(1), ..config() });
    for second in 0..3 {
        run.packet(2 * second * SECOND, &server(ACK, 0, 100).packet());
    }
    let (records, _) = run.finish();
    let retransmissions: Vec<u16> = records.iter().map(|record| record.forward.retransmissions).collect();
    assert_eq!(retransmissions, [0, 1, 1]);
}

/// A segment that a mirror session cut is as long as its length fields say.
#[test]
fn truncation_raises_no_alarm() {
    let cut = |segment: Segment| Packet { captured_length: 64, original_length: 1514, ..segment.packet() };
    let mut run = Run::new(config());
    for number in 0..100 {
        run.packet(u64::from(number) * MILLISECOND, &cut(server(ACK, number * 1460, 1460)));
    }
    let record = run.finish_one();
    assert_eq!((record.forward.retransmissions, record.forward.out_of_order), (0, 0));
    assert_eq!((record.forward.bytes, record.forward.captured_bytes), (151_400, 6_400));
}

/// A TCP header that was cut off behind the ports makes a flow, but no connection.
#[test]
fn a_header_without_flags_says_nothing() {
    let mut packet = client(SYN, 100, 0).packet();
    if let Network::Ip(ip) = &mut packet.network
        && let Transport::Tcp(tcp) = &mut ip.transport
    {
        tcp.state = None;
    }
    let mut run = Run::new(config());
    run.packet(0, &packet);
    let record = run.finish_one();
    assert_eq!((record.connection, record.initiator), (None, Initiator::FirstPacket));
    assert_eq!(record.transport, FlowTransport::Ports { source: 40000, destination: 443 });
}

/// A whole connection: the client's SYN, data and FIN, and the server's.
const WHOLE: [(u64, Segment); 8] = [
    (0, client(SYN, 100, 0)),
    (200, server(SYN | ACK, 900, 0)),
    (1200, client(ACK, 101, 0)),
    (1300, client(ACK, 101, 500)),
    (2000, server(ACK, 901, 1000)),
    (3000, client(FIN | ACK, 601, 0)),
    (3100, server(FIN | ACK, 1901, 0)),
    (3200, client(ACK, 602, 0)),
];

/// In whatever order the packets of a connection come, it is one flow of the client's. It is closed, and nothing was sent
/// again.
#[test]
fn a_connection_may_come_in_any_order() {
    // Deterministic shuffles: each packet is drawn from those that are left.
    for seed in 0..2000_u32 {
        let mut left: Vec<Segment> = WHOLE.iter().map(|(_, segment)| *segment).collect();
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut order = Vec::new();
        while !left.is_empty() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let drawn = (state >> 16) as usize % left.len();
            order.push((10 * order.len() as u64, left.remove(drawn)));
        }
        let record = connection(&order);
        let flags: Vec<_> = order.iter().map(|(_, segment)| (segment.from_client, segment.flags)).collect();
        assert_eq!(record.source, address("10.0.0.1"), "{flags:?}");
        assert_eq!((record.packets(), record.initiator), (8, Initiator::Syn), "{flags:?}");
        assert_eq!((record.forward.retransmissions, record.reverse.retransmissions), (0, 0), "{flags:?}");
        // Data after FIN and FIN before SYN are normal; FIN of one end alone is not yet the end.
        let both_fins = record.connection == Some(Connection::Closed);
        assert!(both_fins || record.connection == Some(Connection::Closing), "{flags:?} {record:?}");
    }
}

/// The answer to a SYN tells who sent it, and may come before it.
#[test]
fn refusals_in_any_order_are_of_the_clients_connection() {
    let syn = client(SYN, 100, 0);
    let refusal = server(RST | ACK, 0, 0);
    for segments in [vec![syn, refusal], vec![refusal, syn], vec![refusal], vec![syn, refusal, syn, refusal]]
    {
        let timed: Vec<_> = (0..).step_by(100).zip(segments.iter().copied()).collect();
        let record = connection(&timed);
        assert_eq!(record.source, address("10.0.0.1"));
        assert_eq!((record.connection, record.initiator), (Some(Connection::Refused), Initiator::Syn));
        assert_eq!(record.packets(), segments.len() as u64);
    }
    // Who resets what it had answered does not refuse, in whatever order that comes.
    let answer = server(SYN | ACK, 900, 0);
    let reset = server(RST, 901, 0);
    for segments in [[syn, answer, reset], [syn, reset, answer], [reset, syn, answer]] {
        let timed: Vec<_> = (0..).step_by(100).zip(segments).collect();
        let record = connection(&timed);
        assert_eq!((record.source, record.packets()), (address("10.0.0.1"), 3));
        assert_eq!((record.connection, record.initiator), (Some(Connection::Reset), Initiator::Syn));
    }
    // Half a scan: the client resets what answered.
    for segments in [[syn, answer, client(RST, 101, 0)], [client(RST, 101, 0), answer, syn]] {
        let timed: Vec<_> = (0..).step_by(100).zip(segments).collect();
        let record = connection(&timed);
        assert_eq!((record.source, record.packets()), (address("10.0.0.1"), 3));
        assert_eq!(record.connection, Some(Connection::Reset));
    }
}

/// An end that nobody who sees the stream would have sent changes nothing (RFC 5961).
#[test]
fn ends_with_implausible_numbers_do_not_count() {
    for (name, end) in [
        ("RST far ahead", server(RST, 99_999_999, 0)),
        ("RST far behind", server(RST, 0_u32.wrapping_sub(99_999_999), 0)),
        ("RST like a refusal", server(RST | ACK, 3_000_000_000, 0)),
        ("FIN far ahead", server(FIN | ACK, 99_999_999, 0)),
        ("RST of the client", client(RST, 3_000_000_000, 0)),
    ] {
        let record = connection(&after_opening(&[(3000, end), (3100, client(ACK, 601, 10))]));
        assert_eq!(record.connection, Some(Connection::Open), "{name}");
        assert_eq!(record.packets(), 7, "{name}");
    }
    // A refusal of a SYN that was never sent.
    let record = connection(&[(0, client(SYN, 100, 0)), (10, server(RST | ACK, 0, 0).acknowledging(77_777))]);
    assert_eq!(record.connection, Some(Connection::Attempted));
}

/// An end that was plausible and still false is taken back.
#[test]
fn a_connection_that_goes_on_has_not_ended() {
    let download = [(3100, server(ACK, 1901, 1000)), (3200, client(ACK, 601, 0).acknowledging(2901))];
    for (name, segments, expected) in [
        (
            "data of the end that was reset",
            vec![(3000, client(RST, 601, 0)), (3100, server(ACK, 1901, 10))],
            false,
        ),
        ("data of the end that reset", vec![(3000, client(RST, 601, 0)), (3100, client(ACK, 601, 10))], true),
        (
            "late data of the end that reset",
            vec![(3000, client(RST, 651, 0)), (3100, client(ACK, 601, 50))],
            false,
        ),
        ("an acknowledgment of later data", [&[(3000, client(RST, 601, 0))], &download[..]].concat(), true),
        (
            "an acknowledgment of earlier data",
            vec![(3000, client(RST, 601, 0)), (3100, client(ACK, 601, 0).acknowledging(1901))],
            false,
        ),
        ("data after FIN", vec![(3000, client(FIN | ACK, 601, 0)), (3100, client(ACK, 602, 10))], true),
        (
            "late data before FIN",
            vec![(3000, client(FIN | ACK, 651, 0)), (3100, client(ACK, 601, 50))],
            false,
        ),
    ] {
        let record = connection(&after_opening(&segments));
        let goes_on = record.connection == Some(Connection::Open);
        assert_eq!(goes_on, expected, "{name}: {:?}", record.connection);
        assert_eq!(record.packets(), 5 + segments.len() as u64, "{name}");
    }
    // A server that is there after all.
    let record = connection(&[
        (0, client(SYN, 100, 0)),
        (100, server(RST | ACK, 0, 0)),
        (500, client(SYN, 100, 0)),
        (600, server(SYN | ACK, 900, 0)),
        (700, client(ACK, 101, 10)),
    ]);
    assert_eq!((record.connection, record.packets()), (Some(Connection::Open), 5));
}

/// A new sequence number is a new connection, though the old one did not end.
#[test]
fn a_new_syn_on_an_open_connection_is_a_new_flow() {
    let next = [
        (30_000_000, client(SYN, 7_000_000, 0)),
        (30_000_100, server(SYN | ACK, 5_000_000, 0).acknowledging(7_000_001)),
    ];
    // The new SYN may be lost to the mirror: its answer tells as much.
    for next in [&next[..], &next[1..]] {
        let mut run = Run::new(config());
        for (microseconds, segment) in [&OPENING[..], next].concat() {
            run.packet(microseconds * 1000, &segment.packet());
        }
        let record = run.take_one();
        assert_eq!((record.action, record.packets()), (Action::End(EndReason::Reused), 5));
        assert_eq!(record.connection, Some(Connection::Open));
        let record = run.finish_one();
        assert_eq!((record.packets(), record.source), (next.len() as u64, address("10.0.0.1")));
    }
    // A server that answers a repeated SYN with another number (SYN cookies) makes no further connection.
    let record = connection(&[
        OPENING[0],
        OPENING[1],
        (1_000_000, client(SYN, 100, 0)),
        (1_000_200, server(SYN | ACK, 77_777, 0)),
    ]);
    assert_eq!(record.packets(), 4);
}

/// Bytes that only ask for the window are not sent again, and what follows them is in order.
#[test]
fn zero_window_probes_are_no_retransmissions() {
    let closed = server(ACK, 1901, 0).with_window(0);
    let probe = client(ACK, 601, 1);
    for (name, after) in [
        ("the byte is sent anew", vec![(6_000_000, client(ACK, 601, 1000))]),
        ("the byte was taken", vec![(6_000_000, client(ACK, 602, 1000)), (6_000_100, client(ACK, 1602, 10))]),
        ("nothing follows", vec![]),
    ] {
        let probes = [
            (3_000, closed),
            (1_000_000, probe),
            (1_000_100, closed),
            (3_000_000, probe),
            (3_000_100, closed),
            (5_900_000, server(ACK, 1901, 0)),
        ];
        let record = connection(&after_opening(&[&probes[..], &after].concat()));
        let disorder = (record.forward.retransmissions, record.forward.out_of_order);
        assert_eq!(disorder, (0, 0), "{name}");
    }
    // With an open window a byte that comes again was sent again.
    let record = connection(&after_opening(&[
        (1_000_000, probe),
        (2_000_000, probe),
        (3_000_000, client(ACK, 602, 9)),
    ]));
    assert_eq!(record.forward.retransmissions, 0, "a keep-alive");
    let record =
        connection(&after_opening(&[(1_000_000, client(ACK, 601, 9)), (2_000_000, client(ACK, 601, 9))]));
    assert_eq!(record.forward.retransmissions, 1);
}

/// Mirrored packets come out of order and twice; who reads the record is told.
#[test]
fn doubtful_order_is_told() {
    let again = after_opening(&[(9000, server(ACK, 901, 1000))]);
    assert!(connection(&again).has_doubtful_order());
    assert!(!connection(&OPENING).has_doubtful_order());
}

/// The initiator that was known stays known after an idle timeout, and the record says from where.
#[test]
fn a_silent_connection_keeps_its_direction() {
    let mut run = Run::new(config());
    for (microseconds, segment) in OPENING {
        run.packet(microseconds * 1000, &segment.packet());
    }
    for round in 1..4 {
        run.packet(round * 200 * SECOND, &server(ACK, 1901, 10).packet());
        let record = run.take_one();
        assert_eq!((record.action, record.source), (Action::End(EndReason::Idle), address("10.0.0.1")));
    }
    let record = run.finish_one();
    assert_eq!((record.source, record.initiator), (address("10.0.0.1"), Initiator::Earlier));
    assert_eq!((record.forward.packets, record.reverse.packets), (0, 1));

    // In another tunnel the same addresses are another connection.
    let mut run = Run::new(config());
    for (microseconds, segment) in OPENING {
        run.packet(microseconds * 1000, &segment.packet());
    }
    let elsewhere = |packet| with_tunnel(packet, |tunnel| tunnel.endpoint = None);
    run.packet(200 * SECOND, &elsewhere(server(ACK, 1901, 10).packet()));
    run.expire(1000 * SECOND);
    let records = run.take();
    let last = records.last().unwrap();
    assert_eq!((last.source, last.initiator), (address("10.0.0.2"), Initiator::FirstPacket));
}

//! What is said of TCP connections.

mod flow_support;

use std::time::Duration;

use flow_support::*;
use mirror_user::flow::{Action, Connection, EndReason, FlowConfig, FlowTransport, Initiator};
use mirror_user::packet::{Network, Packet, Transport};

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
    let mut run = Run::new(FlowConfig { active: seconds(1), ..config() });
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

/// What is late by less than the round trip, if that is known, was not sent again.
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
    let mut run = Run::new(FlowConfig { active: seconds(1), ..config() });
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

/// Where the TCP header was cut off behind the ports there is a flow, but no connection.
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

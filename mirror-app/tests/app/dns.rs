//! DNS through an inspector: each message of a flow is told, over UDP and over TCP in any pieces.

use mirror_app::dns::write::{Data, Message, Record};
use mirror_app::dns::{Flags, RecordType};
use mirror_app::{Event, Inspector, InspectorConfig, Interest, Protocol, Segment, Side};

/// A query, and its response with one address.
fn exchange(id: u16, name: &str) -> [Vec<u8>; 2] {
    let questions = [(name, RecordType::A)];
    let answers = [Record { name, ttl: 300, data: Data::Address([192, 0, 2, 7].into()) }];
    let query = Message { id, flags: Flags(0x0100), questions: &questions, answers: &[], edns: None };
    let response = Message { flags: Flags(0x8180), answers: &answers, ..query };
    [query, response].map(|message| {
        let mut bytes = Vec::new();
        message.append_to(&mut bytes).unwrap();
        bytes
    })
}

/// The side, id and name of a message that is told.
fn told(list: &mut Vec<(Side, u16, String)>, event: Event<'_>) {
    if let Event::Dns { from, message } = event {
        list.push((from, message.id(), message.question().unwrap().name.to_owned()));
    }
}

#[test]
fn datagrams() {
    for port in [53, 5300, 5353] {
        let mut inspector = Inspector::new(InspectorConfig::default());
        let handle = inspector.begin([port, 40_000], 0, 0).unwrap();
        let mut list = Vec::new();
        for id in [1, 2, 3] {
            let [query, response] = exchange(id, "a.example");
            for (side, bytes) in [(Side::High, query), (Side::Low, response)] {
                let interest = inspector
                    .datagram(handle, side, &bytes, false, 0, &mut |_, event| told(&mut list, event));
                assert_eq!(interest, Interest::More);
            }
        }
        assert_eq!(list.len(), 6, "{port}");
        assert_eq!(list[3], (Side::Low, 2, "a.example".to_owned()));
        // A flow that has told something and waits for nothing is not given up.
        inspector.expire(u64::MAX, &mut |_, _| {});
        let summary = inspector.end(handle, &mut |_, _| {}).unwrap();
        assert_eq!((summary.protocol, summary.dns_messages), (Some(Protocol::Dns), 6));
    }
}

#[test]
fn malformed_datagrams_are_counted_where_the_port_says_dns() {
    for (port, expected) in [(53, 1), (5300, 0)] {
        let mut inspector = Inspector::new(InspectorConfig::default());
        let handle = inspector.begin([port, 40_000], 0, 0).unwrap();
        inspector.datagram(handle, Side::High, &[1, 2, 3], false, 0, &mut |_, _| {});
        let counted: Vec<_> = inspector.counters().malformed().collect();
        assert_eq!(counted.len(), expected, "{port}");
        assert!(counted.iter().all(|&counted| counted == (Protocol::Dns, "header", 1)));
    }
}

#[test]
fn streams_in_two_pieces_at_every_byte() {
    let streams = [0, 1].map(|direction| {
        let mut stream = Vec::new();
        for id in [1, 2] {
            let message = &exchange(id, "b.example")[direction];
            stream.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            stream.extend(message);
        }
        stream
    });
    let [queries, responses] = streams;
    for at in 1..queries.len() {
        for reversed in [false, true] {
            // The second message, before anything tells that it is not the first: the first comes too late.
            if reversed && at == queries.len() / 2 {
                continue;
            }
            let mut inspector = Inspector::new(InspectorConfig::default());
            let handle = inspector.begin([53, 40_000], 0, 0).unwrap();
            let mut list = Vec::new();
            let start = u32::MAX - 20;
            let first = Segment { sequence: start, syn: true, payload: &queries[..at], cut: false };
            let sequence = start.wrapping_add(1).wrapping_add(u32::try_from(at).unwrap());
            let second = Segment { sequence, syn: false, payload: &queries[at..], cut: false };
            let order = if reversed { [second, first] } else { [first, second] };
            for segment in order {
                inspector.segment(handle, Side::High, segment, 0, &mut |_, event| told(&mut list, event));
            }
            let response = Segment { sequence: 7, syn: true, payload: &responses, cut: false };
            inspector.segment(handle, Side::Low, response, 0, &mut |_, event| told(&mut list, event));
            let name = || "b.example".to_owned();
            let expected = [
                (Side::High, 1, name()),
                (Side::High, 2, name()),
                (Side::Low, 1, name()),
                (Side::Low, 2, name()),
            ];
            assert_eq!(list, expected, "at {at}, {reversed}");
            assert_eq!(inspector.buffer_bytes().0, 0);
        }
    }
}

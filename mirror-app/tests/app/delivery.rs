//! Handshakes in every segmentation, order and repetition: the same answer.

use mirror_app::tls::{Handshake, Status};
use mirror_app::{Event, GivenUp, Handle, Inspector, InspectorConfig, Interest, Segment, Side};
use proptest::prelude::*;

use crate::hellos::{client_hello, old_server_hello, records, server_hello};

const CLIENT: Side = Side::High;
const SERVER: Side = Side::Low;
const PORTS: [u16; 2] = [443, 50_000];

/// Events of handshakes, collected.
#[derive(Default)]
struct Handshakes(Vec<Handshake>);

impl Handshakes {
    fn push(&mut self, event: Event<'_>) {
        if let Event::Tls(handshake) = event {
            self.0.push(handshake.clone());
        }
    }
}

/// A piece of one direction, by the offset of its first byte.
#[derive(Clone, Debug)]
struct Piece {
    side: Side,
    offset: usize,
    bytes: Vec<u8>,
}

fn segment(start: u32, offset: usize, payload: &[u8]) -> Segment<'_> {
    let sequence = start.wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap());
    Segment { sequence, syn: false, payload, cut: false }
}

const fn syn(sequence: u32) -> Segment<'static> {
    Segment { sequence, syn: true, payload: &[], cut: false }
}

/// What is told of a flow whose pieces come in this order, each direction's first sequence number being `starts`.
fn deliver(pieces: &[Piece], starts: [u32; 2], syns: bool) -> (Vec<Handshake>, Inspector) {
    let mut inspector = Inspector::new(InspectorConfig::default());
    let mut told = Handshakes::default();
    let handle = inspector.begin(PORTS, 0, 0).unwrap();
    if syns {
        for side in [CLIENT, SERVER] {
            inspector.segment(handle, side, syn(starts[side as usize]), 0, &mut |_, event| told.push(event));
        }
    }
    for piece in pieces {
        let segment = segment(starts[piece.side as usize], piece.offset, &piece.bytes);
        inspector.segment(handle, piece.side, segment, 0, &mut |_, event| told.push(event));
    }
    inspector.end(handle, &mut |_, event| told.push(event));
    assert_eq!((inspector.flows(), inspector.buffer_bytes().0), (0, 0));
    (told.0, inspector)
}

fn whole(side: Side, bytes: &[u8]) -> Piece {
    Piece { side, offset: 0, bytes: bytes.to_vec() }
}

/// Both directions of a handshake, in records of at most `size` bytes.
fn directions(share: usize, size: usize, retry: bool) -> [Vec<u8>; 2] {
    let client = records(&client_hello(b"www.example.com", share), size);
    let mut server = Vec::new();
    if retry {
        server.extend(records(&server_hello(true), size));
        server.extend([20, 3, 3, 0, 1, 1]);
    }
    server.extend(records(&server_hello(false), size));
    [server, client]
}

fn expected(directions: &[Vec<u8>; 2]) -> Handshake {
    let (told, _) = deliver(&[whole(CLIENT, &directions[1]), whole(SERVER, &directions[0])], [0, 0], true);
    let [handshake] = &told[..] else { panic!("{told:?}") };
    assert_eq!(handshake.status(), Status::Complete);
    assert_eq!(handshake.server_name(), Some("www.example.com"));
    assert_eq!(handshake.client_side, Some(CLIENT));
    assert_eq!(handshake.given_up, None);
    handshake.clone()
}

#[test]
fn in_two_pieces_at_every_byte() {
    for (share, size, retry) in [(32, 16_384, false), (1216, 16_384, true), (1216, 300, true), (32, 1, false)]
    {
        let directions = directions(share, size, retry);
        let expected = expected(&directions);
        for (side, other) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            let bytes = &directions[side as usize];
            for at in 1..bytes.len() {
                let first = Piece { side, offset: 0, bytes: bytes[..at].to_vec() };
                let second = Piece { side, offset: at, bytes: bytes[at..].to_vec() };
                let other = whole(other, &directions[other as usize]);
                let orders = [
                    [first.clone(), second.clone(), other.clone()],
                    [second.clone(), first.clone(), other.clone()],
                    [other, second, first],
                ];
                for order in orders {
                    for (syns, start) in [(true, u32::MAX - 100), (false, 7)] {
                        // Without a SYN, a second ServerHello that comes first looks like the only one, and so does a later
                        // record with a byte of a message's type.
                        if (retry || size == 1) && !syns {
                            continue;
                        }
                        let (told, _) = deliver(&order, [start, start], syns);
                        assert_eq!(told, std::slice::from_ref(&expected), "{side:?} at {at}, {syns}");
                    }
                }
            }
        }
    }
}

/// Of a ClientHello that ends early there is never a name, and of one that is all there, always.
#[test]
fn ends_at_every_byte() {
    let [_, client] = directions(32, 100, false);
    for end in 0..=client.len() {
        let (told, inspector) = deliver(&[whole(CLIENT, &client[..end])], [0, 0], true);
        let name = told.first().and_then(Handshake::server_name);
        assert_eq!(name, (end == client.len()).then_some("www.example.com"), "{end}");
        assert!(told.iter().all(|handshake| handshake.given_up == Some(GivenUp::Ended)));
        assert_eq!(inspector.counters().given_up(GivenUp::Ended), 1);
    }
}

#[test]
fn cut_at_every_byte() {
    let [server, client] = directions(32, 16_384, false);
    for end in 0..client.len() {
        let mut inspector = Inspector::new(InspectorConfig::default());
        let mut told = Handshakes::default();
        let handle = inspector.begin(PORTS, 0, 0).unwrap();
        let cut = Segment { cut: true, ..segment(0, 0, &client[..end]) };
        inspector.segment(handle, CLIENT, syn(0), 0, &mut |_, event| told.push(event));
        inspector.segment(handle, SERVER, syn(0), 0, &mut |_, event| told.push(event));
        inspector.segment(handle, CLIENT, cut, 0, &mut |_, event| told.push(event));
        // The other direction tells what it has all the same.
        let interest =
            inspector.segment(handle, SERVER, segment(0, 0, &server), 0, &mut |_, event| told.push(event));
        assert_eq!(interest, Interest::Done, "{end}");
        assert_eq!(told.0.len(), 1);
        assert_eq!(
            (told.0[0].status(), told.0[0].given_up),
            (Status::ServerOnly, Some(GivenUp::Cut)),
            "{end}"
        );
    }
}

#[test]
fn alert_instead_of_a_hello() {
    let [_, client] = directions(32, 16_384, false);
    let alert = [21, 3, 3, 0, 2, 2, 40];
    for order in
        [[whole(CLIENT, &client), whole(SERVER, &alert)], [whole(SERVER, &alert), whole(CLIENT, &client)]]
    {
        let (told, _) = deliver(&order, [0, 0], true);
        assert_eq!((told.len(), told[0].status(), told[0].alert), (1, Status::Refused, Some(40)));
    }
}

#[test]
fn resumption_below_tls_1_3() {
    let [_, client] = directions(32, 16_384, false);
    for (session_id, resumed) in [(&[0x22; 32][..], true), (&[0x23; 32], false), (&[], false)] {
        let server = records(&old_server_hello(session_id), 16_384);
        let (told, _) = deliver(&[whole(CLIENT, &client), whole(SERVER, &server)], [0, 0], true);
        assert_eq!((told[0].resumed(), told[0].protocol()), (Some(resumed), Some("h2")));
    }
}

/// A hostile name is a reason, and the rest of the hello is told.
#[test]
fn hostile_name() {
    let client = records(&client_hello(b"evil\r\nname", 32), 16_384);
    let (told, _) = deliver(&[whole(CLIENT, &client)], [0, 0], true);
    let hello = told[0].client.as_ref().unwrap();
    assert_eq!(hello.server_name, None);
    assert_eq!(hello.server_name_refused.map(mirror_app::host_name::Reason::name), Some("name_character"));
}

#[test]
fn half_handshakes_give_way_to_later_ones() {
    let config = InspectorConfig { buffer_bytes: 64 << 10, ..InspectorConfig::default() };
    let mut inspector = Inspector::new(config);
    let mut told = Handshakes::default();
    let [server, client] = directions(1216, 16_384, false);
    let mut handles: Vec<Handle> = Vec::new();
    for flow in 0..1000 {
        let handle = inspector.begin(PORTS, 0, flow).unwrap();
        inspector.segment(handle, CLIENT, syn(0), flow, &mut |_, event| told.push(event));
        inspector
            .segment(handle, CLIENT, segment(0, 0, &client[..1000]), flow, &mut |_, event| told.push(event));
        assert!(inspector.buffer_bytes().0 <= config.buffer_bytes);
        handles.push(handle);
    }
    let given_up = inspector.counters().given_up(GivenUp::Memory);
    assert_eq!(given_up, 1000 - 32, "as many are left as there are buffers for");
    // One that is in time is told as if nothing were.
    told.0.clear();
    let handle = *handles.last().unwrap();
    inspector.segment(handle, CLIENT, segment(0, 1000, &client[1000..]), 0, &mut |_, event| told.push(event));
    inspector.segment(handle, SERVER, syn(0), 0, &mut |_, event| told.push(event));
    inspector.segment(handle, SERVER, segment(0, 0, &server), 0, &mut |_, event| told.push(event));
    assert_eq!(told.0, [expected(&[server, client])]);
    // Time does the rest.
    inspector.expire(u64::MAX, &mut |_, _| {});
    assert_eq!(inspector.counters().given_up(GivenUp::Time), 31);
    assert_eq!(inspector.buffer_bytes().0, 0);
}

#[test]
fn flows_without_payload_give_way() {
    let mut inspector = Inspector::new(InspectorConfig { flows: 10, ..InspectorConfig::default() });
    let first = inspector.begin(PORTS, 0, 0).unwrap();
    for _ in 1..100 {
        assert!(inspector.begin(PORTS, 0, 0).is_some());
    }
    assert_eq!((inspector.flows(), inspector.counters().given_up(GivenUp::Memory)), (10, 90));
    let interest = inspector.segment(first, CLIENT, syn(0), 0, &mut |_, _| {});
    assert_eq!(interest, Interest::Released);
}

/// Pieces of both directions: overlapping, repeated, in any order, but each byte is in one of them.
fn pieces(directions: [Vec<u8>; 2]) -> impl Strategy<Value = Vec<Piece>> {
    let cuts = proptest::collection::vec((0..2_usize, 0..2000_usize, 0..400_usize), 0..24);
    cuts.prop_flat_map(move |cuts| {
        let mut pieces = Vec::new();
        for (side, bytes) in [(SERVER, &directions[0]), (CLIENT, &directions[1])] {
            let mut borders: Vec<usize> = cuts
                .iter()
                .filter(|&&(of, ..)| of == side as usize)
                .map(|&(_, at, _)| at % bytes.len())
                .chain([0, bytes.len()])
                .collect();
            borders.sort_unstable();
            borders.dedup();
            for (pair, (_, _, more)) in borders.windows(2).zip(cuts.iter().cycle().chain([&(0, 0, 0)])) {
                let end = (pair[1] + more).min(bytes.len());
                pieces.push(Piece { side, offset: pair[0], bytes: bytes[pair[0]..end].to_vec() });
            }
        }
        let repeated = pieces.iter().step_by(3).cloned().collect::<Vec<_>>();
        pieces.extend(repeated);
        Just(pieces).prop_shuffle()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn in_any_pieces(
        (directions, pieces) in (32..1300_usize, 50..2000_usize, any::<bool>()).prop_flat_map(|(share, size, retry)| {
            let directions = directions(share, size, retry);
            (Just(directions.clone()), pieces(directions))
        }),
        starts in any::<[u32; 2]>(),
    ) {
        let (told, _) = deliver(&pieces, starts, true);
        prop_assert_eq!(told, [expected(&directions)]);
    }

    /// Whatever comes, nothing panics, the bounds hold, and all memory comes back.
    #[test]
    fn anything(
        steps in proptest::collection::vec(
            (0..4_usize, any::<bool>(), any::<u16>(), 0..8_u8, proptest::collection::vec(any::<u8>(), 0..60)),
            0..200,
        ),
    ) {
        let config = InspectorConfig { flows: 4, buffer_bytes: 8192, direction_bytes: 4096, ..InspectorConfig::default() };
        let mut inspector = Inspector::new(config);
        let mut handles: [Option<Handle>; 4] = [None; 4];
        let client = records(&client_hello(b"www.example.com", 32), 16_384);
        for (now, (flow, high, sequence, kind, bytes)) in steps.into_iter().enumerate() {
            let side = if high { Side::High } else { Side::Low };
            let Some(handle) = handles[flow].or_else(|| inspector.begin(PORTS, 0, now as u64)) else { continue };
            handles[flow] = Some(handle);
            let part = &client[usize::from(sequence) % client.len()..];
            let bytes = if kind < 3 { part } else { &bytes };
            let offset = u32::from(sequence) % u32::try_from(client.len()).unwrap();
            let segment = Segment { sequence: offset, syn: kind == 7, payload: bytes, cut: kind == 6 };
            let interest = if kind == 5 {
                inspector.datagram(handle, side, bytes, high, now as u64, &mut |_, _| {})
            } else {
                inspector.segment(handle, side, segment, now as u64, &mut |_, _| {})
            };
            if interest == Interest::Released || kind == 4 {
                inspector.end(handle, &mut |_, _| {});
                handles[flow] = None;
            }
            prop_assert!(inspector.buffer_bytes().1 <= config.buffer_bytes);
        }
        for handle in handles.into_iter().flatten() {
            inspector.end(handle, &mut |_, _| {});
        }
        prop_assert_eq!((inspector.flows(), inspector.buffer_bytes().0), (0, 0));
    }
}

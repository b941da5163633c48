//! QUIC handshakes whose ClientHello comes in any pieces, order and company: the same answer.

use mirror_app::quic::Version;
use mirror_app::quic::keys::{Keys, Sender};
use mirror_app::quic::packet::ConnectionId;
use mirror_app::tls::{Handshake, Status};
use mirror_app::{Event, GivenUp, Inspector, InspectorConfig, Interest, Protocol, Side};
use proptest::prelude::*;

use crate::hellos::{client_hello, server_hello};

const CLIENT: Side = Side::High;
const SERVER: Side = Side::Low;
const FIRST_ID: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// Number on the wire, and the first byte of a long header of an Initial packet with a packet number of one byte.
const fn wire(version: Version) -> (u32, u8) {
    match version {
        Version::V1 => (1, 0xc0),
        Version::V2 => (0x6b33_43cf, 0xd0),
    }
}

/// An Initial packet: keys by `id`, addressed to `destination`, which the client's packets alone share with the keys.
fn initial(
    version: Version,
    sender: Sender,
    id: &[u8],
    destination: &[u8],
    number: u8,
    frames: &[u8],
) -> Vec<u8> {
    let keys = Keys::new(version, ConnectionId::new(id).unwrap(), sender);
    let (wire_version, first) = wire(version);
    let mut header = vec![first];
    header.extend(wire_version.to_be_bytes());
    header.push(u8::try_from(destination.len()).unwrap());
    header.extend(destination);
    header.extend([4, 9, 9, 9, 9, 0]);
    let length = u16::try_from(1 + frames.len() + 16).unwrap();
    header.extend((length | 0x4000).to_be_bytes());
    header.push(number);
    keys.seal(&header, frames).unwrap()
}

/// A CRYPTO frame.
fn crypto(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let integer = |value: usize| (u16::try_from(value).unwrap() | 0x4000).to_be_bytes();
    [&[6][..], &integer(offset), &integer(bytes.len()), bytes].concat()
}

/// Frames with so much padding that they have `length` bytes.
fn padded(mut frames: Vec<u8>, length: usize) -> Vec<u8> {
    frames.resize(frames.len().max(length), 0);
    frames
}

fn deliver(datagrams: &[(Side, Vec<u8>)]) -> (Vec<Handshake>, Inspector) {
    let mut inspector = Inspector::new(InspectorConfig::default());
    let mut told = Vec::new();
    let mut out = |_, event: Event<'_>| {
        if let Event::Tls(handshake) = event {
            told.push(handshake.clone());
        }
    };
    let handle = inspector.begin([443, 50_000], 0, 0).unwrap();
    for (side, datagram) in datagrams {
        inspector.datagram(handle, *side, datagram, false, 0, &mut out);
    }
    let summary = inspector.end(handle, &mut out);
    assert!(summary.is_none_or(|summary| summary.protocol == Some(Protocol::Quic)));
    assert_eq!((inspector.flows(), inspector.buffer_bytes().0), (0, 0));
    (told, inspector)
}

fn server_datagram(version: Version, id: &[u8]) -> (Side, Vec<u8>) {
    // An acknowledgement of packet 0 with one range, then the hello; then a packet of the handshake in the same datagram.
    let frames = [vec![2, 0, 0, 0, 0], crypto(0, &server_hello(false))].concat();
    let mut datagram = initial(version, Sender::Server, id, &[9; 4], 0, &frames);
    let (wire_version, first) = wire(version);
    datagram.push(first + 0x20);
    datagram.extend(wire_version.to_be_bytes());
    datagram.extend([0, 0, 0x40, 30]);
    datagram.extend([0xab; 30]);
    (SERVER, datagram)
}

fn check(told: &[Handshake], version: Version) {
    let [handshake] = told else { panic!("{told:?}") };
    assert_eq!(handshake.status(), Status::Complete);
    assert_eq!(handshake.server_name(), Some("quic.example"));
    assert_eq!(handshake.quic_version, Some(version));
    assert_eq!(handshake.client_side, Some(CLIENT));
    assert!(handshake.client.as_ref().unwrap().ja4.as_str().starts_with("q13d0206h2_"));
    assert_eq!(handshake.given_up, None);
}

#[test]
fn in_one_packet() {
    for version in [Version::V1, Version::V2] {
        let frames = padded(crypto(0, &client_hello(b"quic.example", 32)), 1150);
        let client = (CLIENT, initial(version, Sender::Client, &FIRST_ID, &FIRST_ID, 0, &frames));
        let server = server_datagram(version, &FIRST_ID);
        check(&deliver(&[client.clone(), server.clone()]).0, version);
        check(&deliver(&[server, client]).0, version);
    }
}

/// The server may answer in the other version (RFC 9368).
#[test]
fn compatible_version() {
    let frames = padded(crypto(0, &client_hello(b"quic.example", 32)), 1150);
    let client = (CLIENT, initial(Version::V1, Sender::Client, &FIRST_ID, &FIRST_ID, 0, &frames));
    check(&deliver(&[client, server_datagram(Version::V2, &FIRST_ID)]).0, Version::V1);
}

#[test]
fn retry() {
    const SECOND_ID: [u8; 5] = [7; 5];
    let hello = client_hello(b"quic.example", 32);
    let frames = padded(crypto(0, &hello[..100]), 1150);
    let first = (CLIENT, initial(Version::V1, Sender::Client, &FIRST_ID, &FIRST_ID, 0, &frames));
    let retry = (SERVER, [&[0xf0, 0, 0, 0, 1, 0, 5, 7, 7, 7, 7, 7][..], &[0; 20]].concat());
    let frames = padded(crypto(0, &hello), 1150);
    let second = (CLIENT, initial(Version::V1, Sender::Client, &SECOND_ID, &SECOND_ID, 1, &frames));
    let server = server_datagram(Version::V1, &SECOND_ID);
    check(&deliver(&[first.clone(), retry.clone(), second.clone(), server.clone()]).0, Version::V1);
    // The Retry need not be seen, and the answer may come first.
    check(&deliver(&[first, server, second]).0, Version::V1);
}

/// The server does not know the version, and says so; the client begins again with another one.
#[test]
fn version_negotiation() {
    const SECOND_ID: [u8; 8] = [5; 8];
    let frames = padded(crypto(0, &client_hello(b"quic.example", 32)[..50]), 1150);
    let first = (CLIENT, initial(Version::V2, Sender::Client, &FIRST_ID, &FIRST_ID, 0, &frames));
    let negotiation =
        (SERVER, [&[0x80, 0, 0, 0, 0, 4, 9, 9, 9, 9, 8][..], &FIRST_ID, &[0, 0, 0, 1]].concat());
    let frames = padded(crypto(0, &client_hello(b"quic.example", 32)), 1150);
    let second = (CLIENT, initial(Version::V1, Sender::Client, &SECOND_ID, &SECOND_ID, 0, &frames));
    check(&deliver(&[first, negotiation, second, server_datagram(Version::V1, &SECOND_ID)]).0, Version::V1);
}

#[test]
fn closed_by_an_alert() {
    let frames = padded(crypto(0, &client_hello(b"quic.example", 32)), 1150);
    let client = (CLIENT, initial(Version::V1, Sender::Client, &FIRST_ID, &FIRST_ID, 0, &frames));
    // CRYPTO_ERROR with the alert no_application_protocol.
    let close = padded(vec![0x1c, 0x41, 0x78, 6, 0], 30);
    let server = (SERVER, initial(Version::V1, Sender::Server, &FIRST_ID, &[9; 4], 0, &close));
    let (told, _) = deliver(&[client, server]);
    assert_eq!((told.len(), told[0].status(), told[0].alert), (1, Status::Refused, Some(120)));
}

/// A datagram that was cut tells nothing, whatever its length.
#[test]
fn cut_at_every_byte() {
    let frames = padded(crypto(0, &client_hello(b"quic.example", 32)), 400);
    let datagram = initial(Version::V1, Sender::Client, &FIRST_ID, &FIRST_ID, 0, &frames);
    for end in 1..datagram.len() {
        let mut inspector = Inspector::new(InspectorConfig::default());
        let handle = inspector.begin([443, 50_000], 0, 0).unwrap();
        let interest = inspector.datagram(handle, CLIENT, &datagram[..end], true, 0, &mut |_, _| {});
        assert_eq!(interest, Interest::More, "{end}");
        let summary = inspector.end(handle, &mut |_, _| {});
        assert!(summary.is_none_or(|summary| summary.server_name().is_none()), "{end}");
        assert_eq!(inspector.counters().given_up(GivenUp::Cut), 1, "{end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Frames of any size that overlap, in any order, in packets and datagrams of their own or shared.
    #[test]
    fn in_any_pieces(
        share in 32..1300_usize,
        cuts in proptest::collection::vec((0..2000_usize, 0..100_usize), 0..10),
        order in any::<prop::sample::Index>(),
        coalesced in any::<bool>(),
    ) {
        let hello = client_hello(b"quic.example", share);
        let mut borders: Vec<usize> = cuts.iter().map(|(at, _)| at % hello.len()).chain([0, hello.len()]).collect();
        borders.sort_unstable();
        borders.dedup();
        let more = cuts.iter().map(|&(_, more)| more).chain([0]).cycle();
        let mut frames: Vec<Vec<u8>> = borders
            .windows(2)
            .zip(more)
            .map(|(pair, more)| crypto(pair[0], &hello[pair[0]..(pair[1] + more).min(hello.len())]))
            .collect();
        let turn = order.index(frames.len());
        frames.rotate_left(turn);
        let packets = frames.iter().zip(0..).map(|(frames, number)| {
            initial(Version::V1, Sender::Client, &FIRST_ID, &FIRST_ID, number, &padded(frames.clone(), 30))
        });
        let mut datagrams: Vec<(Side, Vec<u8>)> = if coalesced {
            vec![(CLIENT, packets.flatten().collect())]
        } else {
            packets.map(|packet| (CLIENT, packet)).collect()
        };
        datagrams.push(server_datagram(Version::V1, &FIRST_ID));
        let (told, _) = deliver(&datagrams);
        check(&told, Version::V1);
    }
}

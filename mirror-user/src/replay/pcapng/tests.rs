//! The reader on blocks that are written byte by byte.

use super::super::testing::{Packet, read_all};
use super::*;
use crate::source::LinkType;

const LITTLE: Order = Order::Little;
const BIG: Order = Order::Big;

fn word(order: Order, word: u32) -> [u8; 4] {
    match order {
        Order::Little => word.to_le_bytes(),
        Order::Big => word.to_be_bytes(),
    }
}

fn half(order: Order, half: u16) -> [u8; 2] {
    match order {
        Order::Little => half.to_le_bytes(),
        Order::Big => half.to_be_bytes(),
    }
}

fn words(order: Order, words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|&number| word(order, number)).collect()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let body = padded(body);
    let length = u32::try_from(body.len() + 12).unwrap();
    [&words(order, &[kind, length])[..], &body, &word(order, length)].concat()
}

fn section(order: Order) -> Vec<u8> {
    let magic = word(order, 0x1a2b_3c4d);
    block(order, 0x0a0d_0d0a, &[&magic[..], &half(order, 1), &half(order, 0), &[0xff; 8]].concat())
}

fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&half(order, code)[..], &half(order, length), &padded(value)].concat()
}

fn interface(order: Order, link_type: u16, options: &[u8]) -> Vec<u8> {
    block(order, 1, &[&half(order, link_type)[..], &[0; 2], &word(order, 65_535), options].concat())
}

/// An Enhanced Packet Block of interface `interface` at `time`, in units of its own.
fn packet(order: Order, interface: u32, time: u64, original_length: u32, bytes: &[u8]) -> Vec<u8> {
    let [high, low] = [(time >> 32) as u32, u32::try_from(time & 0xffff_ffff).unwrap()];
    let length = u32::try_from(bytes.len()).unwrap();
    let fixed = words(order, &[interface, high, low, length, original_length]);
    block(order, 6, &[&fixed[..], &padded(bytes)].concat())
}

/// Packets of these blocks, and the steps of reading without a packet.
fn read(blocks: &[Vec<u8>]) -> (Vec<Packet>, Vec<Step>) {
    read_all(&blocks.concat())
}

fn payloads(packets: &[Packet]) -> Vec<&[u8]> {
    packets.iter().map(|packet| &packet.bytes[..]).collect()
}

#[test]
fn packets_of_every_kind_of_block() {
    for order in [LITTLE, BIG] {
        // Obsolete Packet Block: interface and drops in 16 bits each.
        let obsolete =
            [&half(order, 0)[..], &half(order, 7), &words(order, &[0, 2_000_000, 3, 99]), &padded(b"two")];
        let simple = [&word(order, 5)[..], &padded(b"three")];
        let (packets, steps) = read(&[
            section(order),
            interface(order, 1, &[]),
            packet(order, 0, 1_000_000, 3, b"one"),
            block(order, 2, &obsolete.concat()),
            block(order, 3, &simple.concat()),
        ]);
        assert_eq!(payloads(&packets), [&b"one"[..], b"two", b"three"], "{order:?}");
        let read: Vec<_> = packets.iter().map(|packet| (packet.timestamp, packet.original_length)).collect();
        assert_eq!(read, [(1_000_000_000, 3), (2_000_000_000, 99), (0, 5)]);
        assert_eq!(steps, [Step::End]);
    }
}

/// Options of any content, statistics, names, secrets, unknown and huge blocks.
#[test]
fn side_information_decides_nothing() {
    let comment = option(LITTLE, 1, b"caf\xe9 \xff\xfe");
    let odd_address = option(LITTLE, 6, &[1, 2, 3, 4, 5]);
    let beyond_the_block = [&half(LITTLE, 9)[..], &half(LITTLE, 60_000), &[6, 0, 0, 0]].concat();
    let huge = block(LITTLE, 0x0bad_0bad, &vec![0xee; 2 << 20]);
    let mut with_options = packet(LITTLE, 0, 1, 3, b"one");
    let tail = [option(LITTLE, 1, b"\xff\xff"), option(LITTLE, 0xffff, &[1; 7])].concat();
    let length = u32::try_from(with_options.len() + tail.len()).unwrap();
    with_options.truncate(with_options.len() - 4);
    with_options[4..8].copy_from_slice(&word(LITTLE, length));
    with_options.extend([&tail[..], &word(LITTLE, length)].concat());
    let (packets, steps) = read(&[
        section(LITTLE),
        interface(LITTLE, 1, &[comment, odd_address, beyond_the_block].concat()),
        block(LITTLE, 5, &[0xff; 40]),
        block(LITTLE, 4, &[0xff; 21]),
        block(LITTLE, 10, &[0xff; 33]),
        huge,
        with_options,
        block(LITTLE, 0x8000_0001, &[]),
        packet(LITTLE, 0, 2, 3, b"two"),
    ]);
    assert_eq!(payloads(&packets), [&b"one"[..], b"two"]);
    assert_eq!(steps, [Step::End]);
}

#[test]
fn resolutions_and_offsets_of_time() {
    let second = 1_700_000_000_u64;
    for (resolution, time, nanoseconds) in [
        (None, second * 1_000_000 + 5, second * 1_000_000_000 + 5000),
        (Some(0), second, second * 1_000_000_000),
        (Some(9), second * 1_000_000_000 + 7, second * 1_000_000_000 + 7),
        (Some(18), 3_000_000_000_000_000_001, 3_000_000_000),
        (Some(0x80 | 32), second << 32 | 1 << 31, second * 1_000_000_000 + 500_000_000),
        (Some(0x80 | 63), 3 << 62, 1_500_000_000),
        (Some(0x80), second, second * 1_000_000_000),
    ] {
        for offset in [0, 100_u64] {
            let mut options = option(LITTLE, 14, &offset.to_le_bytes());
            options.extend(resolution.map(|value| option(LITTLE, 9, &[value])).unwrap_or_default());
            let (packets, _) =
                read(&[section(LITTLE), interface(LITTLE, 1, &options), packet(LITTLE, 0, time, 1, b"x")]);
            assert_eq!(packets[0].timestamp, nanoseconds + offset * 1_000_000_000, "{resolution:?}");
        }
    }
}

#[test]
fn sections_and_interfaces_are_apart() {
    let (packets, steps) = read(&[
        section(LITTLE),
        interface(LITTLE, 1, &[]),
        interface(LITTLE, 101, &[]),
        packet(LITTLE, 1, 0, 1, b"a"),
        section(BIG),
        interface(BIG, 12, &[]),
        packet(BIG, 1, 0, 1, b"b"),
        packet(BIG, 0, 0, 1, b"c"),
    ]);
    assert_eq!(payloads(&packets), [b"a", b"c"]);
    assert!(packets.iter().all(|packet| packet.link_type == LinkType::Ip));
    assert_eq!(steps, [Step::Unread(Unread::Interface), Step::End], "of another section's interface");
}

#[test]
fn lengths_below_what_was_captured_are_raised() {
    let (packets, _) =
        read(&[section(LITTLE), interface(LITTLE, 1, &[]), packet(LITTLE, 0, 0, 2, b"longer")]);
    assert_eq!((packets[0].original_length, &packets[0].bytes[..]), (6, &b"longer"[..]));
}

#[test]
fn a_file_that_ends_within_a_block_is_read_up_to_there() {
    let whole = [
        section(LITTLE),
        interface(LITTLE, 1, &[]),
        packet(LITTLE, 0, 0, 3, b"one"),
        packet(LITTLE, 0, 0, 3, b"two"),
    ];
    let bytes = whole.concat();
    let last = bytes.len() - whole[3].len();
    for length in last + 1..bytes.len() {
        let (packets, steps) = read_all(&bytes[..length]);
        let Some(Step::Fault(fault)) = steps.last() else { panic!("{length}: {steps:?}") };
        assert_eq!(fault.kind, FaultKind::CutOff, "{length}");
        // The packet may be there, and only the end of its block missing; or not even the kind of the block is.
        let found = packets.len() + usize::from(fault.packet.is_some());
        assert_eq!(found, if length < last + 8 { 1 } else { 2 }, "{length}: {fault:?}");
    }
}

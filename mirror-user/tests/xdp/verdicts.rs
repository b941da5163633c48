//! The verdicts of the capture program, packet by packet, through `BPF_PROG_TEST_RUN`; and what a packet carries when
//! it leaves for user space.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use aya::{TestRun as _, TestRunOptions};
use mirror_common::config::MIN_SNAP_LENGTH;
use mirror_common::port;
use mirror_common::preamble::{self, Preamble};
use mirror_common::verdict::Verdict;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::veth::{VethOptions, VethPair};
use mirror_user::number::QueueId;
use mirror_user::xdp::interface::interfaces;
use mirror_user::xdp::{MOST_ADDRESSES, Prefix, Program, ProgramConfig, XdpError};
use rustix::net::{AddressFamily, SocketType, socket};
use tracing::level_filters::LevelFilter;

/// linux/bpf.h
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;

const SOURCE_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);
const DESTINATION_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// An Ethernet frame with the given VLAN tags.
fn ethernet(tags: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet from [`SOURCE_V4`], with `options` words of options and the given flags and fragment offset.
fn ipv4(options: u8, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let words = 5 + options;
    let length = u16::try_from(usize::from(words) * 4 + payload.len()).unwrap();
    let mut packet = vec![0x40 | words, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(SOURCE_V4.octets());
    packet.extend(DESTINATION_V4.octets());
    packet.resize(usize::from(words) * 4, 1); // option 1: no operation
    packet.extend(payload);
    packet
}

/// An IPv6 packet from [`SOURCE_V6`], with extension headers of the given types and sizes in bytes.
fn ipv6(extensions: &[(u8, usize)], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut next_headers = extensions.iter().map(|(kind, _)| *kind).chain([protocol]);
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next_headers.next().unwrap(), 64];
    packet.extend(SOURCE_V6.octets());
    packet.extend(Ipv6Addr::LOCALHOST.octets());
    for ((kind, size), next_header) in extensions.iter().zip(next_headers) {
        let words = if *kind == 51 { size / 4 - 2 } else { size / 8 - 1 };
        let start = packet.len();
        packet.extend([next_header, u8::try_from(words).unwrap()]);
        packet.resize(start + size, 0);
    }
    packet.extend(payload);
    let length = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet
}

/// A UDP datagram to `port`.
fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = [40_000_u16, port, length, 0].map(u16::to_be_bytes).concat();
    datagram.extend(payload);
    datagram
}

/// A GENEVE packet of `length` bytes over IPv4, each byte of its payload different from the next.
fn geneve(length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..=250).cycle().take(length - 42).collect();
    ethernet(&[], IPV4, &ipv4(0, 0, UDP, &udp(port::GENEVE, &payload)))
}

/// An AF_XDP socket: to be found in the map, it needs no rings.
fn af_xdp_socket() -> OwnedFd {
    socket(AddressFamily::XDP, SocketType::RAW, None).unwrap()
}

/// Loads the program, and gives it a socket for queue 0.
fn load_with_socket(options: &ProgramConfig) -> (Program, OwnedFd) {
    let mut capture = Program::load(options).unwrap();
    let socket = af_xdp_socket();
    capture.set_socket(QueueId(0), &socket).unwrap();
    (capture, socket)
}

/// The end of a packet.
struct Outcome {
    verdict: Verdict,
    /// Row of the counters: the queue, or the number of queues for any other.
    row: usize,
    metadata: Vec<u8>,
    frame: Vec<u8>,
}

/// The packet's context as the program shall see it: `struct xdp_md` of linux/bpf.h.
#[derive(Clone, Copy, Default)]
struct Context {
    /// Bytes at the front of the input that are metadata: they take from the headroom.
    metadata: u32,
    ingress_interface: u32,
    queue: u32,
}

/// Sends a frame through the program. Checks that exactly one counter has moved, that the action is that of the
/// verdict, and that a packet which passes to the kernel is not changed.
fn run(capture: &Program, context: Context, input: &[u8]) -> Outcome {
    let before = capture.verdicts().unwrap();
    let words = |data, data_end| [data, data_end, 0, context.ingress_interface, context.queue, 0];
    let bytes = |words: [u32; 6]| words.map(u32::to_ne_bytes).concat();
    let context_in = bytes(words(context.metadata, u32::try_from(input.len()).unwrap()));
    let mut context_out = bytes([0; 6]);
    let mut output = vec![0; input.len() + 512];
    let result = capture
        .program()
        .unwrap()
        .test_run(TestRunOptions {
            data_in: Some(input),
            data_out: Some(&mut output),
            ctx_in: Some(&context_in),
            ctx_out: Some(&mut context_out),
            ..TestRunOptions::default()
        })
        .unwrap();
    output.truncate(result.data_size_out as usize);
    let data = u32::from_ne_bytes(context_out[..4].try_into().unwrap());
    let frame = output.split_off(data as usize);

    let after = capture.verdicts().unwrap();
    let rows = |verdicts: &mirror_user::xdp::Verdicts| {
        [verdicts.queues.as_slice(), &[verdicts.other_queues]].concat()
    };
    let mut moved = Vec::new();
    for (row, (before, after)) in rows(&before).iter().zip(&rows(&after)).enumerate() {
        for verdict in Verdict::ALL {
            let count = after[verdict as usize] - before[verdict as usize];
            moved.extend((0..count).map(|_| (row, verdict)));
        }
    }
    let [(row, verdict)] = moved[..] else { panic!("a packet got the verdicts {moved:?}") };
    let action = match verdict {
        Verdict::Redirected => XDP_REDIRECT,
        Verdict::DroppedSource | Verdict::DroppedNoHeadroom | Verdict::DroppedNotCut => XDP_DROP,
        _ => XDP_PASS,
    };
    assert_eq!(result.return_value, action, "{verdict:?}");
    if verdict.is_passed() {
        assert!([output.clone(), frame.clone()].concat() == input, "{verdict:?} changes the packet");
    }
    Outcome { verdict, row, metadata: output, frame }
}

/// Runs a table of frames.
fn check(capture: &Program, cases: &[(&str, Vec<u8>, Verdict)]) {
    for (name, frame, verdict) in cases {
        assert_eq!(run(capture, Context::default(), frame).verdict, *verdict, "{name}");
    }
}

#[test]
fn link_layer() {
    if skipped_without_root() {
        return;
    }
    use Verdict::{PassedNotIp, PassedTooShort, Redirected};
    let (capture, _socket) = load_with_socket(&ProgramConfig::default());
    let packet = ipv4(0, 0, UDP, &udp(port::GENEVE, b"payload"));
    check(
        &capture,
        &[
            ("no tag", ethernet(&[], IPV4, &packet), Redirected),
            ("one tag", ethernet(&[VLAN], IPV4, &packet), Redirected),
            ("one service tag", ethernet(&[SERVICE_VLAN], IPV4, &packet), Redirected),
            ("two tags", ethernet(&[SERVICE_VLAN, VLAN], IPV4, &packet), Redirected),
            ("three tags", ethernet(&[VLAN, VLAN, VLAN], IPV4, &packet), PassedNotIp),
            ("ARP", ethernet(&[], 0x0806, &[0; 28]), PassedNotIp),
            ("tagged ARP", ethernet(&[VLAN], 0x0806, &[0; 28]), PassedNotIp),
            ("a length in place of an EtherType", ethernet(&[], 46, &[0; 46]), PassedNotIp),
            ("an end behind the Ethernet header", ethernet(&[], IPV4, &[]), PassedTooShort),
            ("an end within the first tag", ethernet(&[], VLAN, &[0, 7, 8]), PassedTooShort),
            ("an end within the second tag", ethernet(&[VLAN], VLAN, &[0, 7]), PassedTooShort),
        ],
    );
}

#[test]
fn ipv4_headers() {
    if skipped_without_root() {
        return;
    }
    use Verdict::{PassedFragment, PassedNotTunnel, PassedTooShort, Redirected};
    const DONT_FRAGMENT: u16 = 0x4000;
    const MORE_FRAGMENTS: u16 = 0x2000;
    let (capture, _socket) = load_with_socket(&ProgramConfig::default());
    let datagram = udp(port::GENEVE, b"payload");
    let frame = |packet: &[u8]| ethernet(&[], IPV4, packet);
    let with_first_byte = |byte: u8| {
        let mut packet = ipv4(0, 0, UDP, &datagram);
        packet[0] = byte;
        frame(&packet)
    };
    check(
        &capture,
        &[
            ("one word of options", frame(&ipv4(1, 0, UDP, &datagram)), Redirected),
            ("the most options", frame(&ipv4(10, 0, UDP, &datagram)), Redirected),
            ("don't fragment", frame(&ipv4(0, DONT_FRAGMENT, UDP, &datagram)), Redirected),
            ("the first fragment", frame(&ipv4(0, MORE_FRAGMENTS, UDP, &datagram)), PassedFragment),
            ("a later fragment", frame(&ipv4(0, MORE_FRAGMENTS | 185, UDP, &datagram)), PassedFragment),
            ("the last fragment", frame(&ipv4(0, 185, UDP, &datagram)), PassedFragment),
            ("a short last fragment", frame(&ipv4(0, 185, UDP, &[1])), PassedFragment),
            ("a fragment of TCP", frame(&ipv4(0, 185, TCP, &[1])), PassedNotTunnel),
            ("TCP to the port of GENEVE", frame(&ipv4(0, 0, TCP, &datagram)), PassedNotTunnel),
            ("ICMP", frame(&ipv4(0, 0, 1, &[8, 0, 0, 0])), PassedNotTunnel),
            ("version 6", with_first_byte(0x65), PassedTooShort),
            ("a header of four words", with_first_byte(0x44), PassedTooShort),
            ("a header of no words", with_first_byte(0x40), PassedTooShort),
            ("options beyond the end", with_first_byte(0x4f), PassedTooShort),
            ("an end within the options", frame(&ipv4(10, 0, UDP, &[])[..59]), PassedTooShort),
            ("an end within the header", frame(&ipv4(0, 0, UDP, &[])[..19]), PassedTooShort),
        ],
    );
}

#[test]
fn ipv6_headers() {
    if skipped_without_root() {
        return;
    }
    use Verdict::{PassedFragment, PassedNotTunnel, PassedTooShort, Redirected};
    const FRAGMENT: (u8, usize) = (44, 8);
    const HOP_BY_HOP: (u8, usize) = (0, 8);
    const DESTINATION_OPTIONS: (u8, usize) = (60, 24);
    const ROUTING: (u8, usize) = (43, 40);
    const AUTHENTICATION: (u8, usize) = (51, 28);
    let (capture, _socket) = load_with_socket(&ProgramConfig::default());
    let datagram = udp(port::GENEVE, b"payload");
    let frame = |extensions: &[(u8, usize)]| ethernet(&[], IPV6, &ipv6(extensions, UDP, &datagram));
    let whole = ipv6(&[HOP_BY_HOP, (60, 2048)], UDP, &datagram);
    let cut = |length: usize| ethernet(&[], IPV6, &whole[..length]);
    let mut version_4 = ethernet(&[], IPV6, &ipv6(&[], UDP, &datagram));
    version_4[14] = 0x40;
    check(
        &capture,
        &[
            ("no extension", frame(&[]), Redirected),
            ("hop by hop", frame(&[HOP_BY_HOP]), Redirected),
            ("authentication", frame(&[AUTHENTICATION]), Redirected),
            ("mobility", frame(&[(135, 16)]), Redirected),
            ("host identity", frame(&[(139, 40)]), Redirected),
            ("shim6", frame(&[(140, 8)]), Redirected),
            ("the longest extension", frame(&[(60, 2048)]), Redirected),
            (
                "as many extensions as are followed",
                frame(&[HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, AUTHENTICATION, DESTINATION_OPTIONS]),
                Redirected,
            ),
            ("one extension more", frame(&[DESTINATION_OPTIONS; 6]), PassedNotTunnel),
            ("a fragment header", frame(&[FRAGMENT]), PassedFragment),
            ("a fragment header behind another", frame(&[HOP_BY_HOP, FRAGMENT]), PassedFragment),
            ("TCP", ethernet(&[], IPV6, &ipv6(&[], TCP, &datagram)), PassedNotTunnel),
            ("ESP", ethernet(&[], IPV6, &ipv6(&[HOP_BY_HOP], 50, &datagram)), PassedNotTunnel),
            ("no next header", ethernet(&[], IPV6, &ipv6(&[], 59, &[])), PassedNotTunnel),
            ("another port", ethernet(&[], IPV6, &ipv6(&[], UDP, &udp(53, &[]))), PassedNotTunnel),
            ("version 4", version_4, PassedTooShort),
            ("an end within the header", cut(39), PassedTooShort),
            ("an end behind the header", cut(40), PassedTooShort),
            ("an end within an extension", cut(47), PassedTooShort),
            ("an end within a long extension", cut(40 + 8 + 2047), PassedTooShort),
            ("an end within the UDP header", cut(40 + 8 + 2048 + 7), PassedTooShort),
            ("an end behind the UDP header", cut(40 + 8 + 2048 + 8), Redirected),
        ],
    );
}

#[test]
fn ports() {
    if skipped_without_root() {
        return;
    }
    use Verdict::{PassedNotTunnel, PassedTooShort, Redirected};
    let to = |port: u16| ethernet(&[], IPV4, &ipv4(0, 0, UDP, &udp(port, b"payload")));
    let runt = |length: usize| ethernet(&[], IPV4, &ipv4(0, 0, UDP, &udp(port::GENEVE, &[])[..length]));

    let (capture, _socket) = load_with_socket(&ProgramConfig::default());
    check(
        &capture,
        &[
            ("GENEVE", to(6081), Redirected),
            ("a neighbour of GENEVE", to(6080), PassedNotTunnel),
            ("GENEVE with its bytes swapped", to(6081_u16.swap_bytes()), PassedNotTunnel),
            ("DNS", to(53), PassedNotTunnel),
            ("VXLAN where it is off", to(4789), PassedNotTunnel),
            ("port 0 where VXLAN is off", to(0), PassedNotTunnel),
            ("no UDP header", runt(0), PassedTooShort),
            ("an end within the UDP header", runt(7), PassedTooShort),
            ("an end behind the UDP header", runt(8), Redirected),
        ],
    );
    let options = ProgramConfig { geneve_port: 7000, vxlan_port: Some(4789), ..ProgramConfig::default() };
    let (capture, _socket) = load_with_socket(&options);
    check(
        &capture,
        &[
            ("GENEVE on another port", to(7000), Redirected),
            ("the port of GENEVE where that is another", to(6081), PassedNotTunnel),
            ("VXLAN where it is on", to(4789), Redirected),
        ],
    );
}

#[test]
fn sources() {
    if skipped_without_root() {
        return;
    }
    use Verdict::{DroppedSource, PassedNotTunnel, Redirected};
    let v4 = ethernet(&[], IPV4, &ipv4(0, 0, UDP, &udp(port::GENEVE, b"payload")));
    let v6 = ethernet(&[VLAN], IPV6, &ipv6(&[(0, 8)], UDP, &udp(port::GENEVE, b"payload")));
    let dns = ethernet(&[], IPV4, &ipv4(0, 0, UDP, &udp(53, &[])));
    let mut mapped = v6.clone();
    mapped[18 + 8..18 + 24].copy_from_slice(&SOURCE_V4.to_ipv6_mapped().octets());
    /// The prefixes, and what becomes of a tunnel packet from [`SOURCE_V4`], from [`SOURCE_V6`] and from the former in an
    /// IPv6 header.
    type Case<'a> = (&'a [(&'a str, u8)], Verdict, Verdict, Verdict);
    // More than are compared with one after the other.
    let many = [[("192.0.2.1", 32); 8].as_slice(), &[("10.1.2.3", 32)]].concat();
    let cases: [Case<'_>; 13] = [
        (&[], DroppedSource, DroppedSource, DroppedSource),
        (&[("10.1.2.3", 32)], Redirected, DroppedSource, DroppedSource),
        (&[("10.1.2.2", 32)], DroppedSource, DroppedSource, DroppedSource),
        (&[("10.1.2.2", 31)], Redirected, DroppedSource, DroppedSource),
        (&[("10.99.99.99", 8)], Redirected, DroppedSource, DroppedSource),
        (&[("0.0.0.0", 0)], Redirected, DroppedSource, DroppedSource),
        (&[("2001:db8::", 32)], DroppedSource, Redirected, DroppedSource),
        (&[("2001:db8::4", 128)], DroppedSource, DroppedSource, DroppedSource),
        (&[("::", 0)], DroppedSource, Redirected, Redirected),
        (&[("::ffff:0:0", 96)], DroppedSource, DroppedSource, Redirected),
        (&[("192.0.2.0", 24), ("10.0.0.0", 8), ("2001:db8::3", 128)], Redirected, Redirected, DroppedSource),
        (&many, Redirected, DroppedSource, DroppedSource),
        (&many[..8], DroppedSource, DroppedSource, DroppedSource),
    ];
    let check = |allowed_sources, expected: [Verdict; 3], case: &str| {
        let (capture, _socket) =
            load_with_socket(&ProgramConfig { allowed_sources, ..ProgramConfig::default() });
        for (frame, expected, name) in
            [(&v4, expected[0], "IPv4"), (&v6, expected[1], "IPv6"), (&mapped, expected[2], "mapped IPv4")]
        {
            assert_eq!(run(&capture, Context::default(), frame).verdict, expected, "{name} with {case}");
        }
        assert_eq!(run(&capture, Context::default(), &dns).verdict, PassedNotTunnel, "DNS with {case}");
    };
    check(None, [Redirected; 3], "no list");
    for (prefixes, from_v4, from_v6, from_mapped) in cases {
        let prefix =
            |(address, length): &(&str, u8)| Prefix { address: address.parse().unwrap(), length: *length };
        let sources = prefixes.iter().map(prefix).collect();
        check(Some(sources), [from_v4, from_v6, from_mapped], &format!("{prefixes:?}"));
    }
}

#[test]
fn destinations() {
    if skipped_without_root() {
        return;
    }
    use Verdict::{DroppedSource, PassedNotTunnel, PassedOtherDestination, Redirected};
    let options =
        ProgramConfig { own_addresses_only: true, vxlan_port: Some(port::VXLAN), ..ProgramConfig::default() };
    let (mut capture, _socket) = load_with_socket(&options);
    let v4 = |to| ethernet(&[], IPV4, &ipv4(0, 0, UDP, &udp(to, b"payload")));
    let v6 = |to| ethernet(&[VLAN], IPV6, &ipv6(&[(0, 8)], UDP, &udp(to, b"payload")));
    let mut mapped = v6(port::GENEVE);
    mapped[18 + 24..18 + 40].copy_from_slice(&DESTINATION_V4.to_ipv6_mapped().octets());
    let [own_v4, own_v6, other_v4, other_v6] =
        [DESTINATION_V4.into(), Ipv6Addr::LOCALHOST.into(), [10, 0, 0, 2].into(), SOURCE_V6.into()];
    // The addresses, and what becomes of tunnel packets to the addresses of both families.
    let further = [1, 2, 3, 4, 5].map(|number| IpAddr::from([9, 0, 0, number]));
    let many = [further.as_slice(), &[own_v4]].concat(); // more than are compared with one after the other
    let cases: [(&[IpAddr], Verdict, Verdict); 9] = [
        (&[], PassedOtherDestination, PassedOtherDestination),
        (&[own_v4], Redirected, PassedOtherDestination),
        (&[own_v6], PassedOtherDestination, Redirected),
        (&[other_v4, own_v4, own_v6], Redirected, Redirected),
        (&[other_v4, own_v6], PassedOtherDestination, Redirected),
        (&[other_v4, other_v6], PassedOtherDestination, PassedOtherDestination),
        (&many, Redirected, PassedOtherDestination),
        (&further, PassedOtherDestination, PassedOtherDestination),
        (&[own_v6, own_v4], Redirected, Redirected),
    ];
    for (addresses, to_v4, to_v6) in cases {
        capture.set_addresses(addresses).unwrap();
        for (kind, to) in [("GENEVE", port::GENEVE), ("VXLAN", port::VXLAN)] {
            let verdict = |frame: &[u8]| run(&capture, Context::default(), frame).verdict;
            assert_eq!(verdict(&v4(to)), to_v4, "{kind} over IPv4 with {addresses:?}");
            assert_eq!(verdict(&v6(to)), to_v6, "{kind} over IPv6 with {addresses:?}");
            assert_eq!(verdict(&mapped), PassedOtherDestination, "the mapped address with {addresses:?}");
            assert_eq!(verdict(&v4(53)), PassedNotTunnel, "DNS with {addresses:?}");
        }
    }

    let change = capture.set_addresses(&[own_v4, other_v4, own_v4]).unwrap();
    assert_eq!((change.added, change.removed), (vec![other_v4], vec![own_v6]));
    assert!(capture.set_addresses(&[other_v4, own_v4]).unwrap().is_empty());
    let many: Vec<IpAddr> = (0..=MOST_ADDRESSES).map(|number| Ipv4Addr::from_bits(number).into()).collect();
    let error = capture.set_addresses(&many).unwrap_err();
    assert!(matches!(error, XdpError::TooManyAddresses(4097)), "{error}");
    assert_eq!(capture.set_addresses(&many[1..]).unwrap().added.len(), MOST_ADDRESSES as usize);

    // What is not for this host passes, also where its source is not allowed.
    let options = ProgramConfig { allowed_sources: Some(Vec::new()), ..options };
    let (mut capture, _socket) = load_with_socket(&options);
    capture.set_addresses(&[own_v4]).unwrap();
    for (frame, expected) in [(v4(port::GENEVE), DroppedSource), (v6(port::GENEVE), PassedOtherDestination)] {
        assert_eq!(run(&capture, Context::default(), &frame).verdict, expected);
    }
}

#[test]
fn options_out_of_range_are_refused() {
    for (address, length) in [("10.0.0.0", 33), ("::", 129)] {
        let allowed_sources = Some(vec![Prefix { address: address.parse().unwrap(), length }]);
        let error =
            Program::load(&ProgramConfig { allowed_sources, ..ProgramConfig::default() }).err().unwrap();
        assert!(matches!(error, XdpError::PrefixLength { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{address}/{length}")), "{error}");
    }
    let snap_length = Some(MIN_SNAP_LENGTH - 1);
    let error = Program::load(&ProgramConfig { snap_length, ..ProgramConfig::default() }).err().unwrap();
    assert!(matches!(error, XdpError::SnapLength(13)), "{error}");
}

#[test]
fn queues_without_a_socket_pass_the_packet_as_it_came() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 4, ..VethOptions::default() }).unwrap();
    pair.receiver
        .enter(|| {
            let found = interfaces().unwrap().into_iter().find(|found| found.name == VethPair::RECEIVING);
            let on = |queue| Context { queue, ingress_interface: found.as_ref().unwrap().index, metadata: 0 };
            // The interface has one queue more than the program was told of.
            let options = ProgramConfig { queues: 3, snap_length: Some(64), ..ProgramConfig::default() };
            let mut capture = Program::load(&options).unwrap();
            let socket = af_xdp_socket();
            capture.set_socket(QueueId(1), &socket).unwrap();
            let frame = geneve(200);
            for (queue, verdict) in [
                (0, Verdict::PassedNoSocket),
                (1, Verdict::Redirected),
                (2, Verdict::PassedNoSocket),
                (3, Verdict::PassedNoSocket),
            ] {
                let outcome = run(&capture, on(queue), &frame);
                assert_eq!((outcome.verdict, outcome.row), (verdict, queue as usize));
            }
            let verdicts = capture.verdicts().unwrap();
            assert_eq!(verdicts.total()[Verdict::PassedNoSocket as usize], 3);
            assert_eq!(verdicts.other_queues[Verdict::PassedNoSocket as usize], 1);

            let error = capture.set_socket(QueueId(3), &socket).unwrap_err();
            assert!(matches!(error, XdpError::UnknownQueue { queue: QueueId(3), queues: 3 }), "{error}");
            drop(socket); // the kernel takes a closed socket out of the map
            assert_eq!(run(&capture, on(1), &frame).verdict, Verdict::PassedNoSocket);
        })
        .unwrap();
}

#[test]
fn a_redirected_packet_carries_its_time_and_its_length_and_is_cut() {
    if skipped_without_root() {
        return;
    }
    // Of 60 bytes, of one buffer, and of three.
    for length in [60, 1_514, 9_014] {
        let frame = geneve(length);
        for snap_length in [None, Some(MIN_SNAP_LENGTH), Some(128), Some(1_514), Some(4_000), Some(9_014)] {
            for exact_timestamps in [false, true] {
                let case = format!("{length} bytes, cut to {snap_length:?}, exact {exact_timestamps}");
                let options = ProgramConfig { snap_length, exact_timestamps, ..ProgramConfig::default() };
                let (capture, _socket) = load_with_socket(&options);
                // Of two packets, the first one has its turn.
                capture.queue_entry(QueueId(0)).unwrap().stamps().unwrap().set_interval(2).unwrap();
                let kept = snap_length.map_or(length, |snap_length| length.min(snap_length as usize));
                for stamped in [true, exact_timestamps, true] {
                    let earlier = monotonic_ns();
                    let outcome = run(&capture, Context::default(), &frame);
                    let later = monotonic_ns();
                    assert_eq!(outcome.verdict, Verdict::Redirected, "{case}");
                    assert!(outcome.metadata.is_empty(), "{case}");
                    let Some(preamble) = Preamble::of(&outcome.frame) else {
                        assert!(!stamped && kept == length, "{case}");
                        assert!(outcome.frame == frame, "{case}: {} bytes", outcome.frame.len());
                        continue;
                    };
                    let (head, captured) = outcome.frame.split_at(preamble::LENGTH);
                    let ethertype = preamble::ETHERTYPE.to_be_bytes();
                    assert_eq!(head[..16], [[0; 12].as_slice(), &ethertype, &[0; 2]].concat(), "{case}");
                    assert_eq!(head[28..], [0; 4], "{case}");
                    assert!(captured == &frame[..kept], "{case}: {} bytes captured", captured.len());
                    let original_length = if kept < length { length } else { 0 };
                    assert_eq!(preamble.original_length as usize, original_length, "{case}");
                    match stamped {
                        true => assert!((earlier..=later).contains(&preamble.monotonic_ns), "{case}"),
                        false => assert_eq!(preamble.monotonic_ns, 0, "{case}"),
                    }
                }
            }
        }
    }
}

#[test]
fn one_packet_in_an_interval_is_stamped() {
    if skipped_without_root() {
        return;
    }
    let options = ProgramConfig { exact_timestamps: false, queues: 2, ..ProgramConfig::default() };
    let (capture, _socket) = load_with_socket(&options);
    let mut stamps = capture.queue_entry(QueueId(0)).unwrap().stamps().unwrap();
    let frame = geneve(200);
    // Counters are per CPU.
    let cpu = mirror_testkit::processors::allowed_processors()[0];
    mirror_testkit::processors::pin(cpu).unwrap();
    let stamped = |packets: u64| {
        (0..packets)
            .filter(|_| Preamble::of(&run(&capture, Context::default(), &frame).frame).is_some())
            .count()
    };
    assert_eq!(stamped(16), 16, "every packet at first");
    for (interval, expected) in [(4, 4), (16, 1), (1, 16)] {
        stamps.set_interval(interval).unwrap();
        assert_eq!(stamped(16), expected, "one in {interval}");
    }
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

#[test]
fn a_packet_without_room_for_a_preamble_goes_without_its_time_but_not_without_its_length() {
    if skipped_without_root() {
        return;
    }
    // Of the 256 bytes of headroom, foreign metadata takes all but 48, of which the kernel needs 40 for itself.
    let frame = geneve(200);
    let input = [vec![0xaa; 208], frame.clone()].concat();
    let context = Context { metadata: 208, ..Context::default() };
    let (capture, _socket) = load_with_socket(&ProgramConfig::default());
    let outcome = run(&capture, context, &input);
    assert_eq!(outcome.verdict, Verdict::Redirected);
    assert!(outcome.frame == frame);
    let (capture, _socket) =
        load_with_socket(&ProgramConfig { snap_length: Some(100), ..ProgramConfig::default() });
    assert_eq!(run(&capture, context, &input).verdict, Verdict::DroppedNoHeadroom);
}

#[test]
fn the_program_logs_at_the_level_that_it_was_loaded_with() {
    if skipped_without_root() {
        return;
    }
    let allowed_sources = Some(vec![Prefix { address: SOURCE_V6.into(), length: 128 }]);
    let refused = geneve(200);
    let redirected = ethernet(&[], IPV6, &ipv6(&[], UDP, &udp(port::GENEVE, &[])));
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let refusal = "queue 0: dropped a tunnel packet from 10.1.2.3";
    let redirection = "queue 0: redirected 62 bytes";
    let cases: [(LevelFilter, &[&str]); 4] = [
        (LevelFilter::OFF, &[]),
        (LevelFilter::ERROR, &[]),
        (LevelFilter::WARN, &[refusal]),
        (LevelFilter::TRACE, &[refusal, redirection]),
    ];
    for (log_level, expected) in cases {
        let options =
            ProgramConfig { allowed_sources: allowed_sources.clone(), log_level, ..ProgramConfig::default() };
        let (mut capture, _socket) = load_with_socket(&options);
        assert_eq!(run(&capture, Context::default(), &refused).verdict, Verdict::DroppedSource);
        assert_eq!(run(&capture, Context::default(), &redirected).verdict, Verdict::Redirected);
        capture.flush_log();
        let mut lines = LOG.0.lock().unwrap();
        assert_eq!(*lines, expected, "at {log_level}");
        lines.clear();
    }
}

/// Keeps what the program logs.
struct Lines(std::sync::Mutex<Vec<String>>);

static LOG: Lines = Lines(std::sync::Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("capture")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

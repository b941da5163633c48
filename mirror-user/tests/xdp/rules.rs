//! The cut that the capture program makes for a tunnel, against the rule that user space finds for the same frame.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use aya::util::KernelVersion;
use aya::{TestRun as _, TestRunOptions};
use mirror_common::port;
use mirror_common::preamble::LENGTH;
use mirror_common::tunnel::TunnelKey;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share, Traffic, VALID};
use mirror_traffic::{Flow, Position};
use mirror_user::DropReason;
use mirror_user::decap::{DecapConfig, decapsulate};
use mirror_user::number::{EtherType, IpProtocol, MacAddress, QueueId, Vni};
use mirror_user::packet::{Link, Network, Packet, Transport};
use mirror_user::rules::{Recording, Rule, Rules};
use mirror_user::source::{Frame, LinkType};
use mirror_user::time::Timestamp;
use mirror_user::wire::{ethernet, geneve, gwlb, ipv4, ipv6, udp, vxlan};
use mirror_user::xdp::{Program, ProgramConfig, XdpError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use rustix::net::{AddressFamily, SocketType, socket};
use tracing::level_filters::LevelFilter;

/// linux/bpf.h
const XDP_REDIRECT: u32 = 4;

/// The shortest of all snap lengths in some tests.
const SHORTEST: u32 = 190;

/// The capture program as `rules` ask for it, and user space that is told the same.
struct Sides {
    capture: Program,
    _socket: OwnedFd,
    rules: Rules,
    /// The shortest of all snap lengths.
    shortest: Option<u32>,
    decap: DecapConfig,
}

impl Sides {
    fn new(rules: &[Rule], default: Recording, max_depth: u8, log_level: LevelFilter) -> Self {
        let rules = Rules::new(rules, default).unwrap();
        let options = ProgramConfig {
            vxlan_port: Some(port::VXLAN),
            session_port: (max_depth > 1).then_some(port::VXLAN),
            snap_length: rules.rest().snap_length,
            snap_lengths: rules.snap_lengths(),
            log_level,
            ..ProgramConfig::default()
        };
        let lengths = options.snap_lengths.iter().map(|(_, length)| *length);
        let shortest = lengths.chain([options.snap_length]).flatten().min();
        let mut capture = Program::load(&options).unwrap();
        // To be found in the map, it needs no rings.
        let socket = socket(AddressFamily::XDP, SocketType::RAW, None).unwrap();
        capture.set_socket(QueueId(0), &socket).unwrap();
        let decap = DecapConfig { geneve_port: port::GENEVE, vxlan_port: port::VXLAN, max_depth };
        Self { capture, _socket: socket, rules, shortest, decap }
    }

    /// Number of bytes of `frame` that the program keeps, of which the first `linear` are in the first buffer; [`None`] where
    /// it does not redirect it.
    fn kept(&self, frame: &[u8], linear: usize) -> Option<usize> {
        let context = |end| [0, end, 0, 0, 0, 0].map(u32::to_ne_bytes).concat();
        let mut output = vec![0; frame.len() + 512];
        let result = self
            .capture
            .program()
            .unwrap()
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut output),
                ctx_in: Some(&context(u32::try_from(linear).unwrap())),
                ctx_out: Some(&mut context(0)),
                ..TestRunOptions::default()
            })
            .unwrap();
        if result.return_value != XDP_REDIRECT {
            return None;
        }
        let captured = &output[LENGTH..result.data_size_out as usize];
        assert!(frame.starts_with(captured), "the program changes the packet");
        Some(captured.len())
    }

    fn decapsulate(&self, data: &[u8]) -> Result<Packet, DropReason> {
        self.decapsulate_to(data, self.decap.max_depth)
    }

    fn decapsulate_to(&self, data: &[u8], max_depth: u8) -> Result<Packet, DropReason> {
        let length = u32::try_from(data.len()).unwrap();
        let frame = Frame {
            data,
            captured_length: length,
            original_length: length,
            timestamp: Timestamp(0),
            link_type: LinkType::Ethernet,
        };
        decapsulate(&frame, &DecapConfig { max_depth, ..self.decap })
    }

    /// True where user space records the frame without knowing its session, since that may stand in another fragment or
    /// behind more VLAN tags than are followed.
    fn hides_a_session(&self, frame: &[u8]) -> bool {
        // With that depth, what GENEVE carries is described as it is.
        let Ok(carried) = self.decapsulate_to(frame, 1) else { return false };
        if self.decap.max_depth < 2 || carried.tunnel.geneve_vni.is_none() {
            return false;
        }
        let ip = match carried.network {
            Network::Ip(ip) => ip,
            Network::Other(ethertype) => {
                return matches!(ethertype, EtherType::VLAN | EtherType::SERVICE_VLAN);
            }
        };
        let Some(fragment) = ip.fragment else { return false };
        if fragment.offset != 0 {
            let extensions = [0, 43, 44, 51, 60, 135, 139, 140].map(IpProtocol);
            return ip.protocol == IpProtocol::UDP
                || (ip.source.is_ipv6() && extensions.contains(&ip.protocol));
        }
        match ip.transport {
            Transport::Udp(ports) => ports.destination == self.decap.vxlan_port,
            _ => ip.protocol == IpProtocol::UDP,
        }
    }

    /// Compares both sides for a frame that the program redirects. Returns the snap length by which both cut it, unless it
    /// ends without a record for a reason that does not lie in the tunnel headers.
    fn compare(&self, frame: &[u8]) -> Option<Option<u32>> {
        let kept = self.kept(frame, frame.len()).unwrap();
        let snap_length = match self.decapsulate(frame) {
            _ if self.rules.snap_lengths().is_empty() => self.rules.rest().snap_length,
            _ if self.hides_a_session(frame) => self.shortest,
            Ok(packet) => self.rules.resolve(&packet.tunnel).snap_length,
            Err(
                DropReason::GeneveTruncated
                | DropReason::GeneveVersion
                | DropReason::GeneveOptionLength
                | DropReason::GeneveControl
                | DropReason::GeneveCriticalOption
                | DropReason::GeneveProtocol
                | DropReason::GwlbOptionLength
                | DropReason::VxlanTruncated
                | DropReason::VxlanFlags,
            ) => self.shortest,
            Err(_) => return None,
        };
        assert_eq!(kept, cut(frame, snap_length), "{:?} {snap_length:?}", self.decapsulate(frame));
        Some(snap_length)
    }
}

/// Number of bytes of `frame` to be kept.
fn cut(frame: &[u8], snap_length: Option<u32>) -> usize {
    snap_length.map_or(frame.len(), |length| frame.len().min(length as usize))
}

/// A rule for an endpoint or a VNI.
fn rule(endpoint: Option<u64>, vni: Option<u32>, snap_length: u32) -> Rule {
    let gwlbe_id = endpoint.map(|endpoint| format!("{endpoint:016x}"));
    Rule { gwlbe_id, vni, snap_length: Some(snap_length), ..Rule::default() }
}

/// Sets of rules of each kind and of all of them, for endpoints from 0 to 3 and VNIs from 0 to 3.
fn rule_sets() -> Vec<Vec<Rule>> {
    let both = [
        rule(Some(1), Some(1), 201),
        rule(Some(0), Some(0), 202),
        rule(Some(2), Some(0), 203),
        rule(Some(1), Some(2), 0),
    ];
    let endpoints = [rule(Some(0), None, 211), rule(Some(1), None, 212), rule(Some(3), None, 0)];
    let vnis = [rule(None, Some(0), 221), rule(None, Some(1), 222), rule(None, Some(3), 0)];
    let rest = [rule(None, None, 231)];
    vec![
        vec![],
        rest.to_vec(),
        both.to_vec(),
        endpoints.to_vec(),
        vnis.to_vec(),
        [&both[..], &endpoints].concat(),
        [&endpoints[..], &vnis].concat(),
        [&both[..], &endpoints, &vnis].concat(),
        [&both[..], &endpoints, &vnis, &rest].concat(),
    ]
}

/// The bytes that `emit` appends, and `payload` behind them.
fn wrap(emit: impl FnOnce(&mut Vec<u8>), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn ethernet(tags: usize, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut vlans = [None; 2];
    vlans[..tags].fill(Some(7));
    let link = Link { source: MacAddress([2; 6]), destination: MacAddress([4; 6]), vlans };
    wrap(|bytes| ethernet::Header { link, ethertype }.emit(bytes), payload)
}

/// An IPv4 packet whose header `edit` has changed.
fn ipv4(edit: impl FnOnce(&mut ipv4::Header), protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let mut header = ipv4::Header::new(address, address, protocol, payload.len());
    edit(&mut header);
    wrap(|bytes| header.emit(bytes), payload)
}

/// An IPv6 packet with extension headers of the given kinds, each of 8 bytes of which some are `data`.
fn ipv6(extensions: &[(u8, [u8; 2])], payload: &[u8]) -> Vec<u8> {
    let kinds = extensions.iter().map(|(kind, _)| *kind).chain([IpProtocol::UDP.0]);
    let mut behind = Vec::new();
    for ((_, [d0, d1]), next) in extensions.iter().zip(kinds.clone().skip(1)) {
        behind.extend([next, 0, *d0, *d1, 0, 0, 0, 0]);
    }
    behind.extend(payload);
    let first = IpProtocol(kinds.clone().next().unwrap());
    let header = ipv6::Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, first, behind.len());
    wrap(|bytes| header.emit(bytes), &behind)
}

fn udp(destination: u16, payload: &[u8]) -> Vec<u8> {
    wrap(|bytes| udp::Header::new(40_000, destination, payload.len()).emit(bytes), payload)
}

fn geneve(protocol: EtherType, vni: u32, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let options = geneve::OptionList::new(options).unwrap();
    let header = geneve::Header { control: false, protocol, vni: Vni::new(vni).unwrap(), options };
    wrap(|bytes| header.emit(bytes), payload)
}

fn option(class: u16, kind: u8, value: &[u8]) -> Vec<u8> {
    wrap(|bytes| geneve::TunnelOption { class, kind, value }.emit(bytes), &[])
}

fn vxlan(vni: u32, payload: &[u8]) -> Vec<u8> {
    wrap(|bytes| vxlan::Header { vni: Vni::new(vni).unwrap() }.emit(bytes), payload)
}

/// A load balancer's frame: a GENEVE datagram with the options of `endpoint`.
fn load_balanced(endpoint: u64, payload: &[u8]) -> Vec<u8> {
    let options = [
        option(gwlb::CLASS, 1, &endpoint.to_be_bytes()),
        option(gwlb::CLASS, 2, &[9; 8]),
        option(gwlb::CLASS, 3, &[9; 4]),
    ];
    udp(port::GENEVE, &geneve(EtherType::IPV4, 0, &options.concat(), payload))
}

/// A mirrored packet in the VXLAN of its session.
fn session(vni: u32) -> Vec<u8> {
    let mirrored = ethernet(0, EtherType::IPV4, &ipv4(|_| (), IpProtocol::TCP, &[0x5a; 400]));
    ipv4(|_| (), IpProtocol::UDP, &udp(port::VXLAN, &vxlan(vni, &mirrored)))
}

fn outer(datagram: &[u8]) -> Vec<u8> {
    ethernet(0, EtherType::IPV4, &ipv4(|_| (), IpProtocol::UDP, datagram))
}

#[test]
fn generated_traffic_is_cut_as_its_policies_say() {
    if skipped_without_root() {
        return;
    }
    let half = Share::new(0.5).unwrap();
    let profile = Profile {
        flows: 500,
        vxlan: half,
        ipv6: half,
        malformed: Share::new(0.3).unwrap(),
        ..Profile::default()
    };
    let traffic = Traffic::new(&profile).unwrap();
    let mut flows =
        (0..profile.flows).map(|number| Flow::new(traffic.mix(), number)).filter(|flow| flow.vxlan);
    let first = flows.next().unwrap();
    let other = flows.find(|flow| flow.endpoint != first.endpoint).unwrap();
    let rules = [
        rule(Some(first.endpoint), None, 180),
        rule(Some(first.endpoint), Some(first.vni()), 190),
        rule(None, Some(0), 200), // without VXLAN
        rule(None, Some(other.vni()), 210),
    ];
    let default = Recording { snap_length: Some(175), ..Recording::default() };
    let rules = [&rules[..], &[rule(Some(u64::MAX), None, 160)]].concat(); // which no packet falls under
    let sides = Sides::new(&rules, default, 2, LevelFilter::OFF);
    let mut buffer = traffic.buffer();
    let mut compared = Vec::new();
    for number in 0..2_000 {
        let frame = traffic.frame(&Position::new(number, profile.flows), &mut buffer);
        let is_valid = traffic.kinds().nth(frame.kind) == Some(VALID);
        if let Some(snap_length) = sides.compare(frame.bytes) {
            compared.push((is_valid, snap_length));
        }
    }
    for snap_length in [175, 180, 190, 200, 210] {
        assert!(compared.contains(&(true, Some(snap_length))), "no valid packet is cut to {snap_length}");
    }
    assert!(compared.contains(&(false, Some(160))), "no malformed GENEVE is cut to the shortest length");
}

#[test]
fn each_header_that_user_space_reads_the_kernel_reads() {
    if skipped_without_root() {
        return;
    }
    let rules = [
        rule(Some(1), None, 201),
        rule(None, Some(7), 202),
        rule(Some(1), Some(7), 203),
        rule(Some(99), None, SHORTEST), // which no packet falls under
    ];
    let default = Recording { snap_length: Some(300), ..Recording::default() };
    let sides = Sides::new(&rules, default, 2, LevelFilter::OFF);

    let endpoint = |id: u64| option(gwlb::CLASS, 1, &id.to_be_bytes());
    let other = |count: usize| option(0x0132, 1, &[]).repeat(count);
    let with_options = |options: &[u8]| {
        outer(&udp(
            port::GENEVE,
            &geneve(EtherType::IPV4, 0, options, &ipv4(|_| (), IpProtocol::TCP, &[1; 400])),
        ))
    };
    let carried =
        |protocol, packet: &[u8]| outer(&udp(port::GENEVE, &geneve(protocol, 0, &endpoint(1), packet)));
    let datagram = udp(port::VXLAN, &vxlan(7, &[0; 400]));
    let mirrored = |tags| ethernet(tags, EtherType::IPV4, &session(7));
    let without_session = ipv4(|_| (), IpProtocol::UDP, &udp(53, &[0; 400]));
    let options_of_ip = |header: &mut ipv4::Header| {
        header.header_length += 40;
        header.total_length += 40;
    };
    let short_udp = |length: u16| {
        let mut packet = session(7);
        packet[24..26].copy_from_slice(&length.to_be_bytes());
        packet
    };
    let ends_after = |header_bytes: u16| {
        // The IP packet ends; what follows in GENEVE looks as if it went on.
        ipv4(|header| header.total_length = 20 + header_bytes, IpProtocol::UDP, &datagram)
    };
    let short_outer = |length: usize| {
        let mut frame = outer(&load_balanced(1, &session(7)));
        frame[38..40].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        frame
    };
    let fragment = |edit: fn(&mut ipv4::Header), protocol, payload: &[u8]| {
        carried(EtherType::IPV4, &ipv4(edit, protocol, payload))
    };
    let first = |header: &mut ipv4::Header| header.more_fragments = true;
    let later = |header: &mut ipv4::Header| header.fragment_offset = 1480;
    let to_port_53 = udp(53, &[0; 400]);
    // As `extensions` are, but the last one names `next`.
    let naming = |extensions: &[(u8, [u8; 2])], next: u8| {
        let mut packet = ipv6(extensions, &datagram);
        packet[40 + (extensions.len() - 1) * 8] = next;
        carried(EtherType::IPV6, &packet)
    };
    let mut three_tags = mirrored(2);
    let tag = [0x81, 0, 0, 7];
    three_tags.splice(12..12, tag);
    // A frame, and the rule that user space finds for it; else the reason why it makes no record. Both cut alike,
    // but for those frames whose tunnel the kernel does not know for sure.
    let cases: [(&str, Vec<u8>, Result<u32, DropReason>); 39] = [
        ("a session of the endpoint", outer(&load_balanced(1, &session(7))), Ok(203)),
        ("another session of the endpoint", outer(&load_balanced(1, &session(8))), Ok(201)),
        ("the session at another endpoint", outer(&load_balanced(2, &session(7))), Ok(202)),
        ("another session at another endpoint", outer(&load_balanced(2, &session(8))), Ok(300)),
        ("VXLAN without GENEVE", outer(&udp(port::VXLAN, &vxlan(7, &mirrored(0)))), Ok(202)),
        ("another VXLAN without GENEVE", outer(&udp(port::VXLAN, &vxlan(8, &mirrored(0)))), Ok(300)),
        ("no options", with_options(&[]), Ok(300)),
        ("the endpoint last", with_options(&[other(60), endpoint(1)].concat()), Ok(201)),
        ("as many options as fit", with_options(&other(63)), Ok(300)),
        ("the first of two endpoints", with_options(&[endpoint(1), endpoint(2)].concat()), Ok(201)),
        ("the second of two endpoints", with_options(&[endpoint(2), endpoint(1)].concat()), Ok(300)),
        (
            "an option of the length 31 words",
            with_options(&[option(0x0132, 1, &[1; 124]), endpoint(1)].concat()),
            Ok(201),
        ),
        (
            "a short endpoint",
            with_options(&[endpoint(1), option(gwlb::CLASS, 1, &[0; 4])].concat()),
            Err(DropReason::GwlbOptionLength),
        ),
        (
            "a long cookie",
            with_options(&[endpoint(1), option(gwlb::CLASS, 3, &[0; 8])].concat()),
            Err(DropReason::GwlbOptionLength),
        ),
        (
            "a critical option",
            with_options(&[endpoint(1), option(0x0132, 0x81, &[])].concat()),
            Err(DropReason::GeneveCriticalOption),
        ),
        (
            "an option beyond the options",
            with_options(&[endpoint(1), vec![1, 0x32, 1, 1]].concat()),
            Err(DropReason::GeneveOptionLength),
        ),
        ("a protocol", carried(EtherType::ARP, &session(7)), Err(DropReason::GeneveProtocol)),
        ("IPv4 options", carried(EtherType::IPV4, &ipv4(options_of_ip, IpProtocol::UDP, &datagram)), Ok(203)),
        ("IPv6", carried(EtherType::IPV6, &ipv6(&[], &datagram)), Ok(203)),
        ("extension headers", carried(EtherType::IPV6, &ipv6(&[(60, [0; 2]); 8], &datagram)), Ok(203)),
        ("an atomic fragment", carried(EtherType::IPV6, &ipv6(&[(44, [0; 2])], &datagram)), Ok(203)),
        ("two atomic fragments", carried(EtherType::IPV6, &ipv6(&[(44, [0; 2]); 2], &datagram)), Ok(203)),
        ("a first fragment of another port", fragment(first, IpProtocol::UDP, &to_port_53), Ok(201)),
        ("a first fragment of TCP", fragment(first, IpProtocol::TCP, &datagram), Ok(201)),
        ("a later fragment of TCP", fragment(later, IpProtocol::TCP, &datagram), Ok(201)),
        ("a later fragment of TCP over IPv6", naming(&[(44, [0, 8])], 6), Ok(201)),
        ("Ethernet", carried(EtherType::ETHERNET, &mirrored(0)), Ok(203)),
        ("Ethernet with tags", carried(EtherType::ETHERNET, &mirrored(2)), Ok(203)),
        ("ARP", carried(EtherType::ETHERNET, &ethernet(0, EtherType::ARP, &[0; 400])), Ok(201)),
        ("no session", carried(EtherType::IPV4, &without_session), Ok(201)),
        ("no UDP", carried(EtherType::IPV4, &ipv4(|_| (), IpProtocol::TCP, &datagram)), Ok(201)),
        ("an end before the ports", carried(EtherType::IPV4, &ends_after(3)), Ok(201)),
        (
            "an end behind the ports",
            carried(EtherType::IPV4, &ends_after(4)),
            Err(DropReason::VxlanTruncated),
        ),
        ("an end within VXLAN", carried(EtherType::IPV4, &ends_after(15)), Err(DropReason::VxlanTruncated)),
        (
            "a UDP length below its header",
            carried(EtherType::IPV4, &short_udp(7)),
            Err(DropReason::VxlanTruncated),
        ),
        (
            "a UDP length within VXLAN",
            carried(EtherType::IPV4, &short_udp(15)),
            Err(DropReason::VxlanTruncated),
        ),
        ("an outer UDP length before the ports", short_outer(8 + 40 + 20 + 3), Ok(201)),
        ("an outer UDP length within the options", short_outer(8 + 39), Err(DropReason::GeneveTruncated)),
        ("an outer UDP length of nothing", short_outer(8), Err(DropReason::GeneveTruncated)),
    ];
    let unsure: [(&str, Vec<u8>); 11] = [
        ("a first fragment of a session", fragment(first, IpProtocol::UDP, &datagram)),
        ("a first fragment before its ports", fragment(first, IpProtocol::UDP, &datagram[..3])),
        (
            "a middle fragment of UDP",
            fragment(
                |header| {
                    header.fragment_offset = 1480;
                    header.more_fragments = true;
                },
                IpProtocol::UDP,
                &datagram,
            ),
        ),
        ("the last fragment of UDP", fragment(later, IpProtocol::UDP, &datagram)),
        ("a first fragment over IPv6", carried(EtherType::IPV6, &ipv6(&[(44, [0, 1])], &datagram))),
        ("a later fragment over IPv6", carried(EtherType::IPV6, &ipv6(&[(44, [0, 8])], &datagram))),
        ("a later fragment with an extension header", naming(&[(44, [0, 8])], 60)),
        (
            "a first fragment behind an extension header",
            carried(EtherType::IPV6, &ipv6(&[(60, [0; 2]), (44, [0, 1])], &datagram)),
        ),
        ("three VLAN tags", carried(EtherType::ETHERNET, &three_tags)),
        (
            "a first fragment in Ethernet",
            carried(
                EtherType::ETHERNET,
                &ethernet(1, EtherType::IPV4, &ipv4(first, IpProtocol::UDP, &datagram)),
            ),
        ),
        (
            "a later fragment in Ethernet",
            carried(
                EtherType::ETHERNET,
                &ethernet(0, EtherType::IPV4, &ipv4(later, IpProtocol::UDP, &datagram)),
            ),
        ),
    ];
    for (name, frame) in unsure {
        let recording = sides.rules.resolve(&sides.decapsulate(&frame).unwrap().tunnel);
        assert_eq!(recording.snap_length, Some(201), "{name}, in user space");
        assert!(sides.hides_a_session(&frame), "{name}");
        assert_eq!(
            sides.kept(&frame, frame.len()),
            Some(cut(&frame, Some(SHORTEST))),
            "{name}, in the kernel"
        );
    }
    let nine = carried(EtherType::IPV6, &ipv6(&[(60, [0; 2]); 9], &datagram));
    assert_eq!(sides.decapsulate(&nine), Err(DropReason::InnerExtensionHeaders));
    assert_eq!(sides.kept(&nine, nine.len()), Some(SHORTEST as usize), "nine extension headers");

    for (name, frame, expected) in cases {
        let decapsulated = sides.decapsulate(&frame);
        let kept = sides.kept(&frame, frame.len());
        match expected {
            Ok(length) => {
                let recording = sides.rules.resolve(&decapsulated.unwrap().tunnel);
                assert_eq!(recording.snap_length, Some(length), "{name}, in user space");
                assert_eq!(kept, Some(cut(&frame, Some(length))), "{name}, in the kernel");
            }
            Err(reason) => {
                assert_eq!(decapsulated, Err(reason), "{name}");
                assert_eq!(kept, Some(cut(&frame, Some(SHORTEST))), "{name}, in the kernel");
            }
        }
    }
}

/// Frames to a tunnel port whose headers vary in every way that is read, with endpoints and VNIs from 0 to 3; then
/// damaged, behind the outer ports.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let number = || 0..4_u32;
    let gwlb = (0..4_u64, 0..10_u8).prop_map(|(endpoint, form)| match form {
        0..6 => option(gwlb::CLASS, 1, &endpoint.to_be_bytes()),
        6 => option(gwlb::CLASS, 2, &[7; 8]),
        7 => option(gwlb::CLASS, 3, &[7; 4]),
        8 => option(gwlb::CLASS, 4, &[7; 12]),
        _ => option(0x0132, 1, &[7; 20]),
    });
    let options = vec(gwlb, 0..6).prop_map(|options| options.concat());
    let destination = select(vec![port::VXLAN, port::VXLAN, port::VXLAN, port::GENEVE, 53]);
    let inner_datagram = (destination, number()).prop_map(|(destination, vni)| {
        udp(destination, &vxlan(vni, &ethernet(0, EtherType::IPV4, &[0x45; 300])))
    });
    let extension = (select(vec![0, 43, 44, 60, 135]), select(vec![[0, 0], [0, 0], [0, 1], [8, 0]]));
    let inner = (inner_datagram, 0..6_u8, 0..=10_u8, vec(extension, 0..10), 0..=2_usize).prop_map(
        |(datagram, form, words, extensions, tags)| {
            let edit = |header: &mut ipv4::Header| {
                header.header_length += words * 4;
                header.total_length += u16::from(words) * 4;
            };
            let v4 = || ipv4(edit, IpProtocol::UDP, &datagram);
            match form {
                0..3 => (EtherType::IPV4, v4()),
                3 => (EtherType::IPV6, ipv6(&extensions, &datagram)),
                4 => (EtherType::ETHERNET, ethernet(tags, EtherType::IPV4, &v4())),
                _ => (EtherType::ETHERNET, ethernet(tags, EtherType::IPV6, &ipv6(&extensions, &datagram))),
            }
        },
    );
    let tunnel =
        (options, inner, number(), any::<bool>()).prop_map(|(options, (protocol, inner), vni, bare)| {
            if bare && protocol == EtherType::ETHERNET {
                udp(port::VXLAN, &vxlan(vni, &inner))
            } else {
                udp(port::GENEVE, &geneve(protocol, vni, &options, &inner))
            }
        });
    let damage = (0..180_usize, select(vec![0, 1, 4, 6, 8, 0x40, 0x80, 0xff]), any::<bool>());
    (tunnel, 0..=2_usize, any::<bool>(), vec(damage, 0..3), 0..40_usize).prop_map(
        |(tunnel, tags, v6, damage, padding)| {
            let (ethertype, mut packet) = if v6 {
                (EtherType::IPV6, ipv6(&[(60, [0, 0])], &tunnel))
            } else {
                (EtherType::IPV4, ipv4(|_| (), IpProtocol::UDP, &tunnel))
            };
            let behind_ports = packet.len() - tunnel.len() + 4;
            for (place, value, replaces) in damage {
                if let Some(byte) = packet.get_mut(behind_ports + place) {
                    *byte = if replaces { value } else { *byte ^ value };
                }
            }
            packet.resize(packet.len() + padding, 0x12);
            ethernet(tags, ethertype, &packet)
        },
    )
}

#[test]
fn any_frame_is_cut_as_its_rule_says() {
    if skipped_without_root() {
        return;
    }
    for (number, rules) in rule_sets().iter().enumerate() {
        for (default, max_depth) in
            [(None, 2), (Some(300), 2), (Some(150), 3), (Some(300), 8), (Some(300), 1)]
        {
            let default = Recording { snap_length: default, ..Recording::default() };
            let sides = Sides::new(rules, default, max_depth, LevelFilter::OFF);
            let mut runner = TestRunner::new(Config { cases: 512, ..Config::default() });
            let compared = std::cell::Cell::new(0);
            let result = runner.run(&frames(), |frame| {
                if sides.compare(&frame).is_some() {
                    compared.set(compared.get() + 1);
                }
                Ok(())
            });
            result.unwrap_or_else(|error| panic!("rules {number}, depth {max_depth}: {error}"));
            assert!(compared.get() > 256, "only {} frames of 512 are compared", compared.get());
        }
    }
}

#[test]
fn where_headers_lie_behind_the_first_buffer_the_shortest_rule_holds() {
    if skipped_without_root() {
        return;
    }
    if KernelVersion::current().unwrap() < KernelVersion::new(6, 18, 0) {
        println!("SKIPPED: test runs with a first buffer of any size need Linux 6.18");
        return;
    }
    let rules = [rule(Some(1), None, 201), rule(Some(1), Some(7), 203), rule(Some(2), None, SHORTEST)];
    let default = Recording { snap_length: Some(300), ..Recording::default() };
    let sides = Sides::new(&rules, default, 2, LevelFilter::OFF);
    let frame = outer(&load_balanced(1, &session(7)));
    // The session's VNI ends at byte 118.
    let ranges = [(42..118, SHORTEST as usize), (118..frame.len(), 203)];
    for (ends, expected) in ranges {
        for linear in ends {
            assert_eq!(sides.kept(&frame, linear), Some(expected), "{linear} bytes in the first buffer");
        }
    }
}

#[test]
fn the_verifier_takes_every_form_of_the_program() {
    if skipped_without_root() {
        return;
    }
    let frame = outer(&load_balanced(1, &session(1)));
    for rules in rule_sets() {
        for log_level in [LevelFilter::OFF, LevelFilter::ERROR, LevelFilter::TRACE] {
            let sides = Sides::new(&rules, Recording::default(), 2, log_level);
            assert!(sides.compare(&frame).is_some());
        }
    }
}

#[test]
fn snap_lengths_that_cut_into_the_ethernet_header_are_refused() {
    let key = TunnelKey::new(None, Some(7)).unwrap();
    let snap_lengths = vec![(key, Some(200)), (TunnelKey::new(Some(1), None).unwrap(), Some(13))];
    let error = Program::load(&ProgramConfig { snap_lengths, ..ProgramConfig::default() }).err().unwrap();
    assert!(matches!(error, XdpError::SnapLength(13)), "{error}");
}

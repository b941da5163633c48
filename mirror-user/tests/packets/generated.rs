//! Frames against three judges: the decapsulation of the daemon, etherparse, and tshark.
#![expect(clippy::cast_possible_truncation, reason = "lengths of frames, and halves of addresses")]

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mirror_common::port;
use mirror_testkit::generator::file::{self, Schedule};
use mirror_testkit::traffic::{FrameSize, Profile, ProfileError, Share, Traffic, VALID};
use mirror_traffic::{Flow, Position, Protocol};
use mirror_user::DropReason;
use mirror_user::decap::{DecapConfig, decapsulate};
use mirror_user::number::{AttachmentId, EndpointId, FlowCookie, Vni};
use mirror_user::packet::{Network, Packet, Transport};
use mirror_user::source::{Frame, LinkType};
use mirror_user::time::Timestamp;

const DECAP: DecapConfig = DecapConfig { geneve_port: port::GENEVE, vxlan_port: port::VXLAN, max_depth: 2 };

fn share(fraction: f64) -> Share {
    Share::new(fraction).unwrap()
}

/// Everything varied at once.
fn varied() -> Profile {
    Profile {
        flows: 500,
        frame_size: FrameSize::InternetMix,
        vxlan: share(0.5),
        ipv6: share(0.5),
        udp: share(0.4),
        icmp: share(0.2),
        malformed: share(0.1),
        ..Profile::default()
    }
}

/// Calls `check` with each of the first `packets` frames, its kind and its position.
pub fn each(traffic: &Traffic, packets: u64, mut check: impl FnMut(&Position, &[u8], &str)) {
    let kinds: Vec<_> = traffic.kinds().collect();
    let mut buffer = traffic.buffer();
    let mut position = Position::new(0, traffic.mix().flows);
    while position.number < packets {
        let frame = traffic.frame(&position, &mut buffer);
        check(&position, frame.bytes, kinds[frame.kind]);
        position.advance(traffic.mix().flows);
    }
}

pub fn decapsulated(bytes: &[u8]) -> Result<Packet, &'static str> {
    let length = bytes.len() as u32;
    let frame = Frame {
        data: bytes,
        captured_length: length,
        original_length: length,
        timestamp: Timestamp(0),
        link_type: LinkType::Ethernet,
    };
    decapsulate(&frame, &DECAP).map_err(DropReason::name)
}

#[test]
fn each_kind_ends_in_its_drop_reason_and_valid_packets_in_none() {
    let traffic = Traffic::new(&varied()).unwrap();
    let mut seen = HashSet::new();
    each(&traffic, 20_000, |position, bytes, kind| {
        seen.insert(kind.to_owned());
        let expected = if kind == VALID { None } else { Some(kind) };
        assert_eq!(decapsulated(bytes).err(), expected, "packet {}", position.number);
    });
    assert_eq!(seen.len(), 12);
}

#[test]
fn valid_packets_say_what_their_flow_is() {
    let traffic = Traffic::new(&Profile { malformed: Share::NONE, ..varied() }).unwrap();
    each(&traffic, 5_000, |position, bytes, _| {
        let flow = Flow::new(traffic.mix(), position.slot);
        let packet = decapsulated(bytes).unwrap();
        assert_eq!(packet.tunnel.geneve_vni.map(Vni::get), Some(0));
        assert_eq!(packet.tunnel.endpoint, Some(EndpointId(flow.endpoint)));
        assert_eq!(packet.tunnel.attachment, Some(AttachmentId(flow.attachment)));
        assert_eq!(packet.tunnel.cookie, Some(FlowCookie(flow.cookie)));
        assert_eq!(packet.tunnel.vxlan_vni.map(Vni::get), flow.vxlan.then(|| flow.vni()));
        assert_eq!(packet.link.is_some(), flow.vxlan);
        assert_eq!(packet.captured_length, packet.original_length);
        let Network::Ip(ip) = packet.network else { panic!("{packet:?}") };
        let address = |bits: u32| -> IpAddr {
            let [a, b] = [(bits >> 16) as u16, bits as u16];
            if flow.ipv6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, a, b).into()
            } else {
                Ipv4Addr::from_bits(bits).into()
            }
        };
        let mut ends =
            [(address(flow.remote), flow.remote_port), (address(flow.local), flow.protocol.local_port())];
        if position.round % 2 == 1 {
            ends.reverse();
        }
        let [source, destination] = ends;
        assert_eq!((ip.source, ip.destination), (source.0, destination.0));
        match (flow.protocol, ip.transport) {
            (Protocol::Tcp, Transport::Tcp(tcp)) => {
                assert_eq!((tcp.ports.source, tcp.ports.destination), (source.1, destination.1));
            }
            (Protocol::Udp, Transport::Udp(ports)) => {
                assert_eq!((ports.source, ports.destination), (source.1, destination.1));
            }
            (Protocol::Icmp, Transport::Icmp(echo) | Transport::Icmpv6(echo)) => {
                assert_eq!(echo.identifier, Some(flow.remote_port));
            }
            (protocol, transport) => panic!("{protocol:?} became {transport:?}"),
        }
    });
}

#[test]
fn checksums_are_right() {
    assert_checksums(&Profile { malformed: Share::NONE, ..varied() });
    assert_checksums(&Profile { flows: 50, ..Profile::mirrored() });
}

fn assert_checksums(profile: &Profile) {
    let traffic = Traffic::new(profile).unwrap();
    each(&traffic, 5_000, |position, bytes, _| {
        let outer = SlicedPacket::from_ethernet(bytes).unwrap();
        assert_ip_checksum(&outer);
        let packet = decapsulated(bytes).unwrap();
        if packet.link.is_some() {
            assert_ip_checksum(&SlicedPacket::from_ip(&bytes[82..]).unwrap());
        }
        let start = packet.offset as usize + if packet.link.is_some() { 14 } else { 0 };
        let inner = SlicedPacket::from_ip(&bytes[start..]).unwrap();
        assert_ip_checksum(&inner);
        let number = position.number;
        match (inner.net.unwrap(), inner.transport.unwrap()) {
            (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => {
                let calculated =
                    tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()).unwrap();
                assert_eq!(tcp.checksum(), calculated, "packet {number}");
            }
            (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => {
                let calculated =
                    tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()).unwrap();
                assert_eq!(tcp.checksum(), calculated, "packet {number}");
            }
            (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
                let header = udp.to_header();
                let calculated = header.calc_checksum_ipv4(&ip.header().to_header(), udp.payload()).unwrap();
                assert_eq!(udp.checksum(), calculated, "packet {number}");
            }
            (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
                let header = udp.to_header();
                let calculated = header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()).unwrap();
                assert_eq!(udp.checksum(), calculated, "packet {number}");
            }
            (_, TransportSlice::Icmpv4(icmp)) => {
                assert_eq!(
                    icmp.checksum(),
                    icmp.icmp_type().calc_checksum(icmp.payload()),
                    "packet {number}"
                );
            }
            (NetSlice::Ipv6(ip), TransportSlice::Icmpv6(icmp)) => {
                let header = ip.header();
                assert!(icmp.is_checksum_valid(header.source(), header.destination()), "packet {number}");
            }
            other => panic!("packet {number}: {other:?}"),
        }
    });
}

fn assert_ip_checksum(packet: &SlicedPacket<'_>) {
    if let Some(NetSlice::Ipv4(ip)) = &packet.net {
        assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
    }
}

#[test]
fn shares_are_kept_and_flows_are_distinct() {
    const FLOWS: u64 = 20_000;
    let profile = Profile { flows: FLOWS, malformed: Share::NONE, ..varied() };
    let traffic = Traffic::new(&profile).unwrap();
    let flows: Vec<_> = (0..FLOWS).map(|index| Flow::new(traffic.mix(), index)).collect();
    let ends: HashSet<_> = flows.iter().map(|flow| (flow.remote, flow.remote_port)).collect();
    assert_eq!(ends.len(), flows.len());
    let share_of =
        |has: fn(&Flow) -> bool| flows.iter().filter(|flow| has(flow)).count() as f64 / FLOWS as f64;
    let near = |measured: f64, asked: f64| assert!((measured - asked).abs() < 0.02, "{measured} for {asked}");
    near(share_of(|flow| flow.vxlan), 0.5);
    near(share_of(|flow| flow.ipv6), 0.5);
    near(share_of(|flow| flow.protocol == Protocol::Udp), 0.4);
    near(share_of(|flow| flow.protocol == Protocol::Icmp), 0.2);
    let endpoints: HashSet<_> = flows.iter().map(|flow| flow.endpoint).collect();
    assert_eq!(endpoints.len(), profile.endpoints as usize);
}

#[test]
fn the_internet_mix_has_its_ratio() {
    let profile = Profile { frame_size: FrameSize::InternetMix, ..Profile::default() };
    let mut lengths = HashMap::new();
    each(&Traffic::new(&profile).unwrap(), 12_000, |_, bytes, _| {
        *lengths.entry(bytes.len()).or_insert(0) += 1;
    });
    let near = |length: usize, packets: i32| assert!((lengths[&length] - packets).abs() < 300, "{lengths:?}");
    assert_eq!(lengths.len(), 3);
    near(132 + 64, 7000);
    near(132 + 576, 4000);
    near(132 + 1500, 1000);
}

#[test]
fn each_direction_of_a_flow_has_one_outer_port_of_its_own() {
    const FLOWS: u64 = 50;
    for vxlan in [Share::ALL, Share::NONE] {
        let profile = Profile { flows: FLOWS, vxlan, ..Profile::default() };
        let mut ports = std::collections::BTreeMap::new();
        each(&Traffic::new(&profile).unwrap(), 6 * FLOWS, |position, bytes, _| {
            let port = u16::from_be_bytes([bytes[34], bytes[35]]);
            assert!(port >= 0xc000, "an ephemeral port: {port}");
            let direction = ports.entry((position.slot, position.round % 2)).or_insert(port);
            assert_eq!(*direction, port, "packet {}", position.number);
        });
        assert_eq!(ports.len() as u64, 2 * FLOWS);
        for flow in 0..FLOWS {
            assert_ne!(ports[&(flow, 0)], ports[&(flow, 1)], "flow {flow}");
        }
    }
}

#[test]
fn sequence_numbers_of_a_flow_leave_no_gap() {
    let profile = Profile { flows: 1, udp: Share::NONE, ..Profile::default() };
    let mut next: [Option<u32>; 2] = [None, None];
    each(&Traffic::new(&profile).unwrap(), 10, |position, bytes, _| {
        let Network::Ip(ip) = decapsulated(bytes).unwrap().network else { panic!() };
        let Transport::Tcp(tcp) = ip.transport else { panic!() };
        let state = tcp.state.unwrap();
        let [own, other] =
            [position.number % 2, (position.number + 1) % 2].map(|direction| direction as usize);
        if let Some(expected) = next[own] {
            assert_eq!(state.sequence, expected, "packet {}", position.number);
        }
        assert_eq!(state.acknowledgment, next[other].unwrap_or(0), "packet {}", position.number);
        let syn = u32::from(state.flags & 2 != 0);
        assert_eq!(syn == 1, position.number < 2);
        next[own] = Some(state.sequence.wrapping_add(state.payload_length).wrapping_add(syn));
    });
}

#[test]
fn frames_too_small_for_their_headers_are_refused() {
    let minimum = |profile: Profile| {
        let profile = Profile { frame_size: FrameSize::Bytes(60), ..profile };
        match Traffic::new(&profile) {
            Err(ProfileError::FrameTooSmall { size: 60, minimum }) => {
                let fits = Profile { frame_size: FrameSize::Bytes(minimum as u16), ..profile };
                each(&Traffic::new(&fits).unwrap(), 100, |_, bytes, _| assert!(decapsulated(bytes).is_ok()));
                minimum
            }
            other => panic!("{other:?}"),
        }
    };
    let profile = Profile::default();
    assert_eq!(minimum(Profile { vxlan: Share::NONE, udp: Share::ALL, ..profile.clone() }), 110);
    assert_eq!(minimum(Profile { vxlan: Share::NONE, ..profile.clone() }), 122);
    assert_eq!(minimum(profile.clone()), 172);
    assert_eq!(minimum(Profile { ipv6: share(0.1), ..profile }), 192);
}

/// Writes `packets` of `profile` to a file, and returns tshark's fields of each; [`None`] where there is no tshark.
fn dissected(profile: &Profile, packets: u64, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("traffic.pcap");
    let schedule = Schedule { start: Duration::from_secs(1_767_225_600), rate: 1_000_000 };
    let traffic = Traffic::new(profile).unwrap();
    let report = file::write(&traffic, &path, packets, schedule, &AtomicBool::new(false)).unwrap();
    assert_eq!((report.offered, report.sent), (packets, packets));
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
    tshark.args(["-o", "udp.check_checksum:TRUE", "-Y", filter, "-T", "fields", "-r"]).arg(&path);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = tshark.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

#[test]
fn tshark_sees_the_same() {
    let profile = Profile { malformed: Share::NONE, ..varied() };
    let fields =
        ["frame.time_epoch", "geneve.option.unknown.data", "geneve.vni", "vxlan.vni", "geneve.proto_type"];
    let Some(packets) = dissected(&profile, 2000, "", &fields) else { return };
    let traffic = Traffic::new(&profile).unwrap();
    assert_eq!(packets.len(), 2000);
    for (number, packet) in (0..).zip(packets) {
        let flow = Flow::new(traffic.mix(), number % profile.flows);
        let [time, options, geneve_vni, vxlan_vni, protocol] = packet.try_into().unwrap();
        assert_eq!(time.parse(), Ok(1_767_225_600.0 + number as f64 / 1e6));
        let Flow { endpoint, attachment, cookie, .. } = flow;
        let expected = format!("{endpoint:016x},{attachment:016x},{cookie:08x}");
        assert_eq!(options.replace([':', ' '], ""), expected);
        assert_eq!(geneve_vni, "0x000000");
        assert_eq!(vxlan_vni, if flow.vxlan { flow.vni().to_string() } else { String::new() });
        assert_eq!(protocol, if flow.ipv6 && !flow.vxlan { "0x86dd" } else { "0x0800" });
    }
}

#[test]
fn tshark_finds_nothing_wrong_with_valid_packets() {
    for profile in
        [Profile { malformed: Share::NONE, ..varied() }, Profile { flows: 50, ..Profile::mirrored() }]
    {
        nothing_is_wrong(&profile);
    }
}

fn nothing_is_wrong(profile: &Profile) {
    let filter = "_ws.malformed || _ws.short || ip.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" \
                  || udp.checksum.status == \"Bad\" || icmp.checksum.status == \"Bad\" \
                  || icmpv6.checksum.status == \"Bad\"";
    let fields = ["frame.number", "_ws.expert.message"];
    let Some(packets) = dissected(profile, 5000, filter, &fields) else { return };
    assert_eq!(packets, Vec::<Vec<String>>::new());
}

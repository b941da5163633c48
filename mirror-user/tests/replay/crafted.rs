//! Frames of kinds that the generator does not make, put together byte by byte, so that no code of the program has a
//! hand in them. IP and transport checksums are left out (0).

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const TRANSPARENT_ETHERNET: u16 = 0x6558;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const ESP: u8 = 50;
const ICMPV6: u8 = 58;
const NO_NEXT: u8 = 59;
const SCTP: u8 = 132;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

const GENEVE_PORT: u16 = 6081;
const VXLAN_PORT: u16 = 4789;

/// Every frame, with a name for messages.
pub fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut frames = recorded();
    frames.extend(dropped());
    frames
}

/// Frames of which there must be a record.
pub fn recorded() -> Vec<(&'static str, Vec<u8>)> {
    let mut frames: Vec<_> = bare().into_iter().map(|(name, frame)| (name, mirrored(&frame))).collect();
    frames.extend(tunnels());
    frames
}

/// Frames as a mirrored interface has them.
pub fn bare() -> Vec<(&'static str, Vec<u8>)> {
    let small = ipv4(UDP, &udp(5000, 53, b"question"));
    let vxlan_alone = udp(50_000, VXLAN_PORT, &vxlan(99, &ethernet(IPV4, &small)));
    vec![
        ("UDP", ethernet(IPV4, &small)),
        ("TCP", ethernet(IPV4, &ipv4(TCP, &tcp(&[], b"data")))),
        ("TCP with options", ethernet(IPV4, &ipv4(TCP, &tcp(&[2, 4, 5, 0xb4, 1, 3, 3, 7], b"")))),
        ("SCTP", ethernet(IPV4, &ipv4(SCTP, &sctp()))),
        ("ICMP echo", ethernet(IPV4, &ipv4(ICMP, &[8, 0, 0, 0, 0x12, 0x34, 0, 1, 9, 9]))),
        ("ICMP error with a quotation", ethernet(IPV4, &ipv4(ICMP, &quoting([3, 3], &small)))),
        ("IGMP", ethernet(IPV4, &ipv4(IGMP, &[0x16, 0, 0, 0, 224, 0, 0, 5]))),
        ("GRE", ethernet(IPV4, &ipv4(GRE, &[&[0, 0, 8, 0], &small[..]].concat()))),
        ("ESP", ethernet(IPV4, &ipv4(ESP, &[7; 24]))),
        ("IP options", ethernet(IPV4, &ipv4_with(UDP, 0, &[0x94, 4, 0, 0], &udp(1, 2, b"router alert")))),
        ("first fragment", ethernet(IPV4, &ipv4_with(UDP, 0x2000, &[], &udp(7, 8, &[1; 16])))),
        ("later fragment", ethernet(IPV4, &ipv4_with(UDP, 0x2003, &[], &[2; 24]))),
        ("last fragment", ethernet(IPV4, &ipv4_with(TCP, 0x00b9, &[], &[3; 24]))),
        ("VLAN", ethernet(VLAN, &[&[0x60, 10, 8, 0], &small[..]].concat())),
        ("two VLANs", ethernet(SERVICE_VLAN, &[&[0, 10, 0x81, 0, 0x0f, 0xff, 8, 0], &small[..]].concat())),
        ("padding", [&ethernet(IPV4, &small)[..], &[0; 10]].concat()),
        ("longer than what encloses it", ethernet(IPV4, &longer(&small, 1400))),
        ("ARP", ethernet(ARP, &[&[0, 1, 8, 0, 6, 4, 0, 1][..], &[1; 20]].concat())),
        ("MPLS", ethernet(0x8847, &[0, 1, 0x11, 64])),
        ("IPv6 UDP", ethernet(IPV6, &ipv6(UDP, &udp(5000, 53, b"question")))),
        ("IPv6 TCP", ethernet(IPV6, &ipv6(TCP, &tcp(&[], b"data")))),
        ("ICMPv6 echo", ethernet(IPV6, &ipv6(ICMPV6, &[128, 0, 0, 0, 0xab, 0xcd, 0, 1]))),
        ("ICMPv6 error with a quotation", {
            ethernet(IPV6, &ipv6(ICMPV6, &quoting([2, 0], &ipv6(UDP, &udp(9, 10, b"too big")))))
        }),
        ("extension headers", {
            let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
            let routing = [DESTINATION, 0, 253, 0, 0, 0, 0, 0];
            let packet = [&options(ROUTING), &routing, &options(TCP), &tcp(&[], b"behind")[..]].concat();
            ethernet(IPV6, &ipv6(HOP_BY_HOP, &packet))
        }),
        ("IPv6 first fragment", {
            let packet = [&[UDP, 0, 0, 1, 1, 2, 3, 4][..], &udp(7, 8, &[1; 16])].concat();
            ethernet(IPV6, &ipv6(FRAGMENT, &packet))
        }),
        ("IPv6 later fragment", {
            ethernet(IPV6, &ipv6(FRAGMENT, &[&[UDP, 0, 0, 0x19, 1, 2, 3, 4][..], &[2; 24]].concat()))
        }),
        ("no next header", ethernet(IPV6, &ipv6(NO_NEXT, &[]))),
        ("an overlay of its own", ethernet(IPV4, &ipv4(UDP, &vxlan_alone))),
    ]
}

/// Frames whose addresses stand in other places than the usual ones too, as a mirrored interface has them.
pub fn telling() -> Vec<(&'static str, Vec<u8>)> {
    const V4: [u8; 4] = [10, 1, 2, 3];
    let v6 = &ipv6(UDP, &[])[8..24];
    let link_address = [2, 0, 0, 0, 0, 1];
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0], v6, &[1, 1], &link_address].concat();
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1], &link_address[..], &V4, &[0; 6], &V4].concat();
    // Type 0 and one segment (RFC 2460, section 4.4).
    let routing = [&[UDP, 2, 0, 1, 0, 0, 0, 0], v6, &udp(1, 2, b"behind")].concat();
    vec![
        ("ARP for an address", ethernet(ARP, &arp)),
        (
            "record route",
            ethernet(IPV4, &ipv4_with(UDP, 0, &[&[7, 7, 8], &V4[..], &[0]].concat(), &udp(1, 2, b"behind"))),
        ),
        ("ICMP redirect", ethernet(IPV4, &ipv4(ICMP, &[&[5, 1, 0, 0], &V4[..]].concat()))),
        (
            "MPTCP address",
            ethernet(IPV4, &ipv4(TCP, &tcp(&[&[30, 8, 0x34, 1], &V4[..]].concat(), b"question"))),
        ),
        ("IP in IP", ethernet(IPV4, &ipv4(4, &ipv4(UDP, &udp(1, 2, b"question"))))),
        ("routing header", ethernet(IPV6, &ipv6(ROUTING, &routing))),
        ("neighbour solicitation", ethernet(IPV6, &ipv6(ICMPV6, &solicitation))),
    ]
}

/// Frames of tunnels of every form.
fn tunnels() -> Vec<(&'static str, Vec<u8>)> {
    let small = ipv4(UDP, &udp(5000, 53, b"question"));
    let vxlan_alone = udp(50_000, VXLAN_PORT, &vxlan(99, &ethernet(IPV4, &small)));
    let inline = |protocol, packet: &[u8]| geneve(protocol, &gwlb_options(), packet);
    let foreign_option = [0x01, 0x32, 0x01, 0x01, 0xca, 0xfe, 0xba, 0xbe];
    let behind = |outer: Vec<u8>, payload: &[u8]| [&outer[..], payload].concat();
    let tunnel = ipv4(UDP, &udp(40_000, GENEVE_PORT, &inline(IPV4, &small)));
    vec![
        ("first fragment of a session's packet", {
            let session =
                udp(50_000, VXLAN_PORT, &vxlan(4242, &ethernet(IPV4, &[&small[..], &[0; 8]].concat())));
            appliance(&inline(IPV4, &ipv4_with(UDP, 0x2000, &[], &session[..64])))
        }),
        ("inline IPv4", appliance(&inline(IPV4, &small))),
        ("inline IPv6", appliance(&inline(IPV6, &ipv6(TCP, &tcp(&[], b"inline"))))),
        ("GENEVE with Ethernet", { appliance(&geneve(TRANSPARENT_ETHERNET, &[], &ethernet(IPV4, &small))) }),
        ("GENEVE with an option of another class", appliance(&geneve(IPV4, &foreign_option, &small))),
        ("VXLAN without GENEVE", ethernet(IPV4, &ipv4(UDP, &vxlan_alone))),
        ("outer IPv6", ethernet(IPV6, &ipv6(UDP, &udp(40_000, GENEVE_PORT, &inline(IPV4, &small))))),
        ("outer VLAN", ethernet(VLAN, &behind(vec![0, 5, 8, 0], &tunnel))),
        ("two outer VLANs", ethernet(SERVICE_VLAN, &behind(vec![0, 5, 0x81, 0, 0, 6, 8, 0], &tunnel))),
        ("outer IP options", {
            let packet = udp(40_000, GENEVE_PORT, &inline(IPV4, &small));
            ethernet(IPV4, &ipv4_with(UDP, 0, &[1, 1, 1, 0], &packet))
        }),
        ("outer padding", [&ethernet(IPV4, &tunnel)[..], &[0; 6]].concat()),
    ]
}

/// ICMP messages of every type, each from either end, as a mirrored interface has them.
pub fn icmp_of_all_types() -> Vec<(&'static str, Vec<u8>)> {
    let message = |kind| [&[kind, 0, 0, 0, 0x12, 0x34, 0, 1][..], &[0; 32]].concat();
    let swap = |packet: &[u8], at: usize, length: usize| {
        let mut packet = packet.to_vec();
        let (source, destination) = packet[at..at + 2 * length].split_at_mut(length);
        source.swap_with_slice(destination);
        packet
    };
    (0..=u8::MAX)
        .flat_map(|kind| {
            let v4 = ipv4(ICMP, &message(kind));
            let v6 = ipv6(ICMPV6, &message(kind));
            let [back_v4, back_v6] = [swap(&v4, 12, 4), swap(&v6, 8, 16)];
            [
                ("ICMP", ethernet(IPV4, &v4)),
                ("ICMP from the other end", ethernet(IPV4, &back_v4)),
                ("ICMPv6", ethernet(IPV6, &v6)),
                ("ICMPv6 from the other end", ethernet(IPV6, &back_v6)),
            ]
        })
        .collect()
}

/// Frames of which there must be none.
fn dropped() -> Vec<(&'static str, Vec<u8>)> {
    let small = ipv4(UDP, &udp(5000, 53, b"question"));
    let tunnel = |payload: &[u8]| ethernet(IPV4, &ipv4(UDP, &udp(40_000, GENEVE_PORT, payload)));
    let plain = geneve(IPV4, &[], &small);
    let with = |position: usize, byte: u8, frame: &[u8]| {
        let mut frame = frame.to_vec();
        frame[position] = byte;
        frame
    };
    let whole = tunnel(&plain);
    let chain: Vec<u8> = [DESTINATION, 0, 1, 4, 0, 0, 0, 0].repeat(40);
    vec![
        ("outer ARP", ethernet(ARP, &[0; 28])),
        ("outer TCP", ethernet(IPV4, &ipv4(TCP, &tcp(&[], b"not a tunnel")))),
        ("outer DNS", ethernet(IPV4, &small)),
        ("outer fragment", {
            ethernet(IPV4, &ipv4_with(UDP, 0x2000, &[], &udp(40_000, GENEVE_PORT, &plain)))
        }),
        ("outer IP header length 16", with(14, 0x44, &whole)),
        ("outer UDP length 4", with(39, 4, &whole)),
        ("outer UDP length beyond IP", with(39, 255, &whole)),
        ("GENEVE version 2", tunnel(&with(0, 0x80, &plain))),
        ("GENEVE control", tunnel(&with(1, 0x80, &plain))),
        ("GENEVE with MPLS", tunnel(&with(3, 0x47, &with(2, 0x88, &plain)))),
        ("critical option", tunnel(&geneve(IPV4, &[0x01, 0x32, 0x81, 0], &small))),
        ("option beyond the options", tunnel(&geneve(IPV4, &[0x01, 0x32, 0x01, 2, 0, 0, 0, 0], &small))),
        ("short endpoint option", tunnel(&geneve(IPV4, &[1, 8, 1, 1, 0, 0, 0, 0], &small))),
        ("nothing in GENEVE", tunnel(&geneve(IPV4, &[], &[]))),
        ("VXLAN without VNI", ethernet(IPV4, &ipv4(UDP, &udp(1, VXLAN_PORT, &[0; 60])))),
        ("inner IP header length 16", tunnel(&geneve(IPV4, &[], &with(0, 0x44, &small)))),
        ("inner IP version 6 as IPv4", tunnel(&geneve(IPV4, &[], &ipv6(UDP, &udp(1, 2, b""))))),
        ("endless extension headers", mirrored(&ethernet(IPV6, &ipv6(DESTINATION, &chain)))),
    ]
}

/// A frame with the headers of a mirror session and a load balancer around it.
pub fn mirrored(frame: &[u8]) -> Vec<u8> {
    let session = ipv4(UDP, &udp(50_000, VXLAN_PORT, &vxlan(4242, frame)));
    appliance(&geneve(IPV4, &gwlb_options(), &session))
}

/// A GENEVE packet on its last hop.
fn appliance(geneve: &[u8]) -> Vec<u8> {
    ethernet(IPV4, &ipv4(UDP, &udp(40_000, GENEVE_PORT, geneve)))
}

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], &ethertype.to_be_bytes()[..], payload].concat()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(protocol, 0x4000, &[], payload)
}

fn ipv4_with(protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_length = u8::try_from(20 + options.len()).unwrap();
    let length = u16::try_from(20 + options.len() + payload.len()).unwrap();
    let mut packet = vec![0x40 | (header_length / 4), 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0xbe, 0xef]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([61, protocol, 0, 0, 10, 1, 2, 3, 198, 51, 100, 7]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// The packet with a total length that exceeds it: a mirror session has cut it.
fn longer(packet: &[u8], length: u16) -> Vec<u8> {
    [&packet[..2], &length.to_be_bytes(), &packet[4..]].concat()
}

fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 62]);
    packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 2]);
    packet.extend(payload);
    packet
}

/// A frame with a UDP datagram from one port to the other, or the reply to it.
pub fn exchange(source: u16, destination: u16, is_reply: bool, payload: &[u8]) -> Vec<u8> {
    if !is_reply {
        return ethernet(IPV4, &ipv4(UDP, &udp(source, destination, payload)));
    }
    let mut packet = ipv4(UDP, &udp(destination, source, payload));
    // Source and destination address of the IPv4 header.
    let (from, to) = packet[12..20].split_at_mut(4);
    from.swap_with_slice(to);
    ethernet(IPV4, &packet)
}

fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let words = [source, destination, length, 0].map(u16::to_be_bytes);
    [words.as_flattened(), payload].concat()
}

fn tcp(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_length = u8::try_from(20 + options.len()).unwrap();
    let mut segment = vec![0xc0, 1, 1, 0xbb, 0xde, 0xad, 0xbe, 0xef, 0x01, 0x02, 0x03, 0x04];
    segment.extend([header_length << 2, 0b1101_1001, 0x20, 0x01, 0, 0, 0, 0]);
    segment.extend(options);
    segment.extend(payload);
    segment
}

/// An SCTP packet with a COOKIE ACK chunk.
fn sctp() -> Vec<u8> {
    vec![0x0b, 0x59, 0x0b, 0x5a, 1, 2, 3, 4, 0, 0, 0, 0, 11, 0, 0, 4]
}

/// An ICMP error of a type and code, which quotes a packet.
fn quoting(kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&kind[..], &[0; 6], packet].concat()
}

fn vxlan(vni: u16, frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0], &vni.to_be_bytes()[..], &[0], frame].concat()
}

fn geneve(protocol: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = u8::try_from(options.len() / 4).unwrap();
    [&[words, 0], &protocol.to_be_bytes()[..], &[0; 4], options, payload].concat()
}

/// The options of a Gateway Load Balancer.
fn gwlb_options() -> Vec<u8> {
    let mut options = vec![1, 8, 1, 2];
    options.extend(0x0e5d_0123_4567_89ab_u64.to_be_bytes());
    options.extend([1, 8, 2, 2]);
    options.extend(0x0a77_fedc_ba98_7654_u64.to_be_bytes());
    options.extend([1, 8, 3, 1]);
    options.extend(0xc00c_1e55_u32.to_be_bytes());
    options
}

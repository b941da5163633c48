//! Headers in the load balancer's form against the way of all others.

use super::*;
use crate::decap::{fast_path, load_balancer};

/// The packet in a frame, by the way of headers that have no known form: without its Ethernet header a frame is none
/// of the load balancer's, and otherwise means the same.
fn looked_through(frame: &Frame<'_>) -> Result<Packet, DropReason> {
    const ETHERNET: u32 = 14;
    let without_link = Frame {
        data: &frame.data[ETHERNET as usize..],
        captured_length: frame.captured_length - ETHERNET,
        original_length: frame.original_length - ETHERNET,
        link_type: LinkType::Ip,
        ..*frame
    };
    assert!(load_balancer::open(&without_link, &CONFIG).is_none());
    decapsulate(&without_link, &CONFIG).map(|packet| Packet { offset: packet.offset + ETHERNET, ..packet })
}

/// Whole frames whose mirrored packet has the form that most have.
fn plain_samples() -> Vec<Vec<u8>> {
    let inline = ipv4(IpProtocol::TCP, &tcp(&[0x5a; 30]));
    let bridged = outer(&udp(6081, &geneve(EtherType::ETHERNET, &gwlb_options(), &web())));
    let query = ipv4(IpProtocol::UDP, &udp(53, &[0x5a; 12]));
    let tagged_query = session(7, &tagged([Some(5), None], EtherType::IPV4, &query));
    vec![
        mirrored_web(),
        load_balanced(&inline),
        [load_balanced(&inline), vec![7; 9]].concat(),
        bridged,
        load_balanced(&query),
        load_balanced(&tagged_query),
    ]
}

/// Frames whose mirrored packet has another.
fn other_samples() -> Vec<Vec<u8>> {
    let overlay = ipv4(IpProtocol::UDP, &udp(4789, &vxlan(9, &web())));
    vec![
        load_balanced(&ipv6(IpProtocol::TCP, &tcp(&[0x5a; 30]))),
        load_balanced(&ipv4_with(|header| header.header_length = 24, IpProtocol::TCP, &tcp(&[]))),
        load_balanced(&ipv4_with(|header| header.more_fragments = true, IpProtocol::UDP, &udp(53, &[]))),
        load_balanced(&session(7, &ethernet(EtherType::ARP, &[1; 28]))),
        load_balanced(&session(7, &ethernet(EtherType::IPV4, &overlay))),
    ]
}

fn samples() -> Vec<Vec<u8>> {
    [plain_samples(), other_samples()].concat()
}

#[test]
fn the_form_is_known() {
    for (samples, is_plain) in [(plain_samples(), true), (other_samples(), false)] {
        for sample in samples {
            let frame = frame(&sample);
            let carried = load_balancer::open(&frame, &CONFIG).unwrap();
            assert_eq!(fast_path::find(carried, &CONFIG).is_some(), is_plain, "{sample:x?}");
        }
    }
    let other = outer(&udp(6081, &geneve(EtherType::IPV4, &[], &[])));
    assert!(load_balancer::open(&frame(&other), &CONFIG).is_none());
}

#[test]
fn it_is_read_as_if_it_were_not() {
    for sample in samples() {
        assert_eq!(decap(&sample), looked_through(&frame(&sample)));
        for captured in 14..sample.len() {
            let cut = cut(&sample, captured);
            assert_eq!(decapsulate(&cut, &CONFIG), looked_through(&cut), "cut after {captured} bytes");
        }
    }
}

/// Whatever single bit behind the Ethernet header is wrong, but for the IP version: without an Ethernet header it alone
/// says what follows.
#[test]
fn damage_is_found_as_if_it_were_not() {
    for sample in samples() {
        let version = 14 * 8 + 4..15 * 8;
        for bit in (14 * 8..sample.len().min(160) * 8).filter(|bit| !version.contains(bit)) {
            let mut damaged = sample.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decap(&damaged), looked_through(&frame(&damaged)), "bit {bit}");
        }
    }
}

//! Properties that hold for any bytes.
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Frames of every shape that the tables use, to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let later = ipv6(IpProtocol::FRAGMENT, &[&[17, 0, 0, 9, 0, 1, 2, 3][..], &udp(53, &[])].concat());
    let overlay = ipv4(IpProtocol::UDP, &udp(6081, &geneve(EtherType::IPV4, &[], &session(8, &web()))));
    let options = ipv6(IpProtocol::HOP_BY_HOP, &[&[58, 0, 0, 0, 0, 0, 0, 0][..], &[128; 8]].concat());
    vec![
        mirrored_web(),
        outer(&udp(4789, &vxlan(7, &tagged([Some(1), Some(2)], EtherType::IPV6, &later)))),
        load_balanced(&session(7, &ethernet(EtherType::IPV4, &overlay))),
        tagged(
            [Some(5), None],
            EtherType::IPV6,
            &ipv6(IpProtocol::UDP, &udp(6081, &geneve(EtherType::IPV6, &[], &options))),
        ),
        load_balanced(&session(7, &ethernet(EtherType::ARP, &[0; 46]))),
    ]
}

/// Holds for each packet of each frame.
fn check_bounds(frame: &Frame<'_>) -> Result<(), TestCaseError> {
    for max_depth in 0..=5 {
        let Ok(packet) = decapsulate(frame, &DecapConfig { max_depth, ..CONFIG }) else { continue };
        prop_assert!(
            u64::from(packet.offset) + u64::from(packet.captured_length) <= u64::from(frame.captured_length)
        );
        prop_assert!(packet.captured_length <= packet.original_length);
        prop_assert!(packet.tunnel.geneve_vni.is_some() || packet.tunnel.vxlan_vni.is_some());
        prop_assert!(packet.tunnel.endpoint.is_none() || packet.tunnel.geneve_vni.is_some());
        prop_assert_eq!(packet.tunnel.outer_source.is_ipv4(), packet.tunnel.outer_destination.is_ipv4());
        if let Network::Ip(ip) = packet.network {
            let length = if ip.source.is_ipv4() { 20 } else { 40 };
            prop_assert_eq!(ip.source.is_ipv4(), ip.destination.is_ipv4());
            prop_assert!(ip.length >= length && ip.length <= packet.original_length);
            prop_assert!(packet.captured_length >= length);
            if let Transport::Tcp(Tcp { state: Some(state), .. }) = ip.transport {
                prop_assert!(state.payload_length <= ip.length - length);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn noise_ends_in_a_packet_within_bounds_or_a_reason(
        data in vec(any::<u8>(), 0..300),
        (captured, original) in any::<(u32, u32)>(),
        link_type in select(vec![LinkType::Ethernet, LinkType::Ip]),
    ) {
        // Even where the source breaks its promises about the lengths.
        check_bounds(&Frame { captured_length: captured, original_length: original, link_type, ..frame(&data) })?;
        check_bounds(&Frame { link_type, ..frame(&data) })?;
    }

    #[test]
    fn damage_ends_in_a_packet_within_bounds_or_a_reason(
        sample in select(samples()),
        damage in vec((any::<Index>(), any::<u8>()), 0..6),
        (buffer, captured) in any::<(Index, Index)>(),
        whole: bool,
    ) {
        let mut data = sample;
        for (index, byte) in damage {
            let index = index.index(data.len());
            data[index] = byte;
        }
        let captured = if whole { data.len() } else { captured.index(data.len() + 1) };
        let kept = cut(&data, captured);
        check_bounds(&kept)?;
        check_bounds(&Frame { data: &data[..buffer.index(captured + 1)], ..kept })?;
    }

    /// A shorter frame never gives other values, only fewer; and the remaining ones were there before.
    #[test]
    fn a_cut_takes_knowledge_away_and_changes_none(sample in select(samples()), captured: Index) {
        let whole = decap(&sample).unwrap();
        let Ok(packet) = decapsulate(&cut(&sample, captured.index(sample.len())), &CONFIG) else { return Ok(()) };
        if packet.offset != whole.offset {
            // The session's own tunnel, truncated before its port could be read.
            prop_assert!(packet.offset < whole.offset);
            prop_assert_eq!(ip(&packet).transport, Transport::Unread);
            return Ok(());
        }
        prop_assert_eq!(packet.original_length, whole.original_length);
        prop_assert_eq!((packet.tunnel, packet.link), (whole.tunnel, whole.link));
        let (Network::Ip(mut kept), Network::Ip(all)) = (packet.network, whole.network) else {
            prop_assert_eq!(packet.network, whole.network);
            return Ok(());
        };
        match (kept.transport, all.transport) {
            (Transport::Unread, _) => {}
            (Transport::Tcp(Tcp { ports, state: None }), Transport::Tcp(tcp)) => prop_assert_eq!(ports, tcp.ports),
            (Transport::Icmpv6(Icmp { kind, code, identifier: None }), Transport::Icmpv6(icmp)) => {
                prop_assert_eq!((kind, code), (icmp.kind, icmp.code));
            }
            (some, other) => prop_assert_eq!(some, other),
        }
        kept.transport = all.transport;
        prop_assert_eq!(kept, all);
    }
}

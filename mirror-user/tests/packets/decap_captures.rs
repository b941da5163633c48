//! Decapsulates public captures of real tunnels.

use std::collections::BTreeMap;
use std::fs::File;

use mirror_user::DropReason;
use mirror_user::decap::{DecapConfig, decapsulate};
use mirror_user::number::{IpProtocol, Vni};
use mirror_user::packet::{Network, Packet, Transport};
use mirror_user::source::{Frame, LinkType};
use mirror_user::time::Timestamp;
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;

use crate::public_captures;

const CONFIG: DecapConfig = DecapConfig { geneve_port: 6081, vxlan_port: 4789, max_depth: 2 };

/// The end of each packet of the capture `name`; [`None`] where the capture is absent.
fn decapsulate_all(name: &str) -> Option<Vec<Result<Packet, DropReason>>> {
    let path = public_captures::path(name)?;
    let mut reader = PcapReader::new(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.header().datalink, DataLink::ETHERNET);
    let mut results = Vec::new();
    while let Some(captured) = reader.next_packet() {
        let captured = captured.unwrap();
        let frame = Frame {
            data: captured.data(),
            captured_length: captured.len(),
            original_length: captured.orig_len(),
            timestamp: Timestamp(0),
            link_type: LinkType::Ethernet,
        };
        results.push(decapsulate(&frame, &CONFIG));
    }
    Some(results)
}

/// The number of packets of each transport protocol; all of them read up to their ports or type.
fn transports<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for packet in packets {
        let Network::Ip(ip) = packet.network else { panic!("not IP: {packet:?}") };
        assert_ne!(ip.transport, Transport::Unread, "{packet:?}");
        *counts.entry(ip.protocol.0).or_default() += 1;
    }
    counts
}

#[test]
fn a_critical_option_drops_and_its_absence_records() {
    let Some(results) = decapsulate_all("geneve-options.pcap") else { return };
    assert_eq!(results.len(), 39);
    let dropped = results.iter().filter(|result| **result == Err(DropReason::GeneveCriticalOption)).count();
    assert_eq!(dropped, 19, "one direction carries option type 0x80 of class 0");
    let recorded: Vec<_> = results.iter().flatten().collect();
    assert_eq!(recorded.len(), 20, "the other one has no options");
    for packet in &recorded {
        assert_eq!(packet.tunnel.geneve_vni.map(Vni::get), Some(11));
        assert_eq!((packet.tunnel.vxlan_vni, packet.tunnel.endpoint), (None, None));
        assert_eq!(packet.offset, 50);
        assert!(packet.link.is_some() && !packet.truncated());
    }
    let expected = BTreeMap::from([(IpProtocol::ICMP.0, 3), (IpProtocol::TCP.0, 17)]);
    assert_eq!(transports(recorded), expected);
}

#[test]
fn options_of_another_class_are_skipped() {
    let Some(results) = decapsulate_all("geneve-gcp-options.pcap") else { return };
    let [Ok(packet)] = &results[..] else { panic!("{results:?}") };
    assert_eq!(packet.tunnel.outer_source.to_string(), "192.168.100.254");
    assert_eq!(packet.tunnel.outer_destination.to_string(), "192.168.100.3");
    assert_eq!(packet.tunnel.geneve_vni.map(Vni::get), Some(0));
    assert_eq!((packet.tunnel.endpoint, packet.tunnel.attachment, packet.tunnel.cookie), (None, None, None));
    assert_eq!((packet.offset, packet.captured_length, packet.original_length), (90, 40, 40));
    let Network::Ip(ip) = packet.network else { panic!("{packet:?}") };
    assert_eq!(
        (ip.source.to_string(), ip.destination.to_string()),
        ("192.168.100.2".into(), "192.168.100.1".into())
    );
    let Transport::Tcp(tcp) = ip.transport else { panic!("{packet:?}") };
    assert_eq!((tcp.ports.source, tcp.ports.destination), (2905, 8080));
    let state = tcp.state.unwrap();
    assert_eq!((state.sequence, state.acknowledgment), (0x2d5a_de40, 0x78e9_bfda));
    assert_eq!((state.flags, state.window, state.payload_length), (0, 512, 0));
}

#[test]
fn a_mirror_session_of_aws_without_a_load_balancer() {
    let Some(results) = decapsulate_all("aws-mirror-vxlan.pcap") else { return };
    assert_eq!(results.len(), 100);
    let packets: Vec<_> = results.iter().map(|result| result.as_ref().unwrap()).collect();
    for packet in &packets {
        assert_eq!(packet.tunnel.vxlan_vni.map(Vni::get), Some(5_569_041));
        assert_eq!((packet.tunnel.geneve_vni, packet.tunnel.endpoint), (None, None));
        assert_eq!(packet.tunnel.outer_source.to_string(), "172.31.0.238");
        assert_eq!(packet.offset, 50);
        assert!(packet.link.is_some() && !packet.truncated());
    }
    let expected = BTreeMap::from([(IpProtocol::TCP.0, 82), (IpProtocol::UDP.0, 18)]);
    assert_eq!(transports(packets), expected);
}

#[test]
fn reserved_bits_of_vxlan_are_ignored() {
    let Some(results) = decapsulate_all("vxlan-reserved-bits.pcap") else { return };
    assert_eq!(results.len(), 10);
    let packets: Vec<_> = results.iter().map(|result| result.as_ref().unwrap()).collect();
    for packet in &packets {
        assert_eq!(packet.tunnel.vxlan_vni.map(Vni::get), Some(11));
    }
    assert_eq!(transports(packets), BTreeMap::from([(IpProtocol::TCP.0, 10)]));
}

//! Packets for the tests of this module.

use crate::number::{AttachmentId, EndpointId, FlowCookie, IpProtocol, Vni};
use crate::packet::{Ip, Network, Packet, Ports, Transport, Tunnel};

/// A UDP packet from 10.0.0.1 to 10.0.0.2 in the tunnel of a mirror session.
pub(super) fn udp(source: u16, destination: u16) -> Packet {
    Packet {
        tunnel: Tunnel {
            outer_source: "10.200.0.1".parse().unwrap(),
            outer_destination: "10.200.0.2".parse().unwrap(),
            geneve_vni: Some(Vni::from_bytes([0, 0, 0])),
            vxlan_vni: Some(Vni::from_bytes([0x54, 0xf9, 0xd1])),
            vxlan_source: Some([10, 0, 9, 1].into()),
            endpoint: Some(EndpointId(0x1111_2222_3333_4444)),
            attachment: Some(AttachmentId(0x5555_6666_7777_8888)),
            cookie: Some(FlowCookie(0x0bad_cafe)),
        },
        offset: 118,
        captured_length: 60,
        original_length: 60,
        link: None,
        network: Network::Ip(Ip {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: IpProtocol::UDP,
            length: 46,
            hop_limit: 64,
            fragment: None,
            transport: Transport::Udp(Ports { source, destination }),
        }),
    }
}

//! Layers to wrap around one another, from the inside out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::number::{AttachmentId, EndpointId, EtherType, FlowCookie, IpProtocol, MacAddress, Vni};
use crate::packet::{Link, Ports};
use crate::wire::{ethernet, geneve, gwlb, ipv4, ipv6, tcp, udp, vxlan};

pub const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const DESTINATION: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub const SOURCE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const DESTINATION_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
pub const PORTS: Ports = Ports { source: 40_000, destination: 443 };
pub const LINK: Link = Link {
    source: MacAddress([2, 0, 0, 0, 0, 1]),
    destination: MacAddress([2, 0, 0, 0, 0, 2]),
    vlans: [None, None],
};
pub const GWLB: gwlb::Identity = gwlb::Identity {
    endpoint: Some(EndpointId(0x0101_0202_0303_0404)),
    attachment: Some(AttachmentId(0x0505_0606_0707_0808)),
    cookie: Some(FlowCookie(0x0909_0a0a)),
};

/// The bytes that `emit` appends, and `payload` behind them.
pub fn wrap(emit: impl FnOnce(&mut Vec<u8>), payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

pub fn ethernet(ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    tagged([None, None], ethertype, payload)
}

pub fn tagged(vlans: [Option<u16>; 2], ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    wrap(|bytes| ethernet::Header { link: Link { vlans, ..LINK }, ethertype }.emit(bytes), payload)
}

pub fn ipv4(protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    ipv4_with(|_| (), protocol, payload)
}

/// An IPv4 packet whose header `edit` has changed.
pub fn ipv4_with(edit: impl FnOnce(&mut ipv4::Header), protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut header = ipv4::Header::new(SOURCE, DESTINATION, protocol, payload.len());
    edit(&mut header);
    wrap(|bytes| header.emit(bytes), payload)
}

pub fn ipv6(next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header = ipv6::Header::new(SOURCE_V6, DESTINATION_V6, next_header, payload.len());
    wrap(|bytes| header.emit(bytes), payload)
}

pub fn udp(destination: u16, payload: &[u8]) -> Vec<u8> {
    wrap(|bytes| udp::Header::new(PORTS.source, destination, payload.len()).emit(bytes), payload)
}

/// A segment of IPv4.
pub fn tcp(payload: &[u8]) -> Vec<u8> {
    let header = tcp::Header::new(PORTS, 1, 2, 0x18);
    wrap(|bytes| header.emit(IpAddr::V4(SOURCE), IpAddr::V4(DESTINATION), payload, bytes), &[])
}

pub fn geneve(protocol: EtherType, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let options = geneve::OptionList::new(options).expect("a multiple of 4, at most 252");
    let header = geneve::Header { control: false, protocol, vni: Vni::from_bytes([0, 0, 9]), options };
    wrap(|bytes| header.emit(bytes), payload)
}

pub fn vxlan(vni: u32, payload: &[u8]) -> Vec<u8> {
    let vni = Vni::new(vni).expect("24 bits");
    wrap(|bytes| vxlan::Header { vni }.emit(bytes), payload)
}

pub fn gwlb_options() -> Vec<u8> {
    wrap(|bytes| GWLB.emit(bytes), &[])
}

/// A frame of a load balancer that carries the IPv4 packet `payload`.
pub fn load_balanced(payload: &[u8]) -> Vec<u8> {
    outer(&udp(6081, &geneve(EtherType::IPV4, &gwlb_options(), payload)))
}

/// `datagram` in an outer frame.
pub fn outer(datagram: &[u8]) -> Vec<u8> {
    ethernet(EtherType::IPV4, &ipv4(IpProtocol::UDP, datagram))
}

/// The frame `payload` in the VXLAN of a mirror session, in an IPv4 packet.
pub fn session(vni: u32, payload: &[u8]) -> Vec<u8> {
    ipv4(IpProtocol::UDP, &udp(4789, &vxlan(vni, payload)))
}

/// A frame with 100 bytes of TCP payload.
pub fn web() -> Vec<u8> {
    ethernet(EtherType::IPV4, &ipv4(IpProtocol::TCP, &tcp(&[0x5a; 100])))
}

/// [`web`], mirrored in session 7 and sent through a load balancer.
pub fn mirrored_web() -> Vec<u8> {
    load_balanced(&session(7, &web()))
}

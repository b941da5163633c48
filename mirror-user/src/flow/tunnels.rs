//! The tunnels of the flows in the table, by number.

use std::net::IpAddr;

use super::hash::Hasher;
use super::interner::Interner;
use super::key::halves;
use crate::packet::{Packet, Tunnel};
use crate::wire::number::Vni;

/// What of a tunnel belongs to the flow key: GWLB endpoint, VNIs and VLANs, in words.
pub(super) type Scope = [u64; 3];

/// Where packets come from, as far as records tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The tunnel, without the cookie.
    pub(super) tunnel: Tunnel,
    /// VLAN ids of the mirrored packets.
    pub(super) vlans: [Option<u16>; 2],
    /// Number of its scope.
    scope: u16,
}

/// Numbers for the origins of flows, and for what of them is part of the flow key.
///
/// The key has Gateway Load Balancer endpoint, both VNIs and the VLANs: its *scope*. Outer addresses and
/// attachment are told in records, but may change within a flow. A scope lives as long as its origins; an
/// origin as long as a flow or a packet that is being worked on holds it.
#[derive(Debug)]
pub(super) struct Tunnels {
    origins: Interner<8, Origin>,
    scopes: Interner<3, ()>,
    /// Origins of recent packets by a hash of the fields that differ most, so that the whole key seldom has
    /// to be built and hashed.
    recent: Box<[u16; RECENT]>,
    hasher: Hasher,
}

/// Recent origins that are remembered.
const RECENT: usize = 8192;

impl Tunnels {
    /// Room for `capacity` origins, at most 65,535.
    pub(super) fn with_capacity(capacity: u32, hasher: Hasher) -> Self {
        Self {
            origins: Interner::with_capacity(capacity, hasher),
            scopes: Interner::with_capacity(capacity, hasher),
            recent: Box::new([0; RECENT]),
            hasher,
        }
    }

    /// The numbers of a packet's origin and scope; the caller holds the origin from now on. None where there
    /// is no room for another one.
    #[inline(always)]
    pub(super) fn hold(&mut self, packet: &Packet) -> Option<(u16, u16)> {
        let vlans = vlans(packet);
        let recent = self.recent(&packet.tunnel);
        let number = self.recent[recent];
        if let Some(origin) = self.origins.get(number)
            && is_same(&origin.tunnel, &packet.tunnel)
            && origin.vlans == vlans
        {
            let scope = origin.scope;
            self.origins.hold(number);
            return Some((number, scope));
        }
        let (number, scope) = self.hold_other(&packet.tunnel, vlans)?;
        self.recent[recent] = number;
        Some((number, scope))
    }

    /// Where the origin of a tunnel's packets is remembered.
    #[inline(always)]
    fn recent(&self, tunnel: &Tunnel) -> usize {
        let [geneve, vxlan] =
            [tunnel.geneve_vni, tunnel.vxlan_vni].map(|vni| vni.map_or(0, |vni| u64::from(vni.get())));
        let endpoint = tunnel.endpoint.map_or(0, |endpoint| endpoint.0);
        let source = match tunnel.outer_source {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => halves(address.to_bits())[1],
        };
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below RECENT")]
        let place = self.hasher.pair(endpoint ^ (geneve << 32 | vxlan), source) as usize % RECENT;
        place
    }

    fn hold_other(&mut self, tunnel: &Tunnel, vlans: [Option<u16>; 2]) -> Option<(u16, u16)> {
        let (origin_words, scope_words) = words(tunnel, vlans);
        if let Some(number) = self.origins.find(&origin_words) {
            self.origins.hold(number);
            return self.origins.get(number).map(|origin| (number, origin.scope));
        }
        let scope = match self.scopes.find(&scope_words) {
            Some(scope) => {
                self.scopes.hold(scope);
                scope
            }
            None => self.scopes.insert(&scope_words, ())?,
        };
        let origin = Origin { tunnel: Tunnel { cookie: None, ..*tunnel }, vlans, scope };
        let number = self.origins.insert(&origin_words, origin);
        if number.is_none() {
            self.scopes.release(scope);
        }
        number.map(|number| (number, scope))
    }

    /// The scope of a packet.
    pub(super) fn scope(packet: &Packet) -> Scope {
        words(&packet.tunnel, vlans(packet)).1
    }

    /// Holds an origin once more that is held.
    pub(super) fn hold_again(&mut self, origin: u16) {
        self.origins.hold(origin);
    }

    /// Gives up what [`Tunnels::hold`] gave.
    #[inline(always)]
    pub(super) fn release(&mut self, origin: u16) {
        if let Some(origin) = self.origins.release(origin) {
            self.scopes.release(origin.scope);
        }
    }

    /// Tunnel, without the cookie, and VLAN ids of an origin that is held: flows hold theirs.
    pub(super) fn get(&self, origin: u16) -> (Tunnel, [Option<u16>; 2]) {
        self.origins.get(origin).map_or((Tunnel::UNKNOWN, [None; 2]), |origin| (origin.tunnel, origin.vlans))
    }

    /// How many origins are held.
    pub(super) const fn len(&self) -> usize {
        self.origins.len()
    }
}

#[inline(always)]
fn vlans(packet: &Packet) -> [Option<u16>; 2] {
    packet.link.map_or([None; 2], |link| link.vlans)
}

/// Whether two tunnels differ in nothing but the cookie.
#[inline(always)]
fn is_same(one: &Tunnel, other: &Tunnel) -> bool {
    one.vxlan_vni == other.vxlan_vni
        && one.geneve_vni == other.geneve_vni
        && one.endpoint == other.endpoint
        && one.attachment == other.attachment
        && one.outer_source == other.outer_source
        && one.outer_destination == other.outer_destination
}

/// What tells origins apart, and what tells scopes apart.
fn words(tunnel: &Tunnel, vlans: [Option<u16>; 2]) -> ([u64; 8], Scope) {
    /// A field of up to 31 bits with the bit above it set, so that none differs from 0.
    fn field(value: Option<u32>) -> u64 {
        value.map_or(0, |value| 1 << 31 | u64::from(value))
    }

    let vni = field(tunnel.geneve_vni.map(Vni::get)) | field(tunnel.vxlan_vni.map(Vni::get)) << 32;
    let [outer, inner] = vlans.map(|vlan| field(vlan.map(u32::from)));
    let endpoint = tunnel.endpoint.map_or(0, |endpoint| endpoint.0);
    // The upper bits of the VNI fields are free: a VNI has 24.
    let vni = vni | u64::from(tunnel.endpoint.is_some()) << 30;
    let scope = [endpoint, vni, outer | inner << 32];
    let [source, destination] =
        [tunnel.outer_source, tunnel.outer_destination].map(|address| match address {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => halves(address.to_bits()),
        });
    let families = u64::from(tunnel.outer_source.is_ipv4()) << 29
        | u64::from(tunnel.outer_destination.is_ipv4()) << 28
        | u64::from(tunnel.attachment.is_some()) << 27;
    let attachment = tunnel.attachment.map_or(0, |attachment| attachment.0);
    let origin = [
        endpoint,
        vni | families,
        scope[2],
        attachment,
        source[0],
        source[1],
        destination[0],
        destination[1],
    ];
    (origin, scope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;
    use crate::packet::Link;
    use crate::wire::number::{AttachmentId, EndpointId, FlowCookie, MacAddress};

    fn packets() -> Vec<Packet> {
        let base = testing::udp(1000, 2000);
        let tunnel = base.tunnel;
        let with = |tunnel| Packet { tunnel, ..base };
        let vlans = |vlans| Packet {
            link: Some(Link { source: MacAddress::default(), destination: MacAddress::default(), vlans }),
            ..base
        };
        vec![
            base,
            with(Tunnel { geneve_vni: None, ..tunnel }),
            with(Tunnel { vxlan_vni: None, ..tunnel }),
            with(Tunnel { vxlan_vni: Some(Vni::from_bytes([0; 3])), ..tunnel }),
            with(Tunnel { geneve_vni: Some(Vni::from_bytes([255; 3])), ..tunnel }),
            with(Tunnel { endpoint: None, ..tunnel }),
            with(Tunnel { endpoint: Some(EndpointId(0)), ..tunnel }),
            with(Tunnel { endpoint: Some(EndpointId(u64::MAX)), ..tunnel }),
            vlans([Some(0), None]),
            vlans([Some(1), None]),
            vlans([Some(1), Some(1)]),
            vlans([None, Some(1)]),
        ]
    }

    fn same_scope() -> Vec<Packet> {
        let base = testing::udp(1000, 2000);
        let with = |tunnel| Packet { tunnel, ..base };
        let tunnel = base.tunnel;
        vec![
            base,
            with(Tunnel { attachment: None, ..tunnel }),
            with(Tunnel { attachment: Some(AttachmentId(0)), ..tunnel }),
            with(Tunnel { outer_source: "10.0.0.77".parse().unwrap(), ..tunnel }),
            with(Tunnel { outer_source: "::10.0.0.77".parse().unwrap(), ..tunnel }),
            with(Tunnel { outer_destination: "2001:db8::1".parse().unwrap(), ..tunnel }),
        ]
    }

    #[test]
    fn what_differs_gets_different_numbers() {
        let mut tunnels = Tunnels::with_capacity(100, Hasher::new(3));
        let packets = packets();
        let numbers: Vec<(u16, u16)> = packets.iter().map(|packet| tunnels.hold(packet).unwrap()).collect();
        for (position, (origin, scope)) in numbers.iter().enumerate() {
            for (other_origin, other_scope) in &numbers[..position] {
                assert_ne!(origin, other_origin);
                assert_ne!(scope, other_scope);
            }
            assert_eq!(tunnels.hold(&packets[position]), Some((*origin, *scope)));
        }
    }

    #[test]
    fn outer_addresses_and_attachment_share_a_scope() {
        let mut tunnels = Tunnels::with_capacity(100, Hasher::new(3));
        let packets = same_scope();
        let numbers: Vec<(u16, u16)> = packets.iter().map(|packet| tunnels.hold(packet).unwrap()).collect();
        for (position, (origin, scope)) in numbers.iter().enumerate() {
            assert_eq!(*scope, numbers[0].1);
            assert!(numbers[..position].iter().all(|(other, _)| other != origin));
            let tunnel = Tunnel { cookie: None, ..packets[position].tunnel };
            assert_eq!(tunnels.get(*origin), (tunnel, [None; 2]));
        }
    }

    #[test]
    fn the_cookie_tells_nothing_apart() {
        let mut tunnels = Tunnels::with_capacity(1, Hasher::new(3));
        let packet = testing::udp(1000, 2000);
        let other = Packet { tunnel: Tunnel { cookie: Some(FlowCookie(99)), ..packet.tunnel }, ..packet };
        assert_eq!(tunnels.hold(&packet), tunnels.hold(&other));
    }

    #[test]
    fn room_comes_back() {
        let mut tunnels = Tunnels::with_capacity(1, Hasher::new(3));
        let packets = packets();
        for packet in &packets {
            let (origin, _) = tunnels.hold(packet).unwrap();
            for other in packets.iter().filter(|other| *other != packet) {
                assert_eq!(tunnels.hold(other), None);
            }
            tunnels.release(origin);
            assert_eq!((tunnels.len(), tunnels.scopes.len()), (0, 0));
        }
    }
}

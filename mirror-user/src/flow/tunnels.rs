//! The tunnels of the flows in the table, by number.
//!
//! # Room
//!
//! Senders choose much of a tunnel's identity, so that there may be any number of tunnels. There is room for as many new ones
//! as a batch of packets can have; after the batch the tunnels that have been idle longest [give way](Tunnels::find_victims).
//! If one Gateway Load Balancer endpoint has more than half of all tunnels, those of that endpoint go first: no sender
//! can take the room of all others.

use std::net::IpAddr;

use super::hash::Hasher;
use super::interner::Interner;
use super::key::{halves, pack_vlans};
use super::slab::Slot;
use crate::batch::BATCH_FRAMES;
use crate::number::Vni;
use crate::packet::{Packet, Tunnel};

/// The part of a tunnel that belongs to the flow key, in words: GWLB endpoint and VNIs.
pub(super) type Scope = [u64; 2];

/// Origin of packets, as records state it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// The tunnel, without the cookie.
    tunnel: Tunnel,
    /// Number of its scope.
    scope: u16,
}

/// Numbers for the origins of flows, and for their scopes.
///
/// The key has Gateway Load Balancer endpoint and both VNIs: its *scope*. Outer addresses and attachment are in
/// records, but may change within a flow. A scope lives as long as its origins; an origin as long as a flow or a
/// packet that is being worked on holds it.
#[derive(Debug)]
pub(super) struct Tunnels {
    origins: Interner<7, Origin>,
    scopes: Interner<2, ()>,
    /// Origins that may stay when a batch is done with.
    most: usize,
    /// By origin number: the batch of its latest packet, on a counter that wraps.
    used: Vec<u32>,
    /// By origin number: the first of its flows, as a slot number; 0 where there is none.
    flows: Vec<u32>,
    batch: u32,
    /// Room to find victims in: how long each origin has been idle, and its number.
    idle: Vec<(u32, u16)>,
    /// Origins of recent packets by a hash of the fields that differ most, so that the whole key seldom has
    /// to be built and hashed.
    recent: Box<[u16; RECENT]>,
    hasher: Hasher,
}

/// Room for new origins of one batch.
#[expect(clippy::cast_possible_truncation, reason = "64")]
const HEADROOM: u32 = BATCH_FRAMES as u32;

/// Recent origins that are remembered.
const RECENT: usize = 8192;

impl Tunnels {
    /// The most origins that there can be room for: their numbers have 16 bits, and those of a batch are kept free.
    pub(super) const MOST: u32 = u16::MAX as u32 - HEADROOM;

    /// Bytes that room for `capacity` origins takes.
    pub(super) const fn bytes(capacity: u32) -> u64 {
        let room = capacity + HEADROOM;
        // For each number: its batch, the first of its flows, and a place among those that may go.
        let by_number = (2 * size_of::<u32>() + size_of::<(u32, u16)>()) as u64;
        let recent = size_of::<[u16; RECENT]>() as u64;
        Interner::<7, Origin>::bytes(room)
            + Interner::<2, ()>::bytes(room)
            + (room as u64 + 1) * by_number
            + recent
    }

    /// Room for `capacity` origins, at most [`Tunnels::MOST`], and for those of a batch.
    pub(super) fn with_capacity(capacity: u32, hasher: Hasher) -> Self {
        let room = capacity + HEADROOM;
        let numbers = room as usize + 1;
        Self {
            origins: Interner::with_capacity(room, hasher),
            scopes: Interner::with_capacity(room, hasher),
            most: capacity as usize,
            used: vec![0; numbers],
            flows: vec![0; numbers],
            batch: 0,
            idle: Vec::with_capacity(numbers),
            recent: Box::new([0; RECENT]),
            hasher,
        }
    }

    /// The numbers of a packet's origin and scope; the caller holds the origin from now on. None where there
    /// is no room for another one.
    #[inline(always)]
    pub(super) fn hold(&mut self, packet: &Packet) -> Option<(u16, u16)> {
        let recent = self.recent(&packet.tunnel);
        let number = self.recent[recent];
        let (number, scope) = if let Some(origin) = self.origins.get(number)
            && is_same(&origin.tunnel, &packet.tunnel)
        {
            let scope = origin.scope;
            self.origins.hold(number);
            (number, scope)
        } else {
            let (number, scope) = self.hold_other(&packet.tunnel)?;
            self.recent[recent] = number;
            (number, scope)
        };
        if let Some(used) = self.used.get_mut(usize::from(number)) {
            *used = self.batch;
        }
        Some((number, scope))
    }

    /// Position of a tunnel's origin among the recent ones.
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

    fn hold_other(&mut self, tunnel: &Tunnel) -> Option<(u16, u16)> {
        let (origin_words, scope_words) = words(tunnel);
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
        let origin = Origin { tunnel: Tunnel { cookie: None, ..*tunnel }, scope };
        let number = self.origins.insert(&origin_words, origin);
        if number.is_none() {
            self.scopes.release(scope);
        }
        number.map(|number| (number, scope))
    }

    /// The value of a packet's scope with its VLANs, which outlives the numbers.
    pub(super) fn scope(packet: &Packet) -> [u64; 3] {
        let [endpoint, vni] = words(&packet.tunnel).1;
        [endpoint, vni, pack_vlans(vlans(packet)).into()]
    }

    /// Holds an origin once more that is held.
    pub(super) fn hold_again(&mut self, origin: u16) {
        self.origins.hold(origin);
    }

    /// Releases an origin that [`Tunnels::hold`] returned.
    #[inline(always)]
    pub(super) fn release(&mut self, origin: u16) {
        if let Some(origin) = self.origins.release(origin) {
            self.scopes.release(origin.scope);
        }
    }

    /// Tunnel, without the cookie, of an origin that is held: flows hold theirs.
    pub(super) fn get(&self, origin: u16) -> Tunnel {
        self.origins.get(origin).map_or(Tunnel::UNKNOWN, |origin| origin.tunnel)
    }

    /// The scope of an origin that is held.
    pub(super) fn scope_of(&self, origin: u16) -> Scope {
        words(&self.get(origin)).1
    }

    /// Number of origins held.
    pub(super) const fn len(&self) -> usize {
        self.origins.len()
    }

    /// The first of an origin's flows; [`Slot::NONE`] where there is none.
    pub(super) fn first_flow(&self, origin: u16) -> Slot {
        Slot::from_number(self.flows.get(usize::from(origin)).copied().unwrap_or(0))
    }

    /// Makes a flow the first of its origin.
    pub(super) fn set_first_flow(&mut self, origin: u16, slot: Slot) {
        if let Some(first) = self.flows.get_mut(usize::from(origin)) {
            *first = slot.number();
        }
    }

    /// Begins the next batch of packets; only flows hold origins of the previous one. `true` if there are more origins than may
    /// stay.
    #[inline(always)]
    pub(super) fn next_batch(&mut self) -> bool {
        self.batch = self.batch.wrapping_add(1);
        self.origins.len() > self.most
    }

    /// Finds the origins that give way: the one that is too many, and in a large table some more, so that not every one needs a
    /// search. Returns their number; [`Tunnels::victim`] returns each.
    pub(super) fn find_victims(&mut self) -> usize {
        let excess = self.origins.len().saturating_sub(self.most);
        let greedy = self.greedy_endpoint();
        let Self { origins, used, batch, idle, .. } = self;
        idle.clear();
        for (number, used) in (0..=u16::MAX).zip(&*used) {
            let endpoint = origins.get(number).map(endpoint_of);
            if endpoint.is_some() && (greedy.is_none() || greedy == endpoint) {
                idle.push((batch.wrapping_sub(*used), number));
            }
        }
        let wanted = excess.max(self.most / 256).min(idle.len());
        if wanted > 0 && wanted < idle.len() {
            idle.select_nth_unstable_by(wanted - 1, |one, other| other.cmp(one));
        }
        idle.truncate(wanted);
        idle.sort_unstable_by(|one, other| other.cmp(one));
        wanted
    }

    /// One of the origins that give way, from 0 for the one that has been idle longest.
    pub(super) fn victim(&self, index: usize) -> u16 {
        self.idle.get(index).map_or(0, |&(_, number)| number)
    }

    /// The endpoint that has more than half of the origins that may stay, by the vote of Boyer and Moore.
    fn greedy_endpoint(&self) -> Option<Option<u64>> {
        let endpoints = || {
            let numbers = (0..=u16::MAX).take(self.used.len());
            numbers.filter_map(|number| self.origins.get(number)).map(endpoint_of)
        };
        let mut candidate = None;
        let mut votes: usize = 0;
        for endpoint in endpoints() {
            if votes == 0 {
                candidate = Some(endpoint);
            }
            if candidate == Some(endpoint) {
                votes += 1;
            } else {
                votes -= 1;
            }
        }
        candidate.filter(|&candidate| {
            2 * endpoints().filter(|&endpoint| endpoint == candidate).count() > self.most
        })
    }
}

/// The endpoint of an origin, for the vote.
fn endpoint_of(origin: &Origin) -> Option<u64> {
    origin.tunnel.endpoint.map(|endpoint| endpoint.0)
}

/// VLAN ids of a mirrored packet, outermost first.
#[inline(always)]
pub(super) fn vlans(packet: &Packet) -> [Option<u16>; 2] {
    packet.link.map_or([None; 2], |link| link.vlans)
}

/// `true` if two tunnels differ in nothing but the cookie.
#[inline(always)]
fn is_same(one: &Tunnel, other: &Tunnel) -> bool {
    one.vxlan_vni == other.vxlan_vni
        && one.geneve_vni == other.geneve_vni
        && one.endpoint == other.endpoint
        && one.attachment == other.attachment
        && one.outer_source == other.outer_source
        && one.outer_destination == other.outer_destination
}

/// The words that tell origins apart, and those that tell scopes apart.
fn words(tunnel: &Tunnel) -> ([u64; 7], Scope) {
    /// A field of up to 31 bits with the bit above it set, so that none differs from 0.
    fn field(value: Option<u32>) -> u64 {
        value.map_or(0, |value| 1 << 31 | u64::from(value))
    }

    let vni = field(tunnel.geneve_vni.map(Vni::get)) | field(tunnel.vxlan_vni.map(Vni::get)) << 32;
    let endpoint = tunnel.endpoint.map_or(0, |endpoint| endpoint.0);
    // The upper bits of the VNI fields are free: a VNI has 24.
    let vni = vni | u64::from(tunnel.endpoint.is_some()) << 30;
    let [source, destination] =
        [tunnel.outer_source, tunnel.outer_destination].map(|address| match address {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => halves(address.to_bits()),
        });
    let families = u64::from(tunnel.outer_source.is_ipv4()) << 29
        | u64::from(tunnel.outer_destination.is_ipv4()) << 28
        | u64::from(tunnel.attachment.is_some()) << 27;
    let attachment = tunnel.attachment.map_or(0, |attachment| attachment.0);
    let origin = [endpoint, vni | families, attachment, source[0], source[1], destination[0], destination[1]];
    (origin, [endpoint, vni])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;
    use crate::number::{AttachmentId, EndpointId, FlowCookie};

    fn packets() -> Vec<Packet> {
        let base = testing::udp(1000, 2000);
        let tunnel = base.tunnel;
        let with = |tunnel| Packet { tunnel, ..base };
        vec![
            base,
            with(Tunnel { geneve_vni: None, ..tunnel }),
            with(Tunnel { vxlan_vni: None, ..tunnel }),
            with(Tunnel { vxlan_vni: Some(Vni::from_bytes([0; 3])), ..tunnel }),
            with(Tunnel { geneve_vni: Some(Vni::from_bytes([255; 3])), ..tunnel }),
            with(Tunnel { endpoint: None, ..tunnel }),
            with(Tunnel { endpoint: Some(EndpointId(0)), ..tunnel }),
            with(Tunnel { endpoint: Some(EndpointId(u64::MAX)), ..tunnel }),
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
            assert_eq!(tunnels.get(*origin), tunnel);
        }
    }

    #[test]
    fn the_cookie_tells_nothing_apart() {
        let mut tunnels = Tunnels::with_capacity(1, Hasher::new(3));
        let packet = testing::udp(1000, 2000);
        let other = Packet { tunnel: Tunnel { cookie: Some(FlowCookie(99)), ..packet.tunnel }, ..packet };
        assert_eq!(tunnels.hold(&packet), tunnels.hold(&other));
    }

    /// With the endpoint and the VNI given.
    fn of(endpoint: u64, vni: u8) -> Packet {
        let base = testing::udp(1000, 2000);
        let vxlan_vni = Some(Vni::from_bytes([0, 0, vni]));
        Packet { tunnel: Tunnel { endpoint: Some(EndpointId(endpoint)), vxlan_vni, ..base.tunnel }, ..base }
    }

    #[test]
    fn room_comes_back() {
        let mut tunnels = Tunnels::with_capacity(1, Hasher::new(3));
        for round in 0..3 {
            let origins: Vec<u16> =
                (0..65).map(|vni| tunnels.hold(&of(round, vni)).expect("room of a batch").0).collect();
            assert_eq!(tunnels.hold(&of(round, 65)), None);
            for origin in origins {
                tunnels.release(origin);
            }
            assert_eq!((tunnels.len(), tunnels.scopes.len()), (0, 0));
        }
    }

    #[test]
    fn the_longest_idle_origin_gives_way() {
        let mut tunnels = Tunnels::with_capacity(4, Hasher::new(3));
        let number = |endpoint, tunnels: &mut Tunnels| {
            let number = tunnels.hold(&of(endpoint, 1)).unwrap().0;
            (number, tunnels.next_batch())
        };
        let [first, second, ..] = [1, 2, 3, 4].map(|endpoint| number(endpoint, &mut tunnels).0);
        assert_eq!(number(1, &mut tunnels), (first, false));
        assert!(number(5, &mut tunnels).1);
        assert_eq!((tunnels.find_victims(), tunnels.victim(0)), (1, second));
    }

    /// An endpoint with more than half of the room gives way to the others, however lately it was used.
    #[test]
    fn a_greedy_endpoint_gives_way_first() {
        let mut tunnels = Tunnels::with_capacity(6, Hasher::new(3));
        let hold = |endpoint, vni, tunnels: &mut Tunnels| {
            let number = tunnels.hold(&of(endpoint, vni)).unwrap().0;
            tunnels.next_batch();
            number
        };
        for endpoint in [1, 2, 3] {
            hold(endpoint, 0, &mut tunnels);
        }
        let [oldest, ..] = [0, 1, 2, 3].map(|vni| hold(9, vni, &mut tunnels));
        assert_eq!((tunnels.find_victims(), tunnels.victim(0)), (1, oldest));
    }
}

//! The tunnels of the flows in the table, by number.
//!
//! # Room
//!
//! Senders choose much of a tunnel's identity, so that there may be any number of tunnels. There is room for as many new ones
//! as a batch of packets can have; after the batch the tunnels that have been idle longest [give way](Tunnels::find_victims).
//! Only flows hold tunnels: those that none does stay until the batch [is settled](Tunnels::settle), for the packets in it.
//! If one Gateway Load Balancer endpoint has more than half of all tunnels, those of that endpoint go first: no sender
//! can take the room of all others.

use std::net::{IpAddr, Ipv4Addr};

use super::hash::Hasher;
use super::interner::Interner;
use super::key::{halves, pack_vlans};
use super::slab::Slot;
use crate::batch::BATCH_FRAMES;
use crate::number::Vni;
use crate::packet::{Link, Packet, PlainTunnel, Tunnel};

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
/// The key has Gateway Load Balancer endpoint and both VNIs: its *scope*. Other addresses and attachment are in
/// records, but may change within a flow. A scope lives as long as its origins; an origin as long as a flow holds it, and
/// through the batch of its latest packet.
#[derive(Debug)]
pub(super) struct Tunnels {
    origins: Interner<8, Origin>,
    scopes: Interner<2, ()>,
    /// Origins that no flow held at some time of the batch.
    unheld: Vec<u16>,
    /// Origins that may stay when a batch is done with.
    most: usize,
    /// By origin number: the batch of its latest packet, on a counter that wraps.
    used: Vec<u32>,
    /// By origin number: the first of its flows, as a slot number; 0 where there is none.
    flows: Vec<u32>,
    batch: u32,
    /// Room to find victims in: how long each origin has been idle, and its number.
    idle: Vec<(u32, u16)>,
    /// Origins of recent packets by a hash of the words that differ most, so that seldom all of them have to be hashed.
    recent: Box<[u16; RECENT]>,
    hasher: Hasher,
}

/// Room for new origins of one batch.
#[expect(clippy::cast_possible_truncation, reason = "64")]
const HEADROOM: u32 = BATCH_FRAMES as u32;

/// Recent origins that are remembered: of 10,000 that are in use, six in seven have a place of their own. In 64 KiB.
const RECENT: usize = 1 << 15;

/// Most times in a batch that an origin is without a flow: for each packet when it is new, and when its flow ends, gives
/// another one room or changes its origin.
const UNHELD: usize = 4 * BATCH_FRAMES;

impl Tunnels {
    /// The most origins that there can be room for: their numbers have 16 bits, and those of a batch are kept free.
    pub(super) const MOST: u32 = u16::MAX as u32 - HEADROOM;

    /// Bytes that room for `capacity` origins takes.
    pub(super) const fn bytes(capacity: u32) -> u64 {
        let room = capacity + HEADROOM;
        // For each number: its batch, the first of its flows, and places among those that may go and that no flow holds.
        let by_number = (2 * size_of::<u32>() + size_of::<(u32, u16)>() + size_of::<u16>()) as u64;
        let recent = size_of::<[u16; RECENT]>() as u64;
        Interner::<8, Origin>::bytes(room)
            + Interner::<2, ()>::bytes(room)
            + (room as u64 + 1) * by_number
            + (UNHELD * size_of::<u16>()) as u64
            + recent
    }

    /// Room for `capacity` origins, at most [`Tunnels::MOST`], and for those of a batch.
    pub(super) fn with_capacity(capacity: u32, hasher: Hasher) -> Self {
        let room = capacity + HEADROOM;
        let numbers = room as usize + 1;
        Self {
            origins: Interner::with_capacity(room, hasher),
            scopes: Interner::with_capacity(room, hasher),
            unheld: Vec::with_capacity(numbers + UNHELD),
            most: capacity as usize,
            used: vec![0; numbers],
            flows: vec![0; numbers],
            batch: 0,
            idle: Vec::with_capacity(numbers),
            recent: Box::new([0; RECENT]),
            hasher,
        }
    }

    /// The numbers of a tunnel's origin and scope. None where there is no room for another one.
    #[inline(always)]
    pub(super) fn numbers(&mut self, tunnel: &Tunnel) -> Option<(u16, u16)> {
        self.numbers_of(words(tunnel), || *tunnel)
    }

    /// The same of a load balancer's tunnel.
    #[inline(always)]
    pub(super) fn numbers_of_plain(&mut self, tunnel: &PlainTunnel) -> Option<(u16, u16)> {
        self.numbers_of(plain_words(tunnel), || Tunnel::from(*tunnel))
    }

    #[inline(always)]
    fn numbers_of(&mut self, words: OriginWords, tunnel: impl Fn() -> Tunnel) -> Option<(u16, u16)> {
        let recent = self.recent(&words);
        let number = self.recent[recent];
        let (number, scope) = match self.origins.get(number) {
            Some(origin) if is_same(self.origins.words(number), &words) => (number, origin.scope),
            _ => {
                let (number, scope) = self.other(&words, &tunnel())?;
                self.recent[recent] = number;
                (number, scope)
            }
        };
        if let Some(used) = self.used.get_mut(usize::from(number)) {
            *used = self.batch;
        }
        Some((number, scope))
    }

    /// Place of an origin among the recent ones.
    #[inline(always)]
    fn recent(&self, &[endpoint, vnis, _, _, source, ..]: &OriginWords) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below RECENT")]
        let place = self.hasher.quick(endpoint, vnis ^ source << 20) as usize % RECENT;
        place
    }

    #[inline(never)] // rare, and kept out of the code of the others
    fn other(&mut self, words: &OriginWords, tunnel: &Tunnel) -> Option<(u16, u16)> {
        if let Some(number) = self.origins.find(words) {
            return self.origins.get(number).map(|origin| (number, origin.scope));
        }
        let scope_words = scope_words(words);
        let scope = match self.scopes.find(&scope_words) {
            Some(scope) => scope,
            None => self.scopes.insert(&scope_words, ())?,
        };
        self.scopes.hold(scope);
        let origin = Origin { tunnel: Tunnel { cookie: None, ..*tunnel }, scope };
        match self.origins.insert(words, origin) {
            Some(number) => {
                self.unheld.push(number);
                Some((number, scope))
            }
            None => {
                self.release_scope(scope);
                None
            }
        }
    }

    /// The value of a packet's scope with its VLANs, which outlives the numbers.
    pub(super) fn scope(packet: &Packet) -> [u64; 3] {
        let [endpoint, vni] = scope_words(&words(&packet.tunnel));
        [endpoint, vni, vlans(packet.link).into()]
    }

    /// Holds an origin, for a flow.
    pub(super) fn hold(&mut self, origin: u16) {
        self.origins.hold(origin);
    }

    /// Releases an origin that was [held](Tunnels::hold).
    pub(super) fn release(&mut self, origin: u16) {
        if self.origins.release(origin) {
            self.unheld.push(origin);
        }
    }

    /// Removes the origins that no flow holds: when a batch is done with, or flows have ended without one.
    pub(super) fn settle(&mut self) {
        while let Some(number) = self.unheld.pop() {
            if let Some(origin) = self.origins.remove(number) {
                self.release_scope(origin.scope);
            }
        }
    }

    fn release_scope(&mut self, scope: u16) {
        if self.scopes.release(scope) {
            self.scopes.remove(scope);
        }
    }

    /// Tunnel, without the cookie, of an origin that is held: flows hold theirs.
    pub(super) fn get(&self, origin: u16) -> Tunnel {
        self.origins.get(origin).map_or(Tunnel::UNKNOWN, |origin| origin.tunnel)
    }

    /// The scope of an origin that is held.
    pub(super) fn scope_of(&self, origin: u16) -> Scope {
        scope_words(self.origins.words(origin))
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

    /// Begins the next batch of packets; of the origins of the previous one those stay that flows hold. `true` if they are more
    /// than may stay.
    #[inline(always)]
    pub(super) fn next_batch(&mut self) -> bool {
        self.settle();
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

/// VLAN ids of a mirrored packet, packed.
#[inline(always)]
pub(super) fn vlans(link: Option<Link>) -> u32 {
    link.map_or(0, |link| pack_vlans(link.vlans))
}

/// The words that tell origins apart: endpoint; VNIs, and what is there at all; attachment; outer addresses, each in two; source
/// of VXLAN.
type OriginWords = [u64; 8];

/// In the second word, whose VNIs leave these bits free: the endpoint is there; the outer source and destination are
/// IPv4; the attachment is there.
const ENDPOINT: u64 = 1 << 30;
const SOURCE_V4: u64 = 1 << 29;
const DESTINATION_V4: u64 = 1 << 28;
const ATTACHMENT: u64 = 1 << 27;

/// A field of 24 bits with a bit above it set, so that none differs from 0.
#[inline(always)]
fn field(vni: Option<Vni>) -> u64 {
    vni.map_or(0, |vni| 1 << 31 | u64::from(vni.get()))
}

/// An address with a bit above it set, so that none differs from 0.
#[inline(always)]
fn source_field(source: Option<Ipv4Addr>) -> u64 {
    source.map_or(0, |source| 1 << 32 | u64::from(source.to_bits()))
}

/// The words of a tunnel's origin.
fn words(tunnel: &Tunnel) -> OriginWords {
    #[inline(always)]
    fn address(address: IpAddr) -> [u64; 2] {
        match address {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => halves(address.to_bits()),
        }
    }

    #[inline(always)]
    const fn bit(bit: u64, is_set: bool) -> u64 {
        bit * is_set as u64
    }

    let vnis = field(tunnel.geneve_vni)
        | field(tunnel.vxlan_vni) << 32
        | bit(ENDPOINT, tunnel.endpoint.is_some())
        | bit(SOURCE_V4, tunnel.outer_source.is_ipv4())
        | bit(DESTINATION_V4, tunnel.outer_destination.is_ipv4())
        | bit(ATTACHMENT, tunnel.attachment.is_some());
    let endpoint = tunnel.endpoint.map_or(0, |endpoint| endpoint.0);
    let attachment = tunnel.attachment.map_or(0, |attachment| attachment.0);
    let [[s0, s1], [d0, d1]] = [tunnel.outer_source, tunnel.outer_destination].map(address);
    [endpoint, vnis, attachment, s0, s1, d0, d1, source_field(tunnel.vxlan_source)]
}

/// The words of the origin of a load balancer's tunnel.
#[inline(always)]
fn plain_words(tunnel: &PlainTunnel) -> OriginWords {
    let vnis = field(Some(tunnel.geneve_vni)) | field(tunnel.vxlan_vni) << 32;
    let vnis = vnis | ENDPOINT | SOURCE_V4 | DESTINATION_V4 | ATTACHMENT;
    let [source, destination] =
        [tunnel.outer_source, tunnel.outer_destination].map(|address| u64::from(address.to_bits()));
    let vxlan_source = source_field(tunnel.vxlan_source);
    [tunnel.endpoint.0, vnis, tunnel.attachment.0, 0, source, 0, destination, vxlan_source]
}

/// The words of the scope of an origin.
const fn scope_words(&[endpoint, vnis, ..]: &OriginWords) -> Scope {
    [endpoint, vnis & !(SOURCE_V4 | DESTINATION_V4 | ATTACHMENT)]
}

/// `true` if two origins are the same. All words are compared, since mostly they are.
#[inline(always)]
fn is_same(one: &OriginWords, other: &OriginWords) -> bool {
    one.iter().zip(other).fold(0, |differences, (one, other)| differences | (one ^ other)) == 0
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
            with(Tunnel { vxlan_source: None, ..tunnel }),
            with(Tunnel { vxlan_source: Some([0, 0, 0, 0].into()), ..tunnel }),
        ]
    }

    #[test]
    fn what_differs_gets_different_numbers() {
        let mut tunnels = Tunnels::with_capacity(100, Hasher::new(3));
        let packets = packets();
        let numbers: Vec<(u16, u16)> =
            packets.iter().map(|packet| hold(&mut tunnels, packet).unwrap()).collect();
        for (position, (origin, scope)) in numbers.iter().enumerate() {
            for (other_origin, other_scope) in &numbers[..position] {
                assert_ne!(origin, other_origin);
                assert_ne!(scope, other_scope);
            }
            assert_eq!(hold(&mut tunnels, &packets[position]), Some((*origin, *scope)));
        }
    }

    #[test]
    fn outer_addresses_and_attachment_share_a_scope() {
        let mut tunnels = Tunnels::with_capacity(100, Hasher::new(3));
        let packets = same_scope();
        let numbers: Vec<(u16, u16)> =
            packets.iter().map(|packet| hold(&mut tunnels, packet).unwrap()).collect();
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
        assert_eq!(hold(&mut tunnels, &packet), hold(&mut tunnels, &other));
    }

    /// The numbers of a packet that begins a flow.
    fn hold(tunnels: &mut Tunnels, packet: &Packet) -> Option<(u16, u16)> {
        let numbers = tunnels.numbers(&packet.tunnel)?;
        tunnels.hold(numbers.0);
        Some(numbers)
    }

    /// An origin that no flow holds lasts as long as the packets of its batch.
    #[test]
    fn an_origin_without_flows_goes_with_its_batch() {
        let mut tunnels = Tunnels::with_capacity(4, Hasher::new(3));
        let held = hold(&mut tunnels, &of(1, 0)).unwrap();
        let other = tunnels.numbers(&of(2, 0).tunnel).unwrap();
        tunnels.release(held.0);
        tunnels.hold(held.0);
        assert_eq!(tunnels.len(), 2);
        assert_eq!(tunnels.get(other.0), Tunnel { cookie: None, ..of(2, 0).tunnel });
        tunnels.next_batch();
        assert_eq!((tunnels.len(), tunnels.scopes.len()), (1, 1));
        assert_eq!(tunnels.numbers(&of(1, 0).tunnel), Some(held));
        tunnels.release(held.0);
        tunnels.settle();
        assert_eq!((tunnels.len(), tunnels.scopes.len()), (0, 0));
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
                (0..65).map(|vni| hold(&mut tunnels, &of(round, vni)).expect("room of a batch").0).collect();
            assert_eq!(hold(&mut tunnels, &of(round, 65)), None);
            for origin in origins {
                tunnels.release(origin);
            }
            tunnels.settle();
            assert_eq!((tunnels.len(), tunnels.scopes.len()), (0, 0));
        }
    }

    #[test]
    fn the_longest_idle_origin_gives_way() {
        let mut tunnels = Tunnels::with_capacity(4, Hasher::new(3));
        let number = |endpoint, tunnels: &mut Tunnels| {
            let number = hold(tunnels, &of(endpoint, 1)).unwrap().0;
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
        let number = |endpoint, vni, tunnels: &mut Tunnels| {
            let number = hold(tunnels, &of(endpoint, vni)).unwrap().0;
            tunnels.next_batch();
            number
        };
        for endpoint in [1, 2, 3] {
            number(endpoint, 0, &mut tunnels);
        }
        let [oldest, ..] = [0, 1, 2, 3].map(|vni| number(9, vni, &mut tunnels));
        assert_eq!((tunnels.find_victims(), tunnels.victim(0)), (1, oldest));
    }
}

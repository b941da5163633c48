//! The key of a flow.

use std::net::{IpAddr, Ipv4Addr};

use super::hash::Hasher;
use super::icmp;
use super::side::Side;
use super::slab::{Slot, Vacant};
use super::transport::FlowTransport;
use crate::number::IpProtocol;
use crate::packet::{Icmp, Ip, Ports, Transport};

/// The part of the key that the transport header gives, as its sender sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    /// Bits of [`Key::selector`] besides the ports: the form and, of ICMP, type, code and identifier, as they are where
    /// the low side is the sender.
    word: u64,
    /// The bits of `word` that are the other way round where the high side is the sender: of an ICMP query those in
    /// which the types of request and reply differ, of another ICMP message one that marks the sender. So A that asks
    /// B, and B that asks A, have different keys.
    turned: u64,
    /// Source port; 0 where there are no ports.
    source: u16,
    /// Destination port, likewise.
    destination: u16,
}

impl Selector {
    /// The selector of a protocol without ports, or of a header that was cut off.
    pub(super) const PROTOCOL: Self =
        Self { word: FORM_PROTOCOL << FORM, turned: 0, source: 0, destination: 0 };

    /// The selector of a packet that has its own transport header.
    #[inline(always)]
    pub(super) fn of(ip: &Ip) -> Self {
        match ip.transport {
            Transport::Tcp(tcp) => Self::of_ports(tcp.ports),
            Transport::Udp(ports) | Transport::Sctp(ports) => Self::of_ports(ports),
            Transport::Icmp(Icmp { kind, code, identifier })
            | Transport::Icmpv6(Icmp { kind, code, identifier }) => {
                let form = if identifier.is_some() { FORM_ICMP_IDENTIFIER } else { FORM_ICMP };
                let query = icmp::query(ip.protocol, kind);
                // A host that asks itself is its own other side.
                let kind = query.filter(|_| ip.source == ip.destination).map_or(kind, |query| query.request);
                let low = u64::from(u16::from_be_bytes([kind, code]));
                let high = u64::from(identifier.unwrap_or(0));
                let turned = match (query, identifier) {
                    (Some(query), _) => u64::from(query.request ^ query.reply) << 8,
                    (None, None) => FROM_HIGH,
                    (None, Some(_)) => FROM_HIGH_IDENTIFIER,
                };
                Self { word: form << FORM | high << 16 | low, turned, source: 0, destination: 0 }
            }
            Transport::Unread => Self::PROTOCOL,
        }
    }

    /// The selector of a protocol with ports.
    #[inline(always)]
    pub(super) const fn of_ports(Ports { source, destination }: Ports) -> Self {
        Self { word: FORM_PORTS << FORM, turned: 0, source, destination }
    }
}

/// Set in every key, so that none equals that of a vacant slot.
const OCCUPIED: u64 = 1 << 40;
/// Set in keys of IPv6.
const WIDE: u64 = 1 << 41;
/// The kind of the selector: two bits.
const FORM: u32 = 42;
/// Spare bits of the key, which the flow uses for its own state: four.
const SPARE: u32 = 44;
const SPARE_BITS: u64 = 0xf << SPARE;
/// The tunnel scope: 16 bits.
const SCOPE: u32 = 48;
/// A port.
const PORT: u64 = 0xffff;
/// The lower half of a word.
const LOWER_HALF: u64 = 0xffff_ffff;
const FORM_PROTOCOL: u64 = 0;
const FORM_PORTS: u64 = 1;
const FORM_ICMP: u64 = 2;
const FORM_ICMP_IDENTIFIER: u64 = 3;
/// In an ICMP message that is no query and has no identifier: the high side is the sender.
const FROM_HIGH: u64 = 1 << 16;
/// The same where it has an identifier: the form becomes [`FORM_PORTS`], which ICMP has no other use for.
const FROM_HIGH_IDENTIFIER: u64 = (FORM_ICMP_IDENTIFIER ^ FORM_PORTS) << FORM;

/// Addresses of IPv6: of the low side, and of the high one. Aligned so that both are in one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(32))]
pub(super) struct WideAddresses(pub(super) [u128; 2]);

/// The key of a flow, packed so that it is compared in two words (four more in IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Bits from the lowest: port of the low side (or ICMP code, then type) 16, port of the high side (or ICMP
    /// identifier) 16, protocol 8, [`OCCUPIED`], [`WIDE`], form of the selector 2, spare 4, tunnel scope 16.
    pub(super) selector: u64,
    /// IPv4: address of the low side in the lower half, of the high side in the upper one. IPv6: the lower half
    /// is 0, the upper one has bits of the hash, since the addresses themselves are elsewhere.
    pub(super) addresses: u64,
    /// Addresses of IPv6; 0 in IPv4.
    pub(super) wide: WideAddresses,
    /// VLAN ids, packed by [`pack_vlans`]; 0 where there are none, as everywhere in a VPC.
    pub(super) vlans: u32,
}

impl Key {
    /// The key of a packet in the tunnel scope `scope`, its hash, and the side that sent it.
    #[inline(always)]
    pub(super) fn of(
        ip: &Ip,
        selector: Selector,
        scope: u16,
        vlans: u32,
        hasher: &Hasher,
    ) -> (Self, u64, Side) {
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = (ip.source, ip.destination) {
            return Self::narrow([source, destination], ip.protocol, selector, scope, vlans, hasher);
        }
        let source = (wide(ip.source), u64::from(selector.source));
        let destination = (wide(ip.destination), u64::from(selector.destination));
        let sender = Side::of_source(source, destination);
        let (low, high) = match sender {
            Side::Low => (source, destination),
            Side::High => (destination, source),
        };
        let wide = WideAddresses([low.0, high.0]);
        let common = common(ip.protocol, selector, scope, sender);
        let selector = common | WIDE | low.1 | high.1 << 16;
        let hash = wide_hash(&wide, selector, hasher);
        let addresses = hash & !LOWER_HALF;
        (Self { selector, addresses, wide, vlans }, with_vlans(hash, vlans, hasher), sender)
    }

    /// The same of an IPv4 packet with these addresses: source, destination.
    #[inline(always)]
    pub(super) fn narrow(
        [source, destination]: [Ipv4Addr; 2],
        protocol: IpProtocol,
        selector: Selector,
        scope: u16,
        vlans: u32,
        hasher: &Hasher,
    ) -> (Self, u64, Side) {
        // Without a branch: the lower side is as good as random.
        let source = u64::from(source.to_bits()) << 16 | u64::from(selector.source);
        let destination = u64::from(destination.to_bits()) << 16 | u64::from(selector.destination);
        let (low, high) = (source.min(destination), source.max(destination));
        let sender = Side::of_source(source, destination);
        let addresses = low >> 16 | high >> 16 << 32;
        let common = common(protocol, selector, scope, sender);
        let selector = common | low & PORT | (high & PORT) << 16;
        let hash = with_vlans(narrow_hash(addresses, selector, hasher), vlans, hasher);
        (Self { selector, addresses, wide: WideAddresses::default(), vlans }, hash, sender)
    }
}

/// A selector word without ports and the family of addresses.
#[inline(always)]
fn common(protocol: IpProtocol, selector: Selector, scope: u16, sender: Side) -> u64 {
    let word = OCCUPIED | u64::from(protocol.0) << 32 | u64::from(scope) << SCOPE | selector.word;
    word ^ turned(selector, sender)
}

/// The bits of a selector that are the other way round for this sender.
#[inline(always)]
fn turned(selector: Selector, sender: Side) -> u64 {
    selector.turned * sender as u64
}

/// VLAN ids, outermost first, in a word: 0 where there are none.
#[inline(always)]
pub(super) fn pack_vlans(vlans: [Option<u16>; 2]) -> u32 {
    let [outer, inner] = vlans.map(|vlan| vlan.map_or(0, |id| u32::from(id) | VLAN_PRESENT));
    outer | inner << 16
}

/// The ids of a word of [`pack_vlans`].
pub(super) fn unpack_vlans(word: u32) -> [Option<u16>; 2] {
    [word, word >> 16].map(|half| {
        let id = (half & (VLAN_PRESENT - 1)) as u16;
        (half & VLAN_PRESENT != 0).then_some(id)
    })
}

/// Set beside the 12 bits of an id that is there.
const VLAN_PRESENT: u32 = 1 << 15;

/// The hash of a key with its VLANs.
#[inline(always)]
pub(super) fn with_vlans(hash: u64, vlans: u32, hasher: &Hasher) -> u64 {
    if vlans == 0 { hash } else { hasher.pair(hash, vlans.into()) }
}

/// The hash of an IPv4 key.
#[inline(always)]
pub(super) fn narrow_hash(addresses: u64, selector: u64, hasher: &Hasher) -> u64 {
    hasher.pair(addresses, selector)
}

/// The hash of an IPv6 key.
#[inline(always)]
pub(super) fn wide_hash(addresses: &WideAddresses, selector: u64, hasher: &Hasher) -> u64 {
    let [[a, b], [c, d]] = addresses.0.map(halves);
    hasher.words(&[a, b, c, d, selector])
}

/// A selector word without its tunnel scope.
pub(super) const fn without_scope(selector: u64) -> u64 {
    selector & !(u64::MAX << SCOPE)
}

/// The hash of a key without its tunnel scope, whose number is one table's own.
#[inline(always)]
pub(super) fn hash_without_scope(key: &Key, hasher: &Hasher) -> u64 {
    let selector = without_scope(key.selector);
    if is_wide(selector) {
        wide_hash(&key.wide, selector, hasher)
    } else {
        narrow_hash(key.addresses, selector, hasher)
    }
}

/// A selector word with `bits` in its spare bits.
#[inline(always)]
pub(super) const fn with_spare(selector: u64, bits: u64) -> u64 {
    without_spare(selector) | bits << SPARE & SPARE_BITS
}

/// A selector word as it is in the key.
#[inline(always)]
pub(super) const fn without_spare(selector: u64) -> u64 {
    selector & !SPARE_BITS
}

/// The spare bits of a selector word.
#[inline(always)]
pub(super) const fn spare(selector: u64) -> u64 {
    (selector & SPARE_BITS) >> SPARE
}

/// `true` if a selector word is of IPv6.
#[inline(always)]
pub(super) const fn is_wide(selector: u64) -> bool {
    selector & WIDE != 0
}

/// The addresses word of an IPv6 key, with the slot of the addresses themselves in its lower half.
pub(super) fn with_wide_slot(addresses: u64, slot: Slot) -> u64 {
    addresses & !LOWER_HALF | u64::from(slot.number())
}

/// The slot of the addresses in a word of [`with_wide_slot`].
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half of the word")]
pub(super) const fn wide_slot(addresses: u64) -> Slot {
    Slot::from_number(addresses as u32)
}

/// The addresses word of an IPv6 key, with a place in its lower half.
pub(super) const fn with_place(addresses: u64, place: u64) -> u64 {
    addresses & !LOWER_HALF | place
}

/// The place in a word of [`with_place`].
pub(super) const fn place(addresses: u64) -> usize {
    (addresses & LOWER_HALF) as usize
}

/// `true` if two address words of IPv6 have the same bits of the hash.
#[inline(always)]
pub(super) const fn same_hash(one: u64, other: u64) -> bool {
    (one ^ other) & !LOWER_HALF == 0
}

/// The addresses of an IPv4 key: of the low side, and of the high one.
#[expect(clippy::cast_possible_truncation, reason = "the two halves of the word")]
pub(super) const fn narrow(addresses: u64) -> [u32; 2] {
    [addresses as u32, (addresses >> 32) as u32]
}

/// `true` if the word is of a flow whose payload can be looked into: TCP or UDP with its ports.
pub(super) const fn has_payload(selector: u64) -> bool {
    selector >> FORM & 3 == FORM_PORTS && matches!(protocol(selector), IpProtocol::TCP | IpProtocol::UDP)
}

/// The protocol of a selector word.
#[expect(clippy::cast_possible_truncation, reason = "the field is a byte")]
pub(super) const fn protocol(selector: u64) -> IpProtocol {
    IpProtocol((selector >> 32) as u8)
}

/// The transport of a selector word, as `sender` sees it.
pub(super) fn transport(word: u64, sender: Side) -> FlowTransport {
    #[expect(clippy::cast_possible_truncation, reason = "the fields are 16 bits each")]
    let (low, high) = (word as u16, (word >> 16) as u16);
    let [kind, code] = low.to_be_bytes();
    let protocol = protocol(word);
    // The word has the type of the low side's message: the reply's, where the high side asks.
    let kind = icmp::query(protocol, kind).map_or(kind, |query| query.request);
    match (word >> FORM & 3, sender) {
        (FORM_PORTS, _) if matches!(protocol, IpProtocol::ICMP | IpProtocol::ICMPV6) => {
            FlowTransport::Icmp { kind, code, identifier: Some(high) }
        }
        (FORM_PORTS, Side::Low) => FlowTransport::Ports { source: low, destination: high },
        (FORM_PORTS, Side::High) => FlowTransport::Ports { source: high, destination: low },
        (FORM_ICMP, _) => FlowTransport::Icmp { kind, code, identifier: None },
        (FORM_ICMP_IDENTIFIER, _) => FlowTransport::Icmp { kind, code, identifier: Some(high) },
        _ => FlowTransport::Unread,
    }
}

/// An address as 128 bits; IPv4, which never meets IPv6 in one packet, mapped.
#[inline(always)]
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Upper and lower half.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
pub(super) const fn halves(word: u128) -> [u64; 2] {
    [(word >> 64) as u64, word as u64]
}

impl Vacant for WideAddresses {
    fn vacant(next: Slot) -> Self {
        Self([next.number().into(), 0])
    }

    #[expect(clippy::cast_possible_truncation, reason = "a slot number was put in")]
    fn next(&self) -> Slot {
        let Self([next, _]) = *self;
        Slot::from_number(next as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;
    use crate::packet::{Network, Packet};

    fn ip(packet: Packet) -> Ip {
        let Network::Ip(ip) = packet.network else { panic!() };
        ip
    }

    /// The packet from the other end; of an ICMP query the answer, or the question.
    fn swapped(ip: Ip) -> Ip {
        let transport = match ip.transport {
            Transport::Udp(Ports { source, destination }) => {
                Transport::Udp(Ports { source: destination, destination: source })
            }
            Transport::Icmp(Icmp { kind: kind @ (0 | 8), code, identifier }) => {
                Transport::Icmp(Icmp { kind: 8 - kind, code, identifier })
            }
            other => other,
        };
        Ip { source: ip.destination, destination: ip.source, transport, ..ip }
    }

    /// ICMP messages that are neither question nor answer.
    fn is_one_way(ip: &Ip) -> bool {
        matches!(ip.transport, Transport::Icmp(Icmp { kind, .. }) if !matches!(kind, 0 | 8))
    }

    fn key(ip: &Ip) -> (Key, u64, Side) {
        Key::of(ip, Selector::of(ip), 3, 0, &Hasher::new(5))
    }

    fn packets() -> Vec<Ip> {
        let udp = ip(testing::udp(1000, 2000));
        let icmp = |kind, identifier| Ip {
            protocol: IpProtocol::ICMP,
            transport: Transport::Icmp(Icmp { kind, code: 0, identifier }),
            ..udp
        };
        let wide = |low: &str, high: &str| Ip {
            source: low.parse().unwrap(),
            destination: high.parse().unwrap(),
            ..udp
        };
        vec![
            udp,
            Ip { protocol: IpProtocol::TCP, ..udp },
            Ip { transport: Transport::Udp(Ports { source: 2000, destination: 1000 }), ..udp },
            Ip { transport: Transport::Udp(Ports { source: 0, destination: 0 }), ..udp },
            Ip { transport: Transport::Unread, ..udp },
            Ip { source: "10.0.0.9".parse().unwrap(), ..udp },
            Ip { source: udp.destination, ..udp },
            icmp(8, Some(0)),
            icmp(8, Some(1)),
            icmp(8, None),
            icmp(3, None),
            icmp(42, Some(3)),
            icmp(43, Some(3)),
            wide("2001:db8::1", "2001:db8::2"),
            wide("2001:db8::1", "2001:db8:0:1::2"),
            wide("2001:db8:0:1::1", "2001:db8::2"),
            wide("::10.0.0.1", "::10.0.0.2"),
        ]
    }

    #[test]
    fn both_directions_have_one_key() {
        for ip in packets() {
            let (there, back) = (key(&ip), key(&swapped(ip)));
            assert_eq!((there.0, there.1) == (back.0, back.1), !is_one_way(&ip), "{ip:?}");
            assert_ne!(there.2, back.2, "{ip:?}");
        }
    }

    /// Both ends may ask, with the same identifier.
    #[test]
    fn questions_of_both_ends_have_different_keys() {
        for ip in packets() {
            if let Transport::Icmp(_) = ip.transport {
                let asked = Ip { source: ip.destination, destination: ip.source, ..ip };
                assert_ne!(key(&ip).0, key(&asked).0, "{ip:?}");
                assert_eq!(transport(key(&asked).0.selector, key(&asked).2), expected(&asked));
            }
        }
    }

    #[test]
    fn vlans_are_packed_and_tell_keys_apart() {
        let ip = packets()[0];
        let mut seen = Vec::new();
        for vlans in [[None; 2], [Some(0), None], [Some(4095), None], [None, Some(4095)], [Some(1), Some(2)]]
        {
            let word = pack_vlans(vlans);
            assert_eq!(unpack_vlans(word), vlans);
            let (key, hash, _) = Key::of(&ip, Selector::of(&ip), 3, word, &Hasher::new(5));
            assert!(!seen.contains(&(key, hash)));
            seen.push((key, hash));
        }
    }

    #[test]
    fn what_differs_has_different_keys() {
        let keys: Vec<_> = packets().iter().map(|ip| key(ip).0).collect();
        for (position, one) in keys.iter().enumerate() {
            for other in &keys[..position] {
                assert_ne!(one, other);
            }
        }
        let (one, other) =
            (Key::of(&packets()[0], Selector::PROTOCOL, 3, 0, &Hasher::new(5)), key(&packets()[0]));
        assert_ne!(one.0, other.0);
    }

    #[test]
    fn a_connection_with_itself_has_one_end() {
        let udp = ip(testing::udp(1000, 1000));
        let alone = Ip { destination: udp.source, ..udp };
        assert_eq!(key(&alone), key(&swapped(alone)));
    }

    fn expected(ip: &Ip) -> FlowTransport {
        match ip.transport {
            Transport::Udp(Ports { source, destination }) => FlowTransport::Ports { source, destination },
            Transport::Icmp(Icmp { kind, code, identifier }) => {
                FlowTransport::Icmp { kind, code, identifier }
            }
            Transport::Unread => FlowTransport::Unread,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_tell_what_went_in() {
        for ip in packets() {
            let (key, hash, sender) = key(&ip);
            assert_eq!(protocol(key.selector), ip.protocol);
            assert_eq!(transport(key.selector, sender), expected(&ip));
            assert_eq!(is_wide(key.selector), ip.source.is_ipv6());
            let hasher = Hasher::new(5);
            if is_wide(key.selector) {
                assert_eq!(wide_hash(&key.wide, key.selector, &hasher), hash);
                let word = with_wide_slot(key.addresses, Slot::from_number(77));
                assert_eq!(wide_slot(word), Slot::from_number(77));
                assert!(same_hash(word, hash));
            } else {
                assert_eq!(narrow_hash(key.addresses, key.selector, &hasher), hash);
                let addresses = narrow(key.addresses).map(|address| IpAddr::from(address.to_be_bytes()));
                assert!(addresses.contains(&ip.source) && addresses.contains(&ip.destination));
            }
        }
    }
}

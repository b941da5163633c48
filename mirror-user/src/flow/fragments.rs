//! Attribution of fragments to the flow of their packet, whose ports only the first fragment has.
//!
//! Fragments that come before the first one are held back, as sums; they join its flow when it comes.

use std::net::IpAddr;
use std::time::Duration;

use super::hash::Hasher;
use super::key::{Selector, halves};
use crate::number::IpProtocol;
use crate::packet::{Fragment, Ip};
use crate::time::Timestamp;

/// Most packets whose fragments are remembered.
const CAPACITY: usize = 4096;
/// Entries that one packet may have.
const WAYS: usize = 4;
/// Most fragments of one packet that are held back: as many as a packet of 65,535 bytes has at an MTU of 1,280.
const MOST_HELD: u32 = 52;

/// Identity of a fragmented packet (RFC 791, section 3.2; RFC 8200, section 4.5). In an entry that was never used all words
/// are 0.
type Identity = [u64; 8];

/// Fragments that came before their first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldFragments {
    /// Number of packets.
    pub(super) packets: u32,
    /// Number of those with a record of their own, which accounts for them.
    pub(super) own_records: u32,
    /// Original bytes.
    pub(super) bytes: u32,
    /// Captured bytes.
    pub(super) captured_bytes: u32,
    /// Time of the earliest one.
    pub(super) first: u64,
    /// Time of the latest one.
    pub(super) last: u64,
    /// Lowest TTL.
    pub(super) lowest_hop_limit: u8,
    /// Highest TTL.
    pub(super) highest_hop_limit: u8,
}

/// Time and counts of a fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct FragmentCounts {
    /// Time of arrival.
    pub(super) timestamp: Timestamp,
    /// Original bytes.
    pub(super) bytes: u32,
    /// Captured bytes.
    pub(super) captured_bytes: u32,
    /// TTL.
    pub(super) hop_limit: u8,
    /// It has a record of its own.
    pub(super) has_own_record: bool,
}

/// Attribution of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribution {
    /// The flow has this selector. Fragments that were held back join it.
    Flow(Selector, Option<HeldFragments>),
    /// The first fragment did not come yet: this one is held back.
    Waits,
    /// There is no room to hold it back.
    Unknown,
}

/// A packet of which fragments came.
#[derive(Clone, Copy, Debug, Default)]
struct FragmentedPacket {
    identity: Identity,
    /// Selector of the first fragment, once it came.
    selector: Option<Selector>,
    /// Time of the fragment that came first.
    timestamp: Timestamp,
    /// Those that wait for the first one.
    held: HeldFragments,
}

/// A bounded memory of fragmented packets. Where there is no room the oldest of four is forgotten.
#[derive(Debug)]
pub(super) struct Fragments {
    places: Vec<[FragmentedPacket; WAYS]>,
    hasher: Hasher,
    timeout: u64,
    given_up: u64,
}

impl Fragments {
    /// Bytes that the memory takes.
    pub(super) const BYTES: u64 = (CAPACITY / WAYS * size_of::<[FragmentedPacket; WAYS]>()) as u64;

    /// An empty memory of fragments that belong together within `timeout`.
    pub(super) fn new(timeout: Duration, hasher: Hasher) -> Self {
        let places = vec![Default::default(); CAPACITY / WAYS];
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Self { places, hasher, timeout, given_up: 0 }
    }

    /// The flow that a fragment belongs to, or how it waits for its first one. The scope is given by its value: its
    /// number may be another's by the time that the next fragment comes.
    pub(super) fn attribute(
        &mut self,
        ip: &Ip,
        fragment: Fragment,
        scope: &[u64; 3],
        counts: FragmentCounts,
    ) -> Attribution {
        if !has_selector(ip.protocol) {
            return Attribution::Flow(Selector::PROTOCOL, None);
        }
        let is_first = fragment.offset == 0;
        if is_first && !fragment.more {
            return Attribution::Flow(Selector::of(ip), None);
        }
        let identity = identity(ip, fragment, scope);
        let Self { places, hasher, timeout, given_up } = self;
        #[expect(clippy::cast_possible_truncation, reason = "below the number of places")]
        let number = hasher.words(&identity) as usize % (CAPACITY / WAYS);
        let Some(ways) = places.get_mut(number) else { return Attribution::Unknown };
        let place = match ways.iter().position(|known| known.identity == identity) {
            Some(place) => ways.get_mut(place),
            None => ways.iter_mut().min_by_key(|known| known.timestamp),
        };
        let Some(known) = place else { return Attribution::Unknown };
        let is_timely = known.timestamp.0.abs_diff(counts.timestamp.0) <= *timeout;
        if known.identity != identity || !is_timely {
            *given_up += known.held.unaccounted();
            *known =
                FragmentedPacket { identity, timestamp: counts.timestamp, ..FragmentedPacket::default() };
        }
        if is_first {
            let selector = Selector::of(ip);
            known.selector = Some(selector);
            known.timestamp = counts.timestamp;
            let held = std::mem::take(&mut known.held);
            return Attribution::Flow(selector, (held.packets > 0).then_some(held));
        }
        match known.selector {
            Some(selector) => Attribution::Flow(selector, None),
            None if known.held.packets < MOST_HELD => {
                known.held.add(counts);
                Attribution::Waits
            }
            None => Attribution::Unknown,
        }
    }

    /// Gives up the fragments that still wait for their first one: none will come.
    pub(super) fn give_up(&mut self) {
        for known in self.places.as_flattened_mut() {
            self.given_up += std::mem::take(&mut known.held).unaccounted();
        }
    }

    /// Fragments that waited in vain, without those that have a record of their own.
    pub(super) const fn given_up(&self) -> u64 {
        self.given_up
    }
}

impl HeldFragments {
    fn add(&mut self, counts: FragmentCounts) {
        let FragmentCounts { timestamp: Timestamp(time), hop_limit, .. } = counts;
        if self.packets == 0 {
            *self = Self {
                first: time,
                last: time,
                lowest_hop_limit: hop_limit,
                highest_hop_limit: hop_limit,
                ..Self::default()
            };
        }
        self.packets += 1;
        self.own_records += u32::from(counts.has_own_record);
        self.bytes = self.bytes.saturating_add(counts.bytes);
        self.captured_bytes = self.captured_bytes.saturating_add(counts.captured_bytes);
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.lowest_hop_limit = self.lowest_hop_limit.min(hop_limit);
        self.highest_hop_limit = self.highest_hop_limit.max(hop_limit);
    }

    /// Those that have no record of their own.
    pub(super) fn unaccounted(&self) -> u64 {
        u64::from(self.packets - self.own_records)
    }
}

/// `true` if flows of this protocol are told apart by more than addresses.
fn has_selector(protocol: IpProtocol) -> bool {
    matches!(
        protocol,
        IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP | IpProtocol::ICMP | IpProtocol::ICMPV6
    )
}

fn identity(ip: &Ip, fragment: Fragment, [e, f, g]: &[u64; 3]) -> Identity {
    /// So that no identity is all zeros.
    const USED: u64 = 1 << 63;

    let [[a, b], [c, d]] = [ip.source, ip.destination].map(|address| match address {
        IpAddr::V4(address) => halves(address.to_ipv6_mapped().to_bits()),
        IpAddr::V6(address) => halves(address.to_bits()),
    });
    let rest = u64::from(fragment.identification) | u64::from(ip.protocol.0) << 32;
    [a, b, c, d, *e, *f, *g, rest | USED]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing;
    use crate::packet::{Network, Ports, Transport};

    const SECOND: u64 = 1_000_000_000;

    fn fragment(identification: u32, offset: u16, more: bool) -> Ip {
        let Network::Ip(ip) = testing::udp(1000, 2000).network else { panic!() };
        let transport = if offset == 0 { ip.transport } else { Transport::Unread };
        Ip { fragment: Some(Fragment { identification, offset, more }), transport, ..ip }
    }

    fn counts(seconds: u64) -> FragmentCounts {
        FragmentCounts {
            timestamp: Timestamp(seconds * SECOND),
            bytes: 1500,
            captured_bytes: 100,
            hop_limit: 64,
            has_own_record: false,
        }
    }

    fn attribute(fragments: &mut Fragments, ip: &Ip, scope: u64, seconds: u64) -> Attribution {
        fragments.attribute(ip, ip.fragment.unwrap(), &[scope, 0, 0], counts(seconds))
    }

    fn fragments() -> Fragments {
        Fragments::new(Duration::from_secs(30), Hasher::new(1))
    }

    fn ports() -> Selector {
        Selector::of_ports(Ports { source: 1000, destination: 2000 })
    }

    #[test]
    fn later_fragments_follow_the_first() {
        let known = Attribution::Flow(ports(), None);
        let first = fragment(7, 0, true);
        let last = fragment(7, 1480, false);
        for (ip, scope, seconds, expected) in [
            (last, 1, 100, known),
            (last, 1, 130, known),
            (last, 1, 131, Attribution::Waits),
            // The clock was set back.
            (last, 1, 69, Attribution::Waits),
            (last, 2, 100, Attribution::Waits),
            (fragment(8, 1480, false), 1, 100, Attribution::Waits),
            (Ip { source: "10.9.9.9".parse().unwrap(), ..last }, 1, 100, Attribution::Waits),
            (Ip { protocol: IpProtocol::TCP, ..last }, 1, 100, Attribution::Waits),
            // Not fragmented after all (RFC 6946).
            (fragment(9, 0, false), 1, 100, known),
            // Without ports there is nothing to look up.
            (Ip { protocol: IpProtocol(50), ..last }, 1, 100, Attribution::Flow(Selector::PROTOCOL, None)),
        ] {
            let mut fragments = fragments();
            assert_eq!(attribute(&mut fragments, &first, 1, 100), known);
            assert_eq!(
                attribute(&mut fragments, &ip, scope, seconds),
                expected,
                "{ip:?} in {scope} at {seconds}"
            );
        }
    }

    #[test]
    fn fragments_that_come_too_early_join_the_first() {
        let mut fragments = fragments();
        assert_eq!(attribute(&mut fragments, &fragment(7, 2960, false), 1, 101), Attribution::Waits);
        assert_eq!(attribute(&mut fragments, &fragment(7, 1480, true), 1, 100), Attribution::Waits);
        let held = HeldFragments {
            packets: 2,
            own_records: 0,
            bytes: 3000,
            captured_bytes: 200,
            first: 100 * SECOND,
            last: 101 * SECOND,
            lowest_hop_limit: 64,
            highest_hop_limit: 64,
        };
        let first = fragment(7, 0, true);
        assert_eq!(attribute(&mut fragments, &first, 1, 102), Attribution::Flow(ports(), Some(held)));
        assert_eq!(attribute(&mut fragments, &first, 1, 102), Attribution::Flow(ports(), None));
        assert_eq!(fragments.given_up(), 0);
    }

    /// Each fragment either waits, and is given up once, or is refused at once.
    #[test]
    fn fragments_that_wait_in_vain_are_counted() {
        let mut fragments = fragments();
        let mut refused = 0;
        for number in 0..100 {
            let counts = FragmentCounts { has_own_record: number < 10, ..counts(100) };
            let ip = fragment(7, 8, true);
            let attribution = fragments.attribute(&ip, ip.fragment.unwrap(), &[1, 0, 0], counts);
            refused += u64::from(attribution == Attribution::Unknown);
        }
        assert_eq!(refused, 100 - u64::from(MOST_HELD));
        // Too late to be of the same packet.
        attribute(&mut fragments, &fragment(7, 16, true), 1, 200);
        assert_eq!(fragments.given_up(), u64::from(MOST_HELD) - 10);
        fragments.give_up();
        fragments.give_up();
        assert_eq!(fragments.given_up(), u64::from(MOST_HELD) - 10 + 1);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut fragments = fragments();
        let capacity = u32::try_from(CAPACITY).unwrap();
        let flow = Attribution::Flow(ports(), None);
        for identification in 0..4 * capacity {
            let seconds = 1 + u64::from(identification) / 1000;
            assert_eq!(attribute(&mut fragments, &fragment(identification, 0, true), 1, seconds), flow);
        }
        let mut known = |range: std::ops::Range<u32>| {
            range
                .step_by(16)
                .filter(|&identification| {
                    let places = fragments.places.clone();
                    let known = attribute(&mut fragments, &fragment(identification, 8, true), 1, 17) == flow;
                    fragments.places = places;
                    known
                })
                .count()
        };
        assert!(known(0..capacity) < 20);
        assert!(known(3 * capacity..4 * capacity) > CAPACITY / 32);
    }
}

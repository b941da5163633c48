//! Which flow the fragments of a packet belong to, whose ports only the first one has.

use std::net::IpAddr;
use std::time::Duration;

use super::hash::Hasher;
use super::key::{Selector, halves};
use super::tunnels::Scope;
use crate::packet::{Fragment, Ip};
use crate::source::Timestamp;
use crate::wire::number::IpProtocol;

/// Packets whose first fragment is remembered at most.
const CAPACITY: usize = 4096;
/// Places that one packet may stand in.
const WAYS: usize = 4;

/// What the fragments of a packet have in common (RFC 791, section 3.2; RFC 8200, section 4.5). In a place
/// that was never used all words are 0.
type Identity = [u64; 8];

/// A packet whose first fragment was seen.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    identity: Identity,
    selector: Selector,
    timestamp: Timestamp,
}

/// A bounded memory of first fragments. Where there is no room the oldest of four is forgotten.
#[derive(Debug)]
pub(super) struct Fragments {
    places: Vec<[First; WAYS]>,
    hasher: Hasher,
    timeout: u64,
}

impl Fragments {
    /// An empty memory of fragments that belong together within `timeout`.
    pub(super) fn new(timeout: Duration, hasher: Hasher) -> Self {
        let places = vec![Default::default(); CAPACITY / WAYS];
        Self { places, hasher, timeout: u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX) }
    }

    /// The selector of the flow that a fragment belongs to; none where its first fragment was not seen. The
    /// scope is told by its value: its number may be another's by the time that the next fragment comes.
    pub(super) fn attribute(
        &mut self,
        ip: &Ip,
        fragment: Fragment,
        scope: &Scope,
        timestamp: Timestamp,
    ) -> Option<Selector> {
        if !has_selector(ip.protocol) {
            return Some(Selector::PROTOCOL);
        }
        let is_first = fragment.offset == 0;
        if is_first && !fragment.more {
            return Some(Selector::of(ip));
        }
        let identity = identity(ip, fragment, scope);
        #[expect(clippy::cast_possible_truncation, reason = "below the number of places")]
        let number = self.hasher.words(&identity) as usize % (CAPACITY / WAYS);
        let ways = self.places.get_mut(number)?;
        let known = ways.iter_mut().find(|first| first.identity == identity);
        if is_first {
            let selector = Selector::of(ip);
            let place = match known {
                Some(first) => first,
                None => ways.iter_mut().min_by_key(|first| first.timestamp)?,
            };
            *place = First { identity, selector, timestamp };
            return Some(selector);
        }
        known
            .filter(|first| first.timestamp.0.abs_diff(timestamp.0) <= self.timeout)
            .map(|first| first.selector)
    }
}

/// Whether flows of this protocol are told apart by more than addresses.
fn has_selector(protocol: IpProtocol) -> bool {
    matches!(
        protocol,
        IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP | IpProtocol::ICMP | IpProtocol::ICMPV6
    )
}

fn identity(ip: &Ip, fragment: Fragment, [e, f, g]: &Scope) -> Identity {
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

    fn attribute(fragments: &mut Fragments, ip: &Ip, scope: u64, seconds: u64) -> Option<Selector> {
        fragments.attribute(ip, ip.fragment.unwrap(), &[scope, 0, 0], Timestamp(seconds * SECOND))
    }

    fn fragments() -> Fragments {
        Fragments::new(Duration::from_secs(30), Hasher::new(1))
    }

    #[test]
    fn later_fragments_follow_the_first() {
        let ports = Some(Selector::of_ports(Ports { source: 1000, destination: 2000 }));
        let mut fragments = fragments();
        let first = fragment(7, 0, true);
        let last = fragment(7, 1480, false);
        assert_eq!(attribute(&mut fragments, &last, 1, 100), None);
        assert_eq!(attribute(&mut fragments, &first, 1, 100), ports);
        for (ip, scope, seconds, expected) in [
            (last, 1, 100, ports),
            (last, 1, 130, ports),
            (last, 1, 131, None),
            // The clock was set back.
            (last, 1, 69, None),
            (last, 2, 100, None),
            (fragment(8, 1480, false), 1, 100, None),
            (Ip { source: "10.9.9.9".parse().unwrap(), ..last }, 1, 100, None),
            (Ip { protocol: IpProtocol::TCP, ..last }, 1, 100, None),
            // Not fragmented after all (RFC 6946).
            (fragment(9, 0, false), 1, 100, ports),
            // Without ports there is nothing to look up.
            (Ip { protocol: IpProtocol(50), ..last }, 1, 100, Some(Selector::PROTOCOL)),
        ] {
            assert_eq!(
                attribute(&mut fragments, &ip, scope, seconds),
                expected,
                "{ip:?} in {scope} at {seconds}"
            );
        }
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut fragments = fragments();
        let capacity = u32::try_from(CAPACITY).unwrap();
        for identification in 0..4 * capacity {
            let seconds = 1 + u64::from(identification) / 1000;
            assert!(attribute(&mut fragments, &fragment(identification, 0, true), 1, seconds).is_some());
        }
        let mut known = |range: std::ops::Range<u32>| {
            range
                .filter(|&identification| {
                    attribute(&mut fragments, &fragment(identification, 8, true), 1, 17).is_some()
                })
                .count()
        };
        assert!(known(0..capacity) < 20);
        assert!(known(3 * capacity..4 * capacity) > CAPACITY / 2);
    }
}

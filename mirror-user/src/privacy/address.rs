//! Addresses: kept, masked, or pseudonyms in their place.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipcrypt_rs::IpcryptPfx;
use serde::{Deserialize, Serialize};

use super::key::Key;

/// Pseudonyms that a worker keeps at hand for each rule: 16,384 of some 40 bytes.
const CACHED: usize = 1 << 14;

/// Treatment of addresses, as the configuration states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressTreatment {
    /// They stand as they are.
    #[default]
    Keep,
    /// The bits behind a prefix are zero.
    Mask,
    /// A pseudonym stands for each: with the same key always the same; two that have their first bits in common have as many
    /// in common as the addresses.
    Pseudonym,
}

impl AddressTreatment {
    /// Its name in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Mask => "mask",
            Self::Pseudonym => "pseudonym",
        }
    }
}

/// The prefixes that masks leave, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masks {
    /// Of IPv4, 0 to 32.
    pub ipv4: u8,
    /// Of IPv6, 0 to 128.
    pub ipv6: u8,
}

impl Default for Masks {
    /// /24 and /56.
    fn default() -> Self {
        Self { ipv4: 24, ipv6: 56 }
    }
}

impl Masks {
    /// The prefix of `address`. An IPv4 address within IPv6 (RFC 4291, section 2.5.5.2) is one of IPv4.
    pub fn apply(self, address: IpAddr) -> IpAddr {
        by_family(address, |address| match address {
            IpAddr::V4(address) => {
                let hidden = 32_u32.saturating_sub(self.ipv4.into());
                Ipv4Addr::from(address.to_bits() & u32::MAX.checked_shl(hidden).unwrap_or(0)).into()
            }
            IpAddr::V6(address) => {
                let hidden = 128_u32.saturating_sub(self.ipv6.into());
                Ipv6Addr::from(address.to_bits() & u128::MAX.checked_shl(hidden).unwrap_or(0)).into()
            }
        })
    }
}

/// Treatment of addresses, with its key.
#[derive(Clone, Debug)]
pub enum AddressPolicy {
    /// They stand as they are.
    Keep,
    /// The bits behind a prefix are zero.
    Mask(Masks),
    /// Pseudonyms by this key.
    Pseudonym(Key),
}

impl AddressPolicy {
    /// The treatment by one worker, which remembers the pseudonyms that it has computed.
    pub fn of_worker(&self) -> Addresses {
        match self {
            Self::Keep => Addresses::Keep,
            Self::Mask(masks) => Addresses::Mask(*masks),
            Self::Pseudonym(key) => Addresses::Pseudonym(Box::new(Pseudonyms::new(key))),
        }
    }
}

/// Treatment of addresses by one worker.
pub enum Addresses {
    /// They stand as they are.
    Keep,
    /// The bits behind a prefix are zero.
    Mask(Masks),
    /// Pseudonyms.
    Pseudonym(Box<Pseudonyms>),
}

impl Addresses {
    /// What stands in a record for `address`: an address of the same family.
    pub fn apply(&mut self, address: IpAddr) -> IpAddr {
        match self {
            Self::Keep => address,
            Self::Mask(masks) => masks.apply(address),
            Self::Pseudonym(pseudonyms) => pseudonyms.of(address),
        }
    }

    /// `true` if addresses stand as they are.
    pub const fn are_kept(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// Pseudonyms with prefixes preserved: `ipcrypt-pfx` of draft-denis-ipcrypt, with a cache of fixed size in front, since computing
/// one takes microseconds.
pub struct Pseudonyms {
    cipher: IpcryptPfx,
    /// An address is in the one place that its hash says, or in none. Empty until the first one is asked for.
    cache: Vec<Option<(IpAddr, IpAddr)>>,
    /// Senders must not know which addresses share a place.
    hasher: RandomState,
}

impl Pseudonyms {
    /// Bytes of memory of the cache.
    pub(super) const MEMORY: usize = CACHED * size_of::<Option<(IpAddr, IpAddr)>>();

    /// By this key.
    pub fn new(key: &Key) -> Self {
        Self { cipher: IpcryptPfx::new(key.bytes()), cache: Vec::new(), hasher: RandomState::new() }
    }

    /// The pseudonym of `address`.
    pub fn of(&mut self, address: IpAddr) -> IpAddr {
        if self.cache.is_empty() {
            self.cache.resize(CACHED, None);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the place is below the size of the cache")]
        let place = self.hasher.hash_one(address) as usize % CACHED;
        let Some(entry) = self.cache.get_mut(place) else { return self.cipher.encrypt_ipaddr(address) };
        match *entry {
            Some((cached, pseudonym)) if cached == address => pseudonym,
            _ => {
                let pseudonym = by_family(address, |address| self.cipher.encrypt_ipaddr(address));
                *entry = Some((address, pseudonym));
                pseudonym
            }
        }
    }
}

/// `transform` of an address, which sees one of IPv4 within IPv6 as one of IPv4. What comes back is of the family of `address`.
fn by_family(address: IpAddr, transform: impl FnOnce(IpAddr) -> IpAddr) -> IpAddr {
    match (address, transform(address.to_canonical())) {
        (IpAddr::V6(_), IpAddr::V4(transformed)) => transformed.to_ipv6_mapped().into(),
        (_, transformed) => transformed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key::tests::{PUBLISHED, key};
    use super::*;

    const OTHER: &str = "2b7e151628aed2a6abf7158809cf4f3ca9f5ba40db214c3798f2e1c23456789a";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Test vectors of draft-denis-ipcrypt, appendix "ipcrypt-pfx Test Vectors".
    #[test]
    fn pseudonyms_are_those_that_are_published() {
        for (digits, plain, pseudonym) in [
            (PUBLISHED, "0.0.0.0", "151.82.155.134"),
            (PUBLISHED, "255.255.255.255", "94.185.169.89"),
            (PUBLISHED, "192.0.2.1", "100.115.72.131"),
            (PUBLISHED, "2001:db8::1", "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88"),
            (OTHER, "10.0.0.47", "19.214.210.244"),
            (OTHER, "10.0.0.129", "19.214.210.80"),
            (OTHER, "10.0.0.234", "19.214.210.30"),
            (OTHER, "172.16.5.193", "210.78.229.136"),
            (OTHER, "172.16.97.42", "210.78.179.241"),
            (OTHER, "172.16.248.177", "210.78.121.215"),
            (OTHER, "2001:db8::a5c9:4e2f:bb91:5a7d", "7cec:702c:1243:f70:1956:125:b9bd:1aba"),
            (OTHER, "2001:db8::7234:d8f1:3c6e:9a52", "7cec:702c:1243:f70:a3ef:c8e:95c1:cd0d"),
            (OTHER, "2001:db8:3a5c::e7d1:4b9f:2c8a:f673", "7cec:702c:3503:bef:e616:96bd:be33:a9b9"),
            (OTHER, "2001:db8:d8b4::193c:a5e7:8b2f:46d1", "7cec:702c:f840:aa67:1b8:e84f:ac9d:77fb"),
        ] {
            let mut pseudonyms = Pseudonyms::new(&key(digits));
            // Computed, and from the cache.
            for _ in 0..2 {
                assert_eq!(pseudonyms.of(address(plain)), address(pseudonym), "{plain}");
            }
        }
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_one_of_ipv4() {
        let mut pseudonyms = Pseudonyms::new(&key(PUBLISHED));
        assert_eq!(pseudonyms.of(address("::ffff:192.0.2.1")), address("::ffff:100.115.72.131"));
        let masks = Masks::default();
        assert_eq!(masks.apply(address("::ffff:192.0.2.1")), address("::ffff:192.0.2.0"));
    }

    #[test]
    fn masks_leave_the_prefix() {
        let of = |ipv4, ipv6, text| Masks { ipv4, ipv6 }.apply(address(text));
        for (ipv4, ipv6, plain, masked) in [
            (24, 56, "10.1.2.3", "10.1.2.0"),
            (24, 56, "2001:db8:1:2345:6::7", "2001:db8:1:2300::"),
            (0, 0, "10.1.2.3", "0.0.0.0"),
            (0, 0, "2001:db8::1", "::"),
            (32, 128, "10.1.2.3", "10.1.2.3"),
            (32, 128, "2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(of(ipv4, ipv6, plain), address(masked), "{plain}");
        }
    }

    /// Number of leading bits that two addresses of one family have in common.
    fn common(one: IpAddr, other: IpAddr) -> u32 {
        match (one, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => panic!("{one} and {other} are of two families"),
        }
    }

    /// Two addresses that are the same up to some bit, of which the next one differs.
    fn neighbours() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        let differing = |bits: u128, other: u128, width: u32, place: u32| {
            let bit = 1_u128 << (width - 1 - place);
            bits ^ bit ^ (other & (bit - 1))
        };
        prop_oneof![
            (any::<u32>(), any::<u32>(), 0..32_u32).prop_map(move |(bits, other, place)| {
                let second = differing(bits.into(), other.into(), 32, place);
                (Ipv4Addr::from(bits).into(), Ipv4Addr::from(u32::try_from(second).unwrap()).into())
            }),
            (any::<u128>(), any::<u128>(), 0..128_u32).prop_map(move |(bits, other, place)| {
                (Ipv6Addr::from(bits).into(), Ipv6Addr::from(differing(bits, other, 128, place)).into())
            }),
        ]
    }

    proptest! {
        #[test]
        fn pseudonyms_have_as_many_bits_in_common_as_the_addresses((one, other) in neighbours()) {
            let mut pseudonyms = Pseudonyms::new(&key(PUBLISHED));
            prop_assert_eq!(common(pseudonyms.of(one), pseudonyms.of(other)), common(one, other));
        }

        /// However many addresses have pushed each other out of the cache meanwhile.
        #[test]
        fn the_same_key_gives_the_same_pseudonym(addresses in prop::collection::vec(any::<u32>(), 1..50)) {
            let mut cached = Pseudonyms::new(&key(PUBLISHED));
            cached.cache.resize(CACHED, Some((address("10.0.0.1"), address("10.0.0.2"))));
            for _ in 0..2 {
                for &bits in &addresses {
                    let address = IpAddr::from(Ipv4Addr::from(bits));
                    let fresh = Pseudonyms::new(&key(PUBLISHED)).of(address);
                    prop_assert_eq!(cached.of(address), fresh);
                    prop_assert_eq!(fresh.is_ipv4(), address.is_ipv4());
                }
            }
            prop_assert_eq!(cached.cache.len(), CACHED);
        }

        #[test]
        fn a_mask_hides_what_is_behind_its_prefix((one, other) in neighbours(), ipv4 in 0..=32_u8, ipv6 in 0..=128_u8) {
            let masks = Masks { ipv4, ipv6 };
            let prefix = if one.is_ipv4() { ipv4 } else { ipv6 };
            let is_mapped = |address: IpAddr| matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
            prop_assume!(!is_mapped(one) && !is_mapped(other));
            prop_assert_eq!(masks.apply(one) == masks.apply(other), common(one, other) >= prefix.into());
            prop_assert_eq!(masks.apply(masks.apply(one)), masks.apply(one));
        }
    }
}

//! IP addresses as keys of the XDP program's maps.
//!
//! The family is part of the key: an IPv4 address is never found by an IPv6 one, not even by its mapped form
//! (`::ffff:0:0/96`), which may stand in an IPv6 header on the wire all the same.

/// Length of the family of an [`Address`] in bits: what the prefix of every address of a family has in front of its own bits.
pub const FAMILY_BITS: u32 = 32;

/// An IP address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// 4 or 6.
    family: u32,
    /// Its octets in network byte order; of IPv4 the first four, and zeros.
    octets: [u8; 16],
}

impl Address {
    /// An IPv4 address.
    #[inline(always)]
    pub const fn v4([a, b, c, d]: [u8; 4]) -> Self {
        Self { family: 4, octets: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }
    }

    /// An IPv6 address.
    #[inline(always)]
    pub const fn v6(octets: [u8; 16]) -> Self {
        Self { family: 6, octets }
    }

    /// Its bytes, as the key of a map.
    #[inline(always)]
    pub const fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let [f0, f1, f2, f3] = self.family.to_ne_bytes();
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.octets;
        [f0, f1, f2, f3, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }
}

/// A few IPv4 prefixes, to be compared with one after the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPrefixes([FirstPrefix; Self::COUNT]);

/// An IPv4 prefix, its bytes in the order of the wire.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPrefix {
    mask: u32,
    /// The bits of the prefix; no other ones.
    network: u32,
}

impl FirstPrefix {
    /// A prefix that no address has.
    const NONE: Self = Self { mask: 0, network: 1 };

    /// The addresses that equal `address` in the first `length` bits, of 32 at most.
    const fn new(address: [u8; 4], length: u8) -> Self {
        let mask = match u32::MAX.checked_shl(32 - length as u32) {
            Some(mask) => mask.to_be(),
            None => 0,
        };
        Self { mask, network: u32::from_ne_bytes(address) & mask }
    }

    /// `true` if `address` has the prefix.
    #[inline(always)]
    pub const fn contains(self, address: [u8; 4]) -> bool {
        u32::from_ne_bytes(address) & self.mask == self.network
    }
}

impl FirstPrefixes {
    /// Largest number of them: a load balancer sends from one address in each zone.
    pub const COUNT: usize = 8;

    /// None.
    pub const NONE: Self = Self([FirstPrefix::NONE; Self::COUNT]);

    /// The first of `prefixes`, each an address and a length in bits, of 32 at most.
    pub fn new(prefixes: impl IntoIterator<Item = ([u8; 4], u8)>) -> Self {
        let mut first = Self::NONE;
        for (place, (address, length)) in first.0.iter_mut().zip(prefixes) {
            *place = FirstPrefix::new(address, length);
        }
        first
    }

    /// As the bytes of a global of the program: pairs of mask and network.
    pub fn to_words(self) -> [[u32; 2]; Self::COUNT] {
        self.0.map(|FirstPrefix { mask, network }| [mask, network])
    }

    /// The prefixes, and places that hold none.
    pub const fn places(&self) -> &[FirstPrefix; Self::COUNT] {
        &self.0
    }
}

/// A few IPv4 addresses, to be compared with one after the other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstAddresses([u64; Self::COUNT]);

impl FirstAddresses {
    /// Largest number of them.
    pub const COUNT: usize = 4;

    /// Set in places that hold an address, so that an empty one equals none.
    const TAKEN: u64 = 1 << 32;

    /// The first of `addresses`.
    pub fn new(addresses: impl IntoIterator<Item = [u8; 4]>) -> Self {
        let mut first = Self::default();
        for (place, address) in first.0.iter_mut().zip(addresses) {
            *place = Self::place(address);
        }
        first
    }

    #[inline(always)]
    const fn place(address: [u8; 4]) -> u64 {
        Self::TAKEN | u32::from_ne_bytes(address) as u64
    }

    /// `true` if `address` is one of them.
    #[inline(always)]
    pub fn contain(&self, address: [u8; 4]) -> bool {
        let wanted = Self::place(address);
        let [a, b, c, d] = self.0;
        a == wanted || b == wanted || c == wanted || d == wanted
    }

    /// As the value of a map.
    pub const fn to_words(self) -> [u64; Self::COUNT] {
        self.0
    }
}

const _: () = assert!(size_of::<Address>() == 20);

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn bytes_lie_at_the_offsets_of_the_fields() {
        assert_eq!(offset_of!(Address, family), 0);
        assert_eq!(offset_of!(Address, octets) * 8, FAMILY_BITS as usize);
        let octets = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let bytes = Address::v6(octets).to_bytes();
        assert_eq!((&bytes[..4], &bytes[4..]), (&6_u32.to_ne_bytes()[..], &octets[..]));
        let bytes = Address::v4([192, 0, 2, 1]).to_bytes();
        assert_eq!(bytes[..4], 4_u32.to_ne_bytes());
        assert_eq!(bytes[4..], [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn the_first_addresses_are_found_and_empty_places_are_not() {
        let addresses = [[0, 0, 0, 0], [192, 0, 2, 2], [10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]];
        for count in 0..=addresses.len() {
            let first = FirstAddresses::new(addresses[..count].iter().copied());
            for (number, address) in addresses.iter().enumerate() {
                assert_eq!(
                    first.contain(*address),
                    number < count.min(FirstAddresses::COUNT),
                    "{address:?} in {first:?}"
                );
            }
        }
    }

    #[test]
    fn the_first_prefixes_are_found_and_empty_places_are_not() {
        let addresses = [[0, 0, 0, 0], [1, 0, 0, 0], [10, 1, 2, 3], [10, 1, 2, 4], [255; 4]];
        let found = |prefixes: &[([u8; 4], u8)]| {
            let first = FirstPrefixes::new(prefixes.iter().copied());
            addresses.map(|address| first.places().iter().any(|place| place.contains(address)))
        };
        assert_eq!(found(&[]), [false; 5]);
        assert_eq!(found(&[([10, 1, 2, 3], 0)]), [true; 5]);
        assert_eq!(found(&[([10, 1, 2, 3], 32)]), [false, false, true, false, false]);
        assert_eq!(found(&[([10, 1, 99, 99], 16)]), [false, false, true, true, false]);
        assert_eq!(found(&[([0; 4], 32), ([255; 4], 1)]), [true, false, false, false, true]);
        let many = [([1, 0, 0, 0], 32); FirstPrefixes::COUNT];
        let all: std::vec::Vec<_> = many.into_iter().chain([([10, 1, 2, 3], 32)]).collect();
        assert_eq!(found(&all), [false, true, false, false, false], "one more than there are places");
        for (words, place) in
            FirstPrefixes::new(many).to_words().into_iter().zip(FirstPrefixes::new(many).places())
        {
            assert_eq!(words, [place.mask, place.network]);
        }
    }

    #[test]
    fn families_have_no_address_in_common() {
        assert_ne!(Address::v4([0; 4]), Address::v6([0; 16]));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3];
        assert_ne!(Address::v4([10, 1, 2, 3]), Address::v6(mapped));
    }
}

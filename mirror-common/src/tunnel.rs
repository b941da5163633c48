//! Tunnels that a rule is for, and the choice among several rules for a packet.
//!
//! A rule names a Gateway Load Balancer endpoint, a VNI, or both. The VNI of a packet is that of its mirror session's
//! VXLAN; without VXLAN, that of GENEVE. User space and the XDP program decide by this same code.

/// Kinds of [`TunnelKey`] as bits, so that the kinds in use make up a set.
pub mod kind {
    /// An endpoint, and a VNI there.
    pub const ENDPOINT_AND_VNI: u16 = 1;
    /// An endpoint, whatever the VNI.
    pub const ENDPOINT: u16 = 2;
    /// A VNI, whatever the endpoint, also without one.
    pub const VNI: u16 = 4;
}

/// The tunnels that a rule is for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunnelKey {
    /// 0 where no endpoint is named.
    endpoint: u64,
    /// 0 where no VNI is named.
    vni: u32,
    /// One of the constants in [`kind`].
    kind: u32,
}

impl TunnelKey {
    /// The tunnels of an endpoint, of a VNI, or of both; [`None`] where neither is named.
    pub const fn new(endpoint: Option<u64>, vni: Option<u32>) -> Option<Self> {
        match (endpoint, vni) {
            (Some(endpoint), Some(vni)) => Some(Self { endpoint, vni, kind: kind::ENDPOINT_AND_VNI as u32 }),
            (Some(endpoint), None) => Some(Self { endpoint, vni: 0, kind: kind::ENDPOINT as u32 }),
            (None, Some(vni)) => Some(Self { endpoint: 0, vni, kind: kind::VNI as u32 }),
            (None, None) => None,
        }
    }

    /// Its kind: one of the constants in [`kind`].
    #[expect(clippy::cast_possible_truncation, reason = "a constant of 16 bits")]
    pub const fn kind(self) -> u16 {
        self.kind as u16
    }

    /// Its bytes, as the key of a map of the XDP program.
    pub const fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let [e0, e1, e2, e3, e4, e5, e6, e7] = self.endpoint.to_ne_bytes();
        let [v0, v1, v2, v3] = self.vni.to_ne_bytes();
        let [k0, k1, k2, k3] = self.kind.to_ne_bytes();
        [e0, e1, e2, e3, e4, e5, e6, e7, v0, v1, v2, v3, k0, k1, k2, k3]
    }
}

/// The value that `look_up` finds for a packet of `endpoint` and `vni`, as far as it has them. Asks for the keys that the packet
/// falls under, if `kinds` says that there are any of that kind: endpoint and VNI first, then the endpoint, then the
/// VNI.
#[inline(always)]
pub fn most_specific<T>(
    kinds: u16,
    endpoint: Option<u64>,
    vni: Option<u32>,
    mut look_up: impl FnMut(&TunnelKey) -> Option<T>,
) -> Option<T> {
    let mut look_up = |kind, endpoint, vni| {
        if kinds & kind == 0 {
            return None;
        }
        look_up(&TunnelKey::new(endpoint, vni)?)
    };
    if endpoint.is_some() {
        if vni.is_some()
            && let Some(found) = look_up(kind::ENDPOINT_AND_VNI, endpoint, vni)
        {
            return Some(found);
        }
        if let Some(found) = look_up(kind::ENDPOINT, endpoint, None) {
            return Some(found);
        }
    }
    look_up(kind::VNI, None, vni)
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    const ENDPOINT: Option<u64> = Some(0x0102_0304_0506_0708);
    const VNI: Option<u32> = Some(7);
    const ALL: u16 = kind::ENDPOINT_AND_VNI | kind::ENDPOINT | kind::VNI;

    #[test]
    fn bytes_lie_at_the_offsets_of_the_fields() {
        let bytes = TunnelKey::new(ENDPOINT, VNI).unwrap().to_bytes();
        let word = |offset: usize| u32::from_ne_bytes(bytes[offset..offset + 4].try_into().unwrap());
        assert_eq!(offset_of!(TunnelKey, endpoint), 0);
        assert_eq!(bytes[..8], 0x0102_0304_0506_0708_u64.to_ne_bytes());
        assert_eq!(word(offset_of!(TunnelKey, vni)), 7);
        assert_eq!(word(offset_of!(TunnelKey, kind)), u32::from(kind::ENDPOINT_AND_VNI));
    }

    #[test]
    fn asks_from_the_most_to_the_least_specific() {
        let both = TunnelKey::new(ENDPOINT, VNI);
        let endpoint = TunnelKey::new(ENDPOINT, None);
        let vni = TunnelKey::new(None, VNI);
        /// Kinds in use, endpoint and VNI of a packet, and the keys that are asked for.
        type Case = (u16, Option<u64>, Option<u32>, [Option<TunnelKey>; 3]);
        let cases: [Case; 9] = [
            (ALL, ENDPOINT, VNI, [both, endpoint, vni]),
            (ALL, ENDPOINT, None, [endpoint, None, None]),
            (ALL, None, VNI, [vni, None, None]),
            (ALL, None, None, [None; 3]),
            (0, ENDPOINT, VNI, [None; 3]),
            (kind::ENDPOINT_AND_VNI, ENDPOINT, VNI, [both, None, None]),
            (kind::ENDPOINT, ENDPOINT, VNI, [endpoint, None, None]),
            (kind::VNI, ENDPOINT, VNI, [vni, None, None]),
            (kind::ENDPOINT_AND_VNI | kind::VNI, ENDPOINT, VNI, [both, vni, None]),
        ];
        for (kinds, endpoint, vni, expected) in cases {
            let mut asked = [None; 3];
            let mut places = asked.iter_mut();
            let nothing: Option<()> = most_specific(kinds, endpoint, vni, |key| {
                *places.next().unwrap() = Some(*key);
                None
            });
            assert_eq!((nothing, asked), (None, expected), "{kinds} {endpoint:?} {vni:?}");
            for found in expected.into_iter().flatten() {
                let first = most_specific(kinds, endpoint, vni, |key| (*key == found).then_some(found));
                assert_eq!(first, Some(found));
            }
        }
    }

    #[test]
    fn a_key_that_names_nothing_of_a_kind_is_not_one_of_number_0() {
        assert_ne!(TunnelKey::new(Some(0), None), TunnelKey::new(Some(0), Some(0)));
        assert_ne!(TunnelKey::new(None, Some(0)), TunnelKey::new(Some(0), Some(0)));
        assert_eq!(TunnelKey::new(None, None), None);
    }
}

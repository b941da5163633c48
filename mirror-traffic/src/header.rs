//! The first bytes of a frame, with the offsets of the fields that vary.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a field takes the low bits of a wider number, a checksum folds"
)]

/// Bytes of a [`Header`]: Ethernet, IPv4, UDP, GENEVE with its options, IPv4, UDP, VXLAN, Ethernet, IPv6 and TCP.
pub const HEADER_LENGTH: usize = 192;

/// A stamp counts units of 2 to this power of nanoseconds: in its 32 bits it comes around every 275 seconds.
pub const STAMP_SHIFT: u32 = 6;

/// The first bytes of a frame, as 16-bit words in the order of the wire. Every field that varies lies at an even
/// offset.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header(pub [u16; HEADER_LENGTH / 2]);

/// Places in a [`Header`], in 16-bit words.
pub(crate) mod place {
    /// Total length of the outer IPv4 header.
    pub const OUTER_LENGTH: usize = 16 / 2;
    /// Source port of the outer UDP header.
    pub const OUTER_PORT: usize = 34 / 2;
    /// Value of the first GENEVE option: the endpoint.
    pub const ENDPOINT: usize = 54 / 2;
    /// Value of the second: the attachment.
    pub const ATTACHMENT: usize = 66 / 2;
    /// Value of the third: the flow cookie.
    pub const COOKIE: usize = 78 / 2;
    /// Payload of GENEVE: an IP header.
    pub const PAYLOAD: usize = 82 / 2;
    /// Source port of VXLAN.
    pub const VXLAN_PORT: usize = 102 / 2;
    /// VNI of VXLAN.
    pub const VXLAN_VNI: usize = 114 / 2;
    /// Ethernet header inside VXLAN.
    pub const VXLAN_ETHERNET: usize = 118 / 2;
    /// IP header inside VXLAN.
    pub const VXLAN_PAYLOAD: usize = 132 / 2;
}

impl Header {
    /// Bytes of the whole frame, by the total length of the outer IPv4 header.
    #[inline(always)]
    pub const fn frame_length(&self) -> u32 {
        14 + u16::from_be(self.0[place::OUTER_LENGTH]) as u32
    }

    /// Puts the time for which the packet was meant, in nanoseconds of `CLOCK_MONOTONIC`, in the place of the flow
    /// cookie, where a record shows it: in units of 2^[`STAMP_SHIFT`], as many as its 32 bits hold.
    #[inline(always)]
    pub const fn stamp(&mut self, intended_ns: u64) {
        self.put_u32(place::COOKIE, (intended_ns >> STAMP_SHIFT) as u32);
    }

    #[inline(always)]
    pub(crate) const fn put(&mut self, place: usize, value: u16) {
        self.0[place] = value.to_be();
    }

    #[inline(always)]
    pub(crate) const fn put_u32(&mut self, place: usize, value: u32) {
        self.put(place, (value >> 16) as u16);
        self.put(place + 1, value as u16);
    }

    #[inline(always)]
    pub(crate) const fn put_u64(&mut self, place: usize, value: u64) {
        self.put_u32(place, (value >> 32) as u32);
        self.put_u32(place + 2, value as u32);
    }

    /// Finishes the Internet checksum at `place`, where the template has the sum over all that does not vary.
    #[inline(always)]
    pub(crate) const fn put_checksum(&mut self, place: usize, varied: u64) {
        let sum = u16::from_be(self.0[place]) as u64 + varied;
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        self.put(place, !(sum as u16));
    }
}

/// Sum of the two 16-bit words of `value`.
#[inline(always)]
pub(crate) const fn words(value: u32) -> u64 {
    (value >> 16) as u64 + (value & 0xffff) as u64
}

const _: () = assert!(size_of::<Header>() == HEADER_LENGTH && HEADER_LENGTH.is_multiple_of(8));

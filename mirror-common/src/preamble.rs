//! Facts of a packet that its bytes do not hold, in front of it on its way from the XDP program to user space.
//!
//! The program adds a [`Preamble`] to the front of a frame where there is something to tell (`bpf_xdp_adjust_head`): a
//! receive time, or the length of a packet that was cut. Other frames come as they were. A preamble begins where the frame
//! would, with the EtherType [`ETHERTYPE`] in the place of the frame's own, so that the two cannot be confused: a redirected
//! frame is IPv4 or IPv6, perhaps behind VLAN tags.
//!
//! The kernel's metadata area (`bpf_xdp_adjust_meta`) would serve as well, but drivers refuse it (ENA up to 2.16), and it
//! costs more: the packet is copied to an address that is no longer the start of a cache line, and user space has to read a
//! cache line more of every frame to see whether there is metadata.

/// The IEEE 802 local experimental EtherType 1, which never occurs in a redirected frame.
pub const ETHERTYPE: u16 = 0x88b5;

/// Size of [`Preamble`] in bytes.
pub const LENGTH: usize = size_of::<Preamble>();

/// The first bytes of a frame, before the packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preamble {
    /// Zero, in the place of a frame's two MAC addresses.
    pub addresses: [u8; 12],
    /// [`ETHERTYPE`] in network byte order, in the place of a frame's EtherType.
    pub ethertype: [u8; 2],
    /// Zero.
    pub padding: [u8; 2],
    /// Kernel receive time: nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`). 0: not taken.
    pub monotonic_ns: u64,
    /// Bytes of the frame on the wire, if it was cut. 0: it was not.
    pub original_length: u32,
    /// Zero.
    pub padding_too: u32,
}

impl Preamble {
    /// A preamble with these two facts.
    #[inline(always)]
    pub const fn new(monotonic_ns: u64, original_length: u32) -> Self {
        Self {
            addresses: [0; 12],
            ethertype: ETHERTYPE.to_be_bytes(),
            padding: [0; 2],
            monotonic_ns,
            original_length,
            padding_too: 0,
        }
    }

    /// The preamble that `frame` begins with, if it has one.
    #[inline(always)]
    pub fn of(frame: &[u8]) -> Option<Self> {
        let [.., e0, e1] = *frame.first_chunk::<14>()?;
        if [e0, e1] != ETHERTYPE.to_be_bytes() {
            return None;
        }
        let [.., t0, t1, t2, t3, t4, t5, t6, t7, l0, l1, l2, l3, _, _, _, _] =
            *frame.first_chunk::<LENGTH>()?;
        let monotonic_ns = u64::from_ne_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
        Some(Self::new(monotonic_ns, u32::from_ne_bytes([l0, l1, l2, l3])))
    }
}

const _: () = assert!(LENGTH == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preamble_is_read_as_it_was_written() {
        let written = Preamble::new(0x0102_0304_0506_0708, 0x090a_0b0c);
        let mut bytes = [0; LENGTH + 1];
        bytes[12..14].copy_from_slice(&written.ethertype);
        bytes[16..24].copy_from_slice(&written.monotonic_ns.to_ne_bytes());
        bytes[24..28].copy_from_slice(&written.original_length.to_ne_bytes());
        assert_eq!(Preamble::of(&bytes), Some(written));
        assert_eq!(Preamble::of(&bytes[..LENGTH - 1]), None, "cut short");
        bytes[12] = 0x08;
        assert_eq!(Preamble::of(&bytes), None, "a frame of another EtherType");
        assert_eq!(Preamble::of(&[]), None);
    }
}

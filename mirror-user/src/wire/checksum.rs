//! The Internet checksum (RFC 1071), for the headers that are emitted. Checksums of captured packets are never
//! verified: mirrored packets may be truncated, and their checksums left to the sender's NIC.

use std::net::IpAddr;

use crate::number::IpProtocol;

/// A running ones' complement sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// Covers `bytes` as well; an odd last byte is padded with zero, so only the last part may have an odd length.
    #[must_use]
    pub fn cover(self, bytes: &[u8]) -> Self {
        let (pairs, last) = bytes.as_chunks::<2>();
        let sum: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
        Self(self.0 + sum + last.first().map_or(0, |byte| u64::from(*byte) << 8))
    }

    /// The checksum, to be stored in network byte order.
    pub fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        let [.., high, low] = sum.to_be_bytes();
        !u16::from_be_bytes([high, low])
    }
}

/// Checksum of a TCP or UDP `segment` (its own checksum field zero) with the pseudo header of its IP addresses
/// (RFC 9293, section 3.1; RFC 8200, section 8.1). A result of 0 is sent as 0xffff in UDP.
pub fn transport(source: IpAddr, destination: IpAddr, protocol: IpProtocol, segment: &[u8]) -> u16 {
    let address = |sum: Checksum, address| match address {
        IpAddr::V4(address) => sum.cover(&address.octets()),
        IpAddr::V6(address) => sum.cover(&address.octets()),
    };
    address(address(Checksum::default(), source), destination)
        .cover(&[0, protocol.0])
        .cover(&(segment.len() as u64).to_be_bytes())
        .cover(segment)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Checksum::default().cover(&bytes).finish(), !0xddf2);
        assert_eq!(Checksum::default().cover(&bytes[..4]).cover(&bytes[4..]).finish(), !0xddf2);
    }

    #[test]
    fn pads_an_odd_byte() {
        assert_eq!(Checksum::default().cover(&[0x12, 0x34, 0x56]).finish(), !(0x1234 + 0x5600));
    }

    #[test]
    fn carries_more_than_once() {
        assert_eq!(Checksum::default().cover(&[0xff; 64]).finish(), 0);
        assert_eq!(Checksum::default().finish(), 0xffff);
    }
}

//! UDP (RFC 768).

use super::reader::Reader;
use crate::packet::Ports;

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source and destination port.
    pub ports: Ports,
    /// Bytes of header and payload.
    pub length: u16,
    /// Checksum; 0 where there is none, as tunnels may have it over IPv6 too (RFC 6935).
    pub checksum: u16,
}

impl Header {
    /// Bytes of the header.
    pub const LENGTH: usize = 8;

    /// A header without a checksum, with `payload_length` bytes behind it, or 0 for the length where that exceeds
    /// 16 bits.
    pub fn new(source: u16, destination: u16, payload_length: usize) -> Self {
        let length = u16::try_from(Self::LENGTH + payload_length).unwrap_or(0);
        Self { ports: Ports { source, destination }, length, checksum: 0 }
    }

    /// Bytes of payload; [`None`] where the length field is below the header's own length.
    #[inline]
    pub fn payload_length(&self) -> Option<usize> {
        usize::from(self.length).checked_sub(Self::LENGTH)
    }

    /// Takes the header; [`None`] where the bytes end within it.
    #[inline]
    pub fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let [s0, s1, d0, d1, l0, l1, c0, c1] = reader.array()?;
        Some(Self {
            ports: Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]) },
            length: u16::from_be_bytes([l0, l1]),
            checksum: u16::from_be_bytes([c0, c1]),
        })
    }

    /// Appends the header.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        for field in [self.ports.source, self.ports.destination, self.length, self.checksum] {
            bytes.extend(field.to_be_bytes());
        }
    }
}

/// Bytes of the ports.
pub const PORTS: usize = 4;

/// Takes the ports only, with which the headers of UDP, TCP and SCTP begin; [`None`] where the bytes end within
/// them.
#[inline]
pub fn ports(reader: &mut Reader<'_>) -> Option<Ports> {
    let [s0, s1, d0, d1] = reader.array::<PORTS>()?;
    Some(Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn new_counts_the_header() {
        assert_eq!(Header::new(1, 2, 0).length, 8);
        assert_eq!(Header::new(1, 2, 65_527).length, 65_535);
        assert_eq!(Header::new(1, 2, 65_528).length, 0);
        assert_eq!(Header::new(1, 2, 65_527).payload_length(), Some(65_527));
        assert_eq!(Header { length: 7, ..Header::new(1, 2, 0) }.payload_length(), None);
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(source: u16, destination: u16, length: u16, checksum: u16) {
            let header = Header { ports: Ports { source, destination }, length, checksum };
            let mut bytes = Vec::new();
            header.emit(&mut bytes);
            prop_assert_eq!(Header::parse(&mut Reader::new(&bytes)), Some(header));
            prop_assert_eq!(ports(&mut Reader::new(&bytes)), Some(header.ports));
            for end in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&mut Reader::new(&bytes[..end])), None);
                prop_assert_eq!(ports(&mut Reader::new(&bytes[..end])).is_some(), end >= 4);
            }
        }
    }
}

//! TCP (RFC 9293).

use std::net::IpAddr;

use super::checksum;
use super::reader::Reader;
use crate::number::IpProtocol;
use crate::packet::Ports;

const MIN_HEADER_LENGTH: u8 = 20;

/// A TCP header up to its window. The contents of its options are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source and destination port.
    pub ports: Ports,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Bytes of header and options: the data offset, a multiple of 4 up to 60. Below 20 it is invalid.
    pub header_length: u8,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: u8,
    /// Receive window, unscaled.
    pub window: u16,
}

impl Header {
    /// Bytes of a header without options.
    pub const LENGTH: usize = MIN_HEADER_LENGTH as usize;
    /// Bytes of a header up to its window.
    pub const PARSED: usize = 16;

    /// A header without options.
    pub const fn new(ports: Ports, sequence: u32, acknowledgment: u32, flags: u8) -> Self {
        Self { ports, sequence, acknowledgment, header_length: MIN_HEADER_LENGTH, flags, window: u16::MAX }
    }

    /// Takes the header up to its window; [`None`] where the bytes end before that.
    #[inline(always)]
    pub fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, data_offset, flags, w0, w1] =
            reader.array::<{ Self::PARSED }>()?;
        Some(Self {
            ports: Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]) },
            sequence: u32::from_be_bytes([q0, q1, q2, q3]),
            acknowledgment: u32::from_be_bytes([a0, a1, a2, a3]),
            header_length: (data_offset >> 4) * 4,
            flags,
            window: u16::from_be_bytes([w0, w1]),
        })
    }

    /// Appends a whole segment: the header with its checksum, and `payload`. Room for options is filled with
    /// no-operation options.
    pub fn emit(&self, source: IpAddr, destination: IpAddr, payload: &[u8], bytes: &mut Vec<u8>) {
        const NO_OPERATION: u8 = 1;
        let start = bytes.len();
        bytes.extend(self.ports.source.to_be_bytes());
        bytes.extend(self.ports.destination.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.acknowledgment.to_be_bytes());
        bytes.extend([self.header_length / 4 * 16, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]); // checksum and urgent pointer
        let options = usize::from(self.header_length).saturating_sub(Self::LENGTH);
        bytes.extend(std::iter::repeat_n(NO_OPERATION, options));
        bytes.extend(payload);
        let checksum = checksum::transport(source, destination, IpProtocol::TCP, &bytes[start..]);
        bytes[start + 16..start + 18].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parses_what_it_emits(
            (source, destination, window) in any::<(u16, u16, u16)>(),
            (sequence, acknowledgment) in any::<(u32, u32)>(),
            words in 5..=15_u8,
            flags: u8,
            addresses: ([u8; 16], [u8; 16]),
            payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let ports = Ports { source, destination };
            let header =
                Header { ports, sequence, acknowledgment, header_length: words * 4, flags, window };
            let (from, to) = (Ipv6Addr::from(addresses.0), Ipv6Addr::from(addresses.1));
            let mut bytes = Vec::new();
            header.emit(from.into(), to.into(), &payload, &mut bytes);
            prop_assert_eq!(bytes.len(), usize::from(words) * 4 + payload.len());
            prop_assert_eq!(Header::parse(&mut Reader::new(&bytes)), Some(header));
            prop_assert_eq!(checksum::transport(from.into(), to.into(), IpProtocol::TCP, &bytes), 0);
            for end in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&mut Reader::new(&bytes[..end])).is_some(), end >= 16);
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_etherparse() {
        let ports = Ports { source: 4660, destination: 443 };
        let (from, to) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 2));
        let mut bytes = Vec::new();
        Header::new(ports, 0x0102_0304, 0, 2).emit(from.into(), to.into(), &[1, 2, 3], &mut bytes);
        let oracle = etherparse::TcpSlice::from_slice(&bytes).unwrap();
        let expected = oracle.calc_checksum_ipv4(from.octets(), to.octets()).unwrap();
        assert_eq!(oracle.checksum(), expected);
    }
}

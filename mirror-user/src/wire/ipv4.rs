//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::checksum::Checksum;
use super::error::IpHeaderError;
use super::reader::Reader;
use crate::number::IpProtocol;
use crate::packet::Fragment;

const MIN_HEADER_LENGTH: u8 = 20;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// An IPv4 header. The contents of its options are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Protocol of the payload.
    pub protocol: IpProtocol,
    /// Bytes of header and options: 20 to 60, a multiple of 4.
    pub header_length: u8,
    /// Bytes of header, options and payload, at least `header_length`. 0 in a packet captured ahead of the NIC that
    /// would have split it.
    pub total_length: u16,
    /// Time to live.
    pub hop_limit: u8,
    /// Identification, which fragments of one packet share.
    pub identification: u16,
    /// `true` if routers may not fragment it.
    pub dont_fragment: bool,
    /// `true` if more fragments follow.
    pub more_fragments: bool,
    /// Offset of this fragment's payload in bytes, a multiple of 8.
    pub fragment_offset: u16,
}

impl Header {
    /// Bytes of a header without options.
    pub const LENGTH: usize = MIN_HEADER_LENGTH as usize;
    /// Bytes in front of the two addresses.
    pub const ADDRESSES: usize = 12;

    /// A header without options of an unfragmented packet with `payload_length` bytes behind it, or 0 for the total
    /// length where that exceeds 16 bits.
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: IpProtocol, payload_length: usize) -> Self {
        Self {
            source,
            destination,
            protocol,
            header_length: MIN_HEADER_LENGTH,
            total_length: u16::try_from(Self::LENGTH + payload_length).unwrap_or(0),
            hop_limit: 64,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
        }
    }

    /// Fragmentation of the packet; [`None`] where it is whole.
    #[inline(always)]
    pub fn fragment(&self) -> Option<Fragment> {
        (self.more_fragments || self.fragment_offset != 0).then_some(Fragment {
            identification: u32::from(self.identification),
            offset: self.fragment_offset,
            more: self.more_fragments,
        })
    }

    /// Takes the header and its options.
    ///
    /// # Errors
    ///
    /// In this order: [`IpHeaderError::Truncated`] where the bytes end within the first 20; [`IpHeaderError::Malformed`] where the
    /// version is not 4 or the header length below 20; [`IpHeaderError::Truncated`] where the bytes end within the options;
    /// [`IpHeaderError::Malformed`] where the total length is below the header length and not 0.
    #[inline(always)]
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, IpHeaderError> {
        let fixed = reader.array::<{ Self::LENGTH }>().ok_or(IpHeaderError::Truncated)?;
        let [version_and_length, _, l0, l1, i0, i1, f0, f1, hop_limit, protocol, _, _, addresses @ ..] =
            fixed;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let header_length = (version_and_length & 0x0f) * 4;
        let total_length = u16::from_be_bytes([l0, l1]);
        if version_and_length >> 4 != 4 || header_length < MIN_HEADER_LENGTH {
            return Err(IpHeaderError::Malformed);
        }
        reader.skip(usize::from(header_length) - Self::LENGTH).ok_or(IpHeaderError::Truncated)?;
        if total_length != 0 && total_length < u16::from(header_length) {
            return Err(IpHeaderError::Malformed);
        }
        let fragmentation = u16::from_be_bytes([f0, f1]);
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            protocol: IpProtocol(protocol),
            header_length,
            total_length,
            hop_limit,
            identification: u16::from_be_bytes([i0, i1]),
            dont_fragment: fragmentation & DONT_FRAGMENT != 0,
            more_fragments: fragmentation & MORE_FRAGMENTS != 0,
            fragment_offset: (fragmentation & FRAGMENT_OFFSET) * 8,
        })
    }

    /// Appends the header with its checksum. Room for options is filled with no-operation options.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        const NO_OPERATION: u8 = 1;
        let start = bytes.len();
        let fragmentation = (self.fragment_offset / 8)
            | if self.dont_fragment { DONT_FRAGMENT } else { 0 }
            | if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        bytes.extend([0x40 | (self.header_length / 4), 0]);
        bytes.extend(self.total_length.to_be_bytes());
        bytes.extend(self.identification.to_be_bytes());
        bytes.extend(fragmentation.to_be_bytes());
        bytes.extend([self.hop_limit, self.protocol.0, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        let options = usize::from(self.header_length).saturating_sub(Self::LENGTH);
        bytes.extend(std::iter::repeat_n(NO_OPERATION, options));
        let checksum = Checksum::default().cover(&bytes[start..]).finish();
        bytes[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example header of many a textbook, whose checksum is 0xb861.
    const EXAMPLE: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
        0xa8, 0x00, 0xc7,
    ];

    fn parse(bytes: &[u8]) -> Result<(Header, usize), IpHeaderError> {
        let mut reader = Reader::new(bytes);
        Header::parse(&mut reader).map(|header| (header, reader.position()))
    }

    #[test]
    fn reads_and_writes_the_example() {
        let header =
            Header::new([192, 168, 0, 1].into(), [192, 168, 0, 199].into(), IpProtocol::UDP, 0x73 - 20);
        assert_eq!(parse(&EXAMPLE), Ok((header, 20)));
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
        assert_eq!(bytes, EXAMPLE);
    }

    #[test]
    fn judges_the_header() {
        let with = |edits: &[(usize, u8)]| {
            let mut bytes = [&EXAMPLE[..], &[0; 40]].concat();
            for (index, byte) in edits {
                bytes[*index] = *byte;
            }
            parse(&bytes).map(|(_, length)| length)
        };
        type Case<'a> = (&'a [(usize, u8)], Result<usize, IpHeaderError>);
        let cases: [Case<'_>; 9] = [
            (&[(0, 0x46)], Ok(24)),
            (&[(0, 0x4f)], Ok(60)),
            (&[(0, 0x44)], Err(IpHeaderError::Malformed)),
            (&[(0, 0x40)], Err(IpHeaderError::Malformed)),
            (&[(0, 0x65)], Err(IpHeaderError::Malformed)),
            (&[(3, 19)], Err(IpHeaderError::Malformed)),
            (&[(3, 20)], Ok(20)),
            (&[(3, 0)], Ok(20)),
            (&[(0, 0x4f), (3, 59)], Err(IpHeaderError::Malformed)),
        ];
        for (edits, expected) in cases {
            assert_eq!(with(edits), expected, "{edits:x?}");
        }
        for length in 0..20 {
            assert_eq!(parse(&EXAMPLE[..length]), Err(IpHeaderError::Truncated));
        }
        let options_cut_off = [&[0x46], &EXAMPLE[1..], &[1, 1, 1]].concat();
        assert_eq!(parse(&options_cut_off), Err(IpHeaderError::Truncated));
    }

    #[test]
    fn knows_fragments() {
        let whole = Header::new([1; 4].into(), [2; 4].into(), IpProtocol::UDP, 8);
        assert_eq!(whole.fragment(), None);
        let first = Header { identification: 7, more_fragments: true, ..whole };
        assert_eq!(first.fragment(), Some(Fragment { identification: 7, offset: 0, more: true }));
        let last = Header { identification: 7, fragment_offset: 65528, ..whole };
        assert_eq!(last.fragment(), Some(Fragment { identification: 7, offset: 65528, more: false }));
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(
            addresses: ([u8; 4], [u8; 4]),
            protocol: u8,
            words in 5..=15_u8,
            payload in 0..65_000_u16,
            (hop_limit, identification) in any::<(u8, u16)>(),
            (dont_fragment, more_fragments) in any::<(bool, bool)>(),
            offset in 0..=FRAGMENT_OFFSET,
        ) {
            let header = Header {
                source: addresses.0.into(),
                destination: addresses.1.into(),
                protocol: IpProtocol(protocol),
                header_length: words * 4,
                total_length: u16::from(words) * 4 + payload,
                hop_limit,
                identification,
                dont_fragment,
                more_fragments,
                fragment_offset: offset * 8,
            };
            let mut bytes = vec![0xaa]; // what was there before stays
            header.emit(&mut bytes);
            prop_assert_eq!(parse(&bytes[1..]), Ok((header, usize::from(words) * 4)));
            prop_assert_eq!(Checksum::default().cover(&bytes[1..]).finish(), 0);
        }
    }
}

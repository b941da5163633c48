//! IPv4 and IPv6 headers as one value.

use std::net::IpAddr;

use super::error::IpHeaderError;
use super::reader::Reader;
use super::{ipv4, ipv6};
use crate::number::{EtherType, IpProtocol};
use crate::packet::Fragment;

/// Version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// The version of an EtherType; [`None`] where it is that of another protocol.
    #[inline(always)]
    pub const fn of_ethertype(ethertype: EtherType) -> Option<Self> {
        match ethertype {
            EtherType::IPV4 => Some(Self::V4),
            EtherType::IPV6 => Some(Self::V6),
            _ => None,
        }
    }

    /// The version by the first four bits of a packet; [`None`] where it is neither.
    #[inline(always)]
    pub const fn of_packet(first_byte: u8) -> Option<Self> {
        match first_byte >> 4 {
            4 => Some(Self::V4),
            6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Source and destination address, borrowed from the packet. They become [`IpAddr`]s only on request: those are large, and
/// most headers on the way to a mirrored packet are not asked for theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// IPv4: source and destination.
    V4(&'a [u8; 4], &'a [u8; 4]),
    /// IPv6: source and destination.
    V6(&'a [u8; 16], &'a [u8; 16]),
}

impl Addresses<'_> {
    /// The source address.
    #[inline]
    pub fn source(self) -> IpAddr {
        match self {
            Self::V4(source, _) => (*source).into(),
            Self::V6(source, _) => (*source).into(),
        }
    }

    /// The destination address, of the same family as the source.
    #[inline]
    pub fn destination(self) -> IpAddr {
        match self {
            Self::V4(_, destination) => (*destination).into(),
            Self::V6(_, destination) => (*destination).into(),
        }
    }
}

/// An IP header with what follows it, extension headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Source and destination address.
    pub addresses: Addresses<'a>,
    /// Protocol of the payload.
    pub protocol: IpProtocol,
    /// Bytes of the whole packet, at least those of its header. [`None`] where the packet does not say: segments
    /// captured before the NIC splits them, and jumbograms (RFC 2675).
    pub length: Option<usize>,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Set where the packet is a fragment.
    pub fragment: Option<Fragment>,
}

impl<'a> Header<'a> {
    /// Takes the header, and limits `reader` to the packet's payload, without the padding behind it.
    ///
    /// # Errors
    ///
    /// When there is no such header.
    #[inline(always)]
    pub fn parse(reader: &mut Reader<'a>, version: Version) -> Result<Self, IpHeaderError> {
        match version {
            Version::V4 => Self::parse_v4(reader),
            Version::V6 => Self::parse_v6(reader),
        }
    }

    #[inline(always)]
    fn parse_v4(reader: &mut Reader<'a>) -> Result<Self, IpHeaderError> {
        let mut ahead = *reader;
        let header = ipv4::Header::parse(reader)?;
        ahead.skip(ipv4::Header::ADDRESSES).ok_or(IpHeaderError::Truncated)?;
        let source = ahead.array_ref().ok_or(IpHeaderError::Truncated)?;
        let destination = ahead.array_ref().ok_or(IpHeaderError::Truncated)?;
        let length = (header.total_length != 0).then_some(header.total_length);
        if let Some(length) = length {
            reader.limit(usize::from(length - u16::from(header.header_length)));
        }
        Ok(Self {
            addresses: Addresses::V4(source, destination),
            protocol: header.protocol,
            length: length.map(usize::from),
            hop_limit: header.hop_limit,
            fragment: header.fragment(),
        })
    }

    #[inline(always)]
    fn parse_v6(reader: &mut Reader<'a>) -> Result<Self, IpHeaderError> {
        let mut ahead = *reader;
        let header = ipv6::Header::parse(reader)?;
        ahead.skip(ipv6::Header::ADDRESSES).ok_or(IpHeaderError::Truncated)?;
        let source = ahead.array_ref().ok_or(IpHeaderError::Truncated)?;
        let destination = ahead.array_ref().ok_or(IpHeaderError::Truncated)?;
        let has_length = header.payload_length != 0 || header.next_header == IpProtocol::NO_NEXT_HEADER;
        let length = has_length.then_some(header.payload_length);
        if let Some(length) = length {
            reader.limit(usize::from(length));
        }
        let mut behind = *reader; // a copy, so that `reader` need not be in memory for this call
        let extensions = ipv6::Extensions::parse(&mut behind, header.next_header)?;
        *reader = behind;
        Ok(Self {
            addresses: Addresses::V6(source, destination),
            protocol: extensions.protocol,
            length: length.map(|length| ipv6::Header::LENGTH + usize::from(length)),
            hop_limit: header.hop_limit,
            fragment: extensions.fragment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PADDING: [u8; 6] = [0; 6];

    fn v4(total_length: u16) -> Vec<u8> {
        let header = ipv4::Header {
            total_length,
            ..ipv4::Header::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), IpProtocol::UDP, 0)
        };
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
        bytes
    }

    fn v6(next_header: IpProtocol, payload_length: u16) -> Vec<u8> {
        let header = ipv6::Header {
            payload_length,
            ..ipv6::Header::new([1; 16].into(), [2; 16].into(), next_header, 0)
        };
        let mut bytes = Vec::new();
        header.emit(&mut bytes);
        bytes
    }

    /// The length in the header, and the bytes of payload that are left to the reader.
    fn parse(
        header: &[u8],
        behind: &[u8],
        version: Version,
    ) -> Result<(Option<usize>, usize), IpHeaderError> {
        let bytes = [header, behind].concat();
        let mut reader = Reader::new(&bytes);
        let header = Header::parse(&mut reader, version)?;
        Ok((header.length, reader.remaining()))
    }

    #[test]
    fn the_packet_ends_where_its_length_says() {
        let udp = IpProtocol::UDP;
        let cases = [
            (v4(24), Version::V4, Some(24), 4),
            (v4(20), Version::V4, Some(20), 0),
            (v4(1500), Version::V4, Some(1500), 6),
            (v4(0), Version::V4, None, 6),
            (v6(udp, 4), Version::V6, Some(44), 4),
            (v6(udp, 1000), Version::V6, Some(1040), 6),
            (v6(udp, u16::MAX), Version::V6, Some(65_575), 6),
            (v6(udp, 0), Version::V6, None, 6),
            (v6(IpProtocol::NO_NEXT_HEADER, 0), Version::V6, Some(40), 0),
        ];
        for (header, version, length, left) in cases {
            assert_eq!(parse(&header, &PADDING, version), Ok((length, left)), "{header:x?}");
        }
    }

    #[test]
    fn extension_headers_do_not_reach_into_padding() {
        let options = [IpProtocol::UDP.0, 0, 0, 0, 0, 0, 0, 0];
        let header = |length| v6(IpProtocol::HOP_BY_HOP, length);
        assert_eq!(parse(&header(10), &[options, [0xaa; 8]].concat(), Version::V6), Ok((Some(50), 2)));
        assert_eq!(parse(&header(7), &options, Version::V6), Err(IpHeaderError::Truncated));
    }

    #[test]
    fn the_version_is_told_twice() {
        assert_eq!(parse(&v4(20), &[0; 20], Version::V6), Err(IpHeaderError::Malformed));
        assert_eq!(parse(&v6(IpProtocol::TCP, 0), &[], Version::V4), Err(IpHeaderError::Malformed));
        assert_eq!(Version::of_packet(0x45), Some(Version::V4));
        assert_eq!(Version::of_packet(0x6f), Some(Version::V6));
        assert_eq!(Version::of_packet(0x54), None);
    }
}

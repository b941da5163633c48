//! IPv6 and its extension headers (RFC 8200).

use std::net::Ipv6Addr;

use super::error::IpHeaderError;
use super::reader::Reader;
use crate::number::IpProtocol;
use crate::packet::Fragment;

/// Most extension headers that are followed. A regular packet has at most one of each kind, and destination
/// options twice; longer chains are made to hide something or to waste time.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// An IPv6 header without its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub source: Ipv6Addr,
    /// Destination address.
    pub destination: Ipv6Addr,
    /// Protocol of the payload, or kind of the first extension header.
    pub next_header: IpProtocol,
    /// Bytes behind this header, extension headers included. 0 in a jumbogram (RFC 2675).
    pub payload_length: u16,
    /// Hop limit.
    pub hop_limit: u8,
}

impl Header {
    /// Bytes of the header.
    pub const LENGTH: usize = 40;
    /// Bytes in front of the two addresses.
    pub const ADDRESSES: usize = 8;

    /// A header with `payload_length` bytes behind it, or 0 in that field where they exceed 16 bits.
    pub fn new(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: IpProtocol,
        payload_length: usize,
    ) -> Self {
        let payload_length = u16::try_from(payload_length).unwrap_or(0);
        Self { source, destination, next_header, payload_length, hop_limit: 64 }
    }

    /// Takes the header.
    ///
    /// # Errors
    ///
    /// [`IpHeaderError::Truncated`] where the bytes end within it; [`IpHeaderError::Malformed`] where the version is not 6.
    #[inline]
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, IpHeaderError> {
        let [version, _, _, _, l0, l1, next_header, hop_limit] =
            reader.array().ok_or(IpHeaderError::Truncated)?;
        let source = reader.array::<16>().ok_or(IpHeaderError::Truncated)?;
        let destination = reader.array::<16>().ok_or(IpHeaderError::Truncated)?;
        if version >> 4 != 6 {
            return Err(IpHeaderError::Malformed);
        }
        Ok(Self {
            source: source.into(),
            destination: destination.into(),
            next_header: IpProtocol(next_header),
            payload_length: u16::from_be_bytes([l0, l1]),
            hop_limit,
        })
    }

    /// Appends the header, with traffic class and flow label 0.
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        bytes.extend([0x60, 0, 0, 0]);
        bytes.extend(self.payload_length.to_be_bytes());
        bytes.extend([self.next_header.0, self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
    }
}

/// Content of the extension headers of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Protocol behind the last extension header that can be read. Behind the header of a fragment that is not the
    /// first, no header follows, and this is the protocol that the fragment header names.
    pub protocol: IpProtocol,
    /// Set where a fragment header makes the packet a fragment. An atomic fragment (RFC 6946) is a whole packet.
    pub fragment: Option<Fragment>,
}

impl Extensions {
    /// Takes the extension headers, of which the first is of the kind `next_header`, if there are any.
    ///
    /// # Errors
    ///
    /// [`IpHeaderError::Truncated`] where the bytes end within one; [`IpHeaderError::ExtensionHeaders`] where there are more than
    /// [`MAX_EXTENSION_HEADERS`].
    #[inline]
    pub fn parse(reader: &mut Reader<'_>, next_header: IpProtocol) -> Result<Self, IpHeaderError> {
        let mut read = Self { protocol: next_header, fragment: None };
        let mut followed = 0;
        loop {
            let unit = match read.protocol {
                IpProtocol::FRAGMENT => 0,
                IpProtocol::AUTHENTICATION => 4,
                IpProtocol::HOP_BY_HOP
                | IpProtocol::ROUTING
                | IpProtocol::DESTINATION_OPTIONS
                | IpProtocol::MOBILITY
                | IpProtocol::HOST_IDENTITY
                | IpProtocol::SHIM6 => 8,
                _ => return Ok(read),
            };
            if followed == MAX_EXTENSION_HEADERS {
                return Err(IpHeaderError::ExtensionHeaders);
            }
            followed += 1;
            // Every kind is at least 8 bytes long. The length field counts what exceeds that, in units of 4 bytes
            // in the authentication header (RFC 4302, section 2.2), of 8 in the others; a fragment header has none.
            let [next, length, f0, f1, i0, i1, i2, i3] = reader.array().ok_or(IpHeaderError::Truncated)?;
            reader.skip(usize::from(length) * unit).ok_or(IpHeaderError::Truncated)?;
            let kind = std::mem::replace(&mut read.protocol, IpProtocol(next));
            if kind == IpProtocol::FRAGMENT {
                let fragmentation = u16::from_be_bytes([f0, f1]);
                let offset = fragmentation & 0xfff8;
                let more = fragmentation & 1 != 0;
                if offset != 0 || more {
                    let identification = u32::from_be_bytes([i0, i1, i2, i3]);
                    read.fragment = Some(Fragment { identification, offset, more });
                }
                if offset != 0 {
                    return Ok(read);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Extension headers that follow `next_header`, then two bytes of payload.
    fn parse(next_header: u8, headers: &[&[u8]]) -> Result<(Extensions, usize), IpHeaderError> {
        let bytes = [&headers.concat()[..], &[0xaa, 0xbb]].concat();
        let mut reader = Reader::new(&bytes);
        let extensions = Extensions::parse(&mut reader, IpProtocol(next_header))?;
        Ok((extensions, reader.remaining()))
    }

    fn whole(protocol: u8) -> Extensions {
        Extensions { protocol: IpProtocol(protocol), fragment: None }
    }

    #[test]
    fn follows_each_kind() {
        let short = [6, 0, 0, 0, 0, 0, 0, 0];
        let long = [6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for kind in [0, 43, 60, 135, 139, 140] {
            assert_eq!(parse(kind, &[&short]), Ok((whole(6), 2)), "kind {kind}");
            assert_eq!(parse(kind, &[&long]), Ok((whole(6), 2)), "kind {kind}");
        }
        let authentication = [6, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse(51, &[&authentication]), Ok((whole(6), 2)));
        for kind in [6, 17, 50, 58, 59, 132, 253] {
            assert_eq!(parse(kind, &[]), Ok((whole(kind), 2)), "kind {kind}");
        }
    }

    #[test]
    fn reads_fragment_headers() {
        let header = |f0, f1| [60, 0xff, f0, f1, 1, 2, 3, 4];
        let fragment = |offset, more| Some(Fragment { identification: 0x0102_0304, offset, more });
        let options = [17, 0, 0, 0, 0, 0, 0, 0];
        let protocol = IpProtocol(60);
        assert_eq!(parse(44, &[&header(0, 0), &options]), Ok((whole(17), 2)), "atomic");
        let first = Extensions { protocol: IpProtocol::UDP, fragment: fragment(0, true) };
        assert_eq!(parse(44, &[&header(0, 1), &options]), Ok((first, 2)));
        let middle = Extensions { protocol, fragment: fragment(1288, true) };
        assert_eq!(parse(44, &[&header(5, 9), &options]), Ok((middle, 10)), "its payload is no header");
        let last = Extensions { protocol, fragment: fragment(65528, false) };
        assert_eq!(parse(44, &[&header(0xff, 0xfe), &options]), Ok((last, 10)), "reserved bits are ignored");
    }

    #[test]
    fn stops_at_the_end_and_at_the_maximum() {
        assert_eq!(parse(0, &[&[6, 0, 0, 0]]), Err(IpHeaderError::Truncated));
        assert_eq!(parse(0, &[&[6, 1, 0, 0, 0, 0, 0, 0]]), Err(IpHeaderError::Truncated));
        assert_eq!(parse(44, &[&[6, 0, 0, 0]]), Err(IpHeaderError::Truncated));
        let again: &[u8] = &[60, 0, 0, 0, 0, 0, 0, 0];
        let last: &[u8] = &[6, 0, 0, 0, 0, 0, 0, 0];
        let mut chain = vec![again; MAX_EXTENSION_HEADERS - 1];
        chain.push(last);
        assert_eq!(parse(60, &chain), Ok((whole(6), 2)));
        chain.insert(0, again);
        assert_eq!(parse(60, &chain), Err(IpHeaderError::ExtensionHeaders));
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(
            addresses: ([u8; 16], [u8; 16]),
            next_header: u8,
            payload_length: u16,
            hop_limit: u8,
        ) {
            let header = Header {
                source: addresses.0.into(),
                destination: addresses.1.into(),
                next_header: IpProtocol(next_header),
                payload_length,
                hop_limit,
            };
            let mut bytes = Vec::new();
            header.emit(&mut bytes);
            prop_assert_eq!(Header::parse(&mut Reader::new(&bytes)), Ok(header));
            for length in 0..bytes.len() {
                prop_assert_eq!(Header::parse(&mut Reader::new(&bytes[..length])), Err(IpHeaderError::Truncated));
            }
            bytes[0] = 0x45;
            prop_assert_eq!(Header::parse(&mut Reader::new(&bytes)), Err(IpHeaderError::Malformed));
        }
    }
}

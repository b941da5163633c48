//! Ethernet II with up to two VLAN tags (IEEE 802.3, 802.1Q).

use super::reader::Reader;
use crate::number::{EtherType, MacAddress};
use crate::packet::Link;

/// An Ethernet header and its VLAN tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Addresses and VLAN ids.
    pub link: Link,
    /// EtherType behind the tags; of a third VLAN tag where there are more than two. Below 0x0600 it is the length of an 802.3
    /// frame.
    pub ethertype: EtherType,
}

impl Header {
    /// Bytes of a header without VLAN tags.
    pub const LENGTH: usize = 14;

    /// A header without VLAN tags.
    pub const fn new(source: MacAddress, destination: MacAddress, ethertype: EtherType) -> Self {
        Self { link: Link { source, destination, vlans: [None, None] }, ethertype }
    }

    /// Takes the header; [`None`] where the bytes end within it.
    #[inline]
    pub fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = reader.array()?;
        let mut header = Self::new(
            MacAddress([s0, s1, s2, s3, s4, s5]),
            MacAddress([d0, d1, d2, d3, d4, d5]),
            EtherType(u16::from_be_bytes([t0, t1])),
        );
        header.ethertype = behind_tags(reader, header.ethertype, &mut header.link.vlans)?;
        Some(header)
    }

    /// Appends the header. Of two VLAN tags the outer one is a service tag (802.1ad).
    pub fn emit(&self, bytes: &mut Vec<u8>) {
        let Link { source, destination, vlans } = self.link;
        bytes.extend(destination.0);
        bytes.extend(source.0);
        let mut left = vlans.iter().flatten().count();
        for vlan in vlans.into_iter().flatten() {
            let tag = if left == 2 { EtherType::SERVICE_VLAN } else { EtherType::VLAN };
            left -= 1;
            bytes.extend(tag.0.to_be_bytes());
            bytes.extend((vlan & 0x0fff).to_be_bytes());
        }
        bytes.extend(self.ethertype.0.to_be_bytes());
    }
}

/// Takes an EtherType and the VLAN tags behind it, and returns the EtherType behind those; [`None`] where the bytes end
/// within them.
#[inline]
pub fn tagged(reader: &mut Reader<'_>) -> Option<EtherType> {
    let ethertype = EtherType(reader.u16()?);
    behind_tags(reader, ethertype, &mut [None; 2])
}

/// Takes the VLAN tags that `ethertype` announces, and returns the EtherType behind them.
#[inline]
fn behind_tags(
    reader: &mut Reader<'_>,
    mut ethertype: EtherType,
    vlans: &mut [Option<u16>; 2],
) -> Option<EtherType> {
    for vlan in vlans {
        if !matches!(ethertype, EtherType::VLAN | EtherType::SERVICE_VLAN) {
            break;
        }
        *vlan = Some(reader.u16()? & 0x0fff);
        ethertype = EtherType(reader.u16()?);
    }
    Some(ethertype)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADDRESSES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn parse(behind_addresses: &[u8]) -> Option<(Header, usize)> {
        let bytes = [&ADDRESSES, behind_addresses].concat();
        let mut reader = Reader::new(&bytes);
        Header::parse(&mut reader).map(|header| (header, reader.position()))
    }

    #[test]
    fn reads_addresses_and_tags() {
        type Case<'a> = (&'a [u8], [Option<u16>; 2], u16, usize);
        let cases: [Case<'_>; 6] = [
            (&[0x08, 0x00], [None, None], 0x0800, 14),
            (&[0x00, 0x26], [None, None], 0x0026, 14),
            (&[0x81, 0x00, 0xe0, 0x05, 0x86, 0xdd], [Some(5), None], 0x86dd, 18),
            (&[0x88, 0xa8, 0x0f, 0xff, 0x08, 0x06], [Some(4095), None], 0x0806, 18),
            (&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x08, 0x00], [Some(1), Some(2)], 0x0800, 22),
            (&[0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0], [Some(1), Some(2)], 0x8100, 22),
        ];
        for (bytes, vlans, ethertype, length) in cases {
            let (header, position) = parse(bytes).unwrap();
            assert_eq!(header.link.destination, MacAddress([1, 2, 3, 4, 5, 6]));
            assert_eq!(header.link.source, MacAddress([7, 8, 9, 10, 11, 12]));
            assert_eq!((header.link.vlans, header.ethertype.0, position), (vlans, ethertype, length));
        }
    }

    #[test]
    fn an_ethertype_alone_may_have_tags() {
        for (bytes, ethertype) in [
            (&[8, 0][..], Some(0x0800)),
            (&[0x81, 0, 0, 5, 8, 0], Some(0x0800)),
            (&[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x86, 0xdd], Some(0x86dd)),
            (&[0x81, 0, 0, 5, 8], None),
            (&[8], None),
        ] {
            let found = tagged(&mut Reader::new(bytes));
            assert_eq!(found.map(|ethertype| ethertype.0), ethertype, "{bytes:x?}");
        }
    }

    #[test]
    fn ends_within_the_header() {
        for bytes in [&[][..], &[8], &[0x81, 0], &[0x81, 0, 0, 1, 8], &[0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 8]] {
            assert_eq!(parse(bytes), None, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn parses_what_it_emits(
            source: [u8; 6],
            destination: [u8; 6],
            tags in proptest::collection::vec(0..=0x0fff_u16, 0..=2),
            ethertype in any::<u16>().prop_filter("a tag", |number| ![0x8100, 0x88a8].contains(number)),
        ) {
            let vlans = [tags.first().copied(), tags.get(1).copied()];
            let link = Link { source: MacAddress(source), destination: MacAddress(destination), vlans };
            let header = Header { link, ethertype: EtherType(ethertype) };
            let mut bytes = Vec::new();
            header.emit(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Header::parse(&mut reader), Some(header));
            prop_assert_eq!(reader.remaining(), 0);
        }
    }
}

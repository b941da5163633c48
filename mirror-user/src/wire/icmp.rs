//! ICMP (RFC 792) and ICMPv6 (RFC 4443): type, code, and the identifier of those types that have one.

use super::reader::Reader;
use crate::packet::Icmp;

/// Takes an ICMP header; [`None`] where the bytes end before its code.
#[inline]
pub fn parse_v4(reader: &mut Reader<'_>) -> Option<Icmp> {
    // Echo reply and request, timestamp, information, address mask (RFC 792, RFC 950); extended echo (RFC 8335).
    parse(reader, |kind| matches!(kind, 0 | 8 | 13..=18 | 42 | 43))
}

/// Takes an ICMPv6 header; [`None`] where the bytes end before its code.
#[inline]
pub fn parse_v6(reader: &mut Reader<'_>) -> Option<Icmp> {
    // Echo request and reply (RFC 4443); extended echo (RFC 8335).
    parse(reader, |kind| matches!(kind, 128 | 129 | 160 | 161))
}

#[inline]
fn parse(reader: &mut Reader<'_>, has_identifier: impl Fn(u8) -> bool) -> Option<Icmp> {
    let [kind, code] = reader.array()?;
    let checksum = reader.u16();
    let identifier = checksum.and_then(|_| reader.u16()).filter(|_| has_identifier(kind));
    Some(Icmp { kind, code, identifier })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_identifier_of_types_that_have_one() {
        type Parse = fn(&mut Reader<'_>) -> Option<Icmp>;
        let cases: [(Parse, &[u8]); 2] =
            [(parse_v4, &[0, 8, 13, 14, 15, 16, 17, 18, 42, 43]), (parse_v6, &[128, 129, 160, 161])];
        for (parse, with_identifier) in cases {
            for kind in 0..=u8::MAX {
                let bytes = [kind, 3, 0xaa, 0xbb, 0x12, 0x34, 0, 1];
                let identifier = with_identifier.contains(&kind).then_some(0x1234);
                assert_eq!(parse(&mut Reader::new(&bytes)), Some(Icmp { kind, code: 3, identifier }));
            }
        }
    }

    #[test]
    fn reads_as_much_as_was_captured() {
        let bytes = [8, 0, 0xaa, 0xbb, 0x12, 0x34];
        for end in 0..=6 {
            let expected = match end {
                0 | 1 => None,
                6 => Some(Icmp { kind: 8, code: 0, identifier: Some(0x1234) }),
                _ => Some(Icmp { kind: 8, code: 0, identifier: None }),
            };
            assert_eq!(parse_v4(&mut Reader::new(&bytes[..end])), expected, "{end} bytes");
        }
    }
}

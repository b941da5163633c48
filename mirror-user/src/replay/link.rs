//! LinkFormat types of capture files (<https://www.tcpdump.org/linktypes.html>): the bytes in front of the IP header.

use super::slot::Slot;
use crate::source::LinkType;

/// Bits of the link type field of a pcap file that are the link type. Above them are those of the frame check sequence
/// (draft-ietf-opsawg-pcap, section 4).
const LINK_TYPE_BITS: u32 = 0x03ff_ffff;

/// A link type whose packets hold Ethernet or IP at a known offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFormat {
    Ethernet,
    /// An IP header behind so many bytes.
    Ip {
        behind: usize,
    },
    /// Linux cooked: the EtherType is at the end of the header.
    Cooked,
    /// Linux cooked, version 2: the EtherType is at its beginning.
    Cooked2,
}

impl LinkFormat {
    /// Bytes of the header of Linux cooked captures.
    const COOKED: usize = 16;
    /// Bytes of the header of Linux cooked captures, version 2.
    const COOKED2: usize = 20;
    /// Bytes of an EtherType.
    const ETHERTYPE: usize = 2;

    /// The link type of this number; [`None`] where its packets cannot be read.
    pub(super) const fn of(number: u32) -> Option<Self> {
        Some(match number & LINK_TYPE_BITS {
            1 => Self::Ethernet,
            // Raw IP as BSDs number it, which found its way into files, as it has to be, and IPv4 and IPv6 alone.
            12 | 14 | 101 | 228 | 229 => Self::Ip { behind: 0 },
            // BSD loopback, with the address family in the byte order of the machine or in network byte order.
            0 | 108 => Self::Ip { behind: 4 },
            113 => Self::Cooked,
            276 => Self::Cooked2,
            _ => return None,
        })
    }

    /// Puts a packet into `slot`, without the bytes in front of Ethernet, an EtherType or IP.
    pub(super) fn fill(self, slot: &mut Slot, bytes: &[u8], original_length: u32) {
        slot.bytes.clear();
        let (link_type, ethertype, behind) = match self {
            Self::Ethernet => (LinkType::Ethernet, None, 0),
            Self::Ip { behind } => (LinkType::Ip, None, behind),
            Self::Cooked => (LinkType::EtherType, None, Self::COOKED - Self::ETHERTYPE),
            Self::Cooked2 => (LinkType::EtherType, bytes.get(..Self::ETHERTYPE), Self::COOKED2),
        };
        let ethertype = ethertype.unwrap_or_default();
        slot.bytes.extend_from_slice(ethertype);
        slot.bytes.extend_from_slice(bytes.get(behind..).unwrap_or_default());
        let removed = u32::try_from(behind - ethertype.len()).unwrap_or(0);
        slot.original_length = original_length.saturating_sub(removed);
        slot.link_type = link_type;
    }
}

/// The link type in the field of a pcap file's header.
pub(super) const fn number(field: u32) -> u32 {
    field & LINK_TYPE_BITS
}

/// Name of a link type, also of some that cannot be read.
pub(super) const fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        0 => "BSD loopback",
        1 => "Ethernet",
        9 | 50 => "PPP",
        12 | 14 | 101 | 228 | 229 => "raw IP",
        51 => "PPPoE",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "Frame Relay",
        108 => "OpenBSD loopback",
        113 => "Linux cooked",
        117 => "OpenBSD pflog",
        119 | 127 | 163 | 192 => "IEEE 802.11 with a radio header",
        147..=162 => "private",
        187 | 201 => "Bluetooth",
        189 | 220 | 249 => "USB",
        195 | 230 | 283 => "IEEE 802.15.4",
        227 => "CAN",
        239 => "Linux netfilter log",
        252 => "Wireshark upper PDU",
        253 => "Linux netlink",
        276 => "Linux cooked, version 2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_the_frame_check_sequence_do_not_count() {
        assert_eq!(LinkFormat::of(0x4400_0001), Some(LinkFormat::Ethernet));
        assert_eq!(LinkFormat::of(0xf400_0065), Some(LinkFormat::Ip { behind: 0 }));
        assert_eq!(number(0x2400_0069), 105);
        assert_eq!(LinkFormat::of(0x2400_0069), None);
    }

    #[test]
    fn headers_are_removed_up_to_the_ethertype() {
        let bytes: Vec<u8> = (0..40).collect();
        for (number, expected, link_type) in [
            (1, bytes.clone(), LinkType::Ethernet),
            (12, bytes.clone(), LinkType::Ip),
            (108, bytes[4..].to_vec(), LinkType::Ip),
            (113, bytes[14..].to_vec(), LinkType::EtherType),
            (276, [&bytes[..2], &bytes[20..]].concat(), LinkType::EtherType),
        ] {
            let mut slot = Slot::default();
            LinkFormat::of(number).unwrap().fill(&mut slot, &bytes, 100);
            let removed = 40 - u32::try_from(expected.len()).unwrap();
            assert_eq!((slot.bytes, slot.original_length), (expected, 100 - removed), "link type {number}");
            assert_eq!(slot.link_type, link_type);
        }
        for length in 0..20 {
            for number in [0, 113, 276] {
                let mut slot = Slot::default();
                LinkFormat::of(number).unwrap().fill(&mut slot, &bytes[..length], 3);
                assert!(
                    slot.bytes.len() <= length,
                    "a packet that ends within the header is shorter than it"
                );
            }
        }
    }
}

//! The pcap format (draft-ietf-opsawg-pcap): a file header, then packets.
//!
//! Of the file header only byte order, resolution and link type count; the snap length, the version and what is reserved
//! decide nothing. CaptureFiles that were joined with `cat` are read as such.

use std::time::Duration;

use super::link::{self, LinkFormat};
use super::order::Order;
use super::slot::{LONGEST, Slot};
use super::step::{Fault, FaultKind, Step, Unread};
use super::window::{Available, Window};
use crate::time::Timestamp;

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    order: Order,
    /// Nanoseconds of a unit of the fraction of a second.
    unit: u64,
    /// Bytes of the header of a packet.
    packet_header: usize,
    link_type: u32,
}

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PacketHeader {
    timestamp: Timestamp,
    captured_length: u32,
    original_length: u32,
}

impl Header {
    const LENGTH: usize = 24;

    /// Byte order, unit in nanoseconds and bytes of a packet's header that a magic number stands for.
    const fn magic(magic: [u8; 4]) -> Option<(Order, u64, usize)> {
        Some(match magic {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 1000, 16),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 1000, 16),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 1, 16),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 1, 16),
            // Alexey Kuznetzov's variant: behind the header that others have are interface, protocol and direction.
            [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, 1000, 24),
            [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, 1000, 24),
            _ => return None,
        })
    }

    fn parse(bytes: &[u8; Self::LENGTH]) -> Option<Self> {
        let (order, unit, packet_header) = Self::magic(*bytes.first_chunk()?)?;
        let [link_type] = order.words(&bytes[20..])?;
        Some(Self { order, unit, packet_header, link_type: link::number(link_type) })
    }

    /// The header of another file in the place of a packet's: its magic number is a time in 2055 or later, and where the
    /// length of the packet would be is what has been zero for ever.
    fn parse_joined(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LENGTH }>()?;
        let header = Self::parse(bytes)?;
        let version = (header.order.u16([bytes[4], bytes[5]]), header.order.u16([bytes[6], bytes[7]]));
        (version == (2, 4) && bytes[8..16] == [0; 8]).then_some(header)
    }

    fn packet(&self, bytes: &[u8]) -> Option<PacketHeader> {
        let [seconds, fraction, captured_length, original_length] = self.order.words(bytes)?;
        let seconds = u64::from(seconds) * 1_000_000_000;
        Some(PacketHeader {
            timestamp: Timestamp(seconds + u64::from(fraction) * self.unit),
            captured_length,
            original_length: original_length.max(captured_length),
        })
    }
}

/// `true` if a file that begins with `magic` is of this format.
pub(super) const fn is_magic(magic: [u8; 4]) -> bool {
    Header::magic(magic).is_some()
}

/// Reads the packets of a file.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// None before it is read.
    header: Option<Header>,
}

impl Reader {
    /// Reads on, and puts the packet that there is into `slot`.
    pub(super) fn next(&mut self, window: &mut Window, slot: &mut Slot, wait: Duration) -> Step {
        loop {
            let Some(header) = self.header else {
                match window.fill(Header::LENGTH, wait) {
                    Available::Enough => {}
                    Available::Wait => return Step::Wait,
                    Available::Ended => return cut_off(window, None),
                }
                self.header = window.first().and_then(Header::parse);
                window.take(Header::LENGTH);
                continue;
            };
            match window.fill(header.packet_header, wait) {
                Available::Enough => {}
                Available::Wait => return Step::Wait,
                Available::Ended if window.bytes().is_empty() => return Step::End,
                Available::Ended => return cut_off(window, Some(Unread::CutOff)),
            }
            if window.first().is_some_and(|magic| is_magic(*magic)) {
                if window.fill(Header::LENGTH, wait) == Available::Wait {
                    return Step::Wait;
                }
                if let Some(joined) = Header::parse_joined(window.bytes()) {
                    self.header = Some(joined);
                    window.take(Header::LENGTH);
                    continue;
                }
            }
            return packet(header, window, slot, wait);
        }
    }

    /// LinkFormat type of the packets that come next.
    pub(super) fn link_type(&self) -> Option<u32> {
        self.header.map(|header| header.link_type)
    }
}

/// Reads the packet whose header is there.
fn packet(header: Header, window: &mut Window, slot: &mut Slot, wait: Duration) -> Step {
    let Some(packet) = header.packet(window.bytes()) else { return Step::Wait };
    if packet.captured_length > LONGEST {
        let kind = FaultKind::PacketLength(packet.captured_length);
        return Step::Fault(Fault { kind, offset: window.offset(), packet: Some(Unread::Length) });
    }
    let end = header.packet_header + packet.captured_length as usize;
    match window.fill(end, wait) {
        Available::Enough => {}
        Available::Wait => return Step::Wait,
        Available::Ended => return cut_off(window, Some(Unread::CutOff)),
    }
    let step = match LinkFormat::of(header.link_type) {
        Some(link) => {
            let bytes = window.bytes().get(header.packet_header..end).unwrap_or_default();
            link.fill(slot, bytes, packet.original_length);
            slot.timestamp = packet.timestamp;
            Step::Packet
        }
        None => Step::Unread(Unread::LinkType(header.link_type)),
    };
    window.take(end);
    step
}

fn cut_off(window: &Window, packet: Option<Unread>) -> Step {
    Step::Fault(Fault { kind: FaultKind::CutOff, offset: window.offset(), packet })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Packet, read_all};
    use super::*;
    use crate::source::LinkType;

    /// Writes integers in one byte order or the other.
    fn words(order: Order, words: &[u32]) -> Vec<u8> {
        let word = |word: &u32| match order {
            Order::Little => word.to_le_bytes(),
            Order::Big => word.to_be_bytes(),
        };
        words.iter().flat_map(word).collect()
    }

    fn header(order: Order, magic: u32, snap_length: u32, link_type: u32) -> Vec<u8> {
        let version = match order {
            Order::Little => 4 << 16 | 2,
            Order::Big => 2 << 16 | 4,
        };
        words(order, &[magic, version, 0, 0, snap_length, link_type])
    }

    #[test]
    fn every_variant_is_read() {
        for order in [Order::Little, Order::Big] {
            for (magic, fraction, extra) in
                [(0xa1b2_c3d4, 5000, 0), (0xa1b2_3c4d, 5, 0), (0xa1b2_cd34, 5000, 8)]
            {
                // The snap length decides nothing, nor does an original length below the captured one.
                let mut file = header(order, magic, 3, 0x4400_0001);
                for (second, length) in [(1, 15), (2, 0)] {
                    file.extend(words(order, &[second, 5, 5, length]));
                    file.extend(vec![0xee; extra]);
                    file.extend(b"bytes");
                }
                let packet = |seconds: u64, original_length| Packet {
                    bytes: b"bytes".to_vec(),
                    original_length,
                    timestamp: seconds * 1_000_000_000 + fraction,
                    link_type: LinkType::Ethernet,
                };
                let expected = vec![packet(1, 15), packet(2, 5)];
                assert_eq!(read_all(&file), (expected, vec![Step::End]), "{order:?} {magic:x}");
            }
        }
    }

    #[test]
    fn joined_files_are_read_on() {
        let one = [header(Order::Little, 0xa1b2_c3d4, 100, 1), words(Order::Little, &[1, 0, 1, 1]), vec![1]];
        let two = [header(Order::Big, 0xa1b2_3c4d, 100, 12), words(Order::Big, &[2, 0, 1, 1]), vec![2]];
        let file = [one.concat(), two.concat(), two[0].clone(), one.concat()].concat();
        let (packets, steps) = read_all(&file);
        let found: Vec<_> = packets.iter().map(|packet| (packet.bytes[0], packet.link_type)).collect();
        assert_eq!(found, [(1, LinkType::Ethernet), (2, LinkType::Ip), (1, LinkType::Ethernet)]);
        assert_eq!(steps, [Step::End]);
        // A file of nothing but headers takes no more of the stack than one.
        let headers = header(Order::Little, 0xa1b2_c3d4, 100, 1).repeat(100_000);
        assert_eq!(read_all(&headers), (vec![], vec![Step::End]));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let start =
            [header(Order::Little, 0xa1b2_c3d4, 100, 1), words(Order::Little, &[1, 0, 4, 4]), vec![1; 4]]
                .concat();
        let fault = |kind, packet| Step::Fault(Fault { kind, offset: 44, packet });
        let cut_off = fault(FaultKind::CutOff, Some(Unread::CutOff));
        for (more, step) in [
            (vec![], Step::End),
            (vec![9], cut_off),
            (words(Order::Little, &[2, 0, 4, 4]), cut_off),
            ([words(Order::Little, &[2, 0, 4, 4]), vec![1; 3]].concat(), cut_off),
            (
                words(Order::Little, &[2, 0, u32::MAX, u32::MAX]),
                fault(FaultKind::PacketLength(u32::MAX), Some(Unread::Length)),
            ),
        ] {
            let (packets, steps) = read_all(&[start.clone(), more].concat());
            assert_eq!((packets.len(), steps), (1, vec![step]));
        }
        let header_only = fault_at(24 - 4);
        assert_eq!(header_only, Step::Fault(Fault { kind: FaultKind::CutOff, offset: 0, packet: None }));
    }

    /// The end of a file of which so many bytes are there.
    fn fault_at(length: usize) -> Step {
        let (_, steps) = read_all(&header(Order::Little, 0xa1b2_c3d4, 100, 1)[..length]);
        steps[0]
    }

    #[test]
    fn packets_of_other_link_types_are_passed_over() {
        let mut file = header(Order::Little, 0xa1b2_c3d4, 100, 105);
        file.extend([words(Order::Little, &[2, 0, 1, 1]), vec![7]].concat().repeat(2));
        let unread = Step::Unread(Unread::LinkType(105));
        assert_eq!(read_all(&file), (vec![], vec![unread, unread, Step::End]));
    }
}

//! The packets of a datagram, as far as their headers are in the clear (RFC 9000, section 17.2).

use super::version::{PacketType, Version};
use crate::reader::Reader;

/// Most bytes of a connection id.
pub const ID_LIMIT: usize = 20;

/// A connection id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionId {
    bytes: [u8; ID_LIMIT],
    length: u8,
}

impl ConnectionId {
    /// The connection id in `bytes`; [`None`] for more than 20.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { bytes: [0; ID_LIMIT], length: u8::try_from(bytes.len()).ok()? };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(id)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// An Initial packet, still protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initial<'a> {
    /// Its version.
    pub version: Version,
    /// The id that the receiver is addressed by; that of a client's first packet gives the keys.
    pub destination: ConnectionId,
    /// All of the packet.
    pub bytes: &'a [u8],
    /// Offset of the packet number in it.
    pub number_offset: usize,
}

/// The Initial packets of a datagram; packets of other types between them are skipped.
#[derive(Clone, Copy, Debug)]
pub struct Initials<'a>(Reader<'a>);

impl<'a> Initials<'a> {
    /// The Initial packets in `datagram`.
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self(Reader::new(datagram))
    }

    /// The next packet, if it is an Initial one; `Err(true)` where it is another and more may follow.
    fn step(&mut self) -> Result<Initial<'a>, bool> {
        let mut ahead = self.0;
        let all = ahead.rest();
        let (version, kind) = long_header(&mut ahead).ok_or(false)?;
        let destination = ahead.vector8().and_then(ConnectionId::new).ok_or(false)?;
        let source = ahead.vector8().ok_or(false)?;
        if source.len() > ID_LIMIT || kind == PacketType::Retry {
            return Err(false);
        }
        if kind == PacketType::Initial {
            let token = integer(&mut ahead).ok_or(false)?;
            ahead.bytes(usize::try_from(token).map_err(|_| false)?).ok_or(false)?;
        }
        let length = integer(&mut ahead).ok_or(false)?;
        let number_offset = all.len() - ahead.remaining();
        ahead.bytes(usize::try_from(length).map_err(|_| false)?).ok_or(false)?;
        self.0 = ahead;
        let bytes = all.get(..all.len() - ahead.remaining()).unwrap_or_default();
        match kind {
            PacketType::Initial => Ok(Initial { version, destination, bytes, number_offset }),
            _ => Err(true),
        }
    }
}

impl<'a> Iterator for Initials<'a> {
    type Item = Initial<'a>;

    fn next(&mut self) -> Option<Initial<'a>> {
        loop {
            match self.step() {
                Ok(initial) => return Some(initial),
                Err(true) => {}
                Err(false) => {
                    self.0 = Reader::new(&[]);
                    return None;
                }
            }
        }
    }
}

/// `true` where a datagram begins with a packet with a long header of a known version.
pub fn may_begin(datagram: &[u8]) -> bool {
    long_header(&mut Reader::new(datagram)).is_some()
}

/// Takes the first byte and the version of a long header.
fn long_header(reader: &mut Reader<'_>) -> Option<(Version, PacketType)> {
    let first = reader.u8()?;
    let version = reader.u32()?;
    // The form of a long header and the fixed bit, which is only left out once both ends have agreed to (RFC 9287).
    if first & 0xc0 != 0xc0 {
        return None;
    }
    let version = Version::from_wire(version)?;
    Some((version, version.packet_type(first)))
}

/// Takes an integer of variable length (RFC 9000, section 16).
pub(super) fn integer(reader: &mut Reader<'_>) -> Option<u64> {
    let mut ahead = *reader;
    let first = ahead.u8()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1_u8 << (first >> 6) {
        value = value << 8 | u64::from(ahead.u8()?);
    }
    *reader = ahead;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 9000, appendix A.1.
    #[test]
    fn integers() {
        let cases: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, expected) in cases {
            let mut reader = Reader::new(bytes);
            assert_eq!(integer(&mut reader), Some(expected));
            assert!(reader.is_empty());
            assert_eq!(integer(&mut Reader::new(&bytes[..bytes.len() - 1])), None);
        }
    }
}

//! DNS (RFC 1035) over UDP and TCP, with EDNS (RFC 6891) and multicast DNS (RFC 6762).
//!
//! An own reader rather than `simple-dns`, which is the oracle of its tests: that one refuses a whole message for one record that it
//! cannot read, names no reason, and allocates for every name. This one keeps all names of a message in one text, so that a
//! [`Message`] that is used again allocates nothing.

mod edns;
mod message;
mod name;
mod numbers;
mod read;
mod reason;
mod service;
pub mod write;

pub use edns::Edns;
pub use message::{Answer, Data, Flags, MAX_ANSWERS, MAX_HINTS, MAX_QUESTIONS, MAX_TEXT, Message, Question};
pub use numbers::{Class, Opcode, RecordType, ResponseCode};
pub use reason::Reason;

/// Port of DNS over UDP and TCP.
pub const PORT: u16 = 53;
/// Port of multicast DNS.
pub const MULTICAST_PORT: u16 = 5353;
/// Bytes of a message's header.
const HEADER: usize = 12;

/// `true` where `bytes`, a datagram or as much as is there of a message, may be an ordinary query or its response: one question, a
/// known opcode, and no more records than there is room for in `length` bytes.
pub fn may_begin(bytes: &[u8], length: usize) -> bool {
    let field = |at: usize| bytes.get(at..)?.first_chunk().map(|&two| u16::from_be_bytes(two));
    let flags_fit = field(2).is_none_or(|bits| {
        let flags = Flags(bits);
        let reserved = bits & 0x0040 != 0;
        !reserved && flags.opcode() == Opcode::QUERY && (flags.is_response() || bits & 0x000f == 0)
    });
    let records: usize = [6, 8, 10].into_iter().map(|at| usize::from(field(at).unwrap_or(0))).sum();
    let room = HEADER + read::SMALLEST_QUESTION + records * read::SMALLEST_RECORD;
    flags_fit && field(4).is_none_or(|questions| questions == 1) && room <= length
}

/// `true` where `bytes`, the first of a TCP stream's direction, may begin a message behind its length.
pub fn may_begin_stream(bytes: &[u8]) -> bool {
    let Some((&length, message)) = bytes.split_first_chunk() else { return true };
    may_begin(message, usize::from(u16::from_be_bytes(length)))
}

/// A message of a TCP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// Its bytes.
    pub message: &'a [u8],
    /// The bytes behind it.
    pub rest: &'a [u8],
}

/// The first message of a TCP stream, which stands behind its length (RFC 1035, section 4.2.2); [`None`] where the stream must grow
/// for that.
pub fn split_stream(bytes: &[u8]) -> Result<Option<Framed<'_>>, Reason> {
    let Some((&length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(length));
    if length < HEADER {
        return Err(Reason::Header);
    }
    Ok(rest.split_at_checked(length).map(|(message, rest)| Framed { message, rest }))
}

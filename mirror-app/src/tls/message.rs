//! Handshake messages out of records (RFC 8446, section 5.1).

use std::borrow::Cow;

use super::MESSAGE_LIMIT;
use super::reason::Reason;
use crate::reader::Reader;

/// Most bytes of a record, encrypted and with the expansion that RFC 5246, section 6.2.3, allows.
const RECORD_LIMIT: usize = (1 << 14) + 2048;
/// Bytes of a record's header.
const RECORD_HEADER: usize = 5;
/// Bytes of a message's header.
pub const HEADER: usize = 4;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What comes next in a direction.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A handshake message.
    Message {
        /// Its type.
        kind: u8,
        /// Its body; borrowed where one record holds it all.
        body: Cow<'a, [u8]>,
    },
    /// An alert in the clear, by its description (RFC 8446, section 6).
    Alert(u8),
    /// That cannot be told before there are as many bytes in all.
    More(usize),
}

/// The handshake messages of one direction, from its first byte on.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    /// All bytes there are.
    length: usize,
    /// Those behind the current record.
    behind: Reader<'a>,
    /// What is left of the current record, as far as it is there.
    record: Reader<'a>,
    /// Bytes of the current record that are not there yet.
    missing: usize,
}

impl<'a> Messages<'a> {
    /// Messages from `bytes`, the first bytes of a direction without a gap.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { length: bytes.len(), behind: Reader::new(bytes), record: Reader::new(&[]), missing: 0 }
    }

    /// The next message or alert; records that only change the cipher are skipped.
    pub fn take(&mut self) -> Result<Next<'a>, Reason> {
        while self.record.is_empty() && self.missing == 0 {
            match self.begin_record()? {
                Record::Handshake | Record::Skipped => {}
                Record::Alert(description) => return Ok(Next::Alert(description)),
                Record::More(needed) => return Ok(Next::More(needed)),
            }
        }
        let mut ahead = self.record;
        if let (Some(kind), Some(length)) = (ahead.u8(), ahead.u24()) {
            let length = checked_length(length)?;
            if let Some(body) = ahead.bytes(length) {
                self.record = ahead;
                return Ok(Next::Message { kind, body: Cow::Borrowed(body) });
            }
        }
        self.gather()
    }

    /// The next message, which is spread over several records or not there in full.
    fn gather(&mut self) -> Result<Next<'a>, Reason> {
        let mut gathered = Vec::new();
        let mut needed = HEADER;
        loop {
            let take = self.record.remaining().min(needed - gathered.len());
            gathered.extend_from_slice(self.record.bytes(take).unwrap_or_default());
            let mut reader = Reader::new(&gathered);
            if let (Some(kind), Some(length)) = (reader.u8(), reader.u24()) {
                needed = HEADER + checked_length(length)?;
                if gathered.len() == needed {
                    return Ok(Next::Message { kind, body: Cow::Owned(gathered.split_off(HEADER)) });
                }
            }
            if !self.record.is_empty() {
                continue;
            }
            if self.missing > 0 {
                return Ok(Next::More(self.length + self.missing.min(needed - gathered.len())));
            }
            match self.begin_record()? {
                Record::Handshake => {}
                Record::More(needed) => return Ok(Next::More(needed)),
                // Records of other types may not come between the fragments of a message (RFC 8446, section 5.1).
                Record::Skipped | Record::Alert(_) => return Err(Reason::RecordType),
            }
        }
    }

    /// Takes the header of the next record, and of its content what is there.
    fn begin_record(&mut self) -> Result<Record, Reason> {
        let start = self.length - self.behind.remaining();
        let mut ahead = self.behind;
        let (Some(kind), Some(version), Some(length)) = (ahead.u8(), ahead.u16(), ahead.u16()) else {
            return Ok(Record::More(start + RECORD_HEADER));
        };
        let length = usize::from(length);
        if !matches!(kind, CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE) {
            return Err(Reason::RecordType);
        }
        if version >> 8 != 3 {
            return Err(Reason::RecordVersion);
        }
        if length == 0 || length > RECORD_LIMIT {
            return Err(Reason::RecordLength);
        }
        let there = length.min(ahead.remaining());
        let content = Reader::new(ahead.bytes(there).unwrap_or_default());
        if kind == HANDSHAKE {
            (self.behind, self.record, self.missing) = (ahead, content, length - there);
            return Ok(Record::Handshake);
        }
        if there < length {
            return Ok(Record::More(start + RECORD_HEADER + length));
        }
        self.behind = ahead;
        match (kind, content.rest()) {
            (ALERT, &[_level, description]) => Ok(Record::Alert(description)),
            (ALERT, _) => Err(Reason::RecordLength),
            _ => Ok(Record::Skipped),
        }
    }
}

/// What the next record is.
enum Record {
    Handshake,
    Skipped,
    Alert(u8),
    More(usize),
}

/// A message's length, if it is one that is followed.
pub(super) fn checked_length(length: u32) -> Result<usize, Reason> {
    usize::try_from(length).ok().filter(|&length| length <= MESSAGE_LIMIT).ok_or(Reason::MessageLength)
}

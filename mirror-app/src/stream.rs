//! The first bytes of one direction, put in order.
//!
//! Positions are relative to the first byte that is not consumed, in 32 bits that wrap, so that TCP's sequence numbers and the
//! offsets of QUIC's CRYPTO frames are treated alike. What came first wins where pieces overlap.

use crate::buffers::{Buffers, Full};
use crate::given_up::GivenUp;

/// Most pieces with gaps between them.
const PIECES: usize = 32;

/// Bytes of one direction from the first one that is not consumed.
#[derive(Debug, Default)]
pub struct Stream {
    /// Sequence number of the first byte that is not consumed; [`None`] before the first piece.
    start: Option<u32>,
    /// That number is certain: by a SYN, or because bytes were consumed.
    certain: bool,
    /// What is held, from `start` on.
    bytes: Vec<u8>,
    /// The pieces of `bytes` that are there, in order, with gaps between them.
    pieces: Vec<Piece>,
    /// The position of a byte that will never come, and why: nothing is held from there on.
    end: Option<(u32, GivenUp)>,
}

/// A piece, by the positions of its first byte and of the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    from: u32,
    to: u32,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// There are more bytes without a gap than before, or the stream now begins elsewhere.
    Grew,
    /// It waits for others before it, or was there already.
    Held,
}

impl Stream {
    /// A stream whose first byte has the sequence number `start`.
    pub const fn starting_at(start: u32) -> Self {
        Self { start: Some(start), certain: true, bytes: Vec::new(), pieces: Vec::new(), end: None }
    }

    /// The bytes from the first one that is not consumed up to the first gap.
    pub fn ready(&self) -> &[u8] {
        match self.pieces.first() {
            Some(&Piece { from: 0, to }) => self.bytes.get(..to as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The reason why no byte will follow those that are [ready](Self::ready); [`None`] if one may.
    pub fn ended(&self) -> Option<GivenUp> {
        let (end, reason) = self.end?;
        (self.ready().len() == end as usize).then_some(reason)
    }

    /// `true` where the first byte is known for certain to be the first.
    pub const fn is_certain(&self) -> bool {
        self.certain
    }

    /// `true` where nothing is held.
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// `true` where nothing is held and a piece with this sequence number is the next one, so that it can be read in place.
    pub fn is_next(&self, sequence: u32) -> bool {
        self.pieces.is_empty() && self.end.is_none() && self.start.is_none_or(|start| start == sequence)
    }

    /// Notes a SYN, whose sequence number is one below that of the first byte.
    pub fn syn(&mut self, sequence: u32, limit: usize, buffers: &mut Buffers) -> Result<Insert, GivenUp> {
        let first = sequence.wrapping_add(1);
        if self.certain {
            return Ok(Insert::Held);
        }
        let result = match self.start {
            Some(start) if distance(start, first) < 0 => self.begin_earlier(first, limit, buffers)?,
            // A later SYN is that of another connection, whose bytes these are not.
            Some(start) if start != first => {
                self.clear(buffers);
                Insert::Grew
            }
            _ => Insert::Held,
        };
        self.start = Some(first);
        self.certain = true;
        Ok(result)
    }

    /// Puts a piece in its place. Bytes from position `limit` on are not kept; [`GivenUp::Memory`] where `buffers` is full, which leaves
    /// the stream as it was.
    pub fn insert(
        &mut self,
        sequence: u32,
        piece: &[u8],
        limit: usize,
        buffers: &mut Buffers,
    ) -> Result<Insert, GivenUp> {
        let start = *self.start.get_or_insert(sequence);
        let mut offset = distance(start, sequence);
        let mut moved = Insert::Held;
        if offset < 0 && !self.certain {
            moved = self.begin_earlier(sequence, limit, buffers)?;
            offset = 0;
        }
        let (from, piece) = match usize::try_from(offset) {
            Ok(from) => (from, piece),
            // The part before the first byte was consumed, or was not part of the stream.
            Err(_) => (0, piece.get(offset.unsigned_abs() as usize..).unwrap_or_default()),
        };
        let limit = self.end.map_or(limit, |(end, _)| limit.min(end as usize));
        let kept = piece.get(..limit.saturating_sub(from)).unwrap_or(piece);
        if kept.len() < piece.len() {
            self.end_at(limit, GivenUp::TooLong);
        }
        if kept.is_empty() {
            return Ok(moved);
        }
        let ready = self.ready().len();
        self.keep(from, kept, buffers)?;
        Ok(if self.ready().len() > ready { Insert::Grew } else { moved })
    }

    /// Notes that the byte with this sequence number will never come.
    pub fn lost(&mut self, sequence: u32, reason: GivenUp) {
        let start = *self.start.get_or_insert(sequence);
        if let Ok(position) = usize::try_from(distance(start, sequence)) {
            self.end_at(position, reason);
        }
    }

    /// Consumes the first `length` bytes, which are ready, or were read in place.
    pub fn consume(&mut self, length: usize, sequence: u32, buffers: &mut Buffers) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.start = Some(self.start.unwrap_or(sequence).wrapping_add(length));
        self.certain |= length > 0;
        self.end = self.end.map(|(end, reason)| (end.saturating_sub(length), reason));
        if self.pieces.is_empty() || length == 0 {
            return;
        }
        self.bytes.drain(..self.bytes.len().min(length as usize));
        self.pieces.retain_mut(|piece| {
            piece.from = piece.from.saturating_sub(length);
            piece.to = piece.to.saturating_sub(length);
            piece.to > 0
        });
        if self.pieces.is_empty() {
            self.release(buffers);
        }
    }

    /// Gives all memory back.
    pub fn release(&mut self, buffers: &mut Buffers) {
        if self.bytes.capacity() > 0 {
            buffers.give_back(std::mem::take(&mut self.bytes));
        }
        self.pieces.clear();
    }

    fn clear(&mut self, buffers: &mut Buffers) {
        self.release(buffers);
        self.end = None;
    }

    /// Moves the start to an earlier byte.
    fn begin_earlier(&mut self, first: u32, limit: usize, buffers: &mut Buffers) -> Result<Insert, GivenUp> {
        let by = self.start.map_or(0, |start| start.wrapping_sub(first));
        if !self.pieces.is_empty() {
            let length = self.bytes.len() + by as usize;
            if length > limit {
                // Too far away to be of the same handshake.
                self.clear(buffers);
            } else {
                let held = self.bytes.len();
                buffers.reserve(&mut self.bytes, length).map_err(|Full| GivenUp::Memory)?;
                self.bytes.copy_within(..held, by as usize);
            }
        }
        for piece in &mut self.pieces {
            piece.from += by;
            piece.to += by;
        }
        self.end = self.end.map(|(end, reason)| (end.saturating_add(by), reason));
        self.start = Some(first);
        Ok(Insert::Grew)
    }

    fn end_at(&mut self, position: usize, reason: GivenUp) {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        if self.end.is_none_or(|(end, _)| position < end) {
            self.end = Some((position, reason));
        }
    }

    /// Copies a piece to where there is none yet.
    fn keep(&mut self, from: usize, piece: &[u8], buffers: &mut Buffers) -> Result<(), GivenUp> {
        let to = from + piece.len();
        let (Ok(first), Ok(last)) = (u32::try_from(from), u32::try_from(to)) else {
            return Err(GivenUp::TooLong);
        };
        // The pieces that this one touches become one with it.
        let begin = self.pieces.partition_point(|other| other.to < first);
        let end = self.pieces.partition_point(|other| other.from <= last);
        if begin == end && self.pieces.len() >= PIECES {
            return Err(GivenUp::Gaps);
        }
        buffers.reserve(&mut self.bytes, to).map_err(|Full| GivenUp::Memory)?;
        let touched = self.pieces.get(begin..end).unwrap_or_default();
        let mut joined = Piece { from: first, to: last };
        let mut next = first;
        for &Piece { from: other, to } in touched {
            copy(&mut self.bytes, piece, first, next, other);
            next = next.max(to);
            joined = Piece { from: joined.from.min(other), to: joined.to.max(to) };
        }
        copy(&mut self.bytes, piece, first, next, last);
        self.pieces.splice(begin..end, [joined]);
        Ok(())
    }
}

/// Copies of a piece that begins at `first` the part between two positions.
fn copy(bytes: &mut [u8], piece: &[u8], first: u32, from: u32, to: u32) {
    if from >= to {
        return;
    }
    let source = piece.get((from - first) as usize..(to - first) as usize);
    if let (Some(target), Some(source)) = (bytes.get_mut(from as usize..to as usize), source) {
        target.copy_from_slice(source);
    }
}

/// Distance from one sequence number to another, in bytes; negative where the other is the earlier one (RFC 9293, section 3.4).
const fn distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

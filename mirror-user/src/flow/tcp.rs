//! What a TCP connection has come to, as far as a bystander can tell who may miss packets or see them late.

use super::entry::{Aside, Disorder, Flow, Marks};
use super::key::End;
use super::record::{Connection, Initiator};
use crate::packet::TcpState;

/// FIN, as on the wire.
const FIN: u8 = 1;
/// SYN, as on the wire.
const SYN: u8 = 2;
/// RST, as on the wire.
const RST: u8 = 4;
/// ACK, as on the wire.
const ACK: u8 = 16;

/// Longest that a segment is late by reordering rather than sent again, where the round trip is not known or
/// longer: 3 ms, as Wireshark has it.
const LONGEST_LATE: u32 = 3_000;
/// The same where the round trip is shorter than this: 200 µs.
const SHORTEST_LATE: u32 = 200;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No TCP header was read.
    None,
    /// SYN, perhaps answered.
    Handshake,
    /// Beyond the handshake.
    Open,
    /// FIN of this end.
    Closing(End),
    /// All FINs that can be expected.
    Closed,
    /// RST.
    Reset,
    /// RST in answer to SYN.
    Refused,
}

/// What is known of a TCP connection, in a byte: the stage in three bits, and for each end whether its place
/// in the stream is known and whether its stream has a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phase(u8);

impl Phase {
    const STAGE: u8 = 7;
    /// [`Stage::Open`].
    const OPEN: u8 = 2;
    /// [`Stage::Closed`], the first of those in which a connection is over.
    const CLOSED: u8 = 5;
    const SEQUENCE: u8 = 8;
    const GAP: u8 = 32;

    /// The bit `mark` of `end`.
    #[inline(always)]
    const fn of(mark: u8, end: End) -> u8 {
        mark << end as u8
    }

    #[inline(always)]
    const fn stage(self) -> Stage {
        match self.0 & Self::STAGE {
            0 => Stage::None,
            1 => Stage::Handshake,
            Self::OPEN => Stage::Open,
            3 => Stage::Closing(End::Low),
            4 => Stage::Closing(End::High),
            Self::CLOSED => Stage::Closed,
            6 => Stage::Reset,
            _ => Stage::Refused,
        }
    }

    #[inline(always)]
    const fn set_stage(&mut self, stage: Stage) {
        let number = match stage {
            Stage::None => 0,
            Stage::Handshake => 1,
            Stage::Open => Self::OPEN,
            Stage::Closing(End::Low) => 3,
            Stage::Closing(End::High) => 4,
            Stage::Closed => Self::CLOSED,
            Stage::Reset => 6,
            Stage::Refused => 7,
        };
        self.0 = self.0 & !Self::STAGE | number;
    }

    /// Whether the place of `end` in its stream is known.
    #[inline(always)]
    const fn has_sequence(self, end: End) -> bool {
        self.0 & Self::of(Self::SEQUENCE, end) != 0
    }

    /// Whether the stream of `end` has a gap that may still be filled by late segments.
    #[inline(always)]
    const fn has_gap(self, end: End) -> bool {
        self.0 & Self::of(Self::GAP, end) != 0
    }

    /// Whether the connection is beyond the handshake and before any FIN.
    #[inline(always)]
    const fn is_open(self) -> bool {
        self.0 & Self::STAGE == Self::OPEN
    }

    /// Whether the connection is over, and only stragglers are to be expected.
    #[inline(always)]
    pub(super) const fn is_over(self) -> bool {
        self.0 & Self::STAGE >= Self::CLOSED
    }

    /// Whether it ended by FIN, if it [is over](Phase::is_over).
    pub(super) const fn is_closed(self) -> bool {
        matches!(self.stage(), Stage::Closed)
    }

    /// What records say; none where no TCP header was read. `timed_out`: the flow ends by its idle timeout.
    pub(super) const fn connection(self, timed_out: bool) -> Option<Connection> {
        Some(match self.stage() {
            Stage::None => return None,
            Stage::Closed => Connection::Closed,
            Stage::Reset => Connection::Reset,
            Stage::Refused => Connection::Refused,
            _ if timed_out => Connection::TimedOut,
            Stage::Handshake => Connection::Attempted,
            Stage::Open => Connection::Open,
            Stage::Closing(_) => Connection::Closing,
        })
    }
}

/// What of a TCP header is needed here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// Sequence number.
    sequence: u32,
    /// Bytes of payload by the length fields, whether captured or not.
    payload_length: u32,
    /// Flags as on the wire.
    pub(super) flags: u8,
}

impl Segment {
    /// The segment with this header.
    #[inline(always)]
    pub(super) const fn new(tcp: &TcpState) -> Self {
        Self { sequence: tcp.sequence, payload_length: tcp.payload_length, flags: tcp.flags }
    }

    /// Who initiated the connection, if the segment shows it, where `sender` sent it.
    #[inline(always)]
    pub(super) const fn initiator(&self, sender: End) -> Option<End> {
        match self.flags & (SYN | ACK | RST) {
            SYN => Some(sender),
            flags if flags == SYN | ACK => Some(sender.other()),
            _ => None,
        }
    }

    /// What it takes up in the sequence numbers (RFC 9293, section 3.4).
    #[inline(always)]
    fn length(&self) -> u32 {
        let marks = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.payload_length.saturating_add(marks)
    }
}

impl Flow {
    /// Whether `segment` begins a connection anew on the ports of this one, which is over.
    #[inline(always)]
    pub(super) fn is_succeeded_by(&self, segment: &Segment, sender: End) -> bool {
        let repeats = self.phase.has_sequence(sender)
            && segment.sequence.wrapping_add(1) == self.direction(sender).next_sequence;
        self.phase.is_over() && segment.flags & (SYN | ACK | RST) == SYN && !repeats
    }

    /// Follows the connection through a packet that was counted already.
    #[inline(always)]
    pub(super) fn follow(&mut self, aside: &mut Aside, segment: &Segment, sender: End, time: u64) {
        self.follow_stage(aside, segment, sender, time);
        if segment.flags & RST == 0 {
            self.follow_sequence(aside, segment, sender, time);
        }
    }

    #[inline(always)]
    fn follow_stage(&mut self, aside: &mut Aside, segment: &Segment, sender: End, time: u64) {
        // By far most packets: data or acknowledgments of an open connection.
        if !self.phase.is_open() || segment.flags & (SYN | FIN | RST) != 0 {
            self.change_stage(aside, segment, sender, time);
        }
    }

    fn change_stage(&mut self, aside: &mut Aside, segment: &Segment, sender: End, time: u64) {
        let stage = self.phase.stage();
        if self.marks.known_from() == Initiator::FirstPacket
            && let Some(initiator) = segment.initiator(sender)
        {
            self.marks.set_initiator(initiator);
        }
        let by_initiator = sender == self.marks.initiator();
        let next = if segment.flags & RST != 0 {
            match stage {
                Stage::Closed | Stage::Reset | Stage::Refused => stage,
                Stage::Handshake if !by_initiator && !self.phase.has_sequence(sender) => Stage::Refused,
                _ => Stage::Reset,
            }
        } else if segment.flags & FIN != 0 {
            match stage {
                Stage::Closed | Stage::Reset | Stage::Refused => stage,
                Stage::Closing(end) if end == sender => stage,
                Stage::Closing(_) => Stage::Closed,
                // Where only one direction is seen, no other FIN will be.
                _ if !self.phase.has_sequence(sender.other()) => Stage::Closed,
                _ => Stage::Closing(sender),
            }
        } else if segment.flags & SYN != 0 {
            if stage == Stage::None {
                if segment.flags & ACK == 0 {
                    self.marks.set(Marks::HANDSHAKE);
                }
                Stage::Handshake
            } else {
                if by_initiator {
                    // Which SYN the answer is to cannot be told any more.
                    self.marks.clear(Marks::HANDSHAKE);
                }
                stage
            }
        } else {
            match stage {
                Stage::None => Stage::Open,
                Stage::Handshake => {
                    if by_initiator && self.marks.has(Marks::HANDSHAKE) && segment.flags & ACK != 0 {
                        let nanoseconds = time.saturating_sub(self.direction(sender).first);
                        aside.handshake = u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX).max(1);
                    }
                    Stage::Open
                }
                _ => stage,
            }
        };
        self.phase.set_stage(next);
    }

    /// Finds segments out of turn. In doubt there are none: what fills a gap soon was late, not sent again;
    /// and lengths are those of the length fields, so that a packet that was cut looks as long as it was.
    #[inline(always)]
    fn follow_sequence(&mut self, aside: &mut Aside, segment: &Segment, sender: End, time: u64) {
        /// Beyond half of the largest window (RFC 7323, section 2.3) it is no longer the same stream.
        const FAR: u32 = 1 << 29;

        let length = segment.length();
        let end = segment.sequence.wrapping_add(length);
        let known = self.phase.has_sequence(sender);
        let next = self.direction(sender).next_sequence;
        let ahead = segment.sequence.wrapping_sub(next);
        if known && (ahead == 0 || length == 0) {
            if ahead == 0 {
                self.direction_mut(sender).next_sequence = end;
            }
            return;
        }
        let disorder = match (&mut aside.disorder, sender) {
            ([low, _], End::Low) => low,
            ([_, high], End::High) => high,
        };
        if !known || ahead < FAR {
            // What came before may still be on its way, except before a SYN.
            self.phase.0 |= Phase::of(Phase::SEQUENCE, sender);
            if known || segment.flags & SYN == 0 {
                self.phase.0 |= Phase::of(Phase::GAP, sender);
                disorder.gap = ticks(time);
            }
            self.direction_mut(sender).next_sequence = end;
            return;
        }
        let behind = ahead.wrapping_neg();
        if behind > FAR {
            self.direction_mut(sender).next_sequence = end;
            return;
        }
        if behind < length {
            self.direction_mut(sender).next_sequence = end;
        }
        let keeps_alive = behind == 1 && length == 1 && segment.payload_length == 1;
        if keeps_alive {
            return;
        }
        if self.phase.has_gap(sender) && disorder.is_soon(time, aside.handshake) {
            disorder.out_of_order = disorder.out_of_order.saturating_add(1);
        } else {
            self.phase.0 &= !Phase::of(Phase::GAP, sender);
            disorder.retransmissions = disorder.retransmissions.saturating_add(1);
        }
    }
}

impl Disorder {
    /// Whether `time` is so soon after the latest gap that a segment may just be late.
    fn is_soon(&self, time: u64, handshake: u32) -> bool {
        let longest = match handshake {
            0 => LONGEST_LATE,
            round_trip => round_trip.clamp(SHORTEST_LATE, LONGEST_LATE),
        };
        u64::from(ticks(time).wrapping_sub(self.gap)) <= u64::from(longest) * 1000 / TICK + 1
    }
}

/// Nanoseconds of a tick of the coarse clock: it wraps after 4.3 s.
const TICK: u64 = 1 << 16;

/// The coarse clock.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the clock wraps")]
const fn ticks(time: u64) -> u16 {
    (time / TICK) as u16
}

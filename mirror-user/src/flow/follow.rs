//! Following a TCP connection, segment by segment.

use super::entry::{ColdPart, Disorder, Flags, Flow};
use super::record::Initiator;
use super::side::Side;
use super::tcp::{ACK, FIN, NEAR, Phase, RST, SYN, Segment, Stage, Streams, is_near};

/// Longest lateness of a reordered segment, beyond which it was sent again, where the round trip is not known or longer:
/// 3 ms, as in Wireshark.
const LONGEST_LATE: u32 = 3_000;
/// Shortest value of that limit, where the round trip is shorter: 200 µs.
const SHORTEST_LATE: u32 = 200;

/// Most bytes of payload that a SYN may have (RFC 7413): one segment.
const LONGEST_SYN: u32 = 1 << 16;

impl Flow {
    /// `true` if `segment`, which [has SYN](Segment::has_syn), begins another connection on the addresses and ports of
    /// this one. A SYN that comes late belongs to this one: its sequence number is right before what was seen.
    pub(super) fn is_succeeded_by(&self, cold: &ColdPart, segment: &Segment, sender: Side) -> bool {
        let streams = &cold.streams;
        let other = sender.other();
        if self.phase.stage() == Stage::None {
            return false;
        }
        if segment.flags & ACK != 0 {
            // The SYN that it answers is better evidence than its own number, which a server may choose anew.
            if streams.has(Streams::BEGUN, other) {
                let answered = segment.acknowledgment.wrapping_sub(1);
                return answered.wrapping_sub(streams.lowest(other)) > LONGEST_SYN;
            }
            if self.phase.has_sequence(other) {
                return streams.lowest(other).wrapping_sub(segment.acknowledgment) > NEAR;
            }
        }
        if streams.has(Streams::BEGUN, sender) {
            segment.sequence != streams.lowest(sender)
        } else if self.phase.has_sequence(sender) || streams.has(Streams::ANSWERED, sender) {
            streams.lowest(sender).wrapping_sub(segment.sequence.wrapping_add(1)) > NEAR
        } else {
            self.phase.is_over() && !self.has_only_reset(streams, other)
        }
    }

    /// `true` if nothing of `side` was seen but RST.
    fn has_only_reset(&self, streams: &Streams, side: Side) -> bool {
        self.phase.has_sequence(side) && streams.lowest(side) == self.direction(side).next_sequence
    }

    /// Follows the connection through by far most packets, once they are counted: an acknowledgment, or the next data of an open
    /// connection. `false` for all others, which are left to [`Self::follow`].
    #[inline(always)]
    pub(super) fn follow_plainly(&mut self, segment: &Segment, sender: Side) -> bool {
        if !self.is_plain(segment) || !self.phase.has_sequence(sender) {
            return false;
        }
        let direction = self.direction_mut(sender);
        let is_next = segment.sequence == direction.next_sequence;
        if is_next {
            direction.next_sequence = segment.sequence.wrapping_add(segment.payload_length);
        }
        is_next || segment.payload_length == 0
    }

    /// Follows the connection through a packet that was counted already.
    pub(super) fn follow(&mut self, cold: &mut ColdPart, segment: &Segment, sender: Side, time: u64) {
        if self.is_plain(segment) || self.change_stage(cold, segment, sender, time) {
            self.follow_sequence(cold, segment, sender, time);
        }
    }

    /// `true` for data and acknowledgments of an open connection: they do not change its stage.
    #[inline(always)]
    fn is_plain(&self, segment: &Segment) -> bool {
        self.phase.is_plainly_open() && segment.flags & (SYN | FIN | RST) == 0 && !segment.is_shut
    }

    /// Changes the stage, if the segment does; `true` if the segment is part of its sender's stream.
    fn change_stage(&mut self, cold: &mut ColdPart, segment: &Segment, sender: Side, time: u64) -> bool {
        if segment.flags & RST != 0 {
            self.follow_reset(&mut cold.streams, segment, sender);
            return false;
        }
        self.correct_initiator(segment, sender);
        let streams = &mut cold.streams;
        let stage = self.phase.stage();
        if stage == Stage::None && segment.flags & (SYN | ACK) == ACK {
            streams.set(Streams::ANSWERED, sender.other(), true);
            streams.set_lowest(sender.other(), segment.acknowledgment);
        }
        let by_initiator = sender == self.flags.initiator();
        // Seen for the first time, though later ones were seen before.
        let mut is_late = false;
        let next = if segment.flags & SYN != 0 {
            let next = self.stage_after_syn(streams, segment, sender);
            is_late = self.phase.has_sequence(sender) && !streams.has(Streams::SYN_SEEN, sender);
            streams.set(Streams::SYN_SEEN, sender, true);
            streams.begin(sender, segment.sequence);
            if segment.flags & ACK != 0 && !streams.has(Streams::BEGUN, sender.other()) {
                streams.begin(sender.other(), segment.acknowledgment.wrapping_sub(1));
            }
            next
        } else if segment.flags & FIN != 0 {
            if self.phase.has_sequence(sender)
                && !is_near(segment.sequence, self.direction(sender).next_sequence)
            {
                return false;
            }
            match stage {
                Stage::Closed | Stage::Reset | Stage::Refused => stage,
                Stage::Closing(side) if side == sender => stage,
                Stage::Closing(_) => Stage::Closed,
                // Where only one direction is seen, no other FIN will be.
                _ if !self.phase.has_sequence(sender.other()) => Stage::Closed,
                _ => Stage::Closing(sender),
            }
        } else {
            match stage {
                Stage::None => Stage::Open,
                Stage::Handshake => {
                    if by_initiator && self.flags.has(Flags::HANDSHAKE) && segment.flags & ACK != 0 {
                        let nanoseconds = time.saturating_sub(self.direction(sender).first);
                        cold.handshake = u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX).max(1);
                    }
                    Stage::Open
                }
                _ if self.continues(streams, segment, sender) => Stage::Open,
                _ => stage,
            }
        };
        self.phase.set_stage(next);
        self.watch_window(&mut cold.streams, segment, sender);
        if is_late {
            let [low, high] = &mut cold.disorder;
            let disorder = if sender == Side::Low { low } else { high };
            disorder.out_of_order = disorder.out_of_order.saturating_add(1);
        }
        !is_late
    }

    /// Corrects the initiator, if the segment shows it and it was not known.
    fn correct_initiator(&mut self, segment: &Segment, sender: Side) {
        if matches!(self.flags.evidence(), Initiator::FirstPacket | Initiator::Earlier)
            && let Some(initiator) = segment.initiator(sender)
        {
            self.flags.set_initiator(initiator);
        }
    }

    fn stage_after_syn(&mut self, streams: &Streams, segment: &Segment, sender: Side) -> Stage {
        let stage = self.phase.stage();
        let other = sender.other();
        let answers = segment.flags & ACK != 0;
        match stage {
            Stage::None => {
                if !answers {
                    self.flags.set(Flags::HANDSHAKE);
                }
                Stage::Handshake
            }
            // Either what was taken for a refusal came after this answer, or somebody listens after all.
            Stage::Refused if answers => {
                let resets = self.phase.has_sequence(sender)
                    && self.direction(sender).next_sequence == segment.sequence.wrapping_add(1);
                if resets { Stage::Reset } else { Stage::Handshake }
            }
            // Nothing is known of the other side but its RST, which this SYN explains.
            Stage::Reset
                if !answers && streams.reset_by() == other && self.has_only_reset(streams, other) =>
            {
                Stage::Refused
            }
            _ => {
                if sender == self.flags.initiator() {
                    // The answer can be to either SYN.
                    self.flags.clear(Flags::HANDSHAKE);
                }
                stage
            }
        }
    }

    /// Follows an RST, if its numbers are plausible.
    fn follow_reset(&mut self, streams: &mut Streams, segment: &Segment, sender: Side) {
        let other = sender.other();
        let is_known = self.phase.has_sequence(sender);
        let is_plausible = if is_known {
            is_near(segment.sequence, self.direction(sender).next_sequence)
        } else if streams.has(Streams::BEGUN, sender) {
            is_near(segment.sequence, streams.lowest(sender))
        } else if segment.flags & ACK != 0
            && streams.has(Streams::BEGUN, other)
            && self.phase.has_sequence(other)
        {
            // An answer to the SYN acknowledges it, and no more than was sent.
            let acknowledged = segment.acknowledgment.wrapping_sub(streams.lowest(other));
            let sent = self.direction(other).next_sequence.wrapping_sub(streams.lowest(other));
            acknowledged > 0 && acknowledged <= sent
        } else {
            true
        };
        if !is_plausible {
            return;
        }
        self.correct_initiator(segment, sender);
        let stage = self.phase.stage();
        let next = match stage {
            Stage::Closed | Stage::Reset | Stage::Refused => stage,
            Stage::None if segment.is_refusal() => Stage::Refused,
            Stage::Handshake if sender != self.flags.initiator() && !is_known => Stage::Refused,
            _ => Stage::Reset,
        };
        self.phase.set_stage(next);
        if segment.is_refusal() {
            // It has no place in a stream; the SYN that it answers has.
            if !self.phase.has_sequence(other) && !streams.has(Streams::BEGUN, other) {
                streams.begin(other, segment.acknowledgment.wrapping_sub(1));
            }
        } else {
            if !is_known {
                self.phase.0 |= Phase::of(Phase::SEQUENCE, sender);
                if !streams.has(Streams::BEGUN, sender) {
                    streams.set_lowest(sender, segment.sequence);
                }
            }
            let ahead = segment.sequence.wrapping_sub(self.direction(sender).next_sequence);
            if !is_known || ahead <= NEAR {
                self.direction_mut(sender).next_sequence = segment.sequence;
            }
        }
        if next != stage {
            streams.facts &= !(Streams::RESET_BY_HIGH | Streams::REACHED);
            if sender == Side::High {
                streams.facts |= Streams::RESET_BY_HIGH;
            }
            if self.phase.has_sequence(other) {
                streams.facts |= Streams::REACHED;
                streams.reached = self.direction(other).next_sequence;
            }
        }
    }

    /// `true` if a segment shows that the connection continues after FIN or RST, which then did not end it: the side that sent
    /// them sends new data, or acknowledges data that the other sent after an RST.
    fn continues(&self, streams: &Streams, segment: &Segment, sender: Side) -> bool {
        let next = self.direction(sender).next_sequence;
        let ahead = segment.sequence.wrapping_add(segment.payload_length).wrapping_sub(next);
        let brings_more =
            segment.payload_length > 0 && self.phase.has_sequence(sender) && (1..=NEAR).contains(&ahead);
        match self.phase.stage() {
            Stage::Closing(side) => side == sender && brings_more,
            Stage::Closed | Stage::Refused => brings_more,
            Stage::Reset if streams.reset_by() == sender => {
                let more = segment.acknowledgment.wrapping_sub(streams.reached);
                let acknowledges_more = segment.flags & ACK != 0
                    && streams.facts & Streams::REACHED != 0
                    && (1..=NEAR).contains(&more);
                brings_more || acknowledges_more
            }
            _ => false,
        }
    }

    /// Updates the state of the sender's window.
    fn watch_window(&mut self, streams: &mut Streams, segment: &Segment, sender: Side) {
        streams.set(Streams::SHUT, sender, segment.is_shut && segment.flags & SYN == 0);
        let watched = (Streams::SHUT | Streams::PROBED) * 3;
        if streams.facts & watched != 0 {
            self.phase.0 |= Phase::WATCHED;
        } else {
            self.phase.0 &= !Phase::WATCHED;
        }
    }

    /// Counts segments out of order and retransmissions. In doubt there are none: a segment that fills a gap soon was late, not
    /// sent again. Lengths are those of the length fields, so that a truncated packet counts with its original length.
    #[inline(always)]
    fn follow_sequence(&mut self, cold: &mut ColdPart, segment: &Segment, sender: Side, time: u64) {
        /// Beyond half of the largest window (RFC 7323, section 2.3) it is no longer the same stream.
        const FAR: u32 = 1 << 29;

        let length = segment.length();
        let end = segment.sequence.wrapping_add(length);
        let known = self.phase.has_sequence(sender);
        let next = self.direction(sender).next_sequence;
        let ahead = segment.sequence.wrapping_sub(next);
        if self.phase.0 & Phase::WATCHED != 0 && self.is_probe(&mut cold.streams, segment, sender, ahead) {
            return;
        }
        if known && (ahead == 0 || length == 0) {
            if ahead == 0 {
                self.direction_mut(sender).next_sequence = end;
            }
            return;
        }
        let ColdPart { streams, disorder, handshake, .. } = cold;
        let disorder = match (disorder, sender) {
            ([low, _], Side::Low) => low,
            ([_, high], Side::High) => high,
        };
        if !known || ahead < FAR {
            // What came before may still be on its way, except before a SYN.
            self.phase.0 |= Phase::of(Phase::SEQUENCE, sender);
            if known || segment.flags & SYN == 0 {
                self.phase.0 |= Phase::of(Phase::GAP, sender);
                disorder.gap = ticks(time);
            }
            if !known && !streams.has(Streams::BEGUN, sender) {
                streams.set_lowest(sender, segment.sequence);
            }
            self.direction_mut(sender).next_sequence = end;
            return;
        }
        let behind = ahead.wrapping_neg();
        if behind > FAR {
            self.direction_mut(sender).next_sequence = end;
            return;
        }
        streams.extend_back(sender, segment.sequence);
        if behind < length {
            self.direction_mut(sender).next_sequence = end;
        }
        let keeps_alive = behind == 1 && length == 1 && segment.payload_length == 1;
        if keeps_alive {
            return;
        }
        if self.phase.has_gap(sender) && disorder.is_soon(time, *handshake) {
            disorder.out_of_order = disorder.out_of_order.saturating_add(1);
        } else {
            self.phase.0 &= !Phase::of(Phase::GAP, sender);
            disorder.retransmissions = disorder.retransmissions.saturating_add(1);
        }
    }

    /// `true` if a segment only probes the other's closed window (RFC 9293, section 3.8.6.1): a byte, mostly the next one, again
    /// and again. The next segment may begin before or behind that byte.
    fn is_probe(&mut self, streams: &mut Streams, segment: &Segment, sender: Side, ahead: u32) -> bool {
        let is_shut = streams.has(Streams::SHUT, sender.other());
        if is_shut && segment.length() == 1 && segment.payload_length == 1 {
            streams.set(Streams::PROBED, sender, true);
            self.phase.0 |= Phase::WATCHED;
            return true;
        }
        if streams.has(Streams::PROBED, sender) && segment.length() > 0 {
            streams.set(Streams::PROBED, sender, false);
            if ahead == 1 {
                self.direction_mut(sender).next_sequence = segment.sequence.wrapping_add(segment.length());
                return true;
            }
        }
        false
    }
}

impl Disorder {
    /// `true` if `time` is so soon after the latest gap that a segment may just be late.
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

//! The state of a flow in the table.

use mirror_app::Handle;

use super::fragments::HeldFragments;
use super::key::{self, Key, WideAddresses};
use super::record::Initiator;
use super::side::Side;
use super::slab::{Slot, Vacant};
use super::tcp::{Phase, Streams};
use crate::number::SamplingRate;

/// An unsigned number of 40 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed)]
pub(super) struct U40 {
    low: u32,
    high: u8,
}

impl U40 {
    /// The highest one.
    pub(super) const MAX: u64 = (1 << 40) - 1;

    /// The number.
    #[inline(always)]
    pub(super) const fn get(self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    /// The number, or the highest one if that is lower.
    #[inline(always)]
    pub(super) const fn saturating(number: u64) -> Self {
        Self::wrapping(if number > Self::MAX { Self::MAX } else { number })
    }

    /// The lower 40 bits of the number.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the two parts of the number")]
    const fn wrapping(number: u64) -> Self {
        Self { low: number as u32, high: (number >> 32) as u8 }
    }
}

/// Nanoseconds of a tick of the coarse clock by which flows move in the queues for their timeouts: 67 ms.
const TICK: u64 = 1 << 26;

/// The part of a flow that each packet touches, in two cache lines. The rest is in the [`ColdPart`].
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Flow {
    /// [`Key::selector`], with the number of the sampling rate in its spare bits; 0 in a vacant slot.
    selector: u64,
    /// [`Key::addresses`]. In IPv6 the lower half is the slot of the addresses.
    pub(super) addresses: u64,
    /// The first cookie, if [`Flags::COOKIE`] is set.
    pub(super) first_cookie: u32,
    /// The latest cookie, if [`Flags::COOKIE`] is set.
    pub(super) latest_cookie: u32,
    /// Number of the latest origin.
    pub(super) origin: u16,
    /// Flags, the initiator among them.
    pub(super) flags: Flags,
    /// State of the TCP connection.
    pub(super) phase: Phase,
    /// Counters of each direction, by the side that sends.
    pub(super) directions: [Direction; 2],
}

const _: () = assert!(size_of::<Flow>() == 96);

/// Counters of the packets that one side of a flow sent since the last record; and for as long as the flow lives, the latest
/// time and the position in the TCP stream.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(2))]
pub(super) struct Direction {
    /// Time of the earliest packet, in nanoseconds since 1970.
    pub(super) first: u64,
    /// Packets.
    pub(super) packets: u32,
    /// TCP sequence number after the highest one that was seen, once [`Phase::has_sequence`].
    pub(super) next_sequence: u32,
    /// Original bytes.
    pub(super) bytes: U40,
    /// Captured bytes.
    pub(super) captured_bytes: U40,
    /// Time from the earliest packet to the latest one, in nanoseconds.
    pub(super) span: U40,
    /// Lowest TTL.
    pub(super) lowest_hop_limit: u8,
    /// Highest TTL.
    pub(super) highest_hop_limit: u8,
    /// TCP flags.
    pub(super) tcp_flags: u8,
}

/// The cold part of a flow, which most packets do not touch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ColdPart {
    /// Neighbours among the flows of the same origin: slot numbers of the flow before and of the one behind, 0 where
    /// there is none.
    pub(super) neighbours: [u32; 2],
    /// VLAN ids, as [`Key::vlans`].
    pub(super) vlans: u32,
    /// Packets since the last record that have a record of their own, which accounts for them.
    pub(super) own_records: u32,
    /// Round trip of the TCP handshake in microseconds; 0 where it is not known.
    pub(super) handshake: u32,
    /// The two streams of a TCP connection.
    pub(super) streams: Streams,
    /// TCP segments out of order that each side sent.
    pub(super) disorder: [Disorder; 2],
    /// The flow in the inspector, which looks into its payload or has found something there.
    pub(super) inspection: Option<Handle>,
}

const _: () = assert!(size_of::<ColdPart>() == 52);

/// TCP segments out of order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Disorder {
    /// Retransmitted segments since the last record.
    pub(super) retransmissions: u16,
    /// Segments that came later than their successors, since the last record.
    pub(super) out_of_order: u16,
    /// Time of the latest gap in the stream, on a coarse clock that wraps, while [`Phase::has_gap`].
    pub(super) gap: u16,
}

/// Flags of a flow, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// The initiator is the high side.
    const HIGH: u8 = 1;
    /// The initiator is known from SYN.
    const SYN: u8 = 2;
    /// The initiator is known from an ICMP query; together with [`Flags::SYN`], from an earlier flow.
    const REQUEST: u8 = 4;
    const EARLIER: u8 = Self::SYN | Self::REQUEST;
    /// A cookie was seen.
    pub(super) const COOKIE: u8 = 8;
    /// A record was made already.
    pub(super) const REPORTED: u8 = 16;
    /// The earliest packet of the initiator is the one SYN that it sent.
    pub(super) const HANDSHAKE: u8 = 32;
    /// The packets have VLAN tags: those of [`ColdPart::vlans`].
    pub(super) const VLANS: u8 = 64;
    /// The payload of the next packets is looked into.
    pub(super) const INSPECTED: u8 = 128;

    /// Flags of a flow with this initiator.
    #[inline(always)]
    pub(super) const fn new(initiator: Side, evidence: Initiator) -> Self {
        let side = match initiator {
            Side::Low => 0,
            Side::High => Self::HIGH,
        };
        let bits = match evidence {
            Initiator::Syn => Self::SYN,
            Initiator::Request => Self::REQUEST,
            Initiator::Earlier => Self::EARLIER,
            Initiator::FirstPacket => 0,
        };
        Self(side | bits)
    }

    /// `true` if a flag is set.
    #[inline(always)]
    pub(super) const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Sets a flag.
    #[inline(always)]
    pub(super) const fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }

    /// Clears a flag.
    #[inline(always)]
    pub(super) const fn clear(&mut self, flag: u8) {
        self.0 &= !flag;
    }

    /// Corrects the initiator, by a SYN.
    pub(super) const fn set_initiator(&mut self, initiator: Side) {
        self.0 = self.0 & !(Self::HIGH | Self::REQUEST) | Self::new(initiator, Initiator::Syn).0;
    }

    /// The initiator.
    #[inline(always)]
    pub(super) const fn initiator(self) -> Side {
        if self.has(Self::HIGH) { Side::High } else { Side::Low }
    }

    /// Evidence of the initiator.
    pub(super) const fn evidence(self) -> Initiator {
        match self.0 & Self::EARLIER {
            Self::SYN => Initiator::Syn,
            Self::REQUEST => Initiator::Request,
            0 => Initiator::FirstPacket,
            _ => Initiator::Earlier,
        }
    }
}

/// Counts of one packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketCounts {
    /// Original bytes.
    pub(super) bytes: u32,
    /// Captured bytes.
    pub(super) captured_bytes: u32,
    /// TTL or hop limit.
    pub(super) hop_limit: u8,
    /// TCP flags; 0 where there are none.
    pub(super) tcp_flags: u8,
}

impl Flow {
    /// A flow without packets.
    pub(super) fn new(key: &Key, rate: SamplingRate, flags: Flags, origin: u16) -> Self {
        Self {
            selector: key::with_spare(key.selector, rate.exponent()),
            addresses: key.addresses,
            first_cookie: 0,
            latest_cookie: 0,
            origin,
            flags,
            phase: Phase::default(),
            directions: [Direction::default(); 2],
        }
    }

    /// [`Key::selector`]; 0 in a vacant slot.
    #[inline(always)]
    pub(super) const fn selector(&self) -> u64 {
        key::without_spare(self.selector)
    }

    /// The sampling rate: this flow stands for so many.
    #[inline(always)]
    pub(super) const fn sampling_rate(&self) -> SamplingRate {
        SamplingRate::from_exponent(key::spare(self.selector))
    }

    /// Changes the sampling rate.
    pub(super) const fn set_sampling_rate(&mut self, rate: SamplingRate) {
        self.selector = key::with_spare(self.selector, rate.exponent());
    }

    /// The counters of `side`.
    #[inline(always)]
    pub(super) const fn direction(&self, side: Side) -> &Direction {
        let [low, high] = &self.directions;
        match side {
            Side::Low => low,
            Side::High => high,
        }
    }

    /// The counters of `side`.
    #[inline(always)]
    pub(super) const fn direction_mut(&mut self, side: Side) -> &mut Direction {
        let [low, high] = &mut self.directions;
        match side {
            Side::Low => low,
            Side::High => high,
        }
    }

    /// Time of the earliest packet that is in no record yet; [`u64::MAX`] if there is none.
    #[inline(always)]
    pub(super) fn start(&self) -> u64 {
        let [low, high] =
            self.directions.map(|direction| if direction.packets > 0 { direction.first } else { u64::MAX });
        low.min(high)
    }

    /// Times of the earliest and of the latest packet that is in no record yet; if there is none, the time of the
    /// latest packet that is.
    pub(super) fn interval(&self) -> (u64, u64) {
        let start = self.start();
        if start == u64::MAX {
            let last = self.last();
            return (last, last);
        }
        let [low, high] =
            self.directions.map(|direction| if direction.packets > 0 { direction.last() } else { 0 });
        (start, low.max(high))
    }

    /// Time of the latest packet.
    #[inline(always)]
    pub(super) fn last(&self) -> u64 {
        let [low, high] = self.directions.map(|direction| direction.last());
        low.max(high)
    }

    /// `true` for by far most packets: `time` is so soon after the first one of the flow's interval that neither can have
    /// ended before it.
    #[inline(always)]
    pub(super) fn is_soon(&self, time: u64, shortest_timeout: u64) -> bool {
        time.wrapping_sub(self.start()) < shortest_timeout && !self.phase.is_over()
    }

    /// `true` if a packet that `sender` sends at `time` moves the flow to the end of its queue, being the first of its
    /// direction in a tick of the coarse clock that runs from the direction's earliest packet on.
    #[inline(always)]
    pub(super) const fn moves_by(&self, sender: Side, time: u64) -> bool {
        let direction = self.direction(sender);
        time.wrapping_sub(direction.first) / TICK > direction.span.get() / TICK
    }

    /// Adds the latest cookie.
    #[inline(always)]
    pub(super) fn add_cookie(&mut self, cookie: u32) {
        if !self.flags.has(Flags::COOKIE) {
            self.flags.set(Flags::COOKIE);
            self.first_cookie = cookie;
        }
        self.latest_cookie = cookie;
    }

    /// Begins the next interval.
    pub(super) fn reset(&mut self) {
        self.flags.set(Flags::REPORTED);
        self.flags.clear(Flags::HANDSHAKE);
        for direction in &mut self.directions {
            direction.reset();
        }
    }
}

impl ColdPart {
    /// Resets the counters after a record.
    pub(super) fn reset(&mut self) {
        for disorder in &mut self.disorder {
            disorder.retransmissions = 0;
            disorder.out_of_order = 0;
        }
        self.own_records = 0;
    }
}

impl Direction {
    /// Time of the latest packet; 0 where none ever came.
    #[inline(always)]
    pub(super) const fn last(&self) -> u64 {
        self.first.saturating_add(self.span.get())
    }

    /// `true` for by far most directions: a packet of any length has room. In doubt, [`Direction::is_full`] has the answer.
    #[inline(always)]
    pub(super) const fn has_room(&self) -> bool {
        self.packets < u32::MAX && self.bytes.high < u8::MAX
    }

    /// `true` if packets of so many bytes in all would overflow a counter.
    #[inline(always)]
    pub(super) const fn is_full(&self, packets: u32, bytes: u32) -> bool {
        self.packets > u32::MAX - packets || self.bytes.get() + bytes as u64 > U40::MAX
    }

    /// Counts a packet; [`Direction::is_full`] is false.
    #[inline(always)]
    pub(super) fn count(&mut self, time: u64, packet: PacketCounts) {
        if self.packets == 0 {
            self.first = time;
            self.span = U40::default();
            self.lowest_hop_limit = packet.hop_limit;
            self.highest_hop_limit = packet.hop_limit;
        } else {
            self.reach(time);
            self.lowest_hop_limit = self.lowest_hop_limit.min(packet.hop_limit);
            self.highest_hop_limit = self.highest_hop_limit.max(packet.hop_limit);
        }
        // None of these overflows: the direction is not full, and no more bytes are captured than there were.
        self.packets = self.packets.wrapping_add(1);
        self.bytes = U40::wrapping(self.bytes.get() + u64::from(packet.bytes));
        self.captured_bytes = U40::wrapping(self.captured_bytes.get() + u64::from(packet.captured_bytes));
        self.tcp_flags |= packet.tcp_flags;
    }

    /// Counts packets that were held back; [`Direction::is_full`] is false for them.
    pub(super) fn count_held(&mut self, held: &HeldFragments) {
        let packet = PacketCounts {
            bytes: held.bytes,
            captured_bytes: held.captured_bytes,
            hop_limit: held.lowest_hop_limit,
            tcp_flags: 0,
        };
        self.count(held.first, packet);
        self.reach(held.last);
        self.highest_hop_limit = self.highest_hop_limit.max(held.highest_hop_limit);
        self.packets = self.packets.wrapping_add(held.packets - 1);
    }

    /// Extends the time from the earliest packet to the latest one to `time`.
    #[inline(always)]
    fn reach(&mut self, time: u64) {
        if time < self.first {
            self.span = U40::saturating(self.last() - time);
            self.first = time;
        } else if time - self.first > self.span.get() {
            self.span = U40::saturating(time - self.first);
        }
    }

    /// Resets the counters after a record, but neither the latest time nor the position in the TCP stream.
    fn reset(&mut self) {
        *self = Self { first: self.last(), next_sequence: self.next_sequence, ..Self::default() };
    }
}

impl Vacant for Flow {
    fn vacant(next: Slot) -> Self {
        let none =
            Key { selector: 0, addresses: next.number().into(), wide: WideAddresses::default(), vlans: 0 };
        Self::new(&none, SamplingRate::EVERY, Flags::default(), 0)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a slot number was put in")]
    fn next(&self) -> Slot {
        Slot::from_number(self.addresses as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_40_bits() {
        for (number, kept) in
            [(0, 0), (1, 1), (0x12_3456_789a, 0x12_3456_789a), (U40::MAX, U40::MAX), (u64::MAX, U40::MAX)]
        {
            assert_eq!(U40::saturating(number).get(), kept);
        }
    }

    #[test]
    fn flags_are_apart() {
        for initiator in [Side::Low, Side::High] {
            for evidence in [Initiator::Syn, Initiator::Request, Initiator::Earlier, Initiator::FirstPacket] {
                let mut flags = Flags::new(initiator, evidence);
                for flag in [Flags::COOKIE, Flags::REPORTED, Flags::HANDSHAKE, Flags::VLANS] {
                    assert!(!flags.has(flag));
                    flags.set(flag);
                }
                assert_eq!((flags.initiator(), flags.evidence()), (initiator, evidence));
                flags.set_initiator(initiator.other());
                assert_eq!((flags.initiator(), flags.evidence()), (initiator.other(), Initiator::Syn));
                flags.clear(Flags::HANDSHAKE);
                assert!(
                    flags.has(Flags::COOKIE) && flags.has(Flags::REPORTED) && !flags.has(Flags::HANDSHAKE)
                );
            }
        }
    }

    #[test]
    fn late_packets_move_the_first_time_not_the_last() {
        let packet = PacketCounts { bytes: 100, captured_bytes: 60, hop_limit: 64, tcp_flags: 16 };
        let mut direction = Direction::default();
        direction.count(1000, packet);
        direction.count(900, PacketCounts { hop_limit: 63, ..packet });
        direction.count(1500, PacketCounts { hop_limit: 65, tcp_flags: 1, ..packet });
        direction.count(1400, packet);
        let (first, packets, next_sequence) = (direction.first, direction.packets, direction.next_sequence);
        assert_eq!((first, direction.last(), packets, next_sequence), (900, 1500, 4, 0));
        assert_eq!((direction.bytes.get(), direction.captured_bytes.get()), (400, 240));
        assert_eq!((direction.lowest_hop_limit, direction.highest_hop_limit), (63, 65));
        assert_eq!(direction.tcp_flags, 17);
        direction.reset();
        let packets = direction.packets;
        assert_eq!((direction.last(), packets, direction.bytes.get()), (1500, 0, 0));
    }

    #[test]
    fn counters_are_full_before_they_overflow() {
        let mut direction = Direction { packets: u32::MAX, ..Direction::default() };
        assert!(direction.is_full(1, 0));
        direction = Direction { bytes: U40::saturating(U40::MAX - 1500), ..Direction::default() };
        assert!(!direction.is_full(1, 1500));
        assert!(direction.is_full(1, 1501));
        for (packets, bytes) in
            [(0, 0), (u32::MAX - 1, 0), (1, U40::MAX - (1 << 32)), (1, U40::MAX), (u32::MAX, 0)]
        {
            let direction = Direction { packets, bytes: U40::saturating(bytes), ..Direction::default() };
            assert!(!(direction.has_room() && direction.is_full(1, u32::MAX)), "{direction:?}");
        }
        assert!(
            Direction { bytes: U40::saturating(U40::MAX - (1 << 32)), ..Direction::default() }.has_room()
        );
    }
}

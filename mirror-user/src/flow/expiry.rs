//! The end of flows and of intervals, and the records that tell of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::entry::{Direction, Disorder, Flow, Marks};
use super::key::{self, End};
use super::memory;
use super::recency::Queue;
use super::record::{Action, EndReason, FlowRecord, Traffic};
use super::slab::Slot;
use super::tcp::Segment;
use super::{FlowTable, Timeouts};
use crate::packet::Tunnel;
use crate::source::Timestamp;
use crate::wire::number::FlowCookie;

/// Records that fall due by timeout are made at most this many per packet, the rest with the packets that
/// follow, so that a step of the clock does not hold up the packets. In the long run fewer than two fall due
/// per packet: each ends a flow, or an interval with a packet in it.
const DUE_PER_PACKET: usize = 4;
/// The same for a call of [`FlowTable::expire`].
const DUE_PER_CALL: usize = 1024;

impl FlowTable {
    /// Makes the records that fall due until `now`, when no packets come; at most 1,024 at once.
    ///
    /// For the flows to be those of a replay of the packets, no packet may still come that is older than
    /// `now`: give the packets' clock less the time that a packet may wait before it gets here. A time before
    /// the latest packet does nothing.
    pub fn expire(&mut self, now: Timestamp, out: &mut impl FnMut(&FlowRecord)) {
        self.clock.move_on(now);
        if self.clock.now() >= self.next_due {
            self.end_due(DUE_PER_CALL, out);
        }
    }

    /// Ends all flows, because the capture ends.
    pub fn drain(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        for queue in [Queue::Closing, Queue::Idle] {
            while let Some(slot) = self.recency.oldest(queue) {
                let reason = self.timeout_of(slot).unwrap_or(EndReason::Shutdown);
                self.end(slot, reason, out);
            }
        }
    }

    /// Makes a few of the records that are due.
    #[cold]
    pub(super) fn end_due_on_packet(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        self.end_due(DUE_PER_PACKET, out);
    }

    /// Makes at most `most` of the records that are due: ends before intervals.
    fn end_due(&mut self, most: usize, out: &mut impl FnMut(&FlowRecord)) {
        for _ in 0..most {
            if let Some((slot, reason)) = self.oldest_timed_out() {
                self.end(slot, reason, out);
            } else if let Some(slot) = self.oldest_quiet() {
                self.recency.pass_quiet();
                if self.flows[slot].start().is_some() {
                    self.report(slot, out);
                }
            } else {
                self.next_due = self.soonest_due();
                return;
            }
        }
    }

    /// When the next record falls due, if no packet comes before.
    fn soonest_due(&self) -> u64 {
        let Timeouts { idle, active, closing } = self.timeouts;
        [
            (self.recency.oldest(Queue::Idle), idle),
            (self.recency.oldest(Queue::Closing), closing),
            (self.recency.oldest_not_passed(), active),
        ]
        .into_iter()
        .filter_map(|(slot, timeout)| slot.map(|slot| self.flows[slot].last().saturating_add(timeout)))
        .min()
        .unwrap_or(u64::MAX)
    }

    fn oldest_timed_out(&self) -> Option<(Slot, EndReason)> {
        [Queue::Idle, Queue::Closing].into_iter().find_map(|queue| {
            let slot = self.recency.oldest(queue)?;
            self.timeout_of(slot).map(|reason| (slot, reason))
        })
    }

    fn oldest_quiet(&self) -> Option<Slot> {
        self.recency
            .oldest_not_passed()
            .filter(|&slot| self.is_idle_for(&self.flows[slot], self.timeouts.active))
    }

    /// Whether a flow has been idle for so long.
    #[inline(always)]
    fn is_idle_for(&self, flow: &Flow, duration: u64) -> bool {
        self.clock.now().checked_sub(duration).is_some_and(|time| flow.is_idle_since(time))
    }

    /// Why a flow has ended by its timeout, if it has.
    #[inline(always)]
    fn timeout_of(&self, slot: Slot) -> Option<EndReason> {
        let flow = &self.flows[slot];
        let (timeout, reason) = if flow.phase.is_over() {
            (self.timeouts.closing, over(flow))
        } else {
            (self.timeouts.idle, EndReason::Idle)
        };
        self.is_idle_for(flow, timeout).then_some(reason)
    }

    /// Why a flow has ended before the packet that `sender` sent, if it has.
    #[inline(always)]
    pub(super) fn reason_to_end(
        &self,
        slot: Slot,
        sender: End,
        segment: Option<&Segment>,
    ) -> Option<EndReason> {
        self.timeout_of(slot).or_else(|| {
            let flow = &self.flows[slot];
            segment.is_some_and(|segment| flow.is_succeeded_by(segment, sender)).then(|| over(flow))
        })
    }

    /// Ends the flow that has been idle longest.
    #[cold]
    pub(super) fn make_room(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        let oldest = [Queue::Idle, Queue::Closing]
            .into_iter()
            .filter_map(|queue| self.recency.oldest(queue))
            .min_by_key(|&slot| self.flows[slot].last());
        if let Some(slot) = oldest {
            let reason = self.timeout_of(slot).unwrap_or(EndReason::Evicted);
            self.counters.evicted += u64::from(reason == EndReason::Evicted);
            self.end(slot, reason, out);
        }
    }

    /// Makes the record of a flow's interval, and begins the next one.
    pub(super) fn report(&mut self, slot: Slot, out: &mut impl FnMut(&FlowRecord)) {
        let action = if self.flows[slot].marks.has(Marks::REPORTED) { Action::Update } else { Action::Open };
        self.counters.records += 1;
        out(&self.record(slot, action));
        self.flows[slot].reset();
        if let Some(aside) = self.asides.get_mut(slot.number() as usize) {
            aside.reset();
        }
    }

    /// Makes the record of a flow's interval so far, because it stands for fewer flows from now on.
    #[cold]
    pub(super) fn lower_sampling_rate(&mut self, slot: Slot, out: &mut impl FnMut(&FlowRecord)) {
        if self.flows[slot].start().is_some() {
            self.report(slot, out);
        }
        self.flows[slot].set_sampling_rate(self.sampler.rate());
    }

    /// Makes the last record of a flow, and forgets it.
    pub(super) fn end(&mut self, slot: Slot, reason: EndReason, out: &mut impl FnMut(&FlowRecord)) {
        self.counters.records += 1;
        out(&self.record(slot, Action::End(reason)));
        let flow = self.flows[slot];
        let (selector, addresses, origin) = (flow.selector(), flow.addresses, flow.origin);
        let hash = if key::is_wide(selector) {
            let wide_slot = key::wide_slot(addresses);
            let hash = key::wide_hash(&self.wide[wide_slot], selector, &self.hasher);
            self.wide.remove(wide_slot);
            hash
        } else {
            key::narrow_hash(addresses, selector, &self.hasher)
        };
        self.index.remove(self.index.place(hash), slot);
        self.recency.remove(slot);
        self.flows.remove(slot);
        self.tunnels.release(origin);
        // Where one flow ends, the next one often does as well.
        if let Some(next) = self.recency.oldest(Queue::Idle) {
            memory::prefetch(&self.flows[next]);
        }
    }

    fn record(&self, slot: Slot, action: Action) -> FlowRecord {
        let flow = &self.flows[slot];
        let aside = self.asides.get(slot.number() as usize).copied().unwrap_or_default();
        let initiator = flow.marks.initiator();
        let selector = flow.selector();
        let [low, high] = if key::is_wide(selector) {
            self.wide[key::wide_slot(flow.addresses)]
                .0
                .map(|address| IpAddr::V6(Ipv6Addr::from_bits(address)))
        } else {
            key::narrow(flow.addresses).map(|address| IpAddr::V4(Ipv4Addr::from_bits(address)))
        };
        let [from_low, from_high] = [End::Low, End::High].map(|end| {
            let [low, high] = aside.disorder;
            self.traffic(flow.direction(end), if end == End::Low { low } else { high })
        });
        let (source, destination, forward, reverse) = match initiator {
            End::Low => (low, high, from_low, from_high),
            End::High => (high, low, from_high, from_low),
        };
        let cookie = |number| flow.marks.has(Marks::COOKIE).then_some(FlowCookie(number));
        let (tunnel, vlans) = self.tunnels.get(flow.origin);
        let last = flow.last();
        FlowRecord {
            queue: self.config.queue,
            sampling_rate: flow.sampling_rate(),
            action,
            start: self.clock.timestamp(flow.start().unwrap_or(last)),
            end: self.clock.timestamp(last),
            tunnel: Tunnel { cookie: cookie(flow.latest_cookie), ..tunnel },
            first_cookie: cookie(flow.first_cookie),
            vlans,
            source,
            destination,
            protocol: key::protocol(selector),
            transport: key::transport(selector, initiator),
            initiator: flow.marks.known_from(),
            forward,
            reverse,
            connection: flow.phase.connection(action == Action::End(EndReason::Idle)),
            handshake: (aside.handshake > 0).then(|| Duration::from_micros(aside.handshake.into())),
        }
    }

    fn traffic(&self, direction: &Direction, disorder: Disorder) -> Traffic {
        if direction.packets == 0 {
            return Traffic::default();
        }
        Traffic {
            packets: direction.packets.into(),
            bytes: direction.bytes.get(),
            captured_bytes: direction.captured_bytes.get(),
            times: Some((self.clock.timestamp(direction.first), self.clock.timestamp(direction.last()))),
            hop_limits: Some((direction.lowest_hop_limit, direction.highest_hop_limit)),
            tcp_flags: direction.tcp_flags,
            retransmissions: disorder.retransmissions,
            out_of_order: disorder.out_of_order,
        }
    }
}

/// Why a flow ends whose TCP connection is over.
#[inline(always)]
fn over(flow: &Flow) -> EndReason {
    if flow.phase.is_closed() { EndReason::Closed } else { EndReason::Reset }
}

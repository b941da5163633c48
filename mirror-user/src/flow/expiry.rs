//! The end of flows and of intervals, and their records.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use mirror_app::Summary;

use super::application::FlowIdentity;
use super::entry::{Direction, Disorder, Flags, Flow};
use super::key::{self, Key, WideAddresses};
use super::lru::LruList;
use super::memory;
use super::record::{Action, EndReason, FlowRecord, Initiator, Traffic};
use super::side::Side;
use super::slab::Slot;
use super::table::FlowTable;
use super::tcp::Segment;
use crate::number::FlowCookie;
use crate::packet::Tunnel;
use crate::time::Timestamp;

/// Most records by timeout per call of [`FlowTable::expire`]; the rest follow in later calls, so that a step of the clock
/// does not hold up the packets.
const DUE_PER_CALL: usize = 1024;
/// Most flows that end at once to make room for tunnels.
const ENDED_FOR_TUNNELS: usize = 4096;
/// Greatest lead of a flow's latest packet on the time, in nanoseconds: a flow further ahead is by another clock.
const AHEAD: u64 = 2_000_000_000;

impl FlowTable {
    /// Makes the records that fall due until `now`, when no packets come; at most 1,024 at once.
    ///
    /// No packet may still come that is older than `now`: give the packets' clock less the time that a packet may wait
    /// before it gets here. Then no flow ends that its own packets would have kept.
    pub fn expire(&mut self, now: Timestamp, out: &mut impl FnMut(&FlowRecord)) {
        self.now = now.0;
        self.make_due_records(out);
        self.expire_inspection();
        self.tunnels.settle();
    }

    fn make_due_records(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        for _ in 0..DUE_PER_CALL {
            if let Some((slot, queue)) = self.oldest_ahead() {
                // It is by another clock, and may not keep the others from being checked.
                self.lru.touch(slot, queue);
            } else if let Some((slot, reason)) = self.oldest_timed_out() {
                self.end(slot, reason, out);
            } else if let Some(slot) = self.oldest_quiet() {
                self.lru.pass_quiet();
                if self.flows[slot].start() != u64::MAX {
                    self.report(slot, out);
                }
            } else {
                return;
            }
        }
    }

    /// Ends all flows, because the capture ends, at the time `now`.
    pub fn drain(&mut self, now: Timestamp, out: &mut impl FnMut(&FlowRecord)) {
        self.now = now.0;
        self.fragments.give_up();
        for queue in [LruList::Closing, LruList::Idle] {
            while let Some(slot) = self.lru.oldest(queue) {
                let reason = self.timeout_of(slot).unwrap_or(EndReason::Shutdown);
                self.end(slot, reason, out);
            }
        }
        self.tunnels.settle();
    }

    /// The flow that has been idle longest in its queue, if it is ahead of the time.
    fn oldest_ahead(&self) -> Option<(Slot, LruList)> {
        [LruList::Idle, LruList::Closing].into_iter().find_map(|queue| {
            let slot = self.lru.oldest(queue)?;
            let is_ahead = self.flows[slot].last() > self.now.saturating_add(AHEAD);
            is_ahead.then_some((slot, queue))
        })
    }

    fn oldest_timed_out(&self) -> Option<(Slot, EndReason)> {
        [LruList::Idle, LruList::Closing].into_iter().find_map(|queue| {
            let slot = self.lru.oldest(queue)?;
            self.timeout_of(slot).map(|reason| (slot, reason))
        })
    }

    fn oldest_quiet(&self) -> Option<Slot> {
        self.lru
            .oldest_not_passed()
            .filter(|&slot| self.flows[slot].last().saturating_add(self.timeouts.active) <= self.now)
    }

    /// The reason for which a flow has ended by now, if it has.
    fn timeout_of(&self, slot: Slot) -> Option<EndReason> {
        let flow = &self.flows[slot];
        let (timeout, reason) = self.timeout(flow);
        (flow.last().saturating_add(timeout) <= self.now).then_some(reason)
    }

    /// The timeout of a flow, and the reason for which it ends then.
    fn timeout(&self, flow: &Flow) -> (u64, EndReason) {
        if flow.phase.is_over() {
            (self.timeouts.closing, over(flow))
        } else {
            (self.timeouts.idle, EndReason::Idle)
        }
    }

    /// The reason for which a flow has ended before the packet that `sender` sent at `time`, if it has.
    #[inline(always)]
    pub(super) fn reason_to_end(
        &self,
        slot: Slot,
        time: u64,
        sender: Side,
        segment: Option<&Segment>,
    ) -> Option<EndReason> {
        let flow = &self.flows[slot];
        if !flow.is_soon(time, self.timeouts.shortest)
            && let Some(reason) = self.timed_out_before(flow, time)
        {
            return Some(reason);
        }
        segment.filter(|segment| segment.has_syn()).and_then(|segment| self.succeeded(slot, segment, sender))
    }

    /// The reason for which a flow has timed out before a packet of `time`, by the time of its own packets.
    fn timed_out_before(&self, flow: &Flow, time: u64) -> Option<EndReason> {
        let (timeout, reason) = self.timeout(flow);
        let last = flow.last();
        let (pause, reason) = if time >= last {
            (time - last, reason)
        } else {
            let start = if flow.start() == u64::MAX { last } else { flow.start() };
            (start.saturating_sub(time), EndReason::ClockStep)
        };
        (pause >= timeout).then_some(reason)
    }

    /// The reason for which a flow has ended if a segment with SYN begins another connection.
    #[cold]
    fn succeeded(&self, slot: Slot, segment: &Segment, sender: Side) -> Option<EndReason> {
        let flow = &self.flows[slot];
        let cold = self.cold_parts.get(slot.number() as usize)?;
        let reason = if flow.phase.is_over() { over(flow) } else { EndReason::Reused };
        flow.is_succeeded_by(cold, segment, sender).then_some(reason)
    }

    /// `true` if a flow's record would cover more time than one may, with a packet of `time`.
    #[inline(always)]
    pub(super) fn is_active_for_too_long(&self, flow: &Flow, time: u64) -> bool {
        let start = flow.start();
        time.wrapping_sub(start) >= self.timeouts.shortest
            && start != u64::MAX
            && flow.last().max(time) - start.min(time) >= self.timeouts.active
    }

    /// Ends the flow that has been idle longest.
    #[cold]
    pub(super) fn make_room(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        let oldest = [LruList::Idle, LruList::Closing]
            .into_iter()
            .filter_map(|queue| self.lru.oldest(queue))
            .min_by_key(|&slot| self.flows[slot].last());
        if let Some(slot) = oldest {
            self.evict(slot, out);
        }
    }

    /// Ends the flows of tunnels that give way to others.
    #[cold]
    pub(super) fn make_room_for_tunnels(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        let mut ended = 0;
        for index in 0..self.tunnels.find_victims() {
            let origin = self.tunnels.victim(index);
            loop {
                let slot = self.tunnels.first_flow(origin);
                if slot == Slot::NONE {
                    break;
                }
                if ended == ENDED_FOR_TUNNELS {
                    return;
                }
                self.evict(slot, out);
                ended += 1;
            }
            self.counters.tunnels_evicted += 1;
        }
    }

    /// Ends a flow to make room, if it has not ended by itself.
    fn evict(&mut self, slot: Slot, out: &mut impl FnMut(&FlowRecord)) {
        let reason = self.timeout_of(slot).unwrap_or(EndReason::Evicted);
        self.counters.evicted += u64::from(reason == EndReason::Evicted);
        self.end(slot, reason, out);
    }

    /// Makes the record of a flow's interval, and begins the next one.
    pub(super) fn report(&mut self, slot: Slot, out: &mut impl FnMut(&FlowRecord)) {
        let action = if self.flows[slot].flags.has(Flags::REPORTED) { Action::Update } else { Action::Open };
        self.counters.records += 1;
        let inspection = self.cold_parts.get(slot.number() as usize).and_then(|cold| cold.inspection);
        let application = inspection.and_then(|handle| self.summary(handle).cloned());
        out(&self.record(slot, action, application));
        self.flows[slot].reset();
        if let Some(cold) = self.cold_parts.get_mut(slot.number() as usize) {
            cold.reset();
        }
    }

    /// Makes the record of a flow's interval so far, because it stands for fewer flows from now on.
    #[cold]
    pub(super) fn lower_sampling_rate(&mut self, slot: Slot, out: &mut impl FnMut(&FlowRecord)) {
        if self.flows[slot].start() != u64::MAX {
            self.report(slot, out);
        }
        self.flows[slot].set_sampling_rate(self.sampler.rate());
    }

    /// Makes the last record of a flow, and removes it.
    pub(super) fn end(&mut self, slot: Slot, reason: EndReason, out: &mut impl FnMut(&FlowRecord)) {
        self.counters.records += 1;
        let inspection = self.cold_parts.get(slot.number() as usize).and_then(|cold| cold.inspection);
        let application = inspection.and_then(|handle| self.end_inspection(slot, handle));
        out(&self.record(slot, Action::End(reason), application));
        let flow = self.flows[slot];
        let (selector, addresses, origin) = (flow.selector(), flow.addresses, flow.origin);
        let vlans = self.cold_parts.get(slot.number() as usize).map_or(0, |cold| cold.vlans);
        let wide = if key::is_wide(selector) {
            self.wide[key::wide_slot(addresses)]
        } else {
            WideAddresses::default()
        };
        let key = Key { selector, addresses, wide, vlans };
        if matches!(reason, EndReason::Idle | EndReason::Evicted | EndReason::ClockStep)
            && flow.phase.is_established()
            && matches!(flow.flags.evidence(), Initiator::Syn | Initiator::Earlier)
        {
            let identity = self.identity(&key, origin);
            self.initiators.remember(&identity, flow.flags.initiator());
        }
        let hash = if key::is_wide(selector) {
            self.wide.remove(key::wide_slot(addresses));
            key::wide_hash(&wide, selector, &self.hasher)
        } else {
            key::narrow_hash(addresses, selector, &self.hasher)
        };
        let hash = key::with_vlans(hash, vlans, &self.hasher);
        self.index.remove(self.index.position(hash), slot);
        self.lru.remove(slot);
        self.leave_origin(slot);
        self.flows.remove(slot);
        self.tunnels.release(origin);
        // Where one flow ends, the next one often does as well.
        if let Some(next) = self.lru.oldest(LruList::Idle) {
            memory::prefetch(&self.flows[next]);
        }
    }

    /// The identity of a connection, in words that outlive its flow.
    pub(super) fn identity(&self, key: &Key, origin: u16) -> [u64; 8] {
        let [a, b, c, d] = if key::is_wide(key.selector) {
            let [[a, b], [c, d]] = key.wide.0.map(key::halves);
            [a, b, c, d]
        } else {
            [key.addresses, 0, 0, 0]
        };
        let [endpoint, vni] = self.tunnels.scope_of(origin);
        [a, b, c, d, key::without_scope(key.selector), key.vlans.into(), endpoint, vni]
    }

    fn record(&self, slot: Slot, action: Action, application: Option<Summary>) -> FlowRecord {
        let flow = &self.flows[slot];
        let cold = self.cold_parts.get(slot.number() as usize).copied().unwrap_or_default();
        let FlowIdentity { tunnel, vlans, source, destination, protocol, transport } = self.identity_of(slot);
        let [from_low, from_high] = [Side::Low, Side::High].map(|side| {
            let [low, high] = cold.disorder;
            traffic(flow.direction(side), if side == Side::Low { low } else { high })
        });
        let (forward, reverse) = match flow.flags.initiator() {
            Side::Low => (from_low, from_high),
            Side::High => (from_high, from_low),
        };
        let (start, end) = flow.interval();
        let packets: u64 = flow.directions.iter().map(|direction| u64::from(direction.packets)).sum();
        FlowRecord {
            queue: self.config.queue,
            sampling_rate: flow.sampling_rate(),
            action,
            start: Timestamp(start),
            end: Timestamp(end),
            tunnel,
            first_cookie: cookie(flow, flow.first_cookie),
            vlans,
            source,
            destination,
            protocol,
            transport,
            initiator: flow.flags.evidence(),
            forward,
            reverse,
            accounted: packets.saturating_sub(cold.own_records.into()),
            connection: flow.phase.connection(action == Action::End(EndReason::Idle)),
            handshake: (cold.handshake > 0).then(|| Duration::from_micros(cold.handshake.into())),
            application: application.map(Arc::new),
        }
    }

    /// The ends of a flow, and its tunnel.
    pub(super) fn identity_of(&self, slot: Slot) -> FlowIdentity {
        let flow = &self.flows[slot];
        let initiator = flow.flags.initiator();
        let selector = flow.selector();
        let [low, high] = if key::is_wide(selector) {
            self.wide[key::wide_slot(flow.addresses)]
                .0
                .map(|address| IpAddr::V6(Ipv6Addr::from_bits(address)))
        } else {
            key::narrow(flow.addresses).map(|address| IpAddr::V4(Ipv4Addr::from_bits(address)))
        };
        let (source, destination) = match initiator {
            Side::Low => (low, high),
            Side::High => (high, low),
        };
        let vlans = self.cold_parts.get(slot.number() as usize).map_or(0, |cold| cold.vlans);
        FlowIdentity {
            tunnel: Tunnel { cookie: cookie(flow, flow.latest_cookie), ..self.tunnels.get(flow.origin) },
            vlans: key::unpack_vlans(vlans),
            source,
            destination,
            protocol: key::protocol(selector),
            transport: key::transport(selector, initiator),
        }
    }
}

/// A cookie of a flow, if its packets have any.
fn cookie(flow: &Flow, number: u32) -> Option<FlowCookie> {
    flow.flags.has(Flags::COOKIE).then_some(FlowCookie(number))
}

fn traffic(direction: &Direction, disorder: Disorder) -> Traffic {
    if direction.packets == 0 {
        return Traffic::default();
    }
    Traffic {
        packets: direction.packets.into(),
        bytes: direction.bytes.get(),
        captured_bytes: direction.captured_bytes.get(),
        times: Some((Timestamp(direction.first), Timestamp(direction.last()))),
        hop_limits: Some((direction.lowest_hop_limit, direction.highest_hop_limit)),
        tcp_flags: direction.tcp_flags,
        retransmissions: disorder.retransmissions,
        out_of_order: disorder.out_of_order,
    }
}

/// The reason for which a flow ends whose TCP connection is over.
fn over(flow: &Flow) -> EndReason {
    if flow.phase.is_closed() { EndReason::Closed } else { EndReason::Reset }
}

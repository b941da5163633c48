//! The way of a batch of packets through the table.

use super::FlowTable;
use super::entry::{Aside, Counted, Flow, Marks};
use super::icmp;
use super::index::Place;
use super::key::{self, End, Key, Selector};
use super::memory;
use super::recency::Queue;
use super::record::{FlowRecord, Initiator};
use super::slab::Slot;
use super::tcp::Segment;
use super::tunnels::Tunnels;
use crate::packet::{Icmp, Ip, Network, Packet, Transport};
use crate::source::{BATCH, Timestamp};

/// A packet of the batch, worked out before the memory of its flow is touched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    timestamp: Timestamp,
    /// None where the packet belongs to no flow, and only tells the time.
    visit: Option<Visit>,
}

/// A packet that belongs to a flow, or may begin one.
#[derive(Clone, Copy, Debug)]
struct Visit {
    key: Key,
    place: Place,
    /// Where the flow probably is.
    candidate: Slot,
    sender: End,
    /// Number of its origin, which is held until the packet was counted.
    origin: u16,
    /// The initiator of the flow, if it is known from an ICMP query.
    requester: Option<End>,
    cookie: Option<u32>,
    counted: Counted,
    segment: Option<Segment>,
}

impl FlowTable {
    /// Counts packets in their flows, and hands the records that fall due meanwhile to `out`.
    ///
    /// Time is that of the packets. As long as there is room for all tunnels and fragments, what the records
    /// say depends neither on how packets are grouped into calls nor on the seed. Memory is fetched ahead for
    /// up to [`BATCH`] packets at once, so give that many where there are.
    pub fn update<'packets>(
        &mut self,
        packets: impl IntoIterator<Item = (Timestamp, &'packets Packet)>,
        out: &mut impl FnMut(&FlowRecord),
    ) {
        for (timestamp, packet) in packets {
            if self.batch.len() == BATCH {
                self.complete(out);
            }
            self.prepare(timestamp, packet);
        }
        self.complete(out);
    }

    /// Takes up a packet, which is then known well enough to be forgotten. [`FlowTable::complete`] counts it, and is due
    /// after [`BATCH`] packets; [`FlowTable::update`] does both.
    #[inline(always)]
    pub fn prepare(&mut self, timestamp: Timestamp, packet: &Packet) {
        let visit = self.look_up(timestamp, packet);
        self.batch.push(Step { timestamp, visit });
    }

    /// Counts the packets that were [prepared](FlowTable::prepare) in their flows, and hands the records that fall due
    /// meanwhile to `out`.
    #[inline]
    pub fn complete(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        let mut batch = std::mem::take(&mut self.batch);
        self.fetch(&mut batch);
        for Step { timestamp, visit } in &batch {
            let time = self.clock.packet(*timestamp);
            if self.clock.now() >= self.next_due {
                self.end_due_on_packet(out);
            }
            if let Some(visit) = visit {
                self.visit(visit, time, out);
            }
        }
        batch.clear();
        self.batch = batch;
    }

    /// First pass: what can be told of a packet by itself.
    #[inline(always)]
    fn look_up(&mut self, timestamp: Timestamp, packet: &Packet) -> Option<Visit> {
        self.counters.packets += 1;
        let Network::Ip(ip) = &packet.network else {
            self.counters.not_ip += 1;
            return None;
        };
        let Some((origin, scope)) = self.tunnels.hold(packet) else {
            self.counters.tunnels_exhausted += 1;
            return None;
        };
        let selector = match ip.fragment {
            None => Selector::of(ip),
            Some(fragment) => {
                let scope = Tunnels::scope(packet);
                let Some(selector) = self.fragments.attribute(ip, fragment, &scope, timestamp) else {
                    self.counters.fragments_unattributed += 1;
                    self.tunnels.release(origin);
                    return None;
                };
                selector
            }
        };
        let (key, hash, sender) = Key::of(ip, selector, scope, &self.hasher);
        let place = self.index.place(hash);
        self.index.prefetch(place);
        let segment = match &ip.transport {
            Transport::Tcp(tcp) => tcp.state.as_ref().map(Segment::new),
            _ => None,
        };
        Some(Visit {
            key,
            place,
            candidate: Slot::NONE,
            sender,
            origin,
            requester: requester(ip, sender),
            cookie: packet.tunnel.cookie.map(|cookie| cookie.0),
            counted: Counted {
                bytes: packet.original_length,
                captured_bytes: packet.captured_length,
                hop_limit: ip.hop_limit,
                tcp_flags: segment.map_or(0, |segment| segment.flags),
            },
            segment,
        })
    }

    /// Second and third pass: where flows probably are, and the memory that will be needed there.
    #[inline(always)]
    fn fetch(&self, batch: &mut [Step]) {
        for visit in batch.iter_mut().filter_map(|step| step.visit.as_mut()) {
            visit.candidate = self.index.candidate(visit.place);
            memory::prefetch(&self.flows[visit.candidate]);
            self.recency.prefetch(visit.candidate);
        }
        for visit in batch.iter().filter_map(|step| step.visit.as_ref()) {
            self.recency.prefetch_neighbours(visit.candidate);
            let flow = &self.flows[visit.candidate];
            if key::is_wide(flow.selector()) {
                memory::prefetch(&self.wide[key::wide_slot(flow.addresses)]);
            }
        }
    }

    /// Last pass: counts a packet in its flow.
    #[inline(always)]
    fn visit(&mut self, visit: &Visit, time: u64, out: &mut impl FnMut(&FlowRecord)) {
        let mut known = self.find(visit);
        if let Some(slot) = known
            && let Some(reason) = self.reason_to_end(slot, visit.sender, visit.segment.as_ref())
        {
            self.end(slot, reason, out);
            known = None;
        }
        let slot = match known {
            Some(slot) => slot,
            None if self.sampler.selects(&visit.key) => self.open(visit, out),
            None => {
                self.tunnels.release(visit.origin);
                self.counters.not_sampled += 1;
                return;
            }
        };
        let flow = &self.flows[slot];
        let active_since = self.clock.now().checked_sub(self.timeouts.active);
        if flow.sampling_rate() > self.sampler.rate() {
            self.lower_sampling_rate(slot, out);
        } else if active_since.is_some_and(|time| flow.has_begun_by(time))
            || flow.direction(visit.sender).is_full(visit.counted.bytes)
        {
            self.report(slot, out);
        }

        let flow = &mut self.flows[slot];
        flow.direction_mut(visit.sender).count(time, visit.counted);
        if let Some(cookie) = visit.cookie {
            flow.add_cookie(cookie);
        }
        if let Some(segment) = &visit.segment
            && let Some(aside) = self.asides.get_mut(slot.number() as usize)
        {
            flow.follow(aside, segment, visit.sender, time);
        }
        let (queue, timeout) = if flow.phase.is_over() {
            (Queue::Closing, self.timeouts.closing)
        } else {
            (Queue::Idle, self.timeouts.idle.min(self.timeouts.active))
        };
        // The flow keeps the packet's hold on its origin, and gives up its own.
        let given_up = std::mem::replace(&mut flow.origin, visit.origin);
        self.tunnels.release(given_up);
        self.recency.touch(slot, queue);
        self.next_due = self.next_due.min(time.saturating_add(timeout));
        self.counters.attributed += 1;
    }

    #[inline(always)]
    fn find(&self, visit: &Visit) -> Option<Slot> {
        if self.is_at(&visit.key, visit.candidate) {
            return Some(visit.candidate);
        }
        self.index.find(visit.place, |slot| self.is_at(&visit.key, slot))
    }

    /// Whether the flow at `slot` has this key; no vacant place has.
    #[inline(always)]
    fn is_at(&self, key: &Key, slot: Slot) -> bool {
        let flow = &self.flows[slot];
        if flow.selector() != key.selector {
            return false;
        }
        if key::is_wide(key.selector) {
            key::same_hash(flow.addresses, key.addresses)
                && self.wide[key::wide_slot(flow.addresses)] == key.wide
        } else {
            flow.addresses == key.addresses
        }
    }

    /// Makes the flow of a packet, at the cost of the longest idle one if there is no room.
    fn open(&mut self, visit: &Visit, out: &mut impl FnMut(&FlowRecord)) -> Slot {
        if self.flows.is_full() {
            self.make_room(out);
        }
        let mut flow = Flow::new(&visit.key, self.sampler.rate(), visit.marks(), visit.origin);
        self.tunnels.hold_again(visit.origin);
        if key::is_wide(visit.key.selector) {
            flow.addresses = key::with_wide_slot(flow.addresses, self.wide.insert(visit.key.wide));
        }
        let slot = self.flows.insert(flow);
        match self.asides.get_mut(slot.number() as usize) {
            Some(aside) => *aside = Aside::default(),
            None => self.asides.push(Aside::default()),
        }
        self.index.insert(visit.place, slot);
        self.recency.insert(slot, Queue::Idle);
        self.counters.created += 1;
        slot
    }
}

impl Visit {
    /// The marks of the flow whose first packet this is.
    fn marks(&self) -> Marks {
        let initiator = self.segment.and_then(|segment| segment.initiator(self.sender));
        match (initiator, self.requester) {
            (Some(initiator), _) => Marks::new(initiator, Initiator::Syn),
            (None, Some(requester)) => Marks::new(requester, Initiator::Request),
            (None, None) => Marks::new(self.sender, Initiator::FirstPacket),
        }
    }
}

/// Who asked, where the packet is of an ICMP query.
#[inline(always)]
fn requester(ip: &Ip, sender: End) -> Option<End> {
    let (Transport::Icmp(Icmp { kind, .. }) | Transport::Icmpv6(Icmp { kind, .. })) = ip.transport else {
        return None;
    };
    let query = icmp::query(ip.protocol, kind)?;
    Some(if kind == query.request { sender } else { sender.other() })
}

//! The passes of a batch of packets through the table.

use super::entry::{ColdPart, Flags, Flow, PacketCounts};
use super::fragments::{Attribution, FragmentCounts};
use super::icmp;
use super::key::{self, Key, Selector, WideAddresses};
use super::lru::LruList;
use super::memory;
use super::payload::{Frames, NoFrames, Place};
use super::prepared_packet::PreparedPacket;
use super::record::{FlowRecord, Initiator};
use super::side::Side;
use super::slab::Slot;
use super::table::FlowTable;
use super::tcp::Segment;
use super::tunnels::{self, Tunnels};
use crate::batch::BATCH_FRAMES;
use crate::number::SamplingRate;
use crate::packet::{Icmp, Ip, Network, Packet, PlainPacket, Transport};
use crate::time::Timestamp;

impl FlowTable {
    /// Counts packets in their flows, and hands the records that fall due meanwhile to `out`.
    ///
    /// As long as there is room for all tunnels and fragments, what the records say depends neither on how packets are
    /// grouped into calls nor on the seed. Memory is fetched ahead for up to [`BATCH_FRAMES`] packets at once, so give that
    /// many where there are.
    pub fn update<'packets>(
        &mut self,
        packets: impl IntoIterator<Item = (Timestamp, &'packets Packet)>,
        out: &mut impl FnMut(&FlowRecord),
    ) {
        for (timestamp, packet) in packets {
            if self.batch.len() == BATCH_FRAMES {
                self.complete(out);
            }
            self.prepare(timestamp, packet, false, None);
        }
        self.complete(out);
    }

    /// Prepares a packet, which need not be kept afterwards. [`FlowTable::complete`] counts it, and is due after
    /// [`BATCH_FRAMES`] packets; [`FlowTable::update`] does both. A packet with a record of its own is accounted for by
    /// that record; any other by the record of its flow, or as one that belongs to none. With the number of its `frame`, its payload
    /// may be looked into.
    #[inline(always)]
    pub fn prepare(
        &mut self,
        timestamp: Timestamp,
        packet: &Packet,
        has_own_record: bool,
        frame: Option<usize>,
    ) {
        if let Some(packet) = self.prepared(timestamp, packet, has_own_record, frame) {
            self.batch.push(packet);
        }
    }

    /// Does as [`FlowTable::prepare`] with a packet in its most frequent form.
    #[inline(always)]
    pub fn prepare_plain(
        &mut self,
        timestamp: Timestamp,
        packet: &PlainPacket,
        has_own_record: bool,
        frame: Option<usize>,
    ) {
        self.counters.packets += 1;
        let Some((origin, scope)) = self.tunnels.numbers_of_plain(&packet.tunnel) else {
            self.counters.tunnels_exhausted += u64::from(!has_own_record);
            return;
        };
        let addresses = [packet.source, packet.destination];
        let vlans = key::pack_vlans(packet.vlans);
        let selector = Selector::of_ports(packet.ports);
        let (key, hash, sender) =
            Key::narrow(addresses, packet.protocol(), selector, scope, vlans, &self.hasher);
        let position = self.index.position(hash);
        self.index.prefetch(position);
        let segment = packet.tcp.as_ref().map(Segment::new);
        self.batch.push(PreparedPacket {
            selector: key.selector,
            addresses: key.addresses,
            vlans: key.vlans,
            position,
            candidate: Slot::NONE,
            timestamp,
            sender,
            origin,
            requester: None,
            has_own_record,
            is_joined: false,
            place: Place::new(frame, packet.is_frame, packet.offset),
            cookie: Some(packet.tunnel.cookie.0),
            counts: PacketCounts {
                bytes: packet.original_length,
                captured_bytes: packet.captured_length,
                hop_limit: packet.hop_limit,
                tcp_flags: segment.map_or(0, |segment| segment.flags),
            },
            segment,
        });
    }

    /// Counts the packets that were [prepared](FlowTable::prepare) in their flows, and hands the records that fall due
    /// meanwhile to `out`.
    #[inline]
    pub fn complete(&mut self, out: &mut impl FnMut(&FlowRecord)) {
        self.complete_with(&NoFrames, out);
    }

    /// Does as [`FlowTable::complete`], and looks into the payload of packets that came with the number of their frame.
    #[inline]
    pub fn complete_with(&mut self, frames: &impl Frames, out: &mut impl FnMut(&FlowRecord)) {
        let mut batch = std::mem::take(&mut self.batch);
        self.fetch(&mut batch);
        let mut joining = 0;
        for packet in &batch {
            let slot = self.count(packet, frames, out);
            if packet.is_joined {
                self.join(slot, joining, packet.sender, out);
                joining += 1;
            }
        }
        batch.clear();
        self.batch = batch;
        self.wide_of_batch.clear();
        self.joining.clear();
        if self.tunnels.next_batch() {
            self.make_room_for_tunnels(out);
            self.tunnels.settle();
        }
    }

    /// First pass: the parts that need the packet alone.
    fn prepared(
        &mut self,
        timestamp: Timestamp,
        packet: &Packet,
        has_own_record: bool,
        frame: Option<usize>,
    ) -> Option<PreparedPacket> {
        let unaccounted = u64::from(!has_own_record);
        self.counters.packets += 1;
        let Network::Ip(ip) = &packet.network else {
            self.counters.not_ip += unaccounted;
            return None;
        };
        let Some((origin, scope)) = self.tunnels.numbers(&packet.tunnel) else {
            self.counters.tunnels_exhausted += unaccounted;
            return None;
        };
        let (selector, is_joined) = match ip.fragment {
            None => (Selector::of(ip), false),
            Some(fragment) => {
                let counts = FragmentCounts {
                    timestamp,
                    bytes: packet.original_length,
                    captured_bytes: packet.captured_length,
                    hop_limit: ip.hop_limit,
                    has_own_record,
                };
                match self.fragments.attribute(ip, fragment, &Tunnels::scope(packet), counts) {
                    Attribution::Flow(selector, held) => {
                        self.joining.extend(held);
                        (selector, held.is_some())
                    }
                    attribution => {
                        let is_lost = attribution == Attribution::Unknown;
                        self.counters.fragments_unattributed += unaccounted * u64::from(is_lost);
                        return None;
                    }
                }
            }
        };
        let vlans = tunnels::vlans(packet.link);
        let (key, hash, sender) = Key::of(ip, selector, scope, vlans, &self.hasher);
        let addresses = if key::is_wide(key.selector) {
            let place = self.wide_of_batch.len() as u64;
            self.wide_of_batch.push(key.wide);
            key::with_place(key.addresses, place)
        } else {
            key.addresses
        };
        let position = self.index.position(hash);
        self.index.prefetch(position);
        let segment = match &ip.transport {
            Transport::Tcp(tcp) => tcp.state.as_ref().map(Segment::new),
            _ => None,
        };
        Some(PreparedPacket {
            selector: key.selector,
            addresses,
            vlans,
            position,
            candidate: Slot::NONE,
            timestamp,
            sender,
            origin,
            requester: requester(ip, sender),
            has_own_record,
            is_joined,
            place: Place::new(frame, packet.link.is_some(), packet.offset),
            cookie: packet.tunnel.cookie.map(|cookie| cookie.0),
            counts: PacketCounts {
                bytes: packet.original_length,
                captured_bytes: packet.captured_length,
                hop_limit: ip.hop_limit,
                tcp_flags: segment.map_or(0, |segment| segment.flags),
            },
            segment,
        })
    }

    /// Second and third pass: the probable slots of the flows, and prefetching the memory that will be needed there.
    #[inline(always)]
    fn fetch(&self, batch: &mut [PreparedPacket]) {
        for packet in &mut *batch {
            packet.candidate = self.index.candidate(packet.position);
            memory::prefetch(&self.flows[packet.candidate]);
            self.lru.prefetch(packet.candidate);
        }
        for packet in &*batch {
            let flow = &self.flows[packet.candidate];
            if flow.moves_by(packet.sender, packet.timestamp.0) {
                self.lru.prefetch_neighbours(packet.candidate);
            }
            if key::is_wide(packet.selector) {
                memory::prefetch(&self.wide[key::wide_slot(flow.addresses)]);
            }
        }
    }

    /// Last pass: counts a packet in its flow, unless that was not selected.
    #[inline(always)]
    fn count(
        &mut self,
        packet: &PreparedPacket,
        frames: &impl Frames,
        out: &mut impl FnMut(&FlowRecord),
    ) -> Option<Slot> {
        let slot = packet.candidate;
        let flow = &mut self.flows[slot];
        if !goes_on(flow, packet, self.timeouts.shortest, self.sampler.rate()) {
            return self.count_elsewhere(packet, frames, out);
        }
        let moves = flow.moves_by(packet.sender, packet.timestamp.0);
        let is_over = add(flow, packet, || self.cold_parts.get_mut(slot.number() as usize));
        let has_moved = flow.origin != packet.origin;
        let is_inspected = flow.flags.has(Flags::INSPECTED);
        self.counters.attributed += 1;
        if has_moved {
            self.change_origin(slot, packet.origin);
        }
        if moves || is_over {
            self.queue(slot);
        }
        if is_inspected {
            self.inspect(slot, packet, frames);
        }
        Some(slot)
    }

    /// Does as [`Self::count`] with a packet whose flow is to be searched, or ends or reports before it.
    #[inline(never)] // kept out of the code of by far most packets
    fn count_elsewhere(
        &mut self,
        packet: &PreparedPacket,
        frames: &impl Frames,
        out: &mut impl FnMut(&FlowRecord),
    ) -> Option<Slot> {
        let slot = self.flow_of(packet, out)?;
        let flow = &mut self.flows[slot];
        // The same as in `count` where the flow goes on: the order of records must not depend on the place of a packet in its batch.
        let moves = flow.moves_by(packet.sender, packet.timestamp.0)
            || flow.start() == u64::MAX
            || flow.phase.is_over();
        let is_over = add(flow, packet, || self.cold_parts.get_mut(slot.number() as usize));
        if flow.origin != packet.origin {
            self.change_origin(slot, packet.origin);
        }
        if moves || is_over {
            self.queue(slot);
        }
        self.counters.attributed += 1;
        if self.flows[slot].flags.has(Flags::INSPECTED) {
            self.inspect(slot, packet, frames);
        }
        Some(slot)
    }

    /// Makes a flow the latest of those that wait for the same timeout.
    #[inline]
    fn queue(&mut self, slot: Slot) {
        let is_over = self.flows[slot].phase.is_over();
        self.lru.touch(slot, if is_over { LruList::Closing } else { LruList::Idle });
    }

    /// The flow in which a packet is to be counted, once those flows and intervals are ended that end before it. None if it was
    /// not selected.
    fn flow_of(&mut self, packet: &PreparedPacket, out: &mut impl FnMut(&FlowRecord)) -> Option<Slot> {
        let Timestamp(time) = packet.timestamp;
        let mut known = self.find(packet);
        if let Some(slot) = known
            && let Some(reason) = self.reason_to_end(slot, time, packet.sender, packet.segment.as_ref())
        {
            self.end(slot, reason, out);
            known = None;
        }
        let slot = match known {
            Some(slot) => slot,
            None if self.sampler.selects(&self.key(packet)) => self.open(packet, out),
            None => {
                self.counters.not_sampled += u64::from(!packet.has_own_record);
                return None;
            }
        };
        let flow = &self.flows[slot];
        if flow.sampling_rate() > self.sampler.rate() {
            self.lower_sampling_rate(slot, out);
        } else if self.is_active_for_too_long(flow, time)
            || flow.direction(packet.sender).is_full(1, packet.counts.bytes)
        {
            self.report(slot, out);
        }
        Some(slot)
    }

    /// Counts fragments that waited for a packet in the flow of that packet, or with it.
    #[cold]
    fn join(&mut self, slot: Option<Slot>, joining: usize, sender: Side, out: &mut impl FnMut(&FlowRecord)) {
        let Some(&held) = self.joining.get(joining) else { return };
        let Some(slot) = slot else {
            self.counters.not_sampled += held.unaccounted();
            return;
        };
        let flow = &self.flows[slot];
        if flow.direction(sender).is_full(held.packets, held.bytes)
            || self.is_active_for_too_long(flow, held.first)
            || self.is_active_for_too_long(flow, held.last)
        {
            self.report(slot, out);
        }
        self.flows[slot].direction_mut(sender).count_held(&held);
        if let Some(cold) = self.cold_parts.get_mut(slot.number() as usize) {
            cold.own_records = cold.own_records.saturating_add(held.own_records);
        }
        self.counters.attributed += u64::from(held.packets);
    }

    #[inline(always)]
    fn find(&self, packet: &PreparedPacket) -> Option<Slot> {
        if self.is_at(packet, packet.candidate) {
            return Some(packet.candidate);
        }
        self.index.find(packet.position, |slot| self.is_at(packet, slot))
    }

    /// `true` if the flow at `slot` has the key of this packet; no vacant slot has.
    #[inline(always)]
    fn is_at(&self, packet: &PreparedPacket, slot: Slot) -> bool {
        let flow = &self.flows[slot];
        if flow.selector() != packet.selector || !self.has_vlans(slot, packet.vlans) {
            return false;
        }
        if key::is_wide(packet.selector) {
            key::same_hash(flow.addresses, packet.addresses)
                && self.wide[key::wide_slot(flow.addresses)] == self.wide_addresses(packet)
        } else {
            flow.addresses == packet.addresses
        }
    }

    /// The key of a packet.
    fn key(&self, packet: &PreparedPacket) -> Key {
        let PreparedPacket { selector, addresses, vlans, .. } = *packet;
        let is_wide = key::is_wide(selector);
        let wide = if is_wide { self.wide_addresses(packet) } else { WideAddresses::default() };
        let addresses = if is_wide { key::with_place(addresses, 0) } else { addresses };
        Key { selector, addresses, wide, vlans }
    }

    /// The addresses of a packet in IPv6.
    fn wide_addresses(&self, packet: &PreparedPacket) -> WideAddresses {
        self.wide_of_batch.get(key::place(packet.addresses)).copied().unwrap_or_default()
    }

    /// `true` if the packets of a flow have these VLANs.
    #[inline(always)]
    fn has_vlans(&self, slot: Slot, vlans: u32) -> bool {
        if self.flows[slot].flags.has(Flags::VLANS) {
            self.cold_parts.get(slot.number() as usize).is_some_and(|cold| cold.vlans == vlans)
        } else {
            vlans == 0
        }
    }

    /// Makes the flow of a packet, at the cost of the longest idle one if there is no room.
    fn open(&mut self, packet: &PreparedPacket, out: &mut impl FnMut(&FlowRecord)) -> Slot {
        if self.flows.is_full() {
            self.make_room(out);
        }
        let key = self.key(packet);
        let mut flags = packet.flags();
        if packet.segment.is_some() && flags.evidence() == Initiator::FirstPacket {
            let identity = self.identity(&key, packet.origin);
            if let Some(initiator) = self.initiators.recall(&identity) {
                flags = Flags::new(initiator, Initiator::Earlier);
            }
        }
        if key.vlans != 0 {
            flags.set(Flags::VLANS);
        }
        if self.inspection.is_some() && packet.place.frame().is_some() && key::has_payload(key.selector) {
            flags.set(Flags::INSPECTED);
        }
        let mut flow = Flow::new(&key, self.sampler.rate(), flags, packet.origin);
        self.tunnels.hold(packet.origin);
        if key::is_wide(key.selector) {
            flow.addresses = key::with_wide_slot(flow.addresses, self.wide.insert(key.wide));
        }
        let slot = self.flows.insert(flow);
        let cold = ColdPart { vlans: key.vlans, ..ColdPart::default() };
        match self.cold_parts.get_mut(slot.number() as usize) {
            Some(place) => *place = cold,
            None => self.cold_parts.push(cold),
        }
        self.enter_origin(slot, packet.origin);
        self.index.insert(packet.position, slot);
        self.lru.insert(slot, LruList::Idle);
        self.counters.created += 1;
        slot
    }

    /// Gives a flow another origin.
    #[cold]
    fn change_origin(&mut self, slot: Slot, origin: u16) {
        self.leave_origin(slot);
        self.tunnels.hold(origin);
        let given_up = std::mem::replace(&mut self.flows[slot].origin, origin);
        self.tunnels.release(given_up);
        self.enter_origin(slot, origin);
    }

    /// Puts a flow in front of the flows of its origin.
    fn enter_origin(&mut self, slot: Slot, origin: u16) {
        let second = self.tunnels.first_flow(origin).number();
        if let Some(cold) = self.cold_parts.get_mut(slot.number() as usize) {
            cold.neighbours = [0, second];
        }
        self.set_neighbour(second, 0, slot.number());
        self.tunnels.set_first_flow(origin, slot);
    }

    /// Takes a flow out of those of its origin.
    pub(super) fn leave_origin(&mut self, slot: Slot) {
        let Some(&ColdPart { neighbours: [before, behind], .. }) =
            self.cold_parts.get(slot.number() as usize)
        else {
            return;
        };
        if before == 0 {
            self.tunnels.set_first_flow(self.flows[slot].origin, Slot::from_number(behind));
        } else {
            self.set_neighbour(before, 1, behind);
        }
        self.set_neighbour(behind, 0, before);
    }

    /// Sets the flow before (0) or behind (1) that of a slot number; not of 0, which is none.
    fn set_neighbour(&mut self, number: u32, side: usize, neighbour: u32) {
        if number != 0
            && let Some(cold) = self.cold_parts.get_mut(number as usize)
        {
            cold.neighbours[side] = neighbour;
        }
    }
}

/// `true` for by far most packets: the flow is where it is looked for first, and neither it nor the interval of its record
/// ends with the packet. In IPv4 and without VLANs; all others are looked at [more closely](FlowTable::flow_of).
#[inline(always)]
fn goes_on(flow: &Flow, packet: &PreparedPacket, shortest_timeout: u64, rate: SamplingRate) -> bool {
    flow.selector() == packet.selector
        && flow.addresses == packet.addresses
        && !key::is_wide(packet.selector)
        && packet.vlans == 0
        && !flow.flags.has(Flags::VLANS)
        && flow.is_soon(packet.timestamp.0, shortest_timeout)
        && !packet.segment.is_some_and(|segment| segment.has_syn())
        && flow.sampling_rate() <= rate
        && flow.direction(packet.sender).has_room()
}

/// Counts a packet in its flow, whose cold part most packets do not need; `true` if the connection is over then.
#[inline(always)]
fn add<'table>(
    flow: &mut Flow,
    packet: &PreparedPacket,
    cold: impl FnOnce() -> Option<&'table mut ColdPart>,
) -> bool {
    let Timestamp(time) = packet.timestamp;
    flow.direction_mut(packet.sender).count(time, packet.counts);
    if let Some(cookie) = packet.cookie {
        flow.add_cookie(cookie);
    }
    let segment = packet.segment.as_ref().filter(|segment| !flow.follow_plainly(segment, packet.sender));
    if (segment.is_some() || packet.has_own_record)
        && let Some(cold) = cold()
    {
        if packet.has_own_record {
            cold.own_records = cold.own_records.saturating_add(1);
        }
        if let Some(segment) = segment {
            flow.follow(cold, segment, packet.sender, time);
        }
    }
    flow.phase.is_over()
}

/// The side that sent the request, where the packet belongs to an ICMP query.
#[inline(always)]
fn requester(ip: &Ip, sender: Side) -> Option<Side> {
    let (Transport::Icmp(Icmp { kind, .. }) | Transport::Icmpv6(Icmp { kind, .. })) = ip.transport else {
        return None;
    };
    let query = icmp::query(ip.protocol, kind)?;
    Some(if kind == query.request { sender } else { sender.other() })
}

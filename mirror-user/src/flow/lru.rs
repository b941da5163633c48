//! The flows in the order of their last packets: the least recently used first. A flow moves with the first packet of a tick
//! ([`Flow::moves_by`](super::entry::Flow::moves_by)), not with each, so that of flows whose last packets are less than 0.2 s
//! apart either may come first. By so much a record may come late when no packet makes it; what it tells does not depend on that.

use super::memory;
use super::slab::Slot;

/// List of flows that wait for the same timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LruList {
    /// Flows that wait for more packets, for the idle timeout.
    Idle,
    /// Flows whose connection is over and that wait for late packets, for the closing timeout.
    Closing,
}

/// Neighbours in a ring, as positions in [`Lru::links`].
#[derive(Clone, Copy, Debug, Default)]
struct Neighbours {
    previous: u32,
    next: u32,
}

/// Position of the ring's own link, which stands between the longest idle flow and the latest one.
const fn ring(queue: LruList) -> u32 {
    match queue {
        LruList::Idle => 0,
        LruList::Closing => 1,
    }
}

/// Position of a flow's link.
#[inline(always)]
const fn position(slot: Slot) -> u32 {
    slot.number() + 1
}

/// Two rings through the slots, one for each [`LruList`], each from the longest idle flow to the latest.
///
/// Eight bytes per flow, apart from the flows: moving a flow to the end touches three links, and links of a
/// million flows still fit into the last level of a CPU's cache.
#[derive(Debug)]
pub(super) struct Lru {
    links: Vec<Neighbours>,
    /// The longest idle flow of [`LruList::Idle`] that has not been passed by [`Lru::pass_quiet`] since its
    /// last packet; the ring's own position where there is none.
    quiet: u32,
}

impl Lru {
    /// Bytes that room for `capacity` slots takes.
    pub(super) const fn bytes(capacity: usize) -> u64 {
        (capacity as u64 + 2) * size_of::<Neighbours>() as u64
    }

    /// Room for `capacity` slots, numbered from 1 to `capacity`.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut links = memory::huge_vec(capacity + 2);
        for queue in [LruList::Idle, LruList::Closing] {
            links.push(Neighbours { previous: ring(queue), next: ring(queue) });
        }
        Self { links, quiet: ring(LruList::Idle) }
    }

    /// Enters a slot as the latest of `queue`. Slots are new in the order of their numbers.
    pub(super) fn insert(&mut self, slot: Slot, queue: LruList) {
        if position(slot) as usize >= self.links.len() {
            self.links.push(Neighbours::default());
        }
        self.append(slot, queue);
    }

    /// Makes a slot the latest of `queue`, whichever it stood in.
    #[inline(always)]
    pub(super) fn touch(&mut self, slot: Slot, queue: LruList) {
        // The latest has nothing to move, unless all were passed and it no longer is.
        if self.link(ring(queue)).previous != position(slot) || self.quiet == ring(LruList::Idle) {
            self.remove(slot);
            self.append(slot, queue);
        }
    }

    /// Takes a slot out.
    #[inline(always)]
    pub(super) fn remove(&mut self, slot: Slot) {
        let Neighbours { previous, next } = *self.link(position(slot));
        self.link_mut(previous).next = next;
        self.link_mut(next).previous = previous;
        if self.quiet == position(slot) {
            self.quiet = next;
        }
    }

    /// The slot that has been idle longest.
    pub(super) fn oldest(&self, queue: LruList) -> Option<Slot> {
        slot_at(self.link(ring(queue)).next)
    }

    /// The slot that has been idle longest of those not passed yet.
    pub(super) fn oldest_not_passed(&self) -> Option<Slot> {
        slot_at(self.quiet)
    }

    /// Passes [`Lru::oldest_not_passed`] until its next packet.
    pub(super) fn pass_quiet(&mut self) {
        self.quiet = self.link(self.quiet).next;
    }

    /// Fetches a slot's link ahead of its use.
    #[inline(always)]
    pub(super) fn prefetch(&self, slot: Slot) {
        if let Some(link) = self.links.get(position(slot) as usize) {
            memory::prefetch(link);
        }
    }

    /// Fetches the links of a slot's neighbours ahead of their use.
    #[inline(always)]
    pub(super) fn prefetch_neighbours(&self, slot: Slot) {
        if let Some(link) = self.links.get(position(slot) as usize) {
            memory::prefetch(self.link(link.previous));
            memory::prefetch(self.link(link.next));
        }
    }

    #[inline(always)]
    fn append(&mut self, slot: Slot, queue: LruList) {
        let last = self.link(ring(queue)).previous;
        *self.link_mut(position(slot)) = Neighbours { previous: last, next: ring(queue) };
        self.link_mut(last).next = position(slot);
        self.link_mut(ring(queue)).previous = position(slot);
        if queue == LruList::Idle && self.quiet == ring(LruList::Idle) {
            self.quiet = position(slot);
        }
    }

    /// The link at `position`: a ring's, or that of a slot that was inserted, so it is there.
    #[inline(always)]
    fn link(&self, position: u32) -> &Neighbours {
        &self.links[position as usize]
    }

    #[inline(always)]
    fn link_mut(&mut self, position: u32) -> &mut Neighbours {
        &mut self.links[position as usize]
    }
}

/// The slot whose link is at `position`, if it is not a ring's own.
fn slot_at(position: u32) -> Option<Slot> {
    position.checked_sub(1).filter(|&number| number > 0).map(Slot::from_number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(lru: &Lru, queue: LruList) -> Vec<u32> {
        let mut order = Vec::new();
        let mut position = lru.link(ring(queue)).next;
        while let Some(slot) = slot_at(position) {
            order.push(slot.number());
            position = lru.link(position).next;
        }
        order
    }

    proptest! {
        /// Against two plain lists, each kept in order, and a set of those that were passed.
        #[test]
        fn keeps_the_order(steps in prop::collection::vec((0..4_u8, 1..9_u32, any::<bool>()), 0..200)) {
            let mut lru = Lru::with_capacity(8);
            for number in 1..9 {
                lru.insert(Slot::from_number(number), LruList::Idle);
            }
            let mut idle: Vec<u32> = (1..9).collect();
            let mut closing: Vec<u32> = Vec::new();
            let mut passed: Vec<u32> = Vec::new();
            for (step, number, to_closing) in steps {
                let slot = Slot::from_number(number);
                let known = idle.contains(&number) || closing.contains(&number);
                let (queue, list) =
                    if to_closing { (LruList::Closing, 1) } else { (LruList::Idle, 0) };
                if step == 3 {
                    if let Some(slot) = lru.oldest_not_passed() {
                        lru.pass_quiet();
                        passed.push(slot.number());
                    }
                } else {
                    match (known, step) {
                        (true, 0) => lru.remove(slot),
                        (true, _) => lru.touch(slot, queue),
                        (false, _) => lru.insert(slot, queue),
                    }
                    idle.retain(|&other| other != number);
                    closing.retain(|&other| other != number);
                    passed.retain(|&other| other != number);
                    if !known || step != 0 {
                        [&mut idle, &mut closing][list].push(number);
                    }
                }
                prop_assert_eq!(order(&lru, LruList::Idle), &idle[..]);
                prop_assert_eq!(order(&lru, LruList::Closing), &closing[..]);
                prop_assert_eq!(lru.oldest(LruList::Idle).map(Slot::number), idle.first().copied());
                let not_passed = idle.iter().find(|number| !passed.contains(number));
                prop_assert_eq!(lru.oldest_not_passed().map(Slot::number), not_passed.copied());
            }
        }
    }
}

//! Index from the hash of a flow to its slot: one cache line per look-up.
//!
//! A bucket is a cache line of 15 words and a count. A word holds a slot and, in the bits that slots do not
//! need, a tag from the hash: with room for a million flows 12 bits, so that one look-up in 500 reads a wrong
//! flow. The entry of a full bucket goes to the next one; the count of those that went past ends a look-up, so that removal
//! leaves no tombstones behind.

use super::memory;
use super::slab::Slot;

/// Words for slots in a bucket.
const WORDS: usize = 15;
/// Entries that a bucket is meant for on average: 5 % of the buckets overflow, and an entry takes 6.4 bytes.
const LOAD: usize = 10;

/// A cache line of the index, in one array, which is compared as a whole.
///
/// The first 15 lanes are words: tag in the upper bits, slot number in the lower ones; 0 where there is none. The last one is
/// the number of entries that found this bucket full and are in a later one.
#[repr(align(64))]
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    lanes: [u32; WORDS + 1],
}

const _: () = assert!(size_of::<Bucket>() == memory::CACHE_LINE);

/// Position of a hash in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexPosition {
    /// Bucket in which the look-up begins.
    bucket: u32,
    /// Upper bits of a word, never 0, so that no empty word is taken for a match.
    tag: u32,
}

/// A hash index over slots; what they stand for is kept and compared by the owner.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Vec<Bucket>,
    slot_mask: u32,
}

impl Index {
    /// Bytes that room for `capacity` slots takes.
    pub(super) const fn bytes(capacity: u32) -> u64 {
        Self::buckets(capacity) as u64 * size_of::<Bucket>() as u64
    }

    const fn buckets(capacity: u32) -> usize {
        (capacity as usize).div_ceil(LOAD) + 1
    }

    /// Room for `capacity` slots, numbered from 1 to `capacity`.
    pub(super) fn with_capacity(capacity: u32) -> Self {
        let count = Self::buckets(capacity);
        let mut buckets = memory::huge_vec(count);
        buckets.resize(count, Bucket::default());
        Self { buckets, slot_mask: u32::MAX.checked_shr(capacity.leading_zeros()).unwrap_or(0) }
    }

    /// The position of `hash`.
    #[inline(always)]
    pub(super) fn position(&self, hash: u64) -> IndexPosition {
        let bucket = (((hash >> 32) * self.buckets.len() as u64) >> 32) as u32;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half of the hash")]
        let tag = hash as u32 & !self.slot_mask;
        IndexPosition { bucket, tag: if tag == 0 { self.slot_mask + 1 } else { tag } }
    }

    /// Fetches the first bucket of `position` ahead of its use.
    #[inline(always)]
    pub(super) fn prefetch(&self, position: IndexPosition) {
        if let Some(bucket) = self.buckets.get(position.bucket as usize) {
            memory::prefetch(bucket);
        }
    }

    /// The first slot in the first bucket that may be the one at `position`; [`Slot::NONE`] if there is none. A
    /// hint for prefetching.
    #[inline(always)]
    pub(super) fn candidate(&self, position: IndexPosition) -> Slot {
        let Some(bucket) = self.buckets.get(position.bucket as usize) else { return Slot::NONE };
        let matches = bucket.matches(position.tag, self.slot_mask);
        bucket.slot(matches, self.slot_mask).unwrap_or(Slot::NONE)
    }

    /// The slot at `position` for which `is_it` returns `true`.
    #[inline(always)]
    pub(super) fn find(&self, position: IndexPosition, mut is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        for bucket in self.chain(position) {
            let mut matches = bucket.matches(position.tag, self.slot_mask);
            while let Some(slot) = bucket.slot(matches, self.slot_mask) {
                if is_it(slot) {
                    return Some(slot);
                }
                matches &= matches - 1;
            }
            if bucket.passed() == 0 {
                return None;
            }
        }
        None
    }

    /// Enters `slot`, which is not there yet.
    pub(super) fn insert(&mut self, position: IndexPosition, slot: Slot) {
        let (before, from) = self.buckets.split_at_mut(position.bucket as usize);
        for bucket in from.iter_mut().chain(before) {
            let [words @ .., passed] = &mut bucket.lanes;
            if let Some(word) = words.iter_mut().find(|word| **word == 0) {
                *word = position.tag | slot.number();
                return;
            }
            *passed += 1;
        }
    }

    /// Takes out `slot`, which was entered at `position`.
    pub(super) fn remove(&mut self, position: IndexPosition, slot: Slot) {
        let entry = position.tag | slot.number();
        let Some(distance) = self.chain(position).position(|bucket| bucket.words().contains(&entry)) else {
            return;
        };
        let (before, from) = self.buckets.split_at_mut(position.bucket as usize);
        let mut buckets = from.iter_mut().chain(before);
        for bucket in buckets.by_ref().take(distance) {
            let [.., passed] = &mut bucket.lanes;
            *passed -= 1;
        }
        if let Some(Bucket { lanes: [words @ .., _] }) = buckets.next()
            && let Some(word) = words.iter_mut().find(|word| **word == entry)
        {
            *word = 0;
        }
    }

    /// All buckets from that of `position` on, once around.
    fn chain(&self, position: IndexPosition) -> impl Iterator<Item = &Bucket> {
        let (before, from) = self.buckets.split_at_checked(position.bucket as usize).unwrap_or_default();
        from.iter().chain(before)
    }
}

impl Bucket {
    const fn words(&self) -> &[u32; WORDS] {
        let [words @ .., _] = &self.lanes;
        words
    }

    const fn passed(&self) -> u32 {
        let [.., passed] = self.lanes;
        passed
    }

    /// One bit for each word with this tag, that of the first word lowest.
    #[inline(always)]
    fn matches(&self, tag: u32, slot_mask: u32) -> u32 {
        memory::equal_lanes(&self.lanes, tag, !slot_mask) & ((1 << WORDS) - 1)
    }

    /// The slot in the word of the lowest bit of `matches`.
    #[inline(always)]
    fn slot(&self, matches: u32, slot_mask: u32) -> Option<Slot> {
        self.words().get(matches.trailing_zeros() as usize).map(|word| Slot::from_number(word & slot_mask))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Few hashes, so that buckets overflow into each other and around the end.
    fn hashes() -> impl Strategy<Value = u64> {
        prop_oneof![
            (0..4_u64).prop_map(|number| number << 62),
            (0..4_u64).prop_map(|number| number << 30),
            Just(u64::MAX),
            any::<u64>(),
        ]
    }

    proptest! {
        #[test]
        fn does_as_a_map_does(steps in prop::collection::vec((any::<bool>(), hashes()), 1..600)) {
            const CAPACITY: u32 = 100;
            let mut index = Index::with_capacity(CAPACITY);
            let mut free: Vec<u32> = (1..=CAPACITY).rev().collect();
            let mut entered: HashMap<u32, u64> = HashMap::new();
            for (insert, hash) in steps {
                if insert {
                    let Some(number) = free.pop() else { continue };
                    index.insert(index.position(hash), Slot::from_number(number));
                    entered.insert(number, hash);
                } else if let Some(number) = entered.keys().copied().min() {
                    let hash = entered.remove(&number).unwrap();
                    index.remove(index.position(hash), Slot::from_number(number));
                    free.push(number);
                    prop_assert_eq!(index.find(index.position(hash), |slot| slot.number() == number), None);
                }
                for (&number, &hash) in &entered {
                    let found = index.find(index.position(hash), |slot| slot.number() == number);
                    prop_assert_eq!(found.map(Slot::number), Some(number));
                }
            }
            for (number, hash) in entered {
                index.remove(index.position(hash), Slot::from_number(number));
            }
            prop_assert!(index.buckets.iter().all(|bucket| bucket.lanes == [0; WORDS + 1]));
        }
    }
}

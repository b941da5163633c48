//! Sets of rules: bits in words of 64, of which only those that are not empty are kept.
//!
//! A set of one of 10,000 rules takes a word and its summary; sets are intersected word by word, and the words that are empty
//! in one of them are skipped by the summary, 64 at a time.

use std::collections::HashMap;
use std::rc::Rc;

const WORD: u32 = u64::BITS;

/// A set of indices of rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Set {
    /// For each 64 words: which are not empty, and the number of words kept before them.
    blocks: Box<[(u64, u32)]>,
    words: Box<[u64]>,
}

impl Set {
    /// The set of `rules`, which are in ascending order.
    pub(super) fn new(rules: impl IntoIterator<Item = u32>) -> Self {
        let mut words: Vec<(u32, u64)> = Vec::new();
        for rule in rules {
            let bit = 1 << (rule % WORD);
            match words.last_mut() {
                Some((index, word)) if *index == rule / WORD => *word |= bit,
                _ => words.push((rule / WORD, bit)),
            }
        }
        Self::of_words(words)
    }

    /// The set with these words, which are in ascending order and not empty.
    fn of_words(words: Vec<(u32, u64)>) -> Self {
        let mut blocks: Vec<(u64, u32)> = Vec::new();
        for ((index, _), before) in words.iter().zip(0..) {
            let block = index / WORD;
            while blocks.len() as u64 <= u64::from(block) {
                blocks.push((0, before));
            }
            if let Some((summary, _)) = blocks.last_mut() {
                *summary |= 1 << (index % WORD);
            }
        }
        Self { blocks: blocks.into(), words: words.into_iter().map(|(_, word)| word).collect() }
    }

    /// The set of what is in one of both.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut words = Vec::with_capacity(self.words.len().max(other.words.len()));
        for block in 0..self.blocks().max(other.blocks()) {
            let mut rest = self.summary(block) | other.summary(block);
            while rest != 0 {
                let index = block * WORD + rest.trailing_zeros();
                words.push((index, self.word(index) | other.word(index)));
                rest &= rest - 1;
            }
        }
        Self::of_words(words)
    }

    /// Number of blocks of 64 words.
    pub(super) fn blocks(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    /// Number of words that are kept.
    pub(super) fn size(&self) -> usize {
        self.words.len() + 2 * self.blocks.len()
    }

    /// The words of a block that are not empty, as bits.
    #[inline]
    pub(super) fn summary(&self, block: u32) -> u64 {
        self.blocks.get(block as usize).map_or(0, |&(summary, _)| summary)
    }

    /// The word with this index: rules `64 * index` and on.
    #[inline]
    pub(super) fn word(&self, index: u32) -> u64 {
        let Some(&(summary, before)) = self.blocks.get((index / WORD) as usize) else { return 0 };
        let bit = 1 << (index % WORD);
        if summary & bit == 0 {
            return 0;
        }
        let place = before + (summary & (bit - 1)).count_ones();
        self.words.get(place as usize).copied().unwrap_or_default()
    }

    /// `true` if `rule` is in the set.
    pub(super) fn contains(&self, rule: u32) -> bool {
        self.word(rule / WORD) >> (rule % WORD) & 1 == 1
    }
}

/// Number of a set in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SetId(u32);

/// Sets under construction, each of which is kept once.
#[derive(Default)]
pub(super) struct SetPool {
    sets: Vec<Rc<Set>>,
    numbers: HashMap<Rc<Set>, SetId>,
    size: usize,
}

impl SetPool {
    /// Memory that all sets may take, in MiB.
    pub(super) const LIMIT_MIB: usize = 256;

    /// The number of `set`.
    pub(super) fn add(&mut self, set: Set) -> SetId {
        if let Some(&number) = self.numbers.get(&set) {
            return number;
        }
        self.size += set.size();
        let number = SetId(u32::try_from(self.sets.len()).unwrap_or(u32::MAX));
        let set = Rc::new(set);
        self.sets.push(Rc::clone(&set));
        self.numbers.insert(set, number);
        number
    }

    /// The number of the union of two sets.
    pub(super) fn union(&mut self, one: SetId, other: &Set) -> SetId {
        let union = self.sets[one.0 as usize].union(other);
        self.add(union)
    }

    /// `true` if the sets take more than they may. Nothing further is to be added then.
    pub(super) const fn is_full(&self) -> bool {
        self.size > (Self::LIMIT_MIB << 20) / size_of::<u64>()
    }

    /// The sets.
    pub(super) fn finish(self) -> Sets {
        drop(self.numbers);
        Sets(self.sets.into_iter().map(Rc::unwrap_or_clone).collect())
    }
}

/// All sets of an engine.
#[derive(Clone, Debug)]
pub(super) struct Sets(Box<[Set]>);

impl Sets {
    /// The set with this number.
    #[inline]
    pub(super) fn get(&self, number: SetId) -> &Set {
        &self.0[number.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rules() -> impl Strategy<Value = BTreeSet<u32>> {
        let near = 0..300_u32;
        let far = prop_oneof![4090..4100_u32, 8190..8195_u32, Just(99_999_u32)];
        proptest::collection::btree_set(prop_oneof![near, far], 0..80)
    }

    proptest! {
        #[test]
        fn sets_hold_what_was_put_in(one in rules(), other in rules()) {
            let (a, b) = (Set::new(one.iter().copied()), Set::new(other.iter().copied()));
            let union = a.union(&b);
            for rule in (0..310).chain(4080..4110).chain(8180..8200).chain([99_998, 99_999, 100_000, u32::MAX]) {
                prop_assert_eq!(a.contains(rule), one.contains(&rule));
                prop_assert_eq!(union.contains(rule), one.contains(&rule) || other.contains(&rule));
            }
            prop_assert_eq!(&union, &Set::new(one.union(&other).copied()));
            for index in 0..=a.blocks() * 64 {
                prop_assert_eq!(a.summary(index / 64) >> (index % 64) & 1 == 1, a.word(index) != 0);
            }
        }
    }

    #[test]
    fn equal_sets_are_kept_once() {
        let mut pool = SetPool::default();
        let one = pool.add(Set::new([1, 70]));
        let other = pool.add(Set::new([2]));
        assert_eq!(pool.add(Set::new([1, 70])), one);
        let union = pool.union(one, &Set::new([2]));
        assert_eq!(pool.union(other, &Set::new([1, 70])), union);
        assert!(pool.finish().get(union).contains(70));
    }
}

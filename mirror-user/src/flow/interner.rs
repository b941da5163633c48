//! Small numbers for few values, until nobody holds them and they are removed.

use super::hash::Hasher;
use super::index::Index;
use super::slab::{Slab, Slot, Vacant};

/// A value with its number of holders.
#[derive(Clone, Copy, Debug)]
struct Interned<const N: usize, T> {
    /// The words that tell values apart.
    words: [u64; N],
    value: Option<T>,
    holders: u32,
}

impl<const N: usize, T: Copy> Vacant for Interned<N, T> {
    fn vacant(next: Slot) -> Self {
        Self { words: [0; N], value: None, holders: next.number() }
    }

    fn next(&self) -> Slot {
        Slot::from_number(self.holders)
    }
}

/// Values of `T` that are told apart by `N` words, with a number for each that is held.
#[derive(Debug)]
pub(super) struct Interner<const N: usize, T> {
    interned: Slab<Interned<N, T>>,
    index: Index,
    hasher: Hasher,
}

impl<const N: usize, T: Copy> Interner<N, T> {
    /// Bytes that room for `capacity` values takes.
    pub(super) const fn bytes(capacity: u32) -> u64 {
        Slab::<Interned<N, T>>::bytes(capacity as usize) + Index::bytes(capacity)
    }

    /// Room for `capacity` values, at most 65,535.
    pub(super) fn with_capacity(capacity: u32, hasher: Hasher) -> Self {
        Self {
            interned: Slab::with_capacity(capacity as usize),
            index: Index::with_capacity(capacity),
            hasher,
        }
    }

    /// The value with this number; none if it was removed.
    #[inline(always)]
    pub(super) fn get(&self, number: u16) -> Option<&T> {
        self.interned[slot(number)].value.as_ref()
    }

    /// The number of the value that `words` tell apart.
    #[inline(always)]
    pub(super) fn find(&self, words: &[u64; N]) -> Option<u16> {
        let position = self.index.position(self.hasher.words(words));
        self.index.find(position, |slot| self.interned[slot].words == *words).map(number)
    }

    /// The words that tell the value with this number apart; zeros if it was removed.
    #[inline(always)]
    pub(super) fn words(&self, number: u16) -> &[u64; N] {
        &self.interned[slot(number)].words
    }

    /// Adds a value that is not there yet, without a holder. None where there is no room.
    pub(super) fn insert(&mut self, words: &[u64; N], value: T) -> Option<u16> {
        if self.interned.is_full() {
            return None;
        }
        let slot = self.interned.insert(Interned { words: *words, value: Some(value), holders: 0 });
        self.index.insert(self.index.position(self.hasher.words(words)), slot);
        Some(number(slot))
    }

    /// Adds a holder.
    #[inline(always)]
    pub(super) fn hold(&mut self, number: u16) {
        self.interned[slot(number)].holders += 1;
    }

    /// Removes a holder; `true` if that was the last one.
    #[inline(always)]
    pub(super) fn release(&mut self, number: u16) -> bool {
        let interned = &mut self.interned[slot(number)];
        interned.holders -= 1;
        interned.holders == 0
    }

    /// Removes a value that nobody holds, and returns it; none if somebody does, or it was removed already.
    pub(super) fn remove(&mut self, number: u16) -> Option<T> {
        let Interned { words, value, holders } = self.interned[slot(number)];
        let value = value.filter(|_| holders == 0)?;
        self.index.remove(self.index.position(self.hasher.words(&words)), slot(number));
        self.interned.remove(slot(number));
        Some(value)
    }

    /// Number of values.
    pub(super) const fn len(&self) -> usize {
        self.interned.len()
    }
}

#[inline(always)]
fn slot(number: u16) -> Slot {
    Slot::from_number(number.into())
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "there are at most 65,535 slots")]
fn number(slot: Slot) -> u16 {
    slot.number() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_live_as_long_as_their_holders() {
        let mut interner = Interner::with_capacity(2, Hasher::new(0));
        assert_eq!(interner.find(&[0]), None);
        let held = |words, value, interner: &mut Interner<1, char>| {
            let number = interner.insert(words, value)?;
            interner.hold(number);
            Some(number)
        };
        let a = held(&[0], 'a', &mut interner).unwrap();
        let b = held(&[7], 'b', &mut interner).unwrap();
        assert_eq!(interner.insert(&[8], 'c'), None);
        assert_eq!((interner.find(&[0]), interner.find(&[7])), (Some(a), Some(b)));
        assert_eq!((interner.words(a), interner.words(b)), (&[0], &[7]));
        interner.hold(a);
        assert!(!interner.release(a));
        assert_eq!(interner.remove(a), None);
        assert_eq!(interner.get(a), Some(&'a'));
        assert!(interner.release(a));
        assert_eq!((interner.find(&[0]), interner.remove(a), interner.remove(a)), (Some(a), Some('a'), None));
        assert_eq!((interner.get(a), interner.find(&[0]), interner.len()), (None, None, 1));
        let c = held(&[8], 'c', &mut interner).unwrap();
        assert_eq!(
            (interner.get(c), interner.find(&[8]), interner.find(&[7])),
            (Some(&'c'), Some(c), Some(b))
        );
    }
}

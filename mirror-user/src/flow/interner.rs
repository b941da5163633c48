//! Small numbers for few values, for as long as somebody holds them.

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

    /// The value with this number; none if nobody holds it.
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

    /// Adds a value that is not there yet, with one holder. None where there is no room.
    pub(super) fn insert(&mut self, words: &[u64; N], value: T) -> Option<u16> {
        if self.interned.is_full() {
            return None;
        }
        let slot = self.interned.insert(Interned { words: *words, value: Some(value), holders: 1 });
        self.index.insert(self.index.position(self.hasher.words(words)), slot);
        Some(number(slot))
    }

    /// Adds a holder.
    #[inline(always)]
    pub(super) fn hold(&mut self, number: u16) {
        self.interned[slot(number)].holders += 1;
    }

    /// Removes a holder; returns the value if that was the last one.
    #[inline(always)]
    pub(super) fn release(&mut self, number: u16) -> Option<T> {
        let interned = &mut self.interned[slot(number)];
        interned.holders -= 1;
        if interned.holders > 0 {
            return None;
        }
        let Interned { words, value, .. } = *interned;
        self.index.remove(self.index.position(self.hasher.words(&words)), slot(number));
        self.interned.remove(slot(number));
        value
    }

    /// Number of values held.
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
        let a = interner.insert(&[0], 'a').unwrap();
        let b = interner.insert(&[7], 'b').unwrap();
        assert_eq!(interner.insert(&[8], 'c'), None);
        assert_eq!((interner.find(&[0]), interner.find(&[7])), (Some(a), Some(b)));
        interner.hold(a);
        assert_eq!(interner.release(a), None);
        assert_eq!(interner.get(a), Some(&'a'));
        assert_eq!(interner.release(a), Some('a'));
        assert_eq!((interner.get(a), interner.find(&[0]), interner.len()), (None, None, 1));
        let c = interner.insert(&[8], 'c').unwrap();
        assert_eq!(
            (interner.get(c), interner.find(&[8]), interner.find(&[7])),
            (Some(&'c'), Some(c), Some(b))
        );
    }
}

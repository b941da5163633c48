//! Values of one type in fixed slots, made and removed without the allocator.

use std::ops::{Index, IndexMut};

use super::memory;

/// Position of a value in a [`Slab`]. Only a slab makes them, and it never shrinks, so that a slot always has a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot(u32);

impl Slot {
    /// No slot: a vacant value is read there.
    pub(super) const NONE: Self = Self(0);

    /// Its number: 1 and up, 0 for [`Slot::NONE`].
    #[inline(always)]
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    /// The slot that [`Slot::number`] came from.
    #[inline(always)]
    pub(super) const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// A value that can be absent, and then hold the next free slot.
pub(super) trait Vacant: Copy {
    /// The absent value.
    fn vacant(next: Slot) -> Self;
    /// The argument of [`Vacant::vacant`].
    fn next(&self) -> Slot;
}

/// Room for a number of values that is known beforehand.
#[derive(Debug)]
pub(super) struct Slab<T> {
    values: Vec<T>,
    /// The value at [`Slot::NONE`].
    none: T,
    free: Slot,
    occupied: usize,
    capacity: usize,
}

impl<T> Slab<T> {
    /// Bytes that room for `capacity` values takes.
    pub(super) const fn bytes(capacity: usize) -> u64 {
        (capacity as u64) * size_of::<T>() as u64
    }
}

impl<T: Vacant> Slab<T> {
    /// Room for `capacity` values.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            values: memory::huge_vec(capacity),
            none: T::vacant(Slot::NONE),
            free: Slot::NONE,
            occupied: 0,
            capacity,
        }
    }

    /// Number of values.
    pub(super) const fn len(&self) -> usize {
        self.occupied
    }

    /// `true` if the room is used up.
    pub(super) const fn is_full(&self) -> bool {
        self.occupied >= self.capacity
    }

    /// Puts `value` into a free slot, the one that was freed last. A slab that is full allocates: ask
    /// [`Slab::is_full`] before.
    pub(super) fn insert(&mut self, value: T) -> Slot {
        self.occupied += 1;
        if self.free == Slot::NONE {
            self.values.push(value);
            #[expect(clippy::cast_possible_truncation, reason = "capacities are configured below 2^32")]
            return Slot(self.values.len() as u32);
        }
        let slot = self.free;
        self.free = self[slot].next();
        self[slot] = value;
        slot
    }

    /// Removes the value at `slot`.
    pub(super) fn remove(&mut self, slot: Slot) {
        self.occupied -= 1;
        self[slot] = T::vacant(self.free);
        self.free = slot;
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, slot: Slot) -> &T {
        self.values.get((slot.0 as usize).wrapping_sub(1)).unwrap_or(&self.none)
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    #[inline(always)]
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        match self.values.get_mut((slot.0 as usize).wrapping_sub(1)) {
            Some(value) => value,
            None => &mut self.none,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Vacant for u32 {
        fn vacant(next: Slot) -> Self {
            next.number()
        }

        fn next(&self) -> Slot {
            Slot::from_number(*self)
        }
    }

    #[test]
    fn places_are_used_again() {
        let mut slab = Slab::with_capacity(3);
        let slots = [10_u32, 20, 30].map(|value| slab.insert(value));
        assert!(slab.is_full());
        slab.remove(slots[1]);
        slab.remove(slots[0]);
        assert_eq!(slab.len(), 1);
        let (first, second) = (slab.insert(40), slab.insert(50));
        assert_eq!((first, second), (slots[0], slots[1]));
        assert_eq!((slab[first], slab[second], slab[slots[2]]), (40, 50, 30));
        assert!(slab.is_full());
        assert_eq!(slab[Slot::NONE], 0);
    }
}

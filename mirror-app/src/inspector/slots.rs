//! Places of conversations, and the order in which they wait.

use std::num::NonZeroU32;

/// Bits of a handle that are the place; the others tell apart the conversations that were there one after the other.
const PLACE_BITS: u32 = 24;
/// Most places.
pub const LIMIT: u32 = (1 << PLACE_BITS) - 1;
/// Marks the end of the list.
const NONE: u32 = u32::MAX;

/// A conversation of an [`Inspector`](super::Inspector), from its beginning to its end; afterwards it is that of none (until 256 others
/// were in the same place).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(NonZeroU32);

impl Handle {
    fn new(place: u32, generation: u8) -> Option<Self> {
        NonZeroU32::new(u32::from(generation) << PLACE_BITS | (place + 1)).map(Self)
    }

    const fn place(self) -> u32 {
        (self.0.get() & LIMIT) - 1
    }

    fn generation(self) -> u8 {
        self.0.get().to_be_bytes()[0]
    }

    /// The handle as a number, for a field of a flow's entry where 0 means none.
    pub const fn get(self) -> NonZeroU32 {
        self.0
    }

    /// The handle that [`Handle::get`] gave.
    pub const fn from_number(number: NonZeroU32) -> Option<Self> {
        if number.get() & LIMIT == 0 { None } else { Some(Self(number)) }
    }
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    generation: u8,
    waits: bool,
    before: u32,
    behind: u32,
    deadline: u64,
}

/// Values in places that are used again, some of which wait in a queue.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    limit: u32,
    first: u32,
    last: u32,
}

impl<T> Slots<T> {
    /// At most `limit` places, which take memory when they are first used.
    pub fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit: limit.min(LIMIT), first: NONE, last: NONE }
    }

    /// Number of values.
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts a value in a free place; [`None`] where there is none.
    pub fn insert(&mut self, value: T) -> Option<Handle> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.slots.len()).ok().filter(|&place| place < self.limit)?;
                self.slots.push(Slot {
                    value: None,
                    generation: 0,
                    waits: false,
                    before: NONE,
                    behind: NONE,
                    deadline: 0,
                });
                place
            }
        };
        let slot = self.slots.get_mut(place as usize)?;
        slot.value = Some(value);
        Handle::new(place, slot.generation)
    }

    fn slot(&mut self, handle: Handle) -> Option<&mut Slot<T>> {
        self.slots.get_mut(handle.place() as usize).filter(|slot| slot.generation == handle.generation())
    }

    /// The value of a handle.
    pub fn get(&self, handle: Handle) -> Option<&T> {
        let slot = self.slots.get(handle.place() as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == handle.generation())
    }

    /// The value of a handle.
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        self.slot(handle)?.value.as_mut()
    }

    /// Takes a value out; its handle is valid no longer.
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        self.stop_waiting(handle);
        let slot = self.slot(handle)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.place());
        Some(value)
    }

    /// Puts a value last in the queue, unless it waits already.
    pub fn wait(&mut self, handle: Handle, deadline: u64) {
        let last = self.last;
        let Some(slot) = self.slot(handle).filter(|slot| !slot.waits) else {
            return;
        };
        (slot.waits, slot.before, slot.behind, slot.deadline) = (true, last, NONE, deadline);
        let place = handle.place();
        match self.slots.get_mut(last as usize) {
            Some(before) => before.behind = place,
            None => self.first = place,
        }
        self.last = place;
    }

    /// Takes a value out of the queue.
    pub fn stop_waiting(&mut self, handle: Handle) {
        let Some(slot) = self.slot(handle).filter(|slot| slot.waits) else {
            return;
        };
        slot.waits = false;
        let (before, behind) = (slot.before, slot.behind);
        match self.slots.get_mut(before as usize) {
            Some(slot) => slot.behind = behind,
            None => self.first = behind,
        }
        match self.slots.get_mut(behind as usize) {
            Some(slot) => slot.before = before,
            None => self.last = before,
        }
    }

    /// The first that waits, and its deadline.
    pub fn first_waiting(&self) -> Option<(Handle, u64)> {
        self.waiting_at(self.first)
    }

    /// The one that waits behind another.
    pub fn waiting_behind(&self, handle: Handle) -> Option<(Handle, u64)> {
        self.waiting_at(self.slots.get(handle.place() as usize)?.behind)
    }

    fn waiting_at(&self, place: u32) -> Option<(Handle, u64)> {
        let slot = self.slots.get(place as usize)?;
        Some((Handle::new(place, slot.generation)?, slot.deadline))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_bounded_and_used_again() {
        let mut slots = Slots::new(2);
        let a = slots.insert('a').unwrap();
        let b = slots.insert('b').unwrap();
        assert_eq!(slots.insert('c'), None);
        assert_eq!(slots.remove(a), Some('a'));
        assert_eq!(slots.remove(a), None);
        let c = slots.insert('c').unwrap();
        assert_ne!(a, c);
        assert_eq!(
            (slots.get(a), slots.get(b), slots.get(c), slots.len()),
            (None, Some(&'b'), Some(&'c'), 2)
        );
        assert_eq!(Handle::from_number(c.get()), Some(c));
        assert_eq!(NonZeroU32::new(7 << PLACE_BITS).and_then(Handle::from_number), None);
    }

    proptest! {
        /// The queue against a plain list.
        #[test]
        fn queue_keeps_its_order(steps in proptest::collection::vec((0..8_usize, 0..4_u8), 0..200)) {
            let mut slots = Slots::new(8);
            let mut handles: Vec<Handle> = (0..8).map(|value| slots.insert(value).unwrap()).collect();
            let mut expected: Vec<Handle> = Vec::new();
            for (index, step) in steps {
                let handle = handles[index];
                match step {
                    0 | 1 => {
                        slots.wait(handle, index as u64);
                        if !expected.contains(&handle) {
                            expected.push(handle);
                        }
                    }
                    2 => {
                        slots.stop_waiting(handle);
                        expected.retain(|&other| other != handle);
                    }
                    _ => {
                        slots.remove(handle).unwrap();
                        expected.retain(|&other| other != handle);
                        handles[index] = slots.insert(index).unwrap();
                    }
                }
                let mut queue = Vec::new();
                let mut next = slots.first_waiting();
                while let Some((handle, deadline)) = next {
                    prop_assert_eq!(slots.get(handle).map(|&value| value as u64), Some(deadline));
                    queue.push(handle);
                    next = slots.waiting_behind(handle);
                }
                prop_assert_eq!(&queue, &expected);
            }
        }
    }
}

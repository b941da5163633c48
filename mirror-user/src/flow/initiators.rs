//! Memory of the initiators of connections that fell silent: the side that began is known from SYN, and need not be guessed
//! when packets come again.
//!
//! The memory is bounded and by hash, four entries for each: a fifth replaces the oldest. Only
//! connections that were established are remembered, so that a flood of SYN replaces none.

use super::hash::Hasher;
use super::side::Side;

/// Most connections that are remembered: 1 MiB.
const CAPACITY: usize = 1 << 16;
/// Entries that one connection may be in.
const WAYS: usize = 4;

/// Identity of a connection: addresses, ports and protocol, VLANs, and the scope by its value.
pub(super) type Identity = [u64; 8];

/// A connection: its hash with the initiator in the lowest bit, and the age of the entry.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// 0 in an entry that was never used.
    word: u64,
    age: u64,
}

/// Initiators of connections that fell silent.
#[derive(Debug)]
pub(super) struct Initiators {
    places: Vec<[Entry; WAYS]>,
    hasher: Hasher,
    age: u64,
}

impl Initiators {
    /// Bytes that the memory takes.
    pub(super) const BYTES: u64 = (CAPACITY / WAYS * size_of::<[Entry; WAYS]>()) as u64;

    /// An empty memory.
    pub(super) fn new(hasher: Hasher) -> Self {
        Self { places: vec![Default::default(); CAPACITY / WAYS], hasher, age: 0 }
    }

    /// Remembers the initiator of a connection.
    pub(super) fn remember(&mut self, identity: &Identity, initiator: Side) {
        let (word, number) = self.place(identity);
        self.age += 1;
        let age = self.age;
        let Some(ways) = self.places.get_mut(number) else { return };
        let place = match ways.iter().position(|entry| entry.word & !1 == word) {
            Some(place) => ways.get_mut(place),
            None => ways.iter_mut().min_by_key(|entry| entry.age),
        };
        if let Some(place) = place {
            *place = Entry { word: word | initiator as u64, age };
        }
    }

    /// The initiator of a connection, if it is remembered.
    pub(super) fn recall(&self, identity: &Identity) -> Option<Side> {
        let (word, number) = self.place(identity);
        let remembered = self.places.get(number)?.iter().find(|entry| entry.word & !1 == word)?;
        Some(if remembered.word & 1 == 0 { Side::Low } else { Side::High })
    }

    /// The word that stands for a connection, and the number of its entries: 62 bits under a secret seed, so that one connection is not
    /// taken for another.
    fn place(&self, identity: &Identity) -> (u64, usize) {
        /// So that no word is 0.
        const USED: u64 = 2;

        let hash = self.hasher.words(identity);
        let number = (hash >> 48) as usize % self.places.len();
        (hash & !1 | USED, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_latest_initiator_of_each() {
        let mut initiators = Initiators::new(Hasher::new(9));
        assert_eq!(initiators.recall(&[0; 8]), None);
        initiators.remember(&[0; 8], Side::High);
        initiators.remember(&[1; 8], Side::Low);
        assert_eq!(initiators.recall(&[0; 8]), Some(Side::High));
        assert_eq!(initiators.recall(&[1; 8]), Some(Side::Low));
        initiators.remember(&[0; 8], Side::Low);
        assert_eq!(initiators.recall(&[0; 8]), Some(Side::Low));
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut initiators = Initiators::new(Hasher::new(9));
        let capacity = CAPACITY as u64;
        for number in 0..4 * capacity {
            initiators.remember(&[number; 8], Side::High);
        }
        let known = |range: std::ops::Range<u64>| {
            range.filter(|&number| initiators.recall(&[number; 8]).is_some()).count()
        };
        assert!(known(0..capacity) < CAPACITY / 100);
        assert!(known(3 * capacity..4 * capacity) > CAPACITY / 2);
    }
}

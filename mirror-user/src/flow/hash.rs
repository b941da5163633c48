//! A keyed hash of whole words.
//!
//! Senders choose the addresses and ports that are hashed here, so that the position of a flow must not be
//! predictable: every word is mixed with a secret before it is multiplied. The construction is that of wyhash
//! and foldhash, 64×64 bit multiplications whose halves are folded; one to three of them per packet take 1–3
//! ns.

/// Hashes words under a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher {
    secrets: [u64; 4],
}

impl Hasher {
    /// A hash of its own for each seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self { secrets: std::array::from_fn(|_| split_mix(&mut state)) }
    }

    /// The hash of two words.
    #[inline(always)]
    pub(super) fn pair(&self, first: u64, second: u64) -> u64 {
        let [a, b, c, d] = self.secrets;
        fold(fold(first ^ a, second ^ b) ^ c, d)
    }

    /// A hash of two words from one multiplication, where a collision costs no more than time.
    #[inline(always)]
    pub(super) fn quick(&self, first: u64, second: u64) -> u64 {
        let [a, b, ..] = self.secrets;
        fold(first ^ a, second ^ b)
    }

    /// The hash of any number of words; words of different number are not distinguished by it.
    #[inline(always)]
    pub(super) fn words<const N: usize>(&self, words: &[u64; N]) -> u64 {
        let [a, b, c, d] = self.secrets;
        let mut hash = c;
        let mut chunks = words.chunks_exact(2);
        for chunk in chunks.by_ref() {
            if let [first, second] = chunk {
                hash = fold(hash ^ first ^ a, second ^ b);
            }
        }
        if let [last] = chunks.remainder() {
            hash = fold(hash ^ last ^ a, b);
        }
        fold(hash ^ c, d)
    }
}

/// Both halves of the product, one over the other.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    let halves = (product as u64, (product >> 64) as u64);
    halves.0 ^ halves.1
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): independent secrets from one seed.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets of a million similar flows are filled evenly, by the upper and by the lower half of the hash.
    #[test]
    fn similar_words_spread() {
        let hasher = Hasher::new(7);
        for shift in [0, 16, 32, 52] {
            let mut counts = vec![0_u32; 4096];
            for word in 0..1_000_000_u64 {
                let hash = hasher.pair(0x0a00_0001_0a00_0002 + (word << 32), 0x0006_01bb_8000);
                counts[usize::try_from(hash >> shift & 4095).unwrap()] += 1;
            }
            let mean = 1_000_000.0 / 4096.0;
            let chi_squared: f64 = counts.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum();
            // 4095 degrees of freedom: mean 4095, standard deviation 90.
            assert!((3600.0..4600.0).contains(&chi_squared), "shift {shift}: {chi_squared}");
        }
    }

    #[test]
    fn seeds_differ() {
        let hashes: std::collections::HashSet<u64> =
            (0..1000).map(|seed| Hasher::new(seed).pair(1, 2)).collect();
        assert_eq!(hashes.len(), 1000);
    }

    #[test]
    fn every_word_counts() {
        let hasher = Hasher::new(1);
        let words = [1_u64, 2, 3, 4, 5];
        for position in 0..words.len() {
            for bit in 0..64 {
                let mut changed = words;
                changed[position] ^= 1 << bit;
                assert_ne!(hasher.words(&words), hasher.words(&changed), "word {position}, bit {bit}");
            }
        }
    }
}

//! Random numbers for jitter.

use std::hash::{BuildHasher as _, RandomState};

/// A number from 0 up to 1, drawn from the standard library's hash keys. It spreads calls in time, and serves no secret.
pub(crate) fn unit() -> f64 {
    // A new `RandomState` has new keys, so that the hash of nothing is another number each time. An f64 holds 53 bits.
    let bits = RandomState::new().hash_one(()) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_over_the_unit_interval() {
        let numbers: Vec<f64> = (0..10_000).map(|_| unit()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10 {
            let range = f64::from(tenth) / 10.0..f64::from(tenth + 1) / 10.0;
            let count = numbers.iter().filter(|number| range.contains(number)).count();
            // The standard deviation is 30.
            assert!((800..1200).contains(&count), "{range:?}: {count}");
        }
    }
}

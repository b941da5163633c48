//! Session numbers that are free on an interface.

use std::collections::BTreeSet;

use crate::limits::MAX_SESSION_NUMBER;

/// The free number next to `preferred`: that one, else the next higher one, else the next lower one. `None` if all are
/// taken.
pub(crate) fn choose(preferred: u16, taken: &BTreeSet<u16>) -> Option<u16> {
    (preferred..=MAX_SESSION_NUMBER).chain((1..preferred).rev()).find(|number| !taken.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_number_then_higher_ones_then_lower_ones() {
        assert_eq!(choose(5, &BTreeSet::new()), Some(5));
        assert_eq!(choose(5, &BTreeSet::from([5, 6, 8])), Some(7));
        assert_eq!(
            choose(MAX_SESSION_NUMBER, &BTreeSet::from([MAX_SESSION_NUMBER])),
            Some(MAX_SESSION_NUMBER - 1)
        );
        assert_eq!(choose(5, &(1..=MAX_SESSION_NUMBER).collect()), None);
    }
}

//! Virtual network ids that are derived from account and interface, and unique among sessions.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::id::{AccountId, InterfaceId};
use crate::limits::MAX_VNI;

/// Number of candidates of an interface. In a full account with 10,000 sessions, a candidate is taken with
/// probability 1 in 1,700: the second one is rarely needed, the last one practically never.
pub const CANDIDATES: u8 = 8;

/// The ids that an interface can have, in order of preference; each from 1 to 2^24 - 1.
pub fn candidates(account: &AccountId, interface: &InterfaceId) -> impl Iterator<Item = u32> {
    let name = format!("{account}/{interface}/");
    (0..CANDIDATES).map(move |attempt| {
        let hash = Sha256::new().chain_update(&name).chain_update([attempt]).finalize();
        let first = hash.iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let id = 1 + first % u64::from(MAX_VNI);
        u32::try_from(id).unwrap_or(MAX_VNI)
    })
}

/// The id for a session on `interface`: the current one if it is a candidate, else the first candidate that is not
/// taken. `None` if all are taken.
pub fn choose(
    account: &AccountId,
    interface: &InterfaceId,
    current: Option<u32>,
    taken: &BTreeSet<u32>,
) -> Option<u32> {
    let is_candidate = |id: &u32| candidates(account, interface).any(|candidate| candidate == *id);
    current.filter(is_candidate).or_else(|| candidates(account, interface).find(|id| !taken.contains(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_depend_on_account_and_interface_alone() {
        let of = |account: &str, interface: &str| {
            candidates(&account.into(), &interface.into()).collect::<Vec<_>>()
        };
        let first = of("111111111111", "eni-1");
        assert_eq!(first, of("111111111111", "eni-1"));
        assert_ne!(first, of("222222222222", "eni-1"));
        assert_ne!(first, of("111111111111", "eni-2"));
        // A change of the derivation would change the id of every session of every user.
        assert_eq!(first.first(), Some(&7_704_161));
        assert_eq!(first.len(), usize::from(CANDIDATES));
        assert!(first.iter().all(|id| (1..=MAX_VNI).contains(id)));
    }

    #[test]
    fn a_taken_candidate_is_passed_over_and_a_held_one_kept() {
        let (account, interface) = ("111111111111".into(), "eni-1".into());
        let all: Vec<u32> = candidates(&account, &interface).collect();
        assert_eq!(choose(&account, &interface, None, &BTreeSet::new()), Some(all[0]));
        assert_eq!(choose(&account, &interface, None, &BTreeSet::from([all[0]])), Some(all[1]));
        assert_eq!(choose(&account, &interface, Some(all[1]), &BTreeSet::new()), Some(all[1]));
        assert_eq!(choose(&account, &interface, Some(1), &BTreeSet::new()), Some(all[0]));
        assert_eq!(choose(&account, &interface, None, &all.into_iter().collect()), None);
    }
}

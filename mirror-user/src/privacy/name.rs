//! Names of hosts and users: kept, hashed or dropped.

use std::borrow::Cow;

use hmac::Mac as _;
use serde::{Deserialize, Serialize};

use super::key::{HmacSha256, Key, hexadecimal};

/// Bytes of a hash that stand in a record, twice as many hexadecimal digits.
const HASH_BYTES: usize = 16;

/// Treatment of names (of TLS, DNS and HTTP, and whatever else names a host), as the configuration states it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NameTreatment {
    /// They stand as they are.
    #[default]
    Keep,
    /// A keyed hash stands for each.
    Hash,
    /// There are none.
    Drop,
}

impl NameTreatment {
    /// Its name in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Hash => "hash",
            Self::Drop => "drop",
        }
    }
}

/// Treatment of names, with its key.
#[derive(Clone, Debug)]
pub enum NamePolicy {
    /// They stand as they are.
    Keep,
    /// A keyed hash stands for each.
    Hash(NameHash),
    /// There are none.
    Drop,
}

impl NamePolicy {
    /// What stands in a record for `name`; [`None`] for nothing.
    pub fn apply<'name>(&self, name: &'name str) -> Option<Cow<'name, str>> {
        match self {
            Self::Keep => Some(Cow::Borrowed(name)),
            Self::Hash(hash) => Some(Cow::Owned(hash.of(name))),
            Self::Drop => None,
        }
    }
}

/// Hash of names: the first 128 bits of HMAC-SHA-256, as 32 hexadecimal digits.
///
/// A name is hashed in lower case and without a dot at its end, as DNS compares names (RFC 4343). The message is the
/// purpose `mirror.privacy.name`, a zero byte and the name; the key is that of the key file.
#[derive(Clone, Debug)]
pub struct NameHash {
    /// With the purpose taken in.
    begun: HmacSha256,
}

impl NameHash {
    /// With this key.
    pub fn new(key: &Key) -> Self {
        Self { begun: key.code("mirror.privacy.name\0") }
    }

    /// The hash that stands for `name`.
    pub fn of(&self, name: &str) -> String {
        let name = name.strip_suffix('.').unwrap_or(name);
        let mut code = self.begun.clone();
        for part in name.as_bytes().chunks(64) {
            let mut lower = [0; 64];
            let lower = &mut lower[..part.len()];
            lower.copy_from_slice(part);
            lower.make_ascii_lowercase();
            code.update(lower);
        }
        let hash = code.finalize().into_bytes();
        hexadecimal(hash.get(..HASH_BYTES).unwrap_or(&hash))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key::tests::{PUBLISHED, key};
    use super::*;

    /// As `printf 'mirror.privacy.name\0www.example.com' | openssl dgst -sha256 -mac hmac -macopt hexkey:0123…` says.
    #[test]
    fn a_hash_is_what_openssl_computes() {
        let hash = NameHash::new(&key(PUBLISHED));
        assert_eq!(hash.of("www.example.com"), OPENSSL);
        assert_eq!(hash.of("WWW.Example.com."), OPENSSL);
        assert_ne!(hash.of("www.example.org"), OPENSSL);
    }

    const OPENSSL: &str = "a3821a49777e71bd000b349a2e746d37";

    #[test]
    fn names_are_kept_hashed_or_dropped() {
        let hash = NameHash::new(&key(PUBLISHED));
        assert_eq!(NamePolicy::Keep.apply("a.example").as_deref(), Some("a.example"));
        assert_eq!(NamePolicy::Drop.apply("a.example"), None);
        let hashed = NamePolicy::Hash(hash.clone()).apply("a.example").unwrap();
        assert_eq!(hashed, hash.of("a.example"));
        assert!(!hashed.contains("example"));
    }

    proptest! {
        /// Whatever the length, across the parts that it is taken in.
        #[test]
        fn case_makes_no_difference_and_letters_do(name in "[a-z0-9.-]{1,200}[a-z]", place in any::<prop::sample::Index>()) {
            let hash = NameHash::new(&key(PUBLISHED));
            prop_assert_eq!(hash.of(&name), hash.of(&name.to_uppercase()));
            let mut other = name.clone().into_bytes();
            let place = place.index(other.len());
            other[place] = if other[place] == b'a' { b'b' } else { b'a' };
            prop_assert_ne!(hash.of(&name), hash.of(str::from_utf8(&other).unwrap()));
        }
    }
}

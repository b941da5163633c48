//! Privacy: what of a packet or flow may be in a record, by the rules of the tables `[[privacy]]`.
//!
//! The first rule that matches a tunnel decides alone. A rule only takes away: a record is made where [`crate::rules`] and the
//! privacy rule both allow it, and has no more than both allow. Everything is done by the worker, before a record enters a
//! batch, so that neither a sink nor anything behind it ever has the plain values.
//!
//! - [`rule`]: a rule as the configuration states it; [`selector`]: the packets that it is for.
//! - [`address`]: masks and pseudonyms; [`name`]: hashes of names; [`key`]: the secret behind both.
//! - [`fields`]: the fields that a record may have; [`label`]: what tells a reader how the record was treated.
//! - `frame`: the bytes of a packet, in formats that have them.
//! - [`policy`]: the rules with their keys; [`treatment`]: the same as a worker applies them.
//! - [`explanation`]: which rule is for a tunnel, and what it keeps, in words.

pub mod address;
pub mod explanation;
pub mod fields;
mod frame;
pub mod key;
pub mod label;
pub mod name;
pub mod policy;
pub mod rule;
pub mod selector;
pub mod treatment;

pub use self::label::Label;
pub use self::policy::{Privacy, check};
pub use self::rule::{PrivacyError, PrivacyRule};
pub use self::selector::{Identities, Identity, Selector};
pub use self::treatment::{RecordPrivacy, WorkerPrivacy};

#[cfg(test)]
mod tests;

//! The enrichment map: the file from which a record gets the account, session, interface and instance of its packets.
//!
//! `mirror-sessions` writes it, `mirror-capture` reads it, and a person may write one by hand. docs/sessions.md describes the
//! format. [`Map`] is the file as a value, and [`read()`] reads it; [`GeneveId`] is the identity of an endpoint in packets.
//!
//! Readers refuse another [`VERSION`], and ignore keys that they do not know, so that a version may gain optional keys.

mod geneve_id;
mod map;
mod read;

pub use self::geneve_id::{GeneveId, NoGeneveId};
pub use self::map::{MAX_VNI, Map, Session, VERSION, Vpc};
pub use self::read::{Content, LONGEST_FILE, ReadError, parse, read};

//! Enrichment: the account, session, interface and instance that a record's tunnel is of.
//!
//! They stand in the enrichment map, whose format is in [`mirror_enrichment`]. It is looked up when a record is encoded: by
//! endpoint and VNI, and where the endpoint is not known by VNI and source of the VXLAN packet. Packets are never looked up.
//!
//! - `current`: the map in force, which is replaced when its file has changed. A file that is gone or broken leaves the last good
//!   map in force.
//! - `index`: the map made ready for look-ups; `fragments`: the members of a record that say who an entry is, made once for each
//!   entry.
//! - `reader`: the look-ups of one encoding thread, a batch of records at a time. A map that is replaced meanwhile is taken up with the
//!   next batch.
//! - `owners`: the owner of a tunnel, for privacy rules.
//! - `unknown`: the tunnels that the map lacks.
//! - `watch`: a thread that looks after the file.

mod config;
mod current;
mod error;
mod file_state;
mod fragments;
mod index;
mod owners;
mod reader;
#[cfg(test)]
mod tests;
mod unknown;
mod watch;

pub use self::config::EnrichmentConfig;
pub use self::current::{Enrichment, EnrichmentSnapshot};
pub use self::error::EnrichmentError;
pub use self::fragments::LONGEST;
pub use self::index::{Entry, Index};
pub use self::owners::Owners;
pub use self::reader::{Enriched, Lookup, Reader};
pub use self::unknown::{UnknownTunnel, UnknownTunnels};
pub use self::watch::Watched;

//! The spool between capture and shipper: a directory of finished Arrow files, with a manifest.
//!
//! The daemon writes records with a [`Writer`], on a thread of its own; another thread syncs, renames and lists what is
//! finished. The shipper reads the [`Manifest`], then the files with a [`Reader`], and [`acknowledge`]s what every
//! destination has. [`verify`] recounts a spool from its files alone.
//!
//! A file is in the Arrow IPC file format and read as it is by pyarrow, Polars and ClickHouse. Columns are looked
//! up by name; later versions of the schema add nullable columns only. `docs/delivery.md` lists the columns.
//!
//! What is not in the spool is counted with its [`Loss`]: rows out of range, a full spool, a failed write, a crash, files
//! removed before they were delivered. From line to line of the manifest, `offered = in files + lost`.

mod arrow_file;
mod column;
mod config;
mod directory;
mod error;
mod finisher;
mod flow;
mod intern;
mod manifest;
mod reader;
mod recover;
mod row;
#[cfg(feature = "sample")]
pub mod sample;
mod verify;
mod writer;

pub use arrow_file::Compression;
pub use config::{SpoolConfig, WhenFull};
pub use directory::write_atomically;
pub use error::{Loss, ReadError, SpoolError};
pub use flow::{FlowBatch, VERSION};
pub use manifest::{
    Acknowledged, Amount, Entry, FileFacts, Manifest, Removed, UNKNOWN_ACCOUNT, acknowledge, sha256,
};
pub use reader::{Reader, hash_file};
pub use recover::Recovery;
pub use row::{
    Action, Application, Connection, Direction, Evidence, Flow, Host, Initiator, Outcome, Traffic, Transport,
    Tunnel,
};
pub use verify::{Problem, Verification, verify};
pub use writer::{Counters, Writer};

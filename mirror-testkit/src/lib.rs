//! The test kit: what the tests of all crates, the measuring harness and `cargo xtask` share.
//!
//! - [`namespace`], [`veth`]: network namespaces joined by a veth pair, gone with their guard.
//! - [`processors`]: the processors of generator and worker.
//! - [`interrupt`]: SIGINT and SIGTERM as a flag.
//! - [`process`]: child processes, run to their end or held by a guard.
//! - [`daemon`]: `mirror-capture run` as a child process, with its log, records and ledger.
//! - [`allocations`]: an allocator that counts.
//! - [`python`]: environments with programs that read what ours wrote.
//! - [`root`]: tests that need root.
//! - [`rerun`]: tests that need a process of their own.
//!
//! With the feature `generator`:
//!
//! - [`traffic`]: the frame of packet number n.
//! - [`generator`]: frames onto an interface or into a file, and an exact count of those that were sent.
//!
//! It depends on neither the daemon nor the harness, so that the tests of both can use it.

pub mod allocations;
pub mod daemon;
#[cfg(feature = "generator")]
pub mod generator;
pub mod interrupt;
pub mod namespace;
pub mod process;
pub mod processors;
pub mod python;
pub mod rerun;
pub mod root;
#[cfg(feature = "generator")]
pub mod traffic;
pub mod veth;

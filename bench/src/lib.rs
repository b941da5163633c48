//! `mirror-bench`: traffic like that of a Gateway Load Balancer, and what it measures.
//!
//! - [`traffic`]: which frame packet number n is.
//! - [`generator`]: frames onto an interface or into a file, and an exact count of what became of them.
//! - [`command`]: the command line, one file per command.

pub mod command;
pub mod experiment;
pub mod generator;
pub mod interrupt;
pub mod machine;
pub mod measure;
pub mod micro;
pub mod plot;
pub mod receiver;
pub mod report;
pub mod search;
pub mod statistics;
pub mod testbed;
pub mod traffic;

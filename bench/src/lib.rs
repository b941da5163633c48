//! `mirror-bench`: traffic like that of a Gateway Load Balancer, and what it measures.
//!
//! - [`command`]: the command line, one file per command.

pub mod command;
pub mod experiment;
pub mod machine;
pub mod measure;
pub mod micro;
pub mod plot;
pub mod receiver;
pub mod report;
pub mod search;
pub mod statistics;

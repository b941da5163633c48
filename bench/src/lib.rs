//! `mirror-bench`: the command line of the traffic generator, and the measuring harness.
//!
//! - [`command`]: the command line, one file per command.
//! - [`report`]: everything in one run, as JSON, a page and plots; [`plot`]: the kinds of plots.
//! - [`micro`]: the parts of the pipeline in memory.
//! - [`experiment`]: the experiments with a network; [`search`]: the search for the highest rate.
//! - [`measure`]: one measurement; [`receiver`]: its receivers.
//! - [`statistics`] and [`machine`]: summaries of figures, and the machine that they depend on.

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

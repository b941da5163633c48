//! The sinks as a whole: producers, sink threads, and what ends up in files.

mod directory;
mod failure;
mod panic;
mod pipes;
mod pressure;
mod start;
mod stdout;
mod support;
mod tshark;

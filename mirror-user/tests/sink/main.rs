//! The sinks as a whole: producers, sink threads, and the files that they write.

mod directory;
mod failure;
mod panic;
mod pipes;
mod pressure;
mod start;
mod stdout;
mod support;
mod tshark;

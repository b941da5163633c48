//! The sinks as a whole: producers, sink threads, and what ends up in files.

mod directory;
mod failure;
mod pressure;
mod stdout;
mod support;
mod tshark;

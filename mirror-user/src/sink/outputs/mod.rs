//! Places that encoded bytes go to: standard output, a file, or a directory with rotation.
//!
//! - `claim`: opens and locks them before a capture starts.
//! - `atomic_writer`: writes whole records, also where a disk fills up.
//! - `single_file`: standard output, a file or a named pipe.
//! - `rotating_files`: the files in a directory, by their `file_name`; `finisher` makes each `complete_file` durable and
//!   gives it its final name; `recovery` does so for those of a run that was killed.

mod atomic_writer;
pub(super) mod claim;
mod complete_file;
mod file_name;
pub(super) mod finisher;
mod recovery;
pub(super) mod rotating_files;
pub(super) mod single_file;

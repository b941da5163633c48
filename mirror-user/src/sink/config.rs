//! Options of a sink.

use std::ffi::OsString;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use serde::{Deserialize, Serialize};

use super::encoder::Encoder;
use super::encoding;
use super::format::Format;
use crate::batch::BATCH_BYTES;
use crate::record::Batch;
use crate::value::{ValueError, duration, size, whole_number};

/// Destination of records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub enum Destination {
    /// Standard output, by one sink thread for all workers. Where there are several, NDJSON is encoded by a thread for each.
    #[default]
    Stdout,
    /// One file or named pipe, as standard output. A file that is there already is emptied when the
    /// capture begins.
    File(PathBuf),
    /// A directory, by one sink thread and one sequence of files per worker. It is created if it is missing.
    Directory(PathBuf),
}

impl Destination {
    /// Its path; `-` for standard output.
    pub fn path(&self) -> &Path {
        match self {
            Self::Stdout => Path::new("-"),
            Self::File(path) | Self::Directory(path) => path,
        }
    }
}

impl From<OsString> for Destination {
    /// `-` is standard output; what ends in `/` or is a directory is a directory; anything else is a file.
    fn from(argument: OsString) -> Self {
        let slash =
            argument.as_encoded_bytes().last().is_some_and(|last| char::from(*last) == MAIN_SEPARATOR);
        let path = PathBuf::from(argument);
        if path.as_os_str() == "-" {
            Self::Stdout
        } else if slash || path.is_dir() {
            Self::Directory(path)
        } else {
            Self::File(path)
        }
    }
}

impl From<PathBuf> for Destination {
    fn from(path: PathBuf) -> Self {
        path.into_os_string().into()
    }
}

impl From<Destination> for PathBuf {
    fn from(destination: Destination) -> Self {
        destination.path().to_owned()
    }
}

/// Options of a sink: a table `[[sink]]` of the file, for which the command line has a short form.
#[derive(Args, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Output")]
pub struct SinkConfig {
    /// Write records to this file; to rotated files if it is a directory or ends in /; to standard output if it is -
    #[arg(
        long = "output", short = 'o', value_name = "PATH",
        value_parser = OsStringValueParser::new().map(Destination::from)
    )]
    #[serde(alias = "path")]
    pub destination: Destination,
    /// Format of the records
    #[arg(long, value_name = "FORMAT")]
    pub format: Format,
    /// In a directory: start a new file at this size
    // A file is finished with the batch that brings it to this many bytes.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    #[serde(with = "size")]
    pub rotate_size: u64,
    /// In a directory: start a new file after this time
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[serde(with = "duration")]
    pub rotate_time: Duration,
    /// Batches of 1024 records between a worker and its sink thread; when all are full, packets are dropped and counted
    // They bridge the time for which a sink stalls. 64 are good for 65 ms at a million packets per second; they take 34 MiB
    // of address space per worker with NDJSON and 162 MiB with pcapng, of which only as much takes memory as a stall has
    // ever needed.
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>)]
    pub queue_batches: usize,
}

impl Default for SinkConfig {
    /// NDJSON to standard output; in a directory, files of 256 MiB or 5 minutes.
    fn default() -> Self {
        Self {
            destination: Destination::default(),
            format: Format::default(),
            rotate_size: 256 << 20,
            rotate_time: Duration::from_mins(5),
            queue_batches: 64,
        }
    }
}

impl SinkConfig {
    /// Bytes of memory that the batches of so many workers take, and the buffers that they are encoded into, where records are
    /// enriched or not.
    pub fn memory(&self, workers: usize, is_enriched: bool) -> u64 {
        let room = if Encoder::wants_bytes(self.format) { BATCH_BYTES } else { 0 };
        let batches = (self.queue_batches as u64).saturating_mul(workers as u64);
        let workers = workers as u64;
        let encoded = match self.destination {
            Destination::Directory(_) => workers,
            Destination::Stdout | Destination::File(_)
                if workers > 1 && Encoder::is_stateless(self.format) =>
            {
                1 + workers.saturating_mul(encoding::BUFFERS as u64)
            }
            Destination::Stdout | Destination::File(_) => 1,
        };
        let buffers = encoded.saturating_mul(Encoder::longest_batch(self.format, is_enriched) as u64);
        batches.saturating_mul(Batch::memory(room)).saturating_add(buffers)
    }

    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn check(&self) -> Result<(), ValueError> {
        if self.queue_batches < 2 {
            let problem = format!(
                "{} batches per worker are too few: there must be at least 2, one to fill, one to write",
                self.queue_batches
            );
            return Err(ValueError::new("--queue-batches", problem));
        }
        if self.rotate_size == 0 {
            return Err(ValueError::new("--rotate-size", "a file needs some size: give a value above 0"));
        }
        if self.rotate_time.is_zero() {
            return Err(ValueError::new("--rotate-time", "a file needs some time: give a value above 0"));
        }
        Ok(())
    }
}

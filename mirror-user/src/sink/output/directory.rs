//! A series of files in a directory, rotated by size and age.
//!
//! A file is written as `.mirror-<UTC time>-w<worker>-<number>.<format>.partial` and gets its final name, which is
//! the same without the dot and `.partial`, when it is complete and durable: whatever collects `mirror-*` never sees
//! half a file. Names sort by the time at which the file was begun, then by worker, then by number.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam::channel::Sender;

use super::Output;
use super::finisher::Complete;
use super::whole::WholeWriter;
use crate::sink::Format;
use crate::sink::error::SinkError;
use crate::sink::text::Utc;
use crate::source::Timestamp;

/// First part of a final name.
pub const PREFIX: &str = "mirror-";
/// Last part of the name of a file that is not complete.
pub const PARTIAL: &str = ".partial";

/// When a file is finished.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// When it has at least this many bytes.
    pub bytes: u64,
    /// When it was begun this long ago.
    pub after: Duration,
}

/// The files of one worker.
#[derive(Debug)]
pub struct Series {
    directory: PathBuf,
    format: Format,
    worker: usize,
    rotation: Rotation,
    /// Number of the next file.
    number: u64,
    open: Option<Open>,
    finisher: Sender<Complete>,
}

/// The file that is being written.
#[derive(Debug)]
struct Open {
    partial: PathBuf,
    complete: PathBuf,
    writer: WholeWriter,
    begun: Timestamp,
}

impl Series {
    /// A series without a file yet: one is begun with the first batch. Complete files go to `finisher`.
    pub fn new(
        directory: &Path,
        format: Format,
        worker: usize,
        rotation: Rotation,
        finisher: Sender<Complete>,
    ) -> Self {
        Self { directory: directory.to_owned(), format, worker, rotation, number: 0, open: None, finisher }
    }

    /// Begins a file under a name that no other has or had: not in this run, nor in an earlier one.
    fn begin(&mut self, now: Timestamp) -> io::Result<Open> {
        let time = Utc::from(now);
        loop {
            let name = format!(
                "{PREFIX}{:04}{:02}{:02}T{:02}{:02}{:02}Z-w{:02}-{:06}.{}",
                time.year,
                time.month,
                time.day,
                time.hour,
                time.minute,
                time.second,
                self.worker,
                self.number,
                self.format.name(),
            );
            let partial = self.directory.join(format!(".{name}{PARTIAL}"));
            let complete = self.directory.join(name);
            match create_locked(&partial) {
                // Whoever holds the partial name is the only one who can give out the final name.
                Ok(file) if !complete.try_exists()? => {
                    self.number += 1;
                    return Ok(Open { partial, complete, writer: WholeWriter::new(file)?, begun: now });
                }
                Ok(_) => fs::remove_file(&partial)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            self.number += 1;
        }
    }

    /// Hands a file over to be finished; one in which nothing could be written is removed.
    fn close(&self, Open { partial, complete, writer, .. }: Open) -> io::Result<()> {
        if writer.is_empty() {
            return fs::remove_file(partial);
        }
        let complete = Complete { file: writer.into_file()?, partial, complete };
        self.finisher.send(complete).map_err(|_| io::Error::other("the thread that finishes files has ended"))
    }
}

/// Creates a file and locks it, so that it is not taken for the leftover of a run that is over.
fn create_locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let locked = file.try_lock();
    // Before it was locked, another process that starts may have taken it for an empty leftover and removed it.
    if matches!(locked, Err(TryLockError::WouldBlock)) || file.metadata()?.nlink() == 0 {
        return Err(ErrorKind::AlreadyExists.into());
    }
    locked?;
    Ok(file)
}

impl Output for Series {
    fn path(&self) -> &Path {
        self.open.as_ref().map_or(&self.directory, |open| &open.partial)
    }

    fn is_single(&self) -> bool {
        false
    }

    fn prepare(&mut self, now: Timestamp) -> io::Result<bool> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        Ok(self.open.insert(open).writer.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.writer.write(bytes),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn rotate(&mut self, now: Timestamp) -> Result<(), SinkError> {
        let due = self.open.as_ref().is_some_and(|open| {
            // A clock that was set back says nothing about the age of the file, which is then finished.
            let age = now.0.checked_sub(open.begun.0).map_or(Duration::MAX, Duration::from_nanos);
            open.writer.length() >= self.rotation.bytes || age >= self.rotation.after
        });
        if due { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = open.partial.clone();
        self.close(open).map_err(|error| SinkError::Finish { path, error })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::sink::counters::SinkCounters;
    use crate::sink::output::finisher::Finisher;

    const SECOND: u64 = 1_000_000_000;
    /// 2026-11-21 09:04:12 UTC.
    const START: u64 = 1_795_251_852 * SECOND;
    const ROTATION: Rotation = Rotation { bytes: 100, after: Duration::from_secs(60) };

    /// A directory and what finishes its files.
    struct Fixture {
        directory: TempDir,
        counters: Arc<SinkCounters>,
        finisher: Finisher,
        finished: Sender<Complete>,
    }

    impl Fixture {
        fn new() -> Self {
            let counters = Arc::new(SinkCounters::new(1));
            let (finisher, finished) = Finisher::start(&counters).unwrap();
            Self { directory: tempfile::tempdir().unwrap(), counters, finisher, finished }
        }

        fn series(&self, worker: usize) -> Series {
            Series::new(self.directory.path(), Format::Ndjson, worker, ROTATION, self.finished.clone())
        }

        /// Waits for the files to be finished, and returns the directory and the final names.
        fn finish(self) -> (TempDir, Vec<String>) {
            drop(self.finished);
            self.finisher.join().unwrap();
            let names = names(&self.directory);
            assert!(names.iter().all(|name| name.starts_with(PREFIX)), "{names:?}");
            assert_eq!(self.counters.files(), names.len() as u64);
            (self.directory, names)
        }
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes one batch at `now`, as a sink thread does. Returns whether it was the first of its file.
    fn write(series: &mut Series, bytes: &[u8], now: u64) -> bool {
        let first = series.prepare(Timestamp(now)).unwrap();
        series.write(bytes).unwrap();
        series.rotate(Timestamp(now)).unwrap();
        first
    }

    #[test]
    fn a_file_ends_with_the_batch_that_fills_it() {
        let fixture = Fixture::new();
        let mut series = fixture.series(3);
        let firsts: Vec<_> =
            (0..5).map(|batch| write(&mut series, &[b'x'; 40], START + batch * SECOND)).collect();
        assert_eq!(firsts, [true, false, false, true, false]);
        series.finish().unwrap();
        drop(series);
        let (directory, names) = fixture.finish();
        assert_eq!(
            names,
            ["mirror-20261121T090412Z-w03-000000.ndjson", "mirror-20261121T090415Z-w03-000001.ndjson"]
        );
        let lengths: Vec<_> =
            names.iter().map(|name| fs::metadata(directory.path().join(name)).unwrap().len()).collect();
        assert_eq!(lengths, [120, 80]);
    }

    #[test]
    fn a_file_ends_when_it_is_old_enough() {
        let fixture = Fixture::new();
        let mut series = fixture.series(0);
        write(&mut series, b"a", START);
        series.rotate(Timestamp(START + 60 * SECOND - 1)).unwrap();
        assert!(series.open.is_some());
        series.rotate(Timestamp(START + 60 * SECOND)).unwrap();
        assert!(series.open.is_none());
        // Nothing comes of time alone.
        series.rotate(Timestamp(START + 600 * SECOND)).unwrap();
        assert!(write(&mut series, b"b", START + 600 * SECOND));
        // The clock was set back.
        series.rotate(Timestamp(START)).unwrap();
        assert!(series.open.is_none());
        drop(series);
        assert_eq!(fixture.finish().1.len(), 2);
    }

    #[test]
    fn an_open_file_is_hidden() {
        let fixture = Fixture::new();
        let mut series = fixture.series(0);
        write(&mut series, b"a", START);
        assert_eq!(names(&fixture.directory), [".mirror-20261121T090412Z-w00-000000.ndjson.partial"]);
        series.finish().unwrap();
    }

    #[test]
    fn names_do_not_clash_after_a_restart_in_the_same_second() {
        let fixture = Fixture::new();
        for content in [b"a", b"b", b"c"] {
            let mut series = fixture.series(0);
            write(&mut series, content, START);
            // Given to the finisher, which may or may not have renamed it when the next run begins.
            series.finish().unwrap();
        }
        let (directory, names) = fixture.finish();
        let contents: Vec<_> =
            names.iter().map(|name| fs::read_to_string(directory.path().join(name)).unwrap()).collect();
        assert_eq!(contents, ["a", "b", "c"]);
    }

    #[test]
    fn a_file_that_took_nothing_is_removed() {
        let fixture = Fixture::new();
        let mut series = fixture.series(0);
        series.prepare(Timestamp(START)).unwrap();
        series.finish().unwrap();
        drop(series);
        assert!(fixture.finish().1.is_empty());
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_and_its_return_is_not() {
        let fixture = Fixture::new();
        let mut series = fixture.series(0);
        fs::remove_dir(fixture.directory.path()).unwrap();
        assert_eq!(series.prepare(Timestamp(START)).unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir(fixture.directory.path()).unwrap();
        assert!(write(&mut series, b"a", START));
        series.finish().unwrap();
        drop(series);
        assert_eq!(fixture.finish().1.len(), 1);
    }
}

//! Files in a directory, rotated by size and age.
//!
//! A file is written as `.mirror-<UTC time>-w<worker>-<number>.<format>.partial` and gets its final name, which is
//! the same without the dot and `.partial`, when it is complete and durable: whatever collects `mirror-*` never sees
//! an incomplete file. Names sort by the time at which the file was begun, then by worker, then by number.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam::channel::Sender;
use tracing::error;

use super::atomic_writer::AtomicWriter;
use super::complete_file::CompleteFile;
use super::file_name::{PARTIAL, PREFIX};
use crate::files;
use crate::sink::counters::{Loss, Unfinished};
use crate::sink::error::SinkError;
use crate::sink::format::Format;
use crate::sink::notation::Utc;
use crate::sink::output::{Output, PartialWrite};
use crate::time::Timestamp;

/// Limits at which a file is finished.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes of a file that is finished.
    pub bytes: u64,
    /// Age of a file that is finished.
    pub after: Duration,
}

/// The rotating files of one worker.
#[derive(Debug)]
pub struct RotatingFiles {
    directory: PathBuf,
    format: Format,
    worker: usize,
    rotation: Rotation,
    /// Number of the next file.
    number: u64,
    open: Option<OpenFile>,
    finisher: Sender<CompleteFile>,
}

/// The file that is being written.
#[derive(Debug)]
struct OpenFile {
    partial: PathBuf,
    complete: PathBuf,
    writer: AtomicWriter,
    begun: Timestamp,
}

impl RotatingFiles {
    /// Rotating files, still without a file: one is begun with the first batch. Complete files go to `finisher`.
    pub fn new(
        directory: &Path,
        format: Format,
        worker: usize,
        rotation: Rotation,
        finisher: Sender<CompleteFile>,
    ) -> Self {
        Self { directory: directory.to_owned(), format, worker, rotation, number: 0, open: None, finisher }
    }

    /// Begins a file under a name that no other has or had: not in this run, nor in an earlier one.
    fn begin(&mut self, now: Timestamp) -> io::Result<OpenFile> {
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
                Ok(file) if fs::symlink_metadata(&complete).is_err() => {
                    self.number += 1;
                    let writer = AtomicWriter::new(file, self.format)?;
                    return Ok(OpenFile { partial, complete, writer, begun: now });
                }
                Ok(_) => fs::remove_file(&partial)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if files::is_link(&partial) {
                        error!("{}: {error}; the file gets another name", partial.display());
                    }
                }
                Err(error) => return Err(error),
            }
            self.number += 1;
        }
    }

    /// Hands a file over to be finished; one in which nothing could be written is removed.
    fn close(&self, open: OpenFile, unfinished: Unfinished) -> Result<(), SinkError> {
        let OpenFile { partial, complete, writer, .. } = open;
        if writer.is_empty() {
            unfinished.keep();
            return fs::remove_file(&partial).map_err(|error| SinkError::Publish { path: partial, error });
        }
        let file = match writer.into_file() {
            Ok(file) => file,
            Err(error) => {
                unfinished.lose(Loss::PublishFailed);
                return Err(SinkError::Publish { path: partial, error });
            }
        };
        let complete = CompleteFile { file, partial, complete, unfinished };
        self.finisher.send(complete).map_err(|refused| {
            let CompleteFile { partial, unfinished, .. } = refused.0;
            unfinished.lose(Loss::PublishFailed);
            let error = io::Error::other("the thread that finishes files has ended");
            SinkError::Publish { path: partial, error }
        })
    }
}

/// Creates a file and locks it, so that it is not taken for a file of an earlier run.
fn create_locked(path: &Path) -> io::Result<File> {
    let file = files::create_new(path)?;
    let locked = file.try_lock();
    // Before it was locked, another process that starts may have taken it for an empty file of an earlier run and removed it.
    if matches!(locked, Err(TryLockError::WouldBlock)) || file.metadata()?.nlink() == 0 {
        return Err(ErrorKind::AlreadyExists.into());
    }
    // A file system without locks: recovery leaves its files alone.
    Ok(file)
}

impl Output for RotatingFiles {
    fn path(&self) -> &Path {
        self.open.as_ref().map_or(&self.directory, |open| &open.partial)
    }

    fn is_single(&self) -> bool {
        false
    }

    fn is_file(&self) -> bool {
        true
    }

    fn prepare(&mut self, now: Timestamp) -> io::Result<bool> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        Ok(self.open.insert(open).writer.is_empty())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        match &mut self.open {
            Some(open) => open.writer.write(bytes),
            None => Err(io::Error::from(ErrorKind::NotConnected).into()),
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.open.as_ref().is_some_and(|open| {
            // A clock that was set back says nothing about the age of the file, which is then finished.
            let age = now.0.checked_sub(open.begun.0).map_or(Duration::MAX, Duration::from_nanos);
            open.writer.length() >= self.rotation.bytes || age >= self.rotation.after
        })
    }

    fn finish(&mut self, unfinished: Unfinished) -> Result<(), SinkError> {
        match self.open.take() {
            Some(open) => self.close(open, unfinished),
            None => {
                unfinished.keep();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crossbeam::channel;

    use crate::sink::Handle;
    use crate::sink::counters::SinkCounters;
    use crate::sink::outputs::finisher;

    const SECOND: u64 = 1_000_000_000;
    /// 2026-11-21 09:04:12 UTC.
    const START: u64 = 1_795_251_852 * SECOND;
    const ROTATION: Rotation = Rotation { bytes: 100, after: Duration::from_secs(60) };

    /// A directory and what finishes its files.
    struct Fixture {
        directory: TempDir,
        counters: Arc<SinkCounters>,
        finishers: Vec<Handle>,
        finished: Sender<CompleteFile>,
    }

    impl Fixture {
        fn new() -> Self {
            Self::with_sync(File::sync_all)
        }

        /// Files are written to the disk by `sync`.
        fn with_sync(sync: impl Fn(&File) -> io::Result<()> + Clone + Send + 'static) -> Self {
            let counters = Arc::new(SinkCounters::new(1));
            let directory = tempfile::tempdir().unwrap();
            let (begin, begun) = channel::bounded(1);
            let (finishers, finished) =
                finisher::start_with(directory.path(), &begun, &counters, sync).unwrap();
            begin.send(()).unwrap();
            Self { directory, counters, finishers, finished }
        }

        fn series(&self, worker: usize) -> RotatingFiles {
            RotatingFiles::new(self.directory.path(), Format::Ndjson, worker, ROTATION, self.finished.clone())
        }

        /// Waits for the files to be finished, and returns the directory and the final names.
        fn finish(self) -> (TempDir, Vec<String>) {
            drop(self.finished);
            self.finishers.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
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
    fn write(series: &mut RotatingFiles, bytes: &[u8], now: u64) -> bool {
        let first = series.prepare(Timestamp(now)).unwrap();
        series.write(bytes).unwrap();
        rotate(series, now);
        first
    }

    fn rotate(series: &mut RotatingFiles, now: u64) {
        if series.is_due(Timestamp(now)) {
            finish(series);
        }
    }

    fn finish(series: &mut RotatingFiles) {
        series.finish(Unfinished::new([])).unwrap();
    }

    #[test]
    fn a_file_ends_with_the_batch_that_fills_it() {
        let fixture = Fixture::new();
        let mut series = fixture.series(3);
        let firsts: Vec<_> =
            (0..5).map(|batch| write(&mut series, &[b'x'; 40], START + batch * SECOND)).collect();
        assert_eq!(firsts, [true, false, false, true, false]);
        finish(&mut series);
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
        rotate(&mut series, START + 60 * SECOND - 1);
        assert!(series.open.is_some());
        rotate(&mut series, START + 60 * SECOND);
        assert!(series.open.is_none());
        // Nothing comes of time alone.
        rotate(&mut series, START + 600 * SECOND);
        assert!(write(&mut series, b"b", START + 600 * SECOND));
        // The clock was set back.
        rotate(&mut series, START);
        assert!(series.open.is_none());
        drop(series);
        assert_eq!(fixture.finish().1.len(), 2);
    }

    /// A disk that makes nothing durable for the whole time.
    #[test]
    fn writing_does_not_wait_for_a_slow_fsync() {
        let (let_go, gate) = channel::bounded::<()>(0);
        let fixture = Fixture::with_sync(move |file: &File| {
            let _ = gate.recv();
            file.sync_all()
        });
        let mut series = fixture.series(0);
        for batch in 0..50 {
            assert!(write(&mut series, &[b'x'; 100], START + batch * SECOND), "each batch fills a file");
        }
        assert_eq!(fixture.counters.files(), 0);
        drop(let_go);
        drop(series);
        assert_eq!(fixture.finish().1.len(), 50);
    }

    #[test]
    fn an_open_file_is_hidden() {
        let fixture = Fixture::new();
        let mut series = fixture.series(0);
        write(&mut series, b"a", START);
        assert_eq!(names(&fixture.directory), [".mirror-20261121T090412Z-w00-000000.ndjson.partial"]);
        finish(&mut series);
    }

    #[test]
    fn names_do_not_clash_after_a_restart_in_the_same_second() {
        let fixture = Fixture::new();
        for content in [b"a", b"b", b"c"] {
            let mut series = fixture.series(0);
            write(&mut series, content, START);
            // Given to the finisher, which may or may not have renamed it when the next run begins.
            finish(&mut series);
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
        finish(&mut series);
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
        finish(&mut series);
        drop(series);
        assert_eq!(fixture.finish().1.len(), 1);
    }
}

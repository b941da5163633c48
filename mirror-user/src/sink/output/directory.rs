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

    fn rotate(&mut self, now: Timestamp) -> io::Result<()> {
        let due = self.open.as_ref().is_some_and(|open| {
            // A clock that was set back says nothing about the age of the file, which is then finished.
            let age = now.0.checked_sub(open.begun.0).map_or(Duration::MAX, Duration::from_nanos);
            open.writer.length() >= self.rotation.bytes || age >= self.rotation.after
        });
        if due { self.finish() } else { Ok(()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(Open { partial, complete, writer, .. }) = self.open.take() else { return Ok(()) };
        if writer.is_empty() {
            return fs::remove_file(partial);
        }
        let complete = Complete { file: writer.into_file()?, partial, complete };
        self.finisher.send(complete).map_err(|_| io::Error::other("the thread that finishes files has ended"))
    }
}

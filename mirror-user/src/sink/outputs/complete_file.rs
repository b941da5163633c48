//! A file with all its records, and how it becomes durable under its final name.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::file_name::UNSYNCED;
use crate::files;
use crate::sink::counters::Unfinished;
use crate::sink::error::SinkError;

/// A file with all its records.
#[derive(Debug)]
pub struct CompleteFile {
    /// The file.
    pub file: File,
    /// Its name.
    pub partial: PathBuf,
    /// The name that it is to have.
    pub complete: PathBuf,
    /// Its records.
    pub unfinished: Unfinished,
}

/// Makes `file` durable under the name `complete`; `sync` writes its content to the disk.
///
/// # Errors
///
/// When it could not be made durable, it has neither name, but one that ends in [`UNSYNCED`]: the pages that were not
/// written count as clean from then on, so that another attempt would succeed and prove nothing. When it could not be given
/// its name, it has the old one.
pub(super) fn publish(
    file: &File,
    partial: &Path,
    complete: &Path,
    sync: impl Fn(&File) -> io::Result<()>,
) -> Result<(), SinkError> {
    let unsynced = |name: &Path, error| {
        let mut aside = partial.as_os_str().to_owned();
        aside.push(UNSYNCED);
        let aside = PathBuf::from(aside);
        let path = if fs::rename(name, &aside).is_ok() { aside } else { name.to_owned() };
        SinkError::Sync { path, error }
    };
    sync(file).map_err(|error| unsynced(partial, error))?;
    let unpublished = |error| SinkError::Publish { path: partial.to_owned(), error };
    files::rename_new(partial, complete).map_err(unpublished)?;
    // In a directory that others can write to, somebody may have put another file in its place.
    let is_same = fs::symlink_metadata(complete).and_then(|named| {
        let own = file.metadata()?;
        Ok((named.dev(), named.ino()) == (own.dev(), own.ino()))
    });
    if !is_same.map_err(unpublished)? {
        return Err(unpublished(io::Error::other("somebody has put another file in its place")));
    }
    File::open(files::parent(complete))
        .and_then(|directory| directory.sync_all())
        .map_err(|error| unsynced(complete, error))
}

//! The map's file as it was last looked at.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The file as it was last looked at.
#[derive(Debug, Default)]
pub(super) struct FileState {
    /// Device, inode, size, and the times of the last write and change; [`None`] where there is no file.
    identity: Option<[i128; 5]>,
    /// The reason why it could not be taken up.
    pub(super) failure: Option<String>,
}

impl FileState {
    /// The file as it is now.
    pub(super) fn of(path: &Path) -> Self {
        let identity = fs::metadata(path).ok().map(|file| {
            let time = |seconds, nanoseconds| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
            [
                file.dev().into(),
                file.ino().into(),
                file.size().into(),
                time(file.mtime(), file.mtime_nsec()),
                time(file.ctime(), file.ctime_nsec()),
            ]
        });
        Self { identity, failure: None }
    }

    /// `true` if nothing has changed since.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

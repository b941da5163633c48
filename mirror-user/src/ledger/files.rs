//! Facts of the capture files that were replayed.

use serde::Serialize;

/// Facts of the capture files that were replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Files that were read, or were to be.
    pub files: usize,
    /// Those of them that could not be read, or not in full.
    pub incomplete: usize,
    /// Bytes of incomplete files that could not be read, as they lie on disk, where that is known. Packets in them are in no
    /// counter.
    pub unread_bytes: u64,
}

impl FileFacts {
    /// The incomplete files as the end of a sentence; [`None`] where there are none.
    pub(super) fn told(&self) -> Option<String> {
        let Self { files, incomplete, unread_bytes } = *self;
        let of_files = if files == 1 {
            "the file was not read in full".to_owned()
        } else {
            format!("{incomplete} of {files} files were not read in full")
        };
        let bytes =
            if unread_bytes == 0 { String::new() } else { format!(" ({unread_bytes} bytes were not)") };
        (incomplete > 0).then(|| of_files + &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_files_are_told() {
        let facts = |files, incomplete, unread_bytes| FileFacts { files, incomplete, unread_bytes }.told();
        assert_eq!(facts(3, 0, 0), None);
        assert_eq!(facts(1, 1, 0).unwrap(), "the file was not read in full");
        assert_eq!(facts(3, 1, 155).unwrap(), "1 of 3 files were not read in full (155 bytes were not)");
    }
}

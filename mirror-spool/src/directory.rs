//! Names in a spool's directory.
//!
//! | name | content |
//! |---|---|
//! | `0000000000000042.flow.arrow` | the finished file of manifest line 42 |
//! | `manifest-0000000000000001.ndjson` | a segment of the manifest, by its first line |
//! | `1764316800000000000-3.partial` | a file that is being written |
//! | `acknowledged.json` | how far every destination has got, which the shipper writes |
//! | `lock` | held by the writer |

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::SpoolError;

/// Permissions of files; the umask may take more away. The group is the shipper's.
const FILE_MODE: u32 = 0o640;
/// Permissions of the directory: the shipper, in its group, removes what is delivered.
const DIRECTORY_MODE: u32 = 0o770;

/// End of the names of files that are being written.
pub(crate) const PARTIAL: &str = ".partial";
/// The file that the writer locks.
pub(crate) const LOCK: &str = "lock";
/// The shipper's account of what is delivered.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged.json";
const SEGMENT: &str = "manifest-";
const SEGMENT_END: &str = ".ndjson";
const DATA_END: &str = ".flow.arrow";

/// Name of the data file of a manifest line.
pub(crate) fn data_name(sequence: u64) -> String {
    format!("{sequence:016}{DATA_END}")
}

/// Name of the segment that begins with a manifest line.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{SEGMENT}{first:016}{SEGMENT_END}")
}

/// What a directory holds, each in the order of its numbers.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Data files: sequence and length in bytes.
    pub(crate) data: Vec<(u64, u64)>,
    /// First lines of the manifest's segments.
    pub(crate) segments: Vec<u64>,
    /// Names of unfinished files.
    pub(crate) partial: Vec<String>,
}

/// Lists a directory.
pub(crate) fn list(directory: &Path) -> Result<Listing, SpoolError> {
    let mut listing = Listing::default();
    let entries = fs::read_dir(directory).map_err(SpoolError::io("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(SpoolError::io("list", directory))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = number(name, "", DATA_END) {
            // The shipper may remove it just now.
            let Ok(metadata) = entry.metadata() else { continue };
            listing.data.push((number, metadata.len()));
        } else if let Some(number) = number(name, SEGMENT, SEGMENT_END) {
            listing.segments.push(number);
        } else if name.ends_with(PARTIAL) {
            listing.partial.push(name.to_owned());
        }
    }
    listing.data.sort_unstable();
    listing.segments.sort_unstable();
    listing.partial.sort_unstable();
    Ok(listing)
}

fn number(name: &str, start: &str, end: &str) -> Option<u64> {
    name.strip_prefix(start)?.strip_suffix(end)?.parse().ok()
}

/// Creates the directory, unless it is there.
pub(crate) fn create(directory: &Path) -> Result<(), SpoolError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(SpoolError::io("create", directory))
}

/// Creates a file that was not there, or opens one to append to it.
pub(crate) fn open(path: &Path, append: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE).read(true);
    if append {
        options.append(true).create(true)
    } else {
        options.write(true).create_new(true)
    };
    options.open(path)
}

/// Makes renamed and removed names durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Writes a file so that it is there either whole or as it was.
///
/// # Errors
///
/// When it cannot be written, synced or renamed.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file =
        OpenOptions::new().mode(FILE_MODE).write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

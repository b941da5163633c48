//! The manifest: a line of JSON for each finished file, chained by hashes, in segments.
//!
//! A line tells what is in its file, and every record since the line before that is in none, by reason. So
//! `offered = in files + lost` holds from line to line, and can be recounted from the files alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::directory::{self, Listing};
use crate::error::SpoolError;

/// Lines of a segment.
pub(crate) const SEGMENT_LINES: u64 = 256;

/// A number of records, and of packets that they account for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Packets that they account for.
    pub packets: u64,
}

impl Amount {
    /// Adds another amount.
    pub const fn add(&mut self, other: Self) {
        self.records += other.records;
        self.packets += other.packets;
    }
}

/// A line of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the line, from 1.
    pub sequence: u64,
    /// Start of the writer's run, in nanoseconds since 1970.
    pub run: u64,
    /// Time at which the line was written, in nanoseconds since 1970.
    pub written: u64,
    /// Records that were offered to the writer since its run began, up to the end of this file.
    pub offered: Amount,
    /// The ledger's position: packets that the capture had seen when the file was closed, as it told the writer.
    pub seen: u64,
    /// The file; none in a line that only tells losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileFacts>,
    /// Records since the line before that are in no file, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<String, Amount>,
    /// Files that were removed before they were delivered, since the line before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// SHA-256 of the line before, without its line feed; empty in the first line.
    pub previous: String,
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its name.
    pub name: String,
    /// Record kind.
    pub kind: String,
    /// Version of the schema.
    pub schema: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// Records in it, and the packets that they account for.
    #[serde(flatten)]
    pub amount: Amount,
    /// Earliest and latest `end` of the records, in nanoseconds since 1970.
    pub times: (u64, u64),
    /// Records by account; those of unknown hosts under `unknown`.
    pub accounts: BTreeMap<String, u64>,
    /// SHA-256 of the file, as `sha256sum` prints it.
    pub sha256: String,
    /// `true` if the program stopped after it had finished the file and before it had written this line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
}

/// A file that was removed before it was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its line in the manifest.
    pub sequence: u64,
    /// The reason, by its name.
    pub reason: String,
    /// What it held.
    #[serde(flatten)]
    pub amount: Amount,
}

/// Account of records whose host is not known.
pub const UNKNOWN_ACCOUNT: &str = "unknown";

/// SHA-256 in hexadecimal digits.
pub(crate) fn hexadecimal(hash: impl AsRef<[u8]>) -> String {
    use std::fmt::Write as _;
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(Sha256::digest(bytes))
}

/// A manifest as it was read.
#[derive(Debug, Default)]
pub struct Manifest {
    /// Its lines.
    pub entries: Vec<Entry>,
    /// Hash of each line.
    pub hashes: Vec<String>,
    /// Lines whose `previous` is not the hash of the line before, or whose number does not follow.
    pub broken: Vec<u64>,
    /// A last line that was not written to its end: its segment, and where it begins.
    pub(crate) torn: Option<(PathBuf, u64)>,
}

impl Manifest {
    /// Reads the manifest of a spool.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or a line that was written to its end is none of a manifest.
    pub fn read(directory: &Path) -> Result<Self, SpoolError> {
        Self::read_segments(directory, &directory::list(directory)?)
    }

    pub(crate) fn read_segments(directory: &Path, listing: &Listing) -> Result<Self, SpoolError> {
        let mut manifest = Self::default();
        for first in &listing.segments {
            let path = directory.join(directory::segment_name(*first));
            let text = match fs::read(&path) {
                Ok(text) => text,
                // Removed since the directory was listed: all of it is delivered.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(SpoolError::io("read", path)(error)),
            };
            manifest.read_segment(&path, &text)?;
        }
        Ok(manifest)
    }

    fn read_segment(&mut self, path: &Path, text: &[u8]) -> Result<(), SpoolError> {
        let mut position = 0;
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some(line) = line.strip_suffix(b"\n") else {
                self.torn = Some((path.to_owned(), position));
                break;
            };
            position += line.len() as u64 + 1;
            let entry: Entry = serde_json::from_slice(line).map_err(|source| SpoolError::Manifest {
                path: path.to_owned(),
                line: index + 1,
                source,
            })?;
            let follows = match (self.entries.last(), self.hashes.last()) {
                (Some(last), Some(hash)) => last.sequence + 1 == entry.sequence && *hash == entry.previous,
                _ => true,
            };
            if !follows {
                self.broken.push(entry.sequence);
            }
            self.hashes.push(sha256(line));
            self.entries.push(entry);
        }
        Ok(())
    }

    /// Lines behind `sequence`.
    pub fn after(&self, sequence: u64) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.sequence <= sequence);
        &self.entries[start..]
    }
}

/// How far every destination has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Every file up to this line of the manifest is delivered.
    pub sequence: u64,
}

impl Acknowledged {
    /// Reads it; nothing is acknowledged where there is no such file.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be read or understood.
    pub fn read(directory: &Path) -> Result<Self, SpoolError> {
        let path = directory.join(directory::ACKNOWLEDGED);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|source| SpoolError::Manifest { path, line: 1, source })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(SpoolError::io("read", path)(error)),
        }
    }
}

/// Records that every file up to line `sequence` is delivered, then removes those files, and segments of the manifest that
/// have no other lines.
///
/// # Errors
///
/// When the record cannot be written, or a file cannot be removed.
pub fn acknowledge(directory: &Path, sequence: u64) -> Result<(), SpoolError> {
    let path = directory.join(directory::ACKNOWLEDGED);
    let mut text = serde_json::to_vec(&Acknowledged { sequence }).unwrap_or_default();
    text.push(b'\n');
    directory::write_atomically(&path, &text).map_err(SpoolError::io("write", &path))?;
    let listing = directory::list(directory)?;
    for (number, _) in listing.data.iter().filter(|(number, _)| *number <= sequence) {
        remove(&directory.join(directory::data_name(*number)))?;
    }
    remove_segments(directory, &listing, sequence)
}

/// Removes segments of the manifest all of whose lines are up to `sequence`; the last segment stays.
pub(crate) fn remove_segments(directory: &Path, listing: &Listing, sequence: u64) -> Result<(), SpoolError> {
    for pair in listing.segments.windows(2) {
        if pair[1] <= sequence + 1 {
            remove(&directory.join(directory::segment_name(pair[0])))?;
        }
    }
    Ok(())
}

/// Removes a file, which may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SpoolError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

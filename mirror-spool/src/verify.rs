//! The check of a spool from its files alone.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::directory;
use crate::error::{SpoolError, chain};
use crate::manifest::{Acknowledged, Amount, Entry, Manifest};
use crate::{reader, recover};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Lines of the manifest.
    pub lines: u64,
    /// Files that are there and as the manifest says.
    pub files: u64,
    /// Records in them.
    pub stored: Amount,
    /// Records that are in no file, as the manifest says.
    pub lost: Amount,
    /// Records of files that were removed before they were delivered.
    pub removed: Amount,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Something wrong with a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A file is missing that was neither delivered nor removed by the bounds.
    Missing {
        /// Its name.
        name: String,
    },
    /// A file is not the one that was written.
    Altered {
        /// Its name.
        name: String,
        /// Hash in the manifest.
        expected: String,
        /// Hash of the file.
        found: String,
    },
    /// A file cannot be read.
    Unreadable {
        /// Its name.
        name: String,
        /// The cause.
        cause: String,
    },
    /// A file does not hold what its line says.
    Count {
        /// Its name.
        name: String,
    },
    /// A file is not in the manifest.
    Unlisted {
        /// Its name.
        name: String,
    },
    /// A line does not follow the one before: that one, or this one, was altered or removed.
    Chain {
        /// Its number.
        sequence: u64,
    },
    /// More or fewer records were offered than are in the file or lost.
    Balance {
        /// The line's number.
        sequence: u64,
        /// Records offered since the line before.
        offered: u64,
        /// Records in the file or lost.
        found: u64,
    },
    /// The last line was not written to its end.
    TornLine,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(formatter, "{name} is missing"),
            Self::Altered { name, expected, found } => {
                write!(formatter, "{name} was altered: its SHA-256 is {found}, the manifest has {expected}")
            }
            Self::Unreadable { name, cause } => write!(formatter, "{name} cannot be read: {cause}"),
            Self::Count { name } => {
                write!(formatter, "{name} does not hold the records that the manifest tells")
            }
            Self::Unlisted { name } => write!(formatter, "{name} is not in the manifest"),
            Self::Chain { sequence } => {
                write!(formatter, "line {sequence} of the manifest does not follow the line before")
            }
            Self::Balance { sequence, offered, found } => write!(
                formatter,
                "line {sequence} of the manifest tells of {offered} records offered, and {found} stored or lost"
            ),
            Self::TornLine => formatter.write_str("the last line of the manifest is not whole"),
        }
    }
}

/// Checks a spool: every file against its line, by hash and, if `recount`, by counting its records; every line against the one
/// before. Stop the writer first, or take a file that it just finishes for an unlisted one.
///
/// # Errors
///
/// When directory or manifest cannot be read.
pub fn verify(directory: &Path, recount: bool) -> Result<Verification, SpoolError> {
    let listing = directory::list(directory)?;
    let manifest = Manifest::read_segments(directory, &listing)?;
    let acknowledged = Acknowledged::read(directory)?.sequence;
    let mut found = Verification { lines: manifest.entries.len() as u64, ..Verification::default() };
    found.problems.extend(manifest.broken.iter().map(|sequence| Problem::Chain { sequence: *sequence }));
    if manifest.torn.is_some() {
        found.problems.push(Problem::TornLine);
    }
    check_balance(&manifest.entries, &mut found);

    let removed: BTreeSet<u64> = manifest
        .entries
        .iter()
        .flat_map(|entry| entry.removed.iter().map(|removed| removed.sequence))
        .collect();
    let mut listed = BTreeSet::new();
    for entry in &manifest.entries {
        let Some(file) = &entry.file else { continue };
        listed.insert(entry.sequence);
        let path = directory.join(&file.name);
        let is_gone = removed.contains(&entry.sequence) || entry.sequence <= acknowledged;
        if is_gone && !path.exists() {
            continue;
        }
        if !path.exists() {
            found.problems.push(Problem::Missing { name: file.name.clone() });
            continue;
        }
        match reader::hash_file(&path) {
            Ok((hash, _)) if hash != file.sha256 => {
                let (name, expected) = (file.name.clone(), file.sha256.clone());
                found.problems.push(Problem::Altered { name, expected, found: hash });
                continue;
            }
            Ok(_) => {}
            Err(cause) => {
                let cause = chain(&cause).to_string();
                found.problems.push(Problem::Unreadable { name: file.name.clone(), cause });
                continue;
            }
        }
        if recount {
            match recover::facts(&path, file.name.clone()) {
                Ok(mut facts) => {
                    facts.recovered = file.recovered;
                    if facts != *file {
                        found.problems.push(Problem::Count { name: file.name.clone() });
                    }
                }
                Err(cause) => {
                    let cause = chain(&cause).to_string();
                    found.problems.push(Problem::Unreadable { name: file.name.clone(), cause });
                }
            }
        }
        found.files += 1;
        found.stored.add(file.amount);
    }
    let unlisted =
        listing.data.iter().filter(|(number, _)| !listed.contains(number) && *number > acknowledged);
    found
        .problems
        .extend(unlisted.map(|(number, _)| Problem::Unlisted { name: directory::data_name(*number) }));
    Ok(found)
}

/// Checks that each line accounts for the records that were offered since the one before.
fn check_balance(entries: &[Entry], found: &mut Verification) {
    let mut before: Option<&Entry> = None;
    for entry in entries {
        let mut told = entry.file.as_ref().map(|file| file.amount).unwrap_or_default();
        for amount in entry.lost.values() {
            told.add(*amount);
            found.lost.add(*amount);
        }
        for removed in &entry.removed {
            found.removed.add(removed.amount);
        }
        let base = match before {
            Some(before) if before.run == entry.run => Some(before.offered),
            // The first line of a run has nothing before it, unless a segment with its run was removed.
            Some(_) => Some(Amount::default()),
            None => (entry.sequence == 1).then(Amount::default),
        };
        if let Some(base) = base {
            let offered = entry.offered.records.wrapping_sub(base.records);
            if offered != told.records {
                let problem = Problem::Balance { sequence: entry.sequence, offered, found: told.records };
                found.problems.push(problem);
            }
        }
        before = Some(entry);
    }
}

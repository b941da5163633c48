//! What a crash left behind, found and told when a spool is opened.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::BufReader;
use std::path::Path;

use tracing::warn;

use crate::arrow_file;
use crate::directory;
use crate::error::{Loss, ReadError, SpoolError};
use crate::finisher::{Finisher, Losses};
use crate::flow;
use crate::manifest::{Acknowledged, Amount, FileFacts, Manifest, UNKNOWN_ACCOUNT};
use crate::reader::{self, Reader};

/// What a run before left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Files that were finished but not in the manifest; they are now.
    pub recovered: Vec<(u64, FileFacts)>,
    /// Unfinished files, with the records that were in whole batches of them. They are lost, and the files removed. Records that
    /// had not been written to the file are not among them: less than a batch.
    pub lost: Vec<(String, u64)>,
    /// Files with a final name that cannot be read; they were renamed to end in `.damaged`. Their records are lost.
    pub damaged: Vec<(String, u64)>,
    /// `true` if the last line of the manifest was not written to its end; it was cut off.
    pub torn_line: bool,
}

impl Recovery {
    /// `true` if the run before ended as it should.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks at what is there; cuts off half a line.
pub(crate) fn look(directory: &Path) -> Result<(Recovery, Manifest), SpoolError> {
    let listing = directory::list(directory)?;
    let manifest = Manifest::read_segments(directory, &listing)?;
    let mut recovery = Recovery::default();
    if let Some((path, length)) = &manifest.torn {
        recovery.torn_line = true;
        let file = OpenOptions::new().write(true).open(path).map_err(SpoolError::io("open", path))?;
        file.set_len(*length).and_then(|()| file.sync_all()).map_err(SpoolError::io("cut", path))?;
    }
    let last = manifest.entries.last().map_or(0, |entry| entry.sequence);
    let known = last.max(Acknowledged::read(directory)?.sequence);
    for (sequence, _) in listing.data.into_iter().filter(|(sequence, _)| *sequence > known) {
        let name = directory::data_name(sequence);
        match facts(&directory.join(&name), name.clone()) {
            Ok(facts) => recovery.recovered.push((sequence, facts)),
            Err(cause) => {
                warn!("{name} cannot be read: {}", crate::error::chain(&cause));
                recovery.damaged.push((name.clone(), rows(directory, &name)?));
            }
        }
    }
    for name in listing.partial {
        let rows = rows(directory, &name)?;
        recovery.lost.push((name, rows));
    }
    Ok((recovery, manifest))
}

fn rows(directory: &Path, name: &str) -> Result<u64, SpoolError> {
    let path = directory.join(name);
    let file = File::open(&path).map_err(SpoolError::io("open", &path))?;
    arrow_file::rows_in_unfinished(BufReader::new(file)).map_err(SpoolError::io("read", &path))
}

/// Tells it in the manifest, and removes what cannot be used.
pub(crate) fn settle(
    directory: &Path,
    recovery: &Recovery,
    finisher: &mut Finisher,
    now: u64,
) -> Result<(), SpoolError> {
    let records: u64 = recovery.lost.iter().chain(&recovery.damaged).map(|(_, records)| records).sum();
    let mut lost = Losses::new();
    if records > 0 {
        // The packets that they account for are not known.
        lost.insert(Loss::Crash, Amount { records, packets: 0 });
        warn!("{}: {records} records of a run before were not finished, and are lost", directory.display());
    }
    finisher
        .recover(recovery.recovered.clone(), lost, now)
        .map_err(SpoolError::io("write the manifest of", directory))?;
    for (name, _) in &recovery.damaged {
        let path = directory.join(name);
        fs::rename(&path, directory.join(format!("{name}.damaged")))
            .map_err(SpoolError::io("rename", &path))?;
    }
    for (name, _) in &recovery.lost {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(SpoolError::io("remove", &path))?;
    }
    Ok(())
}

/// The facts of a file, recounted from the file alone.
pub(crate) fn facts(path: &Path, name: String) -> Result<FileFacts, ReadError> {
    let (sha256, bytes) = reader::hash_file(path)?;
    let mut amount = Amount::default();
    let mut times = (u64::MAX, 0);
    let mut accounts: BTreeMap<String, u64> = BTreeMap::new();
    for batch in Reader::open(path)? {
        for row in batch?.rows() {
            let row = row?;
            amount.add(Amount { records: 1, packets: row.accounted });
            times = (times.0.min(row.end), times.1.max(row.end));
            let account = row.account().unwrap_or(UNKNOWN_ACCOUNT);
            match accounts.get_mut(account) {
                Some(sum) => *sum += 1,
                None => _ = accounts.insert(account.to_owned(), 1),
            }
        }
    }
    let kind = flow::KIND.to_owned();
    Ok(FileFacts {
        name,
        kind,
        schema: flow::VERSION,
        bytes,
        amount,
        times,
        accounts,
        sha256,
        recovered: true,
    })
}

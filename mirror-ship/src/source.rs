//! Reading the spool: the files of a group, checked against the manifest, record by record.

use std::path::{Path, PathBuf};

use mirror_spool::{Entry, FileFacts, FlowBatch, ReadError, Reader, hash_file};

use crate::community_id::community_id;
use crate::table::Record;

/// Reason why a file of the spool is not delivered.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ReadError,
    },
    /// It is not the file that was written.
    #[error("{} is not the file that the manifest tells of: its SHA-256 is {found}", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
    },
}

/// Checks a file against its line in the manifest.
///
/// # Errors
///
/// When it cannot be read, or is another one.
pub fn check(spool: &Path, file: &FileFacts) -> Result<(), SourceError> {
    let path = spool.join(&file.name);
    match hash_file(&path) {
        Ok((found, _)) if found != file.sha256 => Err(SourceError::Altered { path, found }),
        Ok(_) => Ok(()),
        Err(source) => Err(SourceError::Read { path, source }),
    }
}

/// Hands out the records of a file: in the order of time if `sorted`, else as they were written.
///
/// # Errors
///
/// When the file cannot be read; else those of `take`.
pub fn records<E: From<SourceError>>(
    spool: &Path,
    entry: &Entry,
    sorted: bool,
    mut take: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(file) = &entry.file else { return Ok(()) };
    let path = spool.join(&file.name);
    let failed = |source| SourceError::Read { path: path.clone(), source };
    let mut first_row = 0;
    let mut hand_out = |batch: &FlowBatch, row: usize, first_row: u64| {
        let flow = batch.row(row).map_err(failed)?;
        let community_id = community_id(&flow);
        let row = first_row + row as u64;
        take(Record { flow, sequence: entry.sequence, row, run: entry.run, community_id })
    };
    let reader = Reader::open(&path).map_err(failed)?;
    if !sorted {
        for batch in reader {
            let batch = batch.map_err(failed)?;
            for row in 0..batch.len() {
                hand_out(&batch, row, first_row)?;
            }
            first_row += batch.len() as u64;
        }
        return Ok(());
    }
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut order = Vec::with_capacity(usize::try_from(file.amount.records).unwrap_or(0));
    let mut first_rows = Vec::with_capacity(batches.len());
    for (number, batch) in batches.iter().enumerate() {
        first_rows.push(first_row);
        first_row += batch.len() as u64;
        order.extend((0..batch.len()).map(|row| (batch.end(row), number, row)));
    }
    order.sort_unstable();
    for (_, number, row) in order {
        hand_out(&batches[number], row, first_rows[number])?;
    }
    Ok(())
}

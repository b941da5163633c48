//! The files of a run.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The files that a run leaves: those of the run before are replaced.
pub struct Output {
    /// Directory of both.
    pub directory: PathBuf,
    /// The records.
    pub records: PathBuf,
    /// The ledger.
    pub ledger: PathBuf,
}

impl Output {
    /// Makes the directory `demo` in `directory`, without the files of an earlier run.
    ///
    /// # Errors
    ///
    /// When it cannot be made or emptied.
    pub fn create(directory: &Path) -> Result<Self> {
        let directory = directory.join("demo");
        let output = Self {
            records: directory.join("records.ndjson"),
            ledger: directory.join("ledger.json"),
            directory,
        };
        fs::create_dir_all(&output.directory)
            .with_context(|| format!("{} cannot be made", output.directory.display()))?;
        for file in [&output.records, &output.ledger] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("{} cannot be removed", file.display()));
                }
                _ => {}
            }
        }
        Ok(output)
    }

    /// Gives the files, which root has made for itself, to the owner of the directory that they lie in.
    ///
    /// # Errors
    ///
    /// When one of them is not there.
    pub fn hand_over(&self) -> Result<()> {
        let owner = fs::metadata(self.directory.parent().unwrap_or(&self.directory))?;
        for path in [&self.directory, &self.records, &self.ledger] {
            chown(path, Some(owner.uid()), Some(owner.gid()))
                .with_context(|| format!("{} cannot be given to its owner", path.display()))?;
        }
        Ok(())
    }
}

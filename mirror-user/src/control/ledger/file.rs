//! The file that `--ledger` names: whether it can be written, before the capture starts; and writing it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::Ledger;
use crate::files;

/// Finds out that the ledger can be written to `path`, and leaves nothing there.
///
/// # Errors
///
/// When it cannot.
pub fn check(path: &Path) -> io::Result<()> {
    match in_place(path)? {
        Some(_) => Ok(()),
        None => {
            let temporary = temporary(path)?;
            files::create_temporary(&temporary)?;
            fs::remove_file(temporary)
        }
    }
}

/// Writes the ledger as JSON. A file appears under its name only when it is complete and durable.
///
/// # Errors
///
/// When it cannot be written; a file that was there is still there then.
pub fn write(ledger: &Ledger, path: &Path) -> io::Result<()> {
    if let Some(device) = in_place(path)? {
        return ledger.write(device);
    }
    let temporary = temporary(path)?;
    let file = files::create_temporary(&temporary)?;
    let written = write_to(ledger, &file).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_to(ledger: &Ledger, file: &File) -> io::Result<()> {
    let mut buffered = BufWriter::new(file);
    ledger.write(&mut buffered)?;
    buffered.flush()?;
    file.sync_all()
}

/// The open device or pipe, where `path` is one: it cannot be replaced by a file.
fn in_place(path: &Path) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(None),
        Ok(metadata) if metadata.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(_) => OpenOptions::new().write(true).open(path).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name that the file has until it is complete.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    if path.file_name().is_none() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::control::ledger::RunFacts;

    fn ledger() -> Ledger {
        Ledger::new(RunFacts::default(), Vec::new())
    }

    #[test]
    fn the_file_appears_complete_and_for_the_group_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.json");
        check(&path).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing comes of the check");
        // As a process leaves it that was killed over it.
        fs::write(directory.path().join("ledger.json.partial"), "half").unwrap();
        for _ in 0..2 {
            check(&path).unwrap();
            write(&ledger(), &path).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(json["seen"], 0);
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no partial file is left");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777 & !0o640, 0);
        }
    }

    #[test]
    fn a_place_that_does_not_do_is_found_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing/ledger.json");
        assert_eq!(check(&missing).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(check(directory.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        let below_file = directory.path().join("file/ledger.json");
        fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(check(&below_file).unwrap_err().kind(), ErrorKind::NotADirectory);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, path) = (directory.path().join("target"), directory.path().join("ledger.json"));
        fs::write(&target, "content").unwrap();
        let partial = directory.path().join("ledger.json.partial");
        symlink(&target, &partial).unwrap();
        for error in [check(&path).unwrap_err(), write(&ledger(), &path).unwrap_err()] {
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        fs::remove_file(&partial).unwrap();
        // A link of the name itself is replaced.
        symlink(&target, &path).unwrap();
        write(&ledger(), &path).unwrap();
        assert!(!files::is_link(&path));
        assert_eq!(fs::read(&target).unwrap(), b"content");
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let path = Path::new("/dev/null");
        check(path).unwrap();
        write(&ledger(), path).unwrap();
        assert!(!fs::metadata(path).unwrap().is_file());
        assert_eq!(write(&ledger(), Path::new("/dev/full")).unwrap_err().kind(), ErrorKind::StorageFull);
    }
}

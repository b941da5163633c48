//! The file that `--ledger` names: whether it can be written, before the capture starts; and writing it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Ledger;
use crate::files;

/// Finds out that the ledger can be written to `path`, and leaves nothing there.
///
/// # Errors
///
/// When it cannot.
pub fn check(path: &Path) -> io::Result<()> {
    if is_in_place(path)? {
        // Not opened: the reader of a pipe would take it for the end.
        return Ok(accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS)?);
    }
    let temporary = temporary(path)?;
    files::create_temporary(&temporary)?;
    fs::remove_file(temporary)
}

/// Writes the ledger as JSON. A file appears under its name only when it is complete and durable.
///
/// # Errors
///
/// When it cannot be written; a file that was there is still there then.
pub fn write(ledger: &Ledger, path: &Path) -> io::Result<()> {
    if is_in_place(path)? {
        // A pipe that nobody reads is an error, and not waited for.
        let device = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        rustix::io::ioctl_fionbio(&device, false)?;
        return write_buffered(ledger, &device);
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
    write_buffered(ledger, file)?;
    file.sync_all()
}

fn write_buffered(ledger: &Ledger, file: &File) -> io::Result<()> {
    let mut buffered = BufWriter::new(file);
    ledger.write(&mut buffered)?;
    buffered.flush()
}

/// `true` if `path` is a device or pipe, which cannot be replaced by a file. In a directory that anybody can write to, a
/// symbolic link is replaced, and a pipe must be this user's own.
fn is_in_place(path: &Path) -> io::Result<bool> {
    let is_shared = files::is_shared(files::parent(path))?;
    let metadata = if is_shared { fs::symlink_metadata(path) } else { fs::metadata(path) };
    match metadata {
        Ok(metadata) if metadata.is_file() || metadata.is_symlink() => Ok(false),
        Ok(metadata) if metadata.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(metadata) if is_shared && metadata.uid() != rustix::process::geteuid().as_raw() => {
            Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "it is another user's, in a directory that anybody can write to",
            ))
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
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
    use crate::snapshot::Snapshot;

    fn ledger() -> Ledger {
        Ledger::new(&Snapshot::default())
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
    fn a_pipe_gets_the_ledger_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        check(&path).unwrap();
        let error = write(&ledger(), &path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));

        let reader = {
            let path = path.clone();
            std::thread::spawn(move || fs::read(path).unwrap())
        };
        check(&path).unwrap();
        while write(&ledger(), &path).is_err() {
            std::thread::yield_now();
        }
        let json: serde_json::Value = serde_json::from_slice(&reader.join().unwrap()).unwrap();
        assert_eq!(json["seen"], 0);
    }

    #[test]
    fn a_link_that_others_have_planted_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
        let path = directory.path().join("ledger.json");
        // Else this would be overwritten.
        symlink("/dev/null", &path).unwrap();
        check(&path).unwrap();
        write(&ledger(), &path).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
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

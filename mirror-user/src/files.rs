//! Files that are safe from other users who can write to their directory.
//!
//! Records say who spoke to whom, and the program runs as root: its files are for the owner and the group only, and a
//! symbolic link in the place of such a file is never followed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Permissions of a file; the umask may take more away.
const FILE_MODE: u32 = 0o640;
/// Permissions of a directory; the umask may take more away.
const DIRECTORY_MODE: u32 = 0o750;
/// Permission bit of writing by anybody.
const BY_OTHERS: u32 = 0o002;

/// Creates a file for writing that was not there.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] where there is a file; the message says so if it is a symbolic link.
pub fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists if is_link(path) => link_in_the_way(),
        _ => error,
    })
}

/// Opens a file that is there, as `options` say, and not through a symbolic link. Does not wait for the other end of a
/// named pipe.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] where it is a symbolic link; the message says so.
pub fn open_no_follow(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => link_in_the_way(),
        _ => error,
    })
}

/// Creates a directory that was not there.
///
/// # Errors
///
/// When it cannot be created.
pub fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)
}

/// Creates a file for writing under a name that is for this program's temporary files only. A regular file of that name
/// was left by a process that was killed, and is removed.
///
/// # Errors
///
/// When it cannot be created, or something else than a regular file has the name.
pub fn create_temporary(path: &Path) -> io::Result<File> {
    match create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && is_regular(path) => {
            fs::remove_file(path)?;
            create_new(path)
        }
        created => created,
    }
}

/// Gives a file another name, which nothing else has.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`] where something has that name, a symbolic link included.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems of other machines do not know the flag.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS) => Err(ErrorKind::AlreadyExists.into()),
        renamed => Ok(renamed?),
    }
}

/// `true` if anybody may make files in this directory.
///
/// # Errors
///
/// When its metadata cannot be read.
pub fn is_shared(directory: &Path) -> io::Result<bool> {
    Ok(fs::metadata(directory)?.mode() & BY_OTHERS != 0)
}

/// Checks that a file in a [shared](is_shared) directory is this user's own, and known by no other name.
///
/// # Errors
///
/// [`ErrorKind::AlreadyExists`], with the reason, where it is not.
pub fn check_own(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    let denied = |reason| Err(io::Error::new(ErrorKind::AlreadyExists, reason));
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return denied("it belongs to another user, in a directory that anybody can write to");
    }
    if metadata.nlink() > 1 {
        return denied("it has other names, and its directory is one that anybody can write to");
    }
    Ok(())
}

/// The directory that `path` lies in.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// `true` if a symbolic link has this name.
pub fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn is_regular(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn link_in_the_way() -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, "a symbolic link has this name, and is not followed here")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn files_are_for_owner_and_group() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let file = directory.path().join("file");
        create_new(&file).unwrap();
        assert_eq!(mode(&file) & !0o640, 0, "{:o}", mode(&file));
        let below = directory.path().join("below");
        create_directory(&below).unwrap();
        assert_eq!(mode(&below) & !0o750, 0, "{:o}", mode(&below));
    }

    #[test]
    fn a_link_is_never_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        let dangling = directory.path().join("dangling");
        fs::write(&target, "content").unwrap();
        symlink(&target, &link).unwrap();
        symlink(directory.path().join("nowhere"), &dangling).unwrap();
        for link in [&link, &dangling] {
            for error in [
                create_new(link).unwrap_err(),
                create_temporary(link).unwrap_err(),
                open_no_follow(link, OpenOptions::new().write(true)).unwrap_err(),
            ] {
                assert!(error.to_string().contains("symbolic link"), "{error}");
            }
            let file = directory.path().join("file");
            fs::write(&file, "new").unwrap();
            assert_eq!(rename_new(&file, link).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert!(is_link(link));
        }
        assert_eq!(fs::read(&target).unwrap(), b"content");
        assert!(!directory.path().join("nowhere").exists());
    }

    #[test]
    fn the_leftover_of_a_temporary_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("temporary");
        fs::write(&path, "leftover").unwrap();
        create_temporary(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(create_temporary(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn files_of_other_names_are_not_taken_for_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = create_new(&path).unwrap();
        check_own(&file).unwrap();
        fs::hard_link(&path, directory.path().join("other")).unwrap();
        let error = check_own(&file).unwrap_err();
        assert!(error.to_string().contains("other names"), "{error}");
    }

    #[test]
    fn parents() {
        for (path, expected) in [("a", "."), ("a/b", "a"), ("/a", "/"), ("/", "/")] {
            assert_eq!(parent(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}

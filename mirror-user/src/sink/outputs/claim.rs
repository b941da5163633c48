//! Opening and locking an output before a capture starts. Until it has begun, nothing is changed that cannot be undone:
//! a file that was there keeps its content, and whatever was created is removed again if the start fails.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::file_name::PREFIX;
use crate::files;
use crate::sink::error::SinkError;

/// Attempts to open a file that others create and remove at the same time.
const TRIES: usize = 16;

/// Files and directories that were created for a start; dropped, they are removed again.
#[derive(Debug, Default)]
pub struct Created(Vec<CreatedEntry>);

#[derive(Debug)]
enum CreatedEntry {
    /// A file, with its inode.
    File(PathBuf, u64),
    Directory(PathBuf),
}

impl Created {
    /// Keeps all of them: the start has succeeded.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        for entry in self.0.drain(..).rev() {
            // Where something else has the name by now, or lies in the directory, there is nothing to take away.
            let _ = match entry {
                CreatedEntry::File(path, inode) => match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.ino() == inode && metadata.len() == 0 => fs::remove_file(path),
                    _ => Ok(()),
                },
                CreatedEntry::Directory(path) => fs::remove_dir(path),
            };
        }
    }
}

/// Opens a file or named pipe for writing, and locks it. A file that is not there is created.
///
/// # Errors
///
/// When it cannot be opened, another process holds it, or it is not to be trusted: in a directory that anybody can write
/// to, a symbolic link or the file of another user.
pub fn file(path: &Path) -> Result<(File, Created), SinkError> {
    let failed = |error| SinkError::Create { path: path.to_owned(), error };
    for _ in 0..TRIES {
        let (file, created) = match open(path) {
            Ok(file) => (file, Created::default()),
            Err(error) if error.kind() == ErrorKind::NotFound => match files::create_new(path) {
                Ok(file) => {
                    let inode = file.metadata().map_err(failed)?.ino();
                    (file, Created(vec![CreatedEntry::File(path.to_owned(), inode)]))
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !files::is_link(path) => continue,
                Err(error) => return Err(failed(error)),
            },
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() || metadata.file_type().is_fifo() {
            lock(&file, path)?;
        }
        // Whoever held it before may have removed it.
        if file.metadata().map_err(failed)?.nlink() > 0 {
            return Ok((file, created));
        }
    }
    Err(failed(io::Error::other("others create and remove it all the time")))
}

/// Opens an existing file for writing.
fn open(path: &Path) -> io::Result<File> {
    let is_shared = files::is_shared(files::parent(path))?;
    let kind = if is_shared { fs::symlink_metadata(path) } else { fs::metadata(path) }?.file_type();
    let mut options = OpenOptions::new();
    options.write(true);
    if kind.is_fifo() {
        return open_pipe(path, &mut options);
    }
    if !is_shared {
        // A link that is there for a purpose, such as /dev/stdout.
        return options.custom_flags(libc::O_NOCTTY).open(path);
    }
    let file = files::open_no_follow(path, &mut options)?;
    if file.metadata()?.is_file() {
        files::check_own(&file)?;
    }
    Ok(file)
}

/// Opens a named pipe, and waits for its reader.
fn open_pipe(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let at_once = options.custom_flags(libc::O_NONBLOCK).open(path);
    if at_once.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENXIO)) {
        info!("{} is a named pipe that nobody reads: waiting for its reader", path.display());
        return options.custom_flags(0).open(path);
    }
    at_once
}

/// Opens a directory and locks it against other captures. It is created if it is missing, and a file is created in it
/// as a check. The lock lasts as long as the file that is returned.
///
/// # Errors
///
/// When it cannot be created, read or written to, or another process holds it.
pub fn directory(path: &Path) -> Result<(File, Created), SinkError> {
    let unusable = |error| SinkError::Directory { path: path.to_owned(), error };
    // Without a slash at its end, which would lead through a link.
    let name: PathBuf = path.components().collect();
    if files::is_link(&name) && files::is_shared(files::parent(&name)).map_err(unusable)? {
        let reason = "it is a symbolic link in a directory that anybody can write to";
        return Err(unusable(io::Error::new(ErrorKind::AlreadyExists, reason)));
    }
    let created = create(path).map_err(unusable)?;
    let directory =
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path).map_err(unusable)?;
    lock(&directory, path)?;
    check_writable(path).map_err(unusable)?;
    fs::read_dir(path).map_err(unusable)?;
    Ok((directory, created))
}

/// Creates a directory and those above it, as far as they are missing.
fn create(path: &Path) -> io::Result<Created> {
    let mut created = Created::default();
    let missing: Vec<_> = path.ancestors().take_while(|ancestor| is_missing(ancestor)).collect();
    for directory in missing.into_iter().rev() {
        match files::create_directory(directory) {
            Ok(()) => created.0.push(CreatedEntry::Directory(directory.to_owned())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(created)
}

fn is_missing(path: &Path) -> bool {
    !path.as_os_str().is_empty() && matches!(path.try_exists(), Ok(false))
}

/// Fails where files cannot be created, so that this is known before the first packet comes.
fn check_writable(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".{PREFIX}probe"));
    files::create_temporary(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    fs::remove_file(path)
}

/// Locks an output for this process alone.
fn lock(file: &File, path: &Path) -> Result<(), SinkError> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(SinkError::InUse { path: path.to_owned(), holder: holder(file) });
        }
        // File systems of other machines may have no locks.
        Err(TryLockError::Error(error)) => {
            warn!("cannot lock {} against other captures: {error}", path.display());
        }
    }
    Ok(())
}

/// Process that has locked `file`; [`None`] where it is in another namespace.
fn holder(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let identity = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let pid = pid_of_lock(&fs::read_to_string("/proc/locks").ok()?, &identity)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("process {pid} ({})", name.trim()))
}

/// Process that has locked the file of this identity as a whole, by /proc/locks (proc_locks(5)).
fn pid_of_lock(locks: &str, identity: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid) = (words.next()?, words.nth(2)?);
        (kind == "FLOCK" && words.next() == Some(identity)).then(|| pid.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A directory that anybody can write to.
    fn shared() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
        directory
    }

    fn message<T: std::fmt::Debug>(result: Result<T, SinkError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_file_that_was_made_goes_away_with_a_start_that_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let (opened, made) = file(&path).unwrap();
        assert!(path.exists());
        drop((opened, made));
        assert!(!path.exists());

        let (_, made) = file(&path).unwrap();
        made.keep();
        assert!(path.exists());

        // Not what others have put there since.
        fs::remove_file(&path).unwrap();
        let (_, made) = file(&path).unwrap();
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        fs::write(&path, "").unwrap();
        drop(made);
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_was_there_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "content").unwrap();
        drop(file(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn directories_that_were_made_go_away_with_a_start_that_fails() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b/");
        drop(directory(&path).unwrap());
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 0);
        let (_, made) = directory(&path).unwrap();
        made.keep();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        drop(directory(&path).unwrap());
        assert!(path.is_dir(), "it was there before");
    }

    #[test]
    fn the_second_is_refused_and_told_who_the_first_is() {
        let parent = tempfile::tempdir().unwrap();
        let (path, below) = (parent.path().join("file"), parent.path().join("below"));
        let first = (file(&path).unwrap(), directory(&below).unwrap());
        for (path, message) in [(&path, message(file(&path))), (&below, message(directory(&below)))] {
            assert!(message.contains(path.to_str().unwrap()), "{message}");
            assert!(message.contains(&format!("process {} (", std::process::id())), "{message}");
        }
        drop(first);
        file(&path).unwrap();
    }

    #[test]
    fn the_holder_is_found_among_the_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 17 fe:00:12 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 18 fe:00:123 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 20 fe:00:12 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 19 fe:00:12 0 EOF\n";
        assert_eq!(pid_of_lock(locks, "fe:00:12"), Some(19));
        assert_eq!(pid_of_lock(locks, "fe:00:1"), None);
    }

    #[test]
    fn an_unusable_directory_is_named() {
        let directory_ = tempfile::tempdir().unwrap();
        let path = directory_.path().join("file");
        fs::write(&path, "").unwrap();
        let message = message(directory(&path));
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let shared = shared();
        let private = tempfile::tempdir().unwrap();
        let target = private.path().join("target");
        fs::write(&target, "content").unwrap();
        for to in [&target, &private.path().join("nowhere")] {
            let link = shared.path().join("records.ndjson");
            symlink(to, &link).unwrap();
            let message = message(file(&link));
            assert!(message.contains("records.ndjson") && message.contains("symbolic link"), "{message}");
            fs::remove_file(link).unwrap();
        }
        let link = shared.path().join("records");
        symlink(private.path(), &link).unwrap();
        for path in [link.clone(), link.join("")] {
            let message = message(directory(&path));
            assert!(message.contains("records") && message.contains("symbolic link"), "{message}");
        }
        assert_eq!(fs::read(&target).unwrap(), b"content");
        assert_eq!(fs::read_dir(&private).unwrap().count(), 1);

        let probe = shared.path().join(".mirror-probe");
        symlink(&target, &probe).unwrap();
        let message = message(directory(shared.path()));
        assert!(message.contains(".mirror-probe: a symbolic link"), "{message}");
        assert_eq!(fs::read(&target).unwrap(), b"content");
    }

    #[test]
    fn a_file_with_another_name_is_not_taken_for_ours() {
        let shared = shared();
        let (secret, planted) = (shared.path().join("secret"), shared.path().join("records.ndjson"));
        fs::write(&secret, "content").unwrap();
        fs::hard_link(&secret, &planted).unwrap();
        let message = message(file(&planted));
        assert!(message.contains("other names"), "{message}");
        assert_eq!(fs::read(&secret).unwrap(), b"content");
    }

    #[test]
    fn a_link_among_own_files_is_followed() {
        let private = tempfile::tempdir().unwrap();
        let (target, link) = (private.path().join("target"), private.path().join("link"));
        fs::write(&target, "").unwrap();
        symlink(&target, &link).unwrap();
        file(&link).unwrap().0.write_all(b"records").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"records");
    }
}

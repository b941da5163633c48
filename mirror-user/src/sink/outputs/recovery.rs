//! Recovery of the files of an earlier run that was killed.
//!
//! Their records were counted as recorded, so that they are not left behind: each file is truncated after its last whole
//! record and gets its final name, with a warning that names it. A file without a whole record is
//! removed. A file that another process is writing is locked, and left alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tracing::{error, warn};

use super::complete_file::publish;
use super::file_name::{final_name, format_of};
use crate::files;
use crate::sink::error::{SinkError, remedy};
use crate::sink::format::Format;
use crate::sink::pcapng;

/// Recovers the partial files in `directory`, which this process has locked. One that cannot be recovered keeps its name,
/// and is logged.
pub fn recover(directory: &Path) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            error!(
                "cannot look in {} for files that an earlier run left: {error}; {}",
                directory.display(),
                remedy(&error)
            );
            return;
        }
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(complete) = name.to_str().and_then(final_name) else { continue };
        let Some(format) = format_of(complete) else { continue };
        let partial = entry.path();
        match recover_file(&partial, &directory.join(complete), format) {
            Ok(Recovered::InUse) => {}
            Ok(Recovered::Empty) => {
                warn!("removed {}, which an earlier run left without a whole record", partial.display());
            }
            Ok(Recovered::Kept { bytes, cut }) => warn!(
                "an earlier run was killed over {}: recovered its records ({bytes} bytes) as {complete}, and cut \
                 {cut} bytes of a record that was half written",
                partial.display()
            ),
            Err(RecoveryError::Publish(error)) => error!("an earlier run left a file: {error}"),
            Err(RecoveryError::Io(error)) => error!(
                "cannot recover {}, which an earlier run left: {error}; {}. The file keeps its name",
                partial.display(),
                remedy(&error)
            ),
        }
    }
}

/// Result of recovering a file.
#[derive(Debug, PartialEq, Eq)]
enum Recovered {
    /// Nothing: another process is writing it.
    InUse,
    /// It held no whole record and was removed.
    Empty,
    /// It has its final name.
    Kept {
        /// Its length.
        bytes: u64,
        /// Bytes that were truncated at the end.
        cut: u64,
    },
}

/// Reason for which a file is not recovered.
#[derive(Debug, thiserror::Error)]
enum RecoveryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Publish(#[from] SinkError),
}

fn recover_file(partial: &Path, complete: &Path, format: Format) -> Result<Recovered, RecoveryError> {
    let file = files::open_no_follow(partial, OpenOptions::new().read(true).write(true))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Recovered::InUse),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file").into());
    }
    if files::is_shared(files::parent(partial))? {
        files::check_own(&file)?;
    }
    let length = file.metadata()?.len();
    let bytes = match format {
        Format::Ndjson => whole_lines(&file, length)?,
        Format::Pcapng => whole_blocks(&file, length)?,
    };
    if bytes == 0 {
        fs::remove_file(partial)?;
        return Ok(Recovered::Empty);
    }
    if fs::symlink_metadata(complete).is_ok() {
        return Err(io::Error::from(ErrorKind::AlreadyExists).into());
    }
    file.set_len(bytes)?;
    publish(&file, partial, complete, File::sync_all)?;
    Ok(Recovered::Kept { bytes, cut: length - bytes })
}

/// Length up to the last line end.
fn whole_lines(file: &File, length: u64) -> io::Result<u64> {
    let mut buffer = [0; 4096];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(buffer.len() as u64);
        let size = usize::try_from(end - start).map_err(io::Error::other)?;
        let window = buffer.get_mut(..size).unwrap_or_default();
        file.read_exact_at(window, start)?;
        if let Some(line_end) = window.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + line_end as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Length up to the last whole block; 0 where the first is not a section header.
fn whole_blocks(file: &File, length: u64) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut whole = 0;
    let mut head = [0; 8];
    while whole + 12 <= length {
        reader.read_exact(&mut head)?;
        let [a, b, c, d, rest @ ..] = head;
        let kind = u32::from_le_bytes([a, b, c, d]);
        let block = u32::from_le_bytes(rest);
        let plausible = block >= 12 && block % 4 == 0 && (whole > 0 || kind == pcapng::SECTION_HEADER);
        if !plausible || whole + u64::from(block) > length {
            break;
        }
        reader.seek_relative(i64::from(block) - 12)?;
        let mut trailer = [0; 4];
        reader.read_exact(&mut trailer)?;
        if u32::from_le_bytes(trailer) != block {
            break;
        }
        whole += u64::from(block);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::sink::encoder::Encoder;
    use crate::sink::outputs::file_name::PARTIAL;

    const NDJSON: &str = "mirror-20261121T090412Z-w00-000000.ndjson";
    const PCAPNG: &str = "mirror-20261121T090412Z-w00-000000.pcapng";

    /// Recovers a directory with one leftover of this content; what then stands under the final name.
    fn recovered(name: &str, content: &[u8]) -> Option<Vec<u8>> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(partial(&directory, name), content).unwrap();
        recover(directory.path());
        assert!(!partial(&directory, name).exists());
        let recovered = fs::read(directory.path().join(name)).ok();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), usize::from(recovered.is_some()));
        recovered
    }

    fn partial(directory: &TempDir, name: &str) -> std::path::PathBuf {
        directory.path().join(format!(".{name}{PARTIAL}"))
    }

    #[test]
    fn lines_are_kept_up_to_the_last_whole_one() {
        let long = [b"{}\n".as_slice(), &[b'x'; 10_000]].concat();
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (b"", None),
            (b"{\"torn", None),
            (b"{}\n", Some(b"{}\n")),
            (b"{}\n{}\n", Some(b"{}\n{}\n")),
            (b"{}\n{}\n{\"torn", Some(b"{}\n{}\n")),
            (&[0; 8192], None),
            (&long, Some(b"{}\n")),
        ];
        for (content, expected) in cases {
            assert_eq!(recovered(NDJSON, content).as_deref(), expected);
        }
    }

    #[test]
    fn blocks_are_kept_up_to_the_last_whole_one() {
        let mut file = Vec::new();
        Encoder::begin(Format::Pcapng, &mut file);
        let block = [[6, 0, 0, 0], [16, 0, 0, 0], [1, 2, 3, 4], [16, 0, 0, 0]].concat();
        let header = file.len();
        file.extend_from_slice(&block);
        file.extend_from_slice(&block);
        for length in 0..=file.len() {
            let whole = match length {
                _ if length < header => 0,
                _ => header + (length - header) / block.len() * block.len(),
            };
            let expected = (whole > 0).then(|| &file[..whole]);
            assert_eq!(recovered(PCAPNG, &file[..length]).as_deref(), expected, "cut at {length}");
        }
        // Zeros, as some file systems leave them after a power failure.
        let zeros = [file.as_slice(), &[0; 100]].concat();
        assert_eq!(recovered(PCAPNG, &zeros), Some(file));
        assert_eq!(recovered(PCAPNG, &block), None);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let in_use = partial(&directory, NDJSON);
        fs::write(&in_use, "{}\n{\"to").unwrap();
        let owner = File::open(&in_use).unwrap();
        owner.lock().unwrap();
        let foreign =
            [".other.ndjson.partial", ".mirror-x.txt.partial", "mirror-x.ndjson.partial", ".mirror-x"];
        for name in foreign {
            fs::write(directory.path().join(name), "{}\n{").unwrap();
        }
        recover(directory.path());
        assert_eq!(fs::read(&in_use).unwrap(), b"{}\n{\"to");
        for name in foreign {
            assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"{}\n{", "{name}");
        }
    }

    #[test]
    fn a_complete_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(NDJSON), "complete\n").unwrap();
        fs::write(partial(&directory, NDJSON), "leftover\n").unwrap();
        recover(directory.path());
        assert_eq!(fs::read(directory.path().join(NDJSON)).unwrap(), b"complete\n");
        assert_eq!(fs::read(partial(&directory, NDJSON)).unwrap(), b"leftover\n");
    }

    #[test]
    fn links_and_others_files_are_left_alone() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("target");
        fs::write(&target, "{}\n{\"to").unwrap();
        let link = partial(&directory, NDJSON);
        symlink(&target, &link).unwrap();
        recover(directory.path());
        assert_eq!(fs::read(&target).unwrap(), b"{}\n{\"to");
        assert!(files::is_link(&link) && fs::read_dir(&directory).unwrap().count() == 1);
        fs::remove_file(&link).unwrap();

        fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
        fs::hard_link(&target, &link).unwrap();
        recover(directory.path());
        assert_eq!(fs::read(&target).unwrap(), b"{}\n{\"to");
        assert!(link.exists() && fs::read_dir(&directory).unwrap().count() == 1);
    }
}

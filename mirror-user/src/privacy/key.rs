//! The secret behind pseudonyms and hashed names.
//!
//! A key file has 64 hexadecimal digits and nothing else: the 32 bytes of an ipcrypt-pfx key, so that whoever holds the file
//! can turn pseudonyms back into addresses with any implementation of ipcrypt. Everything else is derived from these bytes, by
//! HMAC-SHA-256 (RFC 2104) of a purpose.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

/// Message authentication code with SHA-256, keyed.
pub(super) type HmacSha256 = Hmac<Sha256>;

/// Bytes of a key.
const LENGTH: usize = 32;
/// Bytes to read of a key file at most: the digits, and blanks around them.
const LONGEST_FILE: u64 = 256;
/// Bytes of the derived key id.
const ID_BYTES: usize = 4;

/// A secret key. It is never shown.
#[derive(Clone)]
pub struct Key([u8; LENGTH]);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

/// Reason why a key file does not do.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It cannot be read.
    #[error("cannot read the key file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is a directory, a device or a pipe.
    #[error("the key file {} is not a regular file; give the file that holds the key", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error(
        "the key file {} has mode {mode:04o}, so that others than its owner may use it: `chmod 600 {}`", path.display(),
        path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error(
        "the key file {} belongs to user {owner}, who could change it: `chown {user} {}`", path.display(),
        path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that this process runs as.
        user: u32,
    },
    /// It holds no key.
    #[error(
        "the key file {} does not hold 64 hexadecimal digits: make one with \
         `(umask 077; openssl rand -hex 32 > {})`", path.display(), path.display()
    )]
    Digits {
        /// The file.
        path: PathBuf,
    },
    /// The halves of the key are equal, which makes every pseudonym the address itself.
    #[error(
        "the two halves of the key in {} are equal, which would leave addresses as they are: make a random one with \
         `(umask 077; openssl rand -hex 32 > {})`", path.display(), path.display()
    )]
    EqualHalves {
        /// The file.
        path: PathBuf,
    },
}

impl Key {
    /// Reads a key file, which must be a regular file of mode 0600 or 0400 that belongs to the user of this process or to root.
    ///
    /// # Errors
    ///
    /// When it is not such a file, or holds no key. The message has the remedy, and nothing of what the file holds.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let error = |source| KeyError::Read { path: path.to_owned(), source };
        // A pipe without a writer must not hold up the start.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        if !metadata.is_file() {
            return Err(KeyError::NotAFile { path: path.to_owned() });
        }
        let mode = metadata.mode() & 0o7777;
        if !matches!(mode, 0o600 | 0o400) {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner != user && owner != 0 {
            return Err(KeyError::Owner { path: path.to_owned(), owner, user });
        }
        let mut text = Vec::new();
        file.take(LONGEST_FILE).read_to_end(&mut text).map_err(error)?;
        let bytes = digits(text.trim_ascii()).ok_or_else(|| KeyError::Digits { path: path.to_owned() })?;
        let (first, second) = bytes.split_at(LENGTH / 2);
        if first == second {
            return Err(KeyError::EqualHalves { path: path.to_owned() });
        }
        Ok(Self(bytes))
    }

    /// The bytes, as ipcrypt-pfx takes them. Their halves differ.
    pub(super) const fn bytes(&self) -> [u8; LENGTH] {
        self.0
    }

    /// A code for `purpose`, to be continued with a message.
    pub(super) fn code(&self, purpose: &str) -> HmacSha256 {
        // A key shorter than a block of the hash stands for itself with zeros behind (RFC 2104, section 2).
        let mut block = [0; 64];
        let (front, _zeros) = block.split_at_mut(LENGTH);
        front.copy_from_slice(&self.0);
        let mut code = HmacSha256::new(&block.into());
        code.update(purpose.as_bytes());
        code
    }

    /// Eight hexadecimal digits that name the key and tell nothing of it: the beginning of its code for
    /// `mirror.privacy.key_id`.
    pub fn id(&self) -> String {
        let code = self.code("mirror.privacy.key_id").finalize().into_bytes();
        hexadecimal(code.get(..ID_BYTES).unwrap_or(&code))
    }
}

/// The bytes in lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The key that 64 hexadecimal digits stand for.
fn digits(text: &[u8]) -> Option<[u8; LENGTH]> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let mut bytes = [0; LENGTH];
    if pairs.len() != LENGTH {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// The key of the published test vectors of ipcrypt-pfx.
    pub const PUBLISHED: &str = "0123456789abcdeffedcba98765432101032547698badcfeefcdab8967452301";

    /// The key of 64 digits.
    pub fn key(text: &str) -> Key {
        Key(digits(text.as_bytes()).unwrap())
    }

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("privacy.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_key_is_read_with_blanks_around_it() {
        for text in
            [PUBLISHED.to_owned(), format!("{PUBLISHED}\n"), format!(" {}\r\n", PUBLISHED.to_uppercase())]
        {
            for mode in [0o600, 0o400] {
                let (_directory, path) = written(&text, mode);
                assert_eq!(Key::read(&path).unwrap().bytes(), key(PUBLISHED).bytes(), "{text:?}");
            }
        }
    }

    #[test]
    fn a_file_that_others_may_use_is_refused_with_the_remedy() {
        for mode in [0o644, 0o640, 0o604, 0o660, 0o620, 0o700, 0o4600] {
            let (_directory, path) = written(PUBLISHED, mode);
            let error = Key::read(&path).unwrap_err().to_string();
            let expected = format!("has mode {mode:04o}");
            assert!(error.contains(&expected), "{error}");
            assert!(error.contains(&format!("`chmod 600 {}`", path.display())), "{error}");
            assert!(!error.contains(PUBLISHED), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let half = &PUBLISHED[..32];
        let cases = [
            (String::new(), "does not hold 64 hexadecimal digits"),
            (PUBLISHED[1..].to_owned(), "does not hold 64 hexadecimal digits"),
            (format!("{PUBLISHED}0"), "does not hold 64 hexadecimal digits"),
            (format!("{PUBLISHED}\n{PUBLISHED}"), "does not hold 64 hexadecimal digits"),
            (format!("0x{}", &PUBLISHED[2..]), "does not hold 64 hexadecimal digits"),
            (format!("+{}", &PUBLISHED[1..]), "does not hold 64 hexadecimal digits"),
            (" ".repeat(1000) + PUBLISHED, "does not hold 64 hexadecimal digits"),
            (format!("{half}{half}"), "the two halves of the key"),
        ];
        for (text, expected) in cases {
            let (_directory, path) = written(&text, 0o600);
            let error = Key::read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
            assert!(error.contains("openssl rand -hex 32"), "{error}");
            assert!(text.len() < 32 || !error.contains(&text[2..30]), "{error}");
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = Key::read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
        let error = Key::read(&directory.path().join("missing")).unwrap_err();
        assert!(matches!(error, KeyError::Read { .. }), "{error}");
        let pipe = directory.path().join("pipe");
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        );
        made.unwrap();
        assert!(matches!(Key::read(&pipe), Err(KeyError::NotAFile { .. })));
    }

    #[test]
    fn the_id_is_the_keys_own_and_the_key_is_not_shown() {
        let other = format!("1{}", &PUBLISHED[1..]);
        assert_eq!(key(PUBLISHED).id().len(), 8);
        assert_ne!(key(PUBLISHED).id(), key(&other).id());
        assert_eq!(format!("{:?}", key(PUBLISHED)), "Key(…)");
    }
}

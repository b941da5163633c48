//! The line by which both sides of SSH begin (RFC 4253, section 4.2).

use crate::prefix::{begins_with_any, split_line};

/// Most bytes of the line, with its end.
const MAX_LINE: usize = 255;
/// Most bytes of the lines that a server may send before it.
const MAX_BEFORE: usize = 4 << 10;

/// What is wrong with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It has more than 255 bytes, or what is before it more than 4 KiB.
    TooLong,
    /// It has a byte that is not printable ASCII.
    Character,
    /// It has no protocol version or no software version.
    Version,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::TooLong, Self::Character, Self::Version];

    /// Name for counters and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Character => "character",
            Self::Version => "version",
        }
    }
}

/// A side's identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banner<'a> {
    /// Protocol version, such as `2.0`.
    pub protocol: &'a str,
    /// Software version, such as `OpenSSH_9.9`.
    pub software: &'a str,
    /// Comments, which often name the distribution.
    pub comments: Option<&'a str>,
    /// Number of bytes up to the end of the line.
    pub length: usize,
}

/// `Some(true)` where `bytes` begins with the line, [`None`] where there are too few to tell.
pub fn begins(bytes: &[u8]) -> Option<bool> {
    begins_with_any(bytes, &[b"SSH-"])
}

/// The identification in `bytes`, the first of a direction; [`None`] where its end is not there.
///
/// Lines before it are skipped, which only a server may send.
pub fn read(bytes: &[u8]) -> Result<Option<Banner<'_>>, Reason> {
    let mut rest = bytes;
    loop {
        let before = bytes.len() - rest.len();
        if before > MAX_BEFORE {
            return Err(Reason::TooLong);
        }
        let ours = begins(rest);
        let most = if ours == Some(true) { MAX_LINE } else { MAX_BEFORE };
        let Some((line, behind)) = split_line(rest) else {
            return if rest.len() >= most { Err(Reason::TooLong) } else { Ok(None) };
        };
        let length = rest.len() - behind.len();
        if length > most {
            return Err(Reason::TooLong);
        }
        if ours == Some(true) {
            return parse(line, before + length).map(Some);
        }
        rest = behind;
    }
}

fn parse(line: &[u8], length: usize) -> Result<Banner<'_>, Reason> {
    let text = str::from_utf8(line).map_err(|_| Reason::Character)?;
    if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(Reason::Character);
    }
    let versions = text.strip_prefix("SSH-").ok_or(Reason::Version)?;
    let (versions, comments) = match versions.split_once(' ') {
        Some((versions, comments)) => (versions, Some(comments)),
        None => (versions, None),
    };
    match versions.split_once('-') {
        Some((protocol, software)) if !protocol.is_empty() && !software.is_empty() => {
            Ok(Banner { protocol, software, comments, length })
        }
        _ => Err(Reason::Version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_faults() {
        let long = [b"SSH-2.0-".as_slice(), &[b'x'; 245], b"\r\n"].concat();
        type Case<'a> = (&'a [u8], Result<(&'a str, &'a str, Option<&'a str>), Reason>);
        let cases: [Case<'_>; 8] = [
            (b"SSH-2.0-OpenSSH_9.9\r\n", Ok(("2.0", "OpenSSH_9.9", None))),
            (b"SSH-2.0-OpenSSH_9.9 Debian-1 x\r\nbinary", Ok(("2.0", "OpenSSH_9.9", Some("Debian-1 x")))),
            (b"SSH-1.99-Cisco-1.25\n", Ok(("1.99", "Cisco-1.25", None))),
            (b"Authorized use only\r\n\r\nSSH-2.0-x\r\n", Ok(("2.0", "x", None))),
            (b"SSH-2.0\r\n", Err(Reason::Version)),
            (b"SSH--x\r\n", Err(Reason::Version)),
            (b"SSH-2.0-a\0b\r\n", Err(Reason::Character)),
            (b"SSH-2.0-\xff\r\n", Err(Reason::Character)),
        ];
        for (bytes, expected) in cases {
            let read = read(bytes)
                .map(|banner| banner.map(|banner| (banner.protocol, banner.software, banner.comments)));
            assert_eq!(read, expected.map(Some), "{}", bytes.escape_ascii());
        }
        assert!(read(&long).is_ok_and(|banner| banner.is_some_and(|banner| banner.length == 255)));
        let longer = [b"SSH-2.0-".as_slice(), &[b'x'; 246], b"\r\n"].concat();
        assert_eq!(read(&longer), Err(Reason::TooLong));
        assert_eq!(read(&[b'x'; MAX_BEFORE]), Err(Reason::TooLong));
        assert_eq!(read(&b"x\n".repeat(MAX_BEFORE)), Err(Reason::TooLong));
    }

    #[test]
    fn a_cut_line_is_waited_for() {
        let bytes = b"hello\r\nSSH-2.0-OpenSSH_9.9 comment\r\n";
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Ok(None), "{length}");
        }
    }
}

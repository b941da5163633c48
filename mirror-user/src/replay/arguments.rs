//! Capture files that the arguments of a command stand for.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::capture_file::{CaptureFile, ReadOn};
use super::report::{FileReport, Problem};

/// The capture files that arguments stand for.
#[derive(Debug, Default)]
pub struct CaptureFiles {
    /// The files, in the order in which they are read; `-` is standard input.
    pub paths: Vec<PathBuf>,
    /// Files in directories that are no captures, and are left out.
    pub others: Vec<PathBuf>,
    /// Directories that cannot be read, or have no captures in them.
    pub(super) problems: Vec<FileReport>,
}

impl From<Vec<PathBuf>> for CaptureFiles {
    /// Takes each path for a file.
    fn from(paths: Vec<PathBuf>) -> Self {
        Self { paths, ..Self::default() }
    }
}

impl CaptureFiles {
    /// The files that `arguments` stand for, in their order. A directory stands for the captures in it, by content, not by
    /// name, in the natural order of their names: `out.pcap2` comes before `out.pcap10`. Its subdirectories are not
    /// searched.
    pub fn find(arguments: Vec<PathBuf>) -> Self {
        let mut found = Self::default();
        for argument in arguments {
            if !argument.is_dir() {
                found.paths.push(argument);
                continue;
            }
            match captures_in(&argument) {
                Ok((captures, others)) => {
                    if captures.is_empty() {
                        found.problems.push(FileReport::with(argument, Problem::NoCaptures));
                    }
                    found.paths.extend(captures);
                    found.others.extend(others);
                }
                Err(error) => found.problems.push(FileReport::with(argument, Problem::Open(error))),
            }
        }
        found
    }
}

/// The captures and the other files in a directory.
fn captures_in(directory: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    files.sort_by(|one, other| natural(&name(one), &name(other)));
    Ok(files.into_iter().partition(|path| is_capture(path)))
}

/// `true` if a file is a capture. One that cannot be opened or decompressed counts as one, so that it is reported.
fn is_capture(path: &Path) -> bool {
    let Ok(mut capture) = CaptureFile::open(path.to_owned(), Arc::default()) else { return true };
    loop {
        match capture.detect(Duration::ZERO) {
            ReadOn::Packet => return true,
            ReadOn::Wait => {}
            ReadOn::End => {
                return matches!(
                    capture.finish().problem,
                    Some(Problem::Open(_) | Problem::Compression { .. } | Problem::Io { .. })
                );
            }
        }
    }
}

/// The order of names in which numbers count as such.
fn natural(mut one: &[u8], mut other: &[u8]) -> Ordering {
    let whole = (one, other);
    loop {
        let (digits, others) = (number(one), number(other));
        let order = if digits.is_empty() || others.is_empty() {
            match (one.split_first(), other.split_first()) {
                (Some((first, rest)), Some((second, rest_of_other))) => {
                    (one, other) = (rest, rest_of_other);
                    first.cmp(second)
                }
                // Where they differ in leading zeros alone.
                (None, None) => return whole.0.cmp(whole.1),
                (first, second) => return first.is_some().cmp(&second.is_some()),
            }
        } else {
            (one, other) = (&one[digits.len()..], &other[others.len()..]);
            let (digits, others) = (without_zeros(digits), without_zeros(others));
            digits.len().cmp(&others.len()).then_with(|| digits.cmp(others))
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The digits that a name begins with.
fn number(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(name.len());
    &name[..end]
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    &digits[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let ordered = [
            "a.pcap",
            "out.pcap",
            "out.pcap.gz",
            "out.pcap0",
            "out.pcap1",
            "out.pcap01",
            "out.pcap2",
            "out.pcap10",
            "out.pcap99999999999999999999999",
            "out.pcap100000000000000000000000",
            "out2_x",
            "out10_a",
        ];
        for (place, one) in ordered.iter().enumerate() {
            for (other_place, other) in ordered.iter().enumerate() {
                let expected = place.cmp(&other_place);
                let (a, b) = (one.as_bytes(), other.as_bytes());
                // "01" and "1" are equal as numbers; the names decide.
                if number_only(one) == number_only(other) && one != other {
                    assert_ne!(natural(a, b), Ordering::Equal);
                    assert_eq!(natural(a, b), natural(b, a).reverse());
                } else {
                    assert_eq!(natural(a, b), expected, "{one} {other}");
                }
            }
        }
    }

    fn number_only(name: &str) -> String {
        name.replace('0', "")
    }
}

//! What the daemon wrote.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};

/// What is in the file of records.
pub struct Records {
    /// How many lines it has.
    pub lines: u64,
    /// The first, the middle and the last one.
    pub samples: Vec<String>,
}

impl Records {
    /// Reads the file, which should have `expected` lines.
    ///
    /// # Errors
    ///
    /// When the file is not there or cannot be read to its end.
    pub fn read(path: &Path, expected: u64) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let wanted = [0, expected / 2, expected.saturating_sub(1)];
        let mut records = Self { lines: 0, samples: Vec::new() };
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line).with_context(|| path.display().to_string())? == 0 {
                return Ok(records);
            }
            if wanted.contains(&records.lines) {
                records.samples.push(String::from_utf8_lossy(&line).into_owned());
            }
            records.lines += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_some_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("records.ndjson");
        let cases: [(&str, u64, u64, &[&str]); 4] = [
            ("", 0, 0, &[]),
            ("a\n", 1, 1, &["a\n"]),
            ("a\nb\nc\nd\ne\n", 5, 5, &["a\n", "c\n", "e\n"]),
            ("a\nb\n", 5, 2, &["a\n"]),
        ];
        for (text, expected, lines, samples) in cases {
            std::fs::write(&path, text).unwrap();
            let records = Records::read(&path, expected).unwrap();
            assert_eq!(records.lines, lines, "{text:?}");
            assert_eq!(records.samples, samples, "{text:?}");
        }
    }
}

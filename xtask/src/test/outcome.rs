//! The outcome of a run: counted from the lines that test programs print.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Error;

/// Begin of the line by which a test tells that it could not run here; the reason follows.
const SKIPPED: &str = "SKIPPED: ";

/// The outcome of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Number of checks and tests that passed.
    pub passed: usize,
    /// Names of those that failed.
    pub failed: Vec<String>,
    /// Those that could not run here, with the reason.
    pub skipped: Vec<String>,
    /// Those that are marked as not to be run by default, with the reason; they count as nothing.
    pub ignored: Vec<String>,
}

impl Outcome {
    /// Counts one check, and prints on standard error why it failed.
    pub fn check(&mut self, name: &str, result: Result<(), Error>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Counts the tests in what `cargo test -- --show-output` printed.
    ///
    /// A test that prints a line `SKIPPED: REASON` and returns has passed as far as its program knows; here it is
    /// skipped.
    pub fn read<'line>(&mut self, lines: impl IntoIterator<Item = &'line String>) {
        // Where a line stands: under which of libtest's headings, and in the output of which test.
        let (mut heading, mut test) = ("", "");
        // Tests of this program that said they were skipped; each may say so more than once.
        let mut skipped = BTreeSet::new();
        for line in lines {
            if let Some(counts) = line.strip_prefix("test result: ") {
                self.passed += passed_in(counts).saturating_sub(skipped.len());
                skipped.clear();
                (heading, test) = ("", "");
            } else if line == "successes:" || line == "failures:" {
                (heading, test) = (line, "");
            } else if let Some(name) =
                line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----"))
            {
                test = name;
            } else if let Some(name) = line.strip_prefix("    ")
                && heading == "failures:"
                && test.is_empty()
            {
                self.failed.push(name.to_owned());
            } else if let Some(reason) = line.strip_prefix(SKIPPED)
                && heading != "failures:"
            {
                if skipped.insert(test) {
                    self.skipped.push(format!("{test}: {reason}"));
                }
            } else if let Some((name, verdict)) =
                line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
                && verdict.starts_with("ignored")
            {
                self.ignored.push(format!("{name}: {verdict}"));
            }
        }
    }

    /// True where nothing failed; and when `strict`, nothing was skipped either.
    pub fn succeeded(&self, strict: bool) -> bool {
        self.failed.is_empty() && (self.skipped.is_empty() || !strict)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed.len(),
            self.skipped.len()
        )
    }
}

/// The first count in `ok. 12 passed; 0 failed; 1 ignored; …`.
fn passed_in(counts: &str) -> usize {
    counts.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of three test programs: one with a skipped and an ignored test, one with a failure, and one of
    /// documentation tests.
    const PRINTED: &str = "
running 4 tests
test netns::skips ... ok
test netns::skips_and_says_so_twice ... ok
test parses ... ok
test slow ... ignored, takes an hour

successes:

---- netns::skips stdout ----
SKIPPED: making network namespaces needs root

---- netns::skips_and_says_so_twice stdout ----
SKIPPED: no native XDP
SKIPPED: no generic XDP

---- parses stdout ----
a line of output
    and an indented one

successes:
    netns::skips
    netns::skips_and_says_so_twice
    parses

test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test breaks ... FAILED
test holds ... ok

successes:

successes:
    holds

failures:

---- breaks stdout ----
SKIPPED: said, and then failed
thread 'breaks' panicked at src/lib.rs:1:1:
    an indented line

failures:
    breaks

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 1 test
test src/lib.rs - Thing (line 7) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn what_was_skipped_has_not_passed() {
        let lines: Vec<String> = PRINTED.lines().map(str::to_owned).collect();
        let mut outcome = Outcome::default();
        outcome.read(&lines);
        assert_eq!(outcome.passed, 3);
        assert_eq!(outcome.failed, ["breaks"]);
        assert_eq!(
            outcome.skipped,
            [
                "netns::skips: making network namespaces needs root",
                "netns::skips_and_says_so_twice: no native XDP",
            ]
        );
        assert_eq!(outcome.ignored, ["slow: ignored, takes an hour"]);
        assert_eq!(outcome.to_string(), "3 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn checks_count_like_tests() {
        let mut outcome = Outcome::default();
        outcome.check("formatting", Ok(()));
        outcome.check("lints", Err(anyhow::anyhow!("a lint")));
        assert_eq!(outcome.to_string(), "1 passed, 1 failed, 0 skipped");
        assert!(!outcome.succeeded(false));
    }

    #[test]
    fn only_a_strict_run_fails_for_a_skipped_test() {
        let outcome =
            Outcome { passed: 1, skipped: vec!["live: needs root".to_owned()], ..Outcome::default() };
        assert!(outcome.succeeded(false));
        assert!(!outcome.succeeded(true));
    }
}

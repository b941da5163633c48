//! `scripts/tune`: the values that it sets, its refusals, and that everything is put back.
//!
//! - [`veth`]: on a real interface in a namespace of its own; needs root.
//! - [`stand_in`]: on an ENA interface that is made of files, for the levers that a veth does not have.

mod stand_in;
mod veth;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit code and output of a run of the script.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Runs `command` to its end.
    fn of(command: &mut Command) -> Self {
        // Some of its words are the C library's.
        let output = command.env("LC_ALL", "C").output().expect("the script can be run");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("its words are UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("its words are UTF-8"),
        }
    }

    /// Its standard output.
    ///
    /// # Panics
    ///
    /// When it failed.
    fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stderr, "");
        self.stdout
    }

    /// Checks that it ended with `code` and an error that has all of `words`.
    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in: {}", self.stderr);
        }
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").canonicalize().expect("the scripts are there")
}

fn script() -> String {
    scripts().join("tune").to_str().expect("the workspace's path is UTF-8").to_owned()
}

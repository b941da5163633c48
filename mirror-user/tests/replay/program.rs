//! The program, run on capture files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The output of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub records: String,
    /// Standard error.
    pub messages: String,
    /// The ledger; null where none was written.
    pub ledger: Value,
}

impl Replayed {
    /// Checks that it succeeded, and that the ledger balances.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.messages);
        self.balanced()
    }

    /// Checks that the ledger balances.
    pub fn balanced(self) -> Self {
        let ledger = &self.ledger;
        assert_eq!(ledger["balanced"], true, "{ledger:#}");
        let dropped: u64 = ledger["dropped"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(ledger["seen"].as_u64().unwrap(), ledger["recorded"].as_u64().unwrap() + dropped);
        self
    }
}

/// The program as `mirror-capture replay`, which records packets unless it is told otherwise.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mirror-capture"));
    command.args(["replay", "--records", "packet"]).env_remove("MIRROR_LOG").stdin(Stdio::null());
    command
}

/// Runs `mirror-capture replay`, with the ledger in a file of its own.
pub fn replay(arguments: &[&Path], configure: impl FnOnce(&mut Command)) -> Replayed {
    let directory = TempDir::new().unwrap();
    let ledger = directory.path().join("ledger.json");
    let mut command = command();
    command.arg("--ledger").arg(&ledger).args(arguments);
    configure(&mut command);
    let Output { status, stdout, stderr } = command.output().unwrap();
    Replayed {
        code: status.code().expect("no signal ended it"),
        records: String::from_utf8(stdout).unwrap(),
        messages: String::from_utf8(stderr).unwrap(),
        ledger: fs::read(&ledger).map_or(Value::Null, |json| serde_json::from_slice(&json).unwrap()),
    }
}

/// Replays a capture that is in memory, by way of a file.
pub fn replay_bytes(capture: &[u8]) -> Replayed {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("capture");
    fs::write(&path, capture).unwrap();
    replay(&[&path], |_| {})
}

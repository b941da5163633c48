//! Another program that runs in the receiver's namespace, and is gone when its guard is dropped.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use mirror_testkit::namespace::Namespace;
use mirror_testkit::process::{Lines, Running, find};
use rustix::process::Signal;
use tempfile::TempDir;

use super::ProgramError;
use crate::measure::thread_times;

/// Time limit for a program to get ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two queries.
const POLL: Duration = Duration::from_millis(20);

/// A running program, stopped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    running: Running,
    stdout: Lines,
    stderr: Lines,
    /// For files of its own.
    directory: TempDir,
}

impl Process {
    /// A directory for the files of a program.
    pub fn directory() -> Result<TempDir, ProgramError> {
        Ok(tempfile::tempdir()?)
    }

    /// Starts `program` in `namespace` on `processor`, and waits until `is_ready` says so of what it has printed.
    pub fn start(
        namespace: &Namespace,
        processor: usize,
        program: &str,
        arguments: &[&OsStr],
        directory: TempDir,
        is_ready: impl Fn(&str) -> bool,
    ) -> Result<Self, ProgramError> {
        let executable = find(program).ok_or(ProgramError::Absent)?;
        let mut command = namespace.command("taskset");
        command.args(["--cpu-list", &processor.to_string()]).arg(executable).args(arguments);
        command.current_dir(&directory);
        let (running, stdout, stderr) = Running::spawn(&mut command)?;
        let mut process = Self { running, stdout, stderr, directory };
        let deadline = Instant::now() + PATIENCE;
        while !is_ready(&process.printed()) {
            if process.running.ended()?.is_some() || Instant::now() > deadline {
                return Err(ProgramError::NotReady(process.printed()));
            }
            thread::sleep(POLL);
        }
        Ok(process)
    }

    /// The directory that it was started in.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its output so far.
    pub fn printed(&self) -> String {
        self.stdout.text() + &self.stderr.text()
    }

    /// Processor time of its threads so far, in seconds.
    pub fn processor_seconds(&self) -> io::Result<f64> {
        let threads = thread_times(&format!("/proc/{}/task", self.running.id()))?;
        Ok(threads.iter().map(|(_, seconds)| seconds).sum())
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<Self, ProgramError> {
        self.running.signal(Signal::INT)?;
        if self.running.wait_at_most(PATIENCE)?.is_some() {
            self.stdout.close();
            self.stderr.close();
        }
        Ok(self)
    }
}

/// The first line that `program` prints for its version.
pub(super) fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

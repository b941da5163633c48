//! Another program that runs in the receiver's namespace, and is gone when its guard is dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::ProgramError;
use crate::measure::thread_times;
use crate::testbed::Namespace;

/// How long a program may take to get ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A running program. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// For files of its own; it also holds what the program prints.
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
        let words = File::create(words_path(&directory))?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &processor.to_string()]).arg(executable).args(arguments);
        command.current_dir(&directory).stdin(Stdio::null()).stdout(words.try_clone()?).stderr(words);
        let child = namespace.enter(|| command.spawn())??;
        let mut process = Self { child, directory };
        let deadline = Instant::now() + PATIENCE;
        while !is_ready(&process.words()) {
            if process.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(ProgramError::NotReady(process.words()));
            }
            thread::sleep(LOOK);
        }
        Ok(process)
    }

    /// The directory that it was started in.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What it has printed so far.
    pub fn words(&self) -> String {
        fs::read_to_string(words_path(&self.directory)).unwrap_or_default()
    }

    /// Processor time of its threads so far, in seconds.
    pub fn processor_seconds(&self) -> io::Result<f64> {
        let threads = thread_times(&format!("/proc/{}/task", self.child.id()))?;
        Ok(threads.iter().map(|(_, seconds)| seconds).sum())
    }

    /// Asks it to end, and waits.
    pub fn stop(mut self) -> Result<Self, ProgramError> {
        kill_process(Pid::from_child(&self.child), Signal::INT).map_err(io::Error::from)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        Ok(self)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or nobody needs it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words_path(directory: &TempDir) -> PathBuf {
    directory.path().join("words")
}

/// Where in PATH `program` is.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// The first line that `program` prints for its version.
pub(super) fn version(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

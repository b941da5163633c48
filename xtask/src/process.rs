//! Child processes: run to their end or held by a guard, and stopped when this program is asked to stop.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::{Interrupt, Interrupted};

/// How long a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at a child.
const POLL: Duration = Duration::from_millis(20);

/// A child that did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program is not there or may not be run.
    #[error("`{command}` cannot be run: {source}")]
    Spawn {
        /// The command line.
        command: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed ({status}){}{output}", if output.is_empty() { "" } else { ":\n" })]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, as far as that was not shown already.
        output: String,
    },
    /// It is still running.
    #[error("`{command}` has not ended within {} s", limit.as_secs())]
    Slow {
        /// The command line.
        command: String,
        /// How long it was given.
        limit: Duration,
    },
    /// It was stopped, because this program was asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Waiting for it failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The directory of the workspace.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Whether this program runs with user id 0.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where the shell would find `program`.
pub fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// The command line as one would type it.
pub fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quote(&value.to_string_lossy())))
    });
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words = words.map(|word| quote(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=+@%^,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command that is done in no time, and returns what it wrote to standard output.
///
/// # Errors
///
/// When it cannot be run or ends with an error; its standard error is in the message.
pub fn output(command: &mut Command) -> Result<String, ProcessError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ProcessError::Spawn { command: show(command), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ProcessError::Failed { command: show(command), status: output.status, output: words })
    }
}

/// Runs a command to its end, with this program's own input and output.
///
/// # Errors
///
/// When it cannot be run or ends with an error, and on an interrupt, after it was stopped.
pub fn run(command: &mut Command, interrupt: &Interrupt) -> Result<(), ProcessError> {
    let line = show(command);
    let child = command.spawn().map_err(|source| ProcessError::Spawn { command: line.clone(), source })?;
    let status = Running { command: line.clone(), child }.wait(interrupt)?;
    if status.success() {
        Ok(())
    } else {
        Err(ProcessError::Failed { command: line, status, output: String::new() })
    }
}

/// A child that is stopped when this is dropped.
pub struct Running {
    command: String,
    child: Child,
}

impl Running {
    /// Starts `command`; its standard output and standard error go line by line into what is returned beside it.
    ///
    /// # Errors
    ///
    /// When the command cannot be run.
    pub fn spawn(command: &mut Command) -> Result<(Self, Lines, Lines), ProcessError> {
        Self::start(command.stderr(Stdio::piped()), |_| (), |_| ())
    }

    /// Like [`spawn`](Self::spawn), and shows each line as it comes.
    ///
    /// # Errors
    ///
    /// When the command cannot be run.
    pub fn spawn_shown(command: &mut Command) -> Result<(Self, Lines, Lines), ProcessError> {
        Self::start(command.stderr(Stdio::piped()), |line| println!("{line}"), |line| eprintln!("{line}"))
    }

    /// Like [`spawn`](Self::spawn), but standard error is this program's own.
    ///
    /// # Errors
    ///
    /// When the command cannot be run.
    pub fn spawn_for_output(command: &mut Command) -> Result<(Self, Lines), ProcessError> {
        let (running, stdout, _) = Self::start(command, |_| (), |_| ())?;
        Ok((running, stdout))
    }

    fn start(
        command: &mut Command,
        show_output: fn(&str),
        show_error: fn(&str),
    ) -> Result<(Self, Lines, Lines), ProcessError> {
        let line = show(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| ProcessError::Spawn { command: line.clone(), source })?;
        let stdout = Lines::read(child.stdout.take(), show_output);
        let stderr = Lines::read(child.stderr.take(), show_error);
        Ok((Self { command: line, child }, stdout, stderr))
    }

    /// How the child ended, if it has.
    ///
    /// # Errors
    ///
    /// When the kernel does not know the child.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until the child ends.
    ///
    /// # Errors
    ///
    /// On an interrupt, after the child was stopped.
    pub fn wait(mut self, interrupt: &Interrupt) -> Result<ExitStatus, ProcessError> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            interrupt.check()?;
            thread::sleep(POLL);
        }
    }

    /// Asks the child to end and waits until it has.
    ///
    /// # Errors
    ///
    /// When it has not ended after `limit`; it is killed then.
    pub fn terminate(mut self, limit: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal();
        match self.ended_within(limit)? {
            Some(status) => Ok(status),
            None => {
                self.kill();
                Err(ProcessError::Slow { command: self.command.clone(), limit })
            }
        }
    }

    fn signal(&self) {
        if let Ok(number) = i32::try_from(self.child.id())
            && let Some(pid) = Pid::from_raw(number)
        {
            // It has ended already, or it is root's and this program is not: there is no more to be done here.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn kill(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn ended_within(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal();
        if !matches!(self.ended_within(GRACE), Ok(Some(_))) {
            self.kill();
        }
    }
}

/// The lines that a child has written to one of its streams so far.
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn read(stream: Option<impl Read + Send + 'static>, show: fn(&str)) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = stream.map(|stream| {
            let lines = Arc::clone(&lines);
            thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    show(&line);
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            })
        });
        Self { lines, reader }
    }

    /// Whether a line so far contains `text`.
    pub fn contain(&self, text: &str) -> bool {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line.contains(text))
    }

    /// The last line so far.
    pub fn last(&self) -> Option<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// Waits until the stream has ended (the child has, and whoever inherited the stream from it), and takes every
    /// line out.
    pub fn finish(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            // A reader that panicked has pushed what it read before.
            let _ = reader.join();
        }
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.env("LLVM_PREFIX", "/usr/lib/llvm-22").args([
            "install",
            "--version",
            "^0.13",
            "a b",
            "it's",
            "",
        ]);
        assert_eq!(
            show(&command),
            r"LLVM_PREFIX=/usr/lib/llvm-22 cargo install --version ^0.13 'a b' 'it'\''s' ''"
        );
    }

    #[test]
    fn an_error_holds_what_the_child_said() {
        let error = output(Command::new("sh").args(["-c", "echo the cause >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("the cause"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(matches!(&error, ProcessError::Spawn { command, .. } if command == "no-such-program-here"));
    }

    #[test]
    fn lines_of_both_streams_are_kept() {
        let (running, mut stdout, mut stderr) =
            Running::spawn(Command::new("sh").args(["-c", "echo one; echo two; echo three >&2"])).unwrap();
        let status = running.wait(&Interrupt::watch().unwrap()).unwrap();
        assert!(status.success());
        assert_eq!(stdout.finish(), ["one", "two"]);
        assert_eq!(stderr.finish(), ["three"]);
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let (running, _, _) = Running::spawn(Command::new("sleep").arg("600")).unwrap();
        let directory = PathBuf::from(format!("/proc/{}", running.child.id()));
        assert!(directory.exists());
        drop(running);
        assert!(!directory.exists());
    }

    #[test]
    fn a_child_that_ignores_the_request_is_killed() {
        // The shell stays, because it has a second command to run.
        let (running, stdout, _) = Running::spawn(
            Command::new("sh").args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]),
        )
        .unwrap();
        while !stdout.contain("ready") {
            thread::sleep(POLL);
        }
        let directory = PathBuf::from(format!("/proc/{}", running.child.id()));
        let error = running.terminate(Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, ProcessError::Slow { .. }), "{error}");
        assert!(!directory.exists());
    }
}

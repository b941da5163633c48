//! A child process that is stopped when its guard is dropped.

use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::command::show;
use super::error::ProcessError;
use super::lines::Lines;
use crate::interrupt::Interrupt;

/// The time that a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Time between two looks at a child.
const POLL: Duration = Duration::from_millis(10);

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
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
}

impl Running {
    /// Starts `command`; its standard output and standard error go line by line into the [`Lines`] that are returned beside it.
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

    /// The child's exit status, once it has ended.
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
        self.ask();
        match self.ended_within(limit)? {
            Some(status) => Ok(status),
            None => {
                self.kill();
                Err(ProcessError::Slow { command: self.command.clone(), limit })
            }
        }
    }

    /// Waits until the child ends, at most `limit`; [`None`] where it is still running then.
    ///
    /// # Errors
    ///
    /// When the kernel does not know the child.
    pub fn wait_at_most(&mut self, limit: Duration) -> Result<Option<ExitStatus>, ProcessError> {
        Ok(self.ended_within(limit)?)
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` to the child.
    ///
    /// # Errors
    ///
    /// When it has ended and was waited for, or this program may not.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Asks the child to end.
    fn ask(&self) {
        // It has ended already, or it is root's and this program is not: there is no more to be done here.
        let _ = self.signal(Signal::TERM);
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
        self.ask();
        if !matches!(self.ended_within(GRACE), Ok(Some(_))) {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

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

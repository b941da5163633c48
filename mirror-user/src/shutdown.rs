//! Signals that end the program: the first drains and stops, the second ends at once.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, TERM_SIGNALS};
use signal_hook::flag;

/// Set once the program is to stop; shared by every thread.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Not yet to stop, and deaf to signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to SIGINT, SIGTERM and SIGQUIT from now on, and to SIGHUP unless the process was started with that
    /// signal ignored (nohup): a terminal that is closed must not cost the ledger. A second signal, while the first is
    /// still being obeyed, ends the process with status 130.
    ///
    /// # Errors
    ///
    /// When the signal handlers cannot be installed.
    pub fn listen(&self) -> io::Result<()> {
        let hang_up = Some(SIGHUP).filter(|&signal| !is_ignored(signal));
        for signal in TERM_SIGNALS.iter().copied().chain(hang_up) {
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&self.0))?;
            flag::register(signal, Arc::clone(&self.0))?;
        }
        Ok(())
    }

    /// Asks every thread to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The flag itself, for a frame source to look at.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// `true` once the program is to stop.
    #[inline]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `true` if the process ignores `signal`, by `/proc/self/status`.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_signals(&status).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// The signals that `/proc/PID/status` says are ignored; bit 0 is signal 1.
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tmirror-capture\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert_eq!(ignored_signals(status), Some(0x1001));
        assert_eq!(ignored_signals("Name:\tx\n"), None);
        assert!(!is_ignored(libc::SIGSEGV), "no process can do without");
    }
}

//! SIGINT and SIGTERM as a flag, so that every guard on the stack is dropped before the program ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// The program was asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Whether SIGINT or SIGTERM has come.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes both signals over from their default, which would end the program without cleaning up.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the signal handlers.
    pub fn watch() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// Fails once a signal has come.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}

//! SIGINT and SIGTERM: the first drains and stops, the second ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::TERM_SIGNALS;
use signal_hook::flag;

/// Set once the program is to stop; shared by every thread.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Not yet to stop, and deaf to signals.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to SIGINT, SIGTERM and SIGQUIT from now on. A second signal, while the first is still being
    /// obeyed, ends the process with status 130.
    ///
    /// # Errors
    ///
    /// When the signal handlers cannot be installed.
    pub fn listen(&self) -> io::Result<()> {
        for &signal in TERM_SIGNALS {
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

    /// Whether the program is to stop.
    #[inline]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

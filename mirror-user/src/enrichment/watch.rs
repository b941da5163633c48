//! The watch over the map's file.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{self, RecvTimeoutError, Sender};
use tracing::warn;

use super::config::EnrichmentConfig;
use super::current::Enrichment;
use super::error::EnrichmentError;

/// Interval between looks at the file.
const POLL: Duration = Duration::from_secs(1);

/// Enrichment with a thread that keeps it up to date, until this is dropped.
#[derive(Debug)]
pub struct Watched {
    enrichment: Arc<Enrichment>,
    _watch: Watch,
}

impl Watched {
    /// Loads the map that the configuration names, and watches its file from then on. [`None`] if it names none.
    ///
    /// # Errors
    ///
    /// When it is no map.
    pub fn open(config: &EnrichmentConfig) -> Result<Option<Self>, EnrichmentError> {
        let Some(path) = &config.map else { return Ok(None) };
        let enrichment = Arc::new(Enrichment::load(path.clone(), config.tags.clone())?);
        let watch = Watch::start(Arc::clone(&enrichment));
        Ok(Some(Self { enrichment, _watch: watch }))
    }

    /// The enrichment.
    pub fn enrichment(&self) -> &Arc<Enrichment> {
        &self.enrichment
    }
}

/// The thread that looks after the file. It ends when this is dropped.
#[derive(Debug)]
struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts the thread.
    fn start(enrichment: Arc<Enrichment>) -> Self {
        let (stop, stopped) = channel::bounded(0);
        let work = move || {
            while stopped.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
                enrichment.refresh();
            }
        };
        match thread::Builder::new().name("enrichment".to_owned()).spawn(work) {
            Ok(thread) => Self { stop: Some(stop), thread: Some(thread) },
            Err(error) => {
                warn!(
                    "no thread can be started that looks after the enrichment map, which stays as it is: {error}"
                );
                Self { stop: None, thread: None }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

//! Makes complete files durable and gives them their final names, apart from the sink threads: an fsync of a large
//! file takes seconds, for which a sink thread would not take batches.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{self, Receiver, Sender};
use tracing::error;

use crate::sink::counters::SinkCounters;
use crate::sink::error::SinkError;

/// Complete files that can wait for the disk. When there are more, the sink threads wait: the disk is too slow.
const WAITING: usize = 64;

/// A file with all its records.
#[derive(Debug)]
pub struct Complete {
    /// The file.
    pub file: File,
    /// Its name.
    pub partial: PathBuf,
    /// The name that it is to have.
    pub complete: PathBuf,
}

/// The running thread.
#[derive(Debug)]
pub struct Finisher(JoinHandle<Result<(), SinkError>>);

impl Finisher {
    /// Starts the thread. It ends when the last sender is dropped and the last file finished.
    pub fn start(counters: &Arc<SinkCounters>) -> Result<(Self, Sender<Complete>), SinkError> {
        let (sender, receiver) = channel::bounded(WAITING);
        let counters = Arc::clone(counters);
        let thread = thread::Builder::new()
            .name("sink-finish".to_owned())
            .spawn(move || run(&receiver, &counters))
            .map_err(SinkError::Thread)?;
        Ok((Self(thread), sender))
    }

    /// Waits for the thread; the last error, if a file could not be finished.
    pub fn join(self) -> Result<(), SinkError> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn run(files: &Receiver<Complete>, counters: &SinkCounters) -> Result<(), SinkError> {
    let mut outcome = Ok(());
    for Complete { file, partial, complete } in files {
        match publish(&file, &partial, &complete) {
            Ok(()) => counters.add_file(),
            Err(error) => {
                let error = SinkError::Finish { path: partial, error };
                error!("{error}. Its records are still there and are recovered at the next start");
                outcome = Err(error);
            }
        }
    }
    outcome
}

/// Makes `file` durable under the name `complete`.
pub(super) fn publish(file: &File, partial: &Path, complete: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(partial, complete)?;
    match complete.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

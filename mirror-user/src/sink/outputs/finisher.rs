//! The thread that makes complete files durable and gives them their final names, apart from the sink threads: an fsync of a large
//! file takes seconds, for which a sink thread would not take batches.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{self, Receiver, Sender};
use tracing::error;

use super::complete_file::{CompleteFile, publish};
use super::recovery;
use crate::sink::counters::SinkCounters;
use crate::sink::error::SinkError;
use crate::sink::handle::{Handle, contain};

/// Complete files that can wait for the disk. When there are more, the sink threads wait: the disk is too slow.
const WAITING: usize = 64;

/// Starts the thread. When the capture begins, it recovers the files of earlier runs in `directory`; it ends when the
/// last sender is dropped and the last file finished. Its result is the last error, if a file could not be finished.
pub fn start(
    directory: &Path,
    begun: Receiver<()>,
    counters: &Arc<SinkCounters>,
) -> Result<(Handle, Sender<CompleteFile>), SinkError> {
    let (sender, receiver) = channel::bounded(WAITING);
    let directory = directory.to_owned();
    let counters = Arc::clone(counters);
    let work = move || {
        if begun.recv().is_err() {
            return Ok(());
        }
        contain(&directory, &counters, || {
            recovery::recover(&directory);
            run(receiver, &counters)
        })
    };
    let thread =
        thread::Builder::new().name("sink-finish".to_owned()).spawn(work).map_err(SinkError::Thread)?;
    Ok((thread, sender))
}

fn run(files: Receiver<CompleteFile>, counters: &SinkCounters) -> Result<(), SinkError> {
    let mut outcome = Ok(());
    for CompleteFile { file, partial, complete, unfinished } in files {
        match publish(&file, &partial, &complete) {
            Ok(()) => {
                unfinished.keep();
                counters.add_file();
            }
            Err(error) => {
                unfinished.lose(error.loss());
                error!("{error}");
                outcome = Err(error);
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{self, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::files;
    use crate::record::Amount;
    use crate::sink::counters::Loss;
    use crate::sink::counters::Unfinished;

    /// A directory, and the records of one file in it.
    struct Fixture {
        directory: TempDir,
        counters: Arc<SinkCounters>,
    }

    impl Fixture {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), counters: Arc::new(SinkCounters::new(1)) }
        }

        fn partial(&self) -> PathBuf {
            self.directory.path().join(".mirror-1.ndjson.partial")
        }

        fn complete(&self) -> PathBuf {
            self.directory.path().join("mirror-1.ndjson")
        }

        /// Finishes `file`, which is taken for the one under the partial name, with ten records.
        fn finish(&self, file: File) -> Result<(), SinkError> {
            let (start, begun) = channel::bounded(1);
            let (finisher, finished) = super::start(self.directory.path(), begun, &self.counters).unwrap();
            start.send(()).unwrap();
            let amount = Amount { packets: 10, packet_records: 10, flow_records: 0 };
            let worker = &self.counters.workers()[0];
            let mut unfinished = Unfinished::new([Arc::clone(worker)]);
            worker.record(amount);
            unfinished.add(0, amount);
            let (partial, complete) = (self.partial(), self.complete());
            finished.send(CompleteFile { file, partial, complete, unfinished }).unwrap();
            drop(finished);
            finisher.join().unwrap()
        }

        /// Recorded, and lost in this way; there is no other loss.
        fn counted(&self, loss: Loss) -> (u64, u64) {
            let worker = &self.counters.workers()[0];
            assert_eq!(worker.lost(loss), worker.all_lost());
            (worker.recorded().packets, worker.lost(loss).packets)
        }
    }

    fn locked(path: &Path) -> File {
        let mut file = files::create_new(path).unwrap();
        file.lock().unwrap();
        file.write_all(b"{}\n").unwrap();
        file
    }

    #[test]
    fn a_finished_file_has_its_final_name() {
        let fixture = Fixture::new();
        let file = locked(&fixture.partial());
        fixture.finish(file).unwrap();
        assert!(!fixture.partial().exists() && fixture.complete().exists());
        assert_eq!(fixture.counted(Loss::SyncFailed), (10, 0));
        assert_eq!(fixture.counters.files(), 1);
    }

    /// fsync of a pipe fails (EINVAL), as that of a file does whose device has failed.
    #[test]
    fn a_file_that_cannot_be_synchronised_is_lost_and_not_published() {
        let fixture = Fixture::new();
        let _named = locked(&fixture.partial());
        let (_reader, pipe) = io::pipe().unwrap();
        let error = fixture.finish(File::from(OwnedFd::from(pipe))).unwrap_err();
        assert!(matches!(error, SinkError::Sync { .. }), "{error}");
        let aside = fixture.directory.path().join(".mirror-1.ndjson.partial.unsynced");
        assert!(error.to_string().contains(aside.to_str().unwrap()), "{error}");
        assert!(aside.exists() && !fixture.partial().exists() && !fixture.complete().exists());
        assert_eq!(fixture.counted(Loss::SyncFailed), (0, 10));
        assert_eq!(fixture.counters.files(), 0);
        recovery::recover(fixture.directory.path());
        assert!(aside.exists() && !fixture.complete().exists(), "nor does the next start publish it");
    }

    #[test]
    fn a_file_that_cannot_have_its_name_is_lost() {
        let fixture = Fixture::new();
        for taken in ["file", "link"] {
            match taken {
                "file" => fs::write(fixture.complete(), "other").unwrap(),
                _ => symlink("elsewhere", fixture.complete()).unwrap(),
            }
            let file = locked(&fixture.partial());
            let error = fixture.finish(file).unwrap_err();
            assert!(matches!(error, SinkError::Publish { .. }), "{error}");
            assert!(error.to_string().contains(fixture.partial().to_str().unwrap()), "{error}");
            assert!(fixture.partial().exists());
            fs::remove_file(fixture.partial()).unwrap();
            fs::remove_file(fixture.complete()).unwrap();
        }
        // Deleted meanwhile.
        let file = locked(&fixture.partial());
        fs::remove_file(fixture.partial()).unwrap();
        assert!(matches!(fixture.finish(file), Err(SinkError::Publish { .. })));
        // Replaced meanwhile.
        let file = locked(&fixture.partial());
        fs::remove_file(fixture.partial()).unwrap();
        let _other = locked(&fixture.partial());
        let error = fixture.finish(file).unwrap_err();
        assert!(error.to_string().contains("another file in its place"), "{error}");
        assert_eq!(fixture.counted(Loss::PublishFailed), (0, 40));
        assert_eq!(fixture.counters.files(), 0);
    }
}

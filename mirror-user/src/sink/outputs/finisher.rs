//! The threads that make complete files durable and give them their final names, apart from the sink threads: an fsync of a large
//! file takes seconds, for which a sink thread would not take batches. There are two, so that one slow fsync holds up no other
//! file.

use std::fs::File;
use std::io;
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

/// Threads that finish files.
const THREADS: usize = 2;

/// Starts the threads. When the capture begins, the first one recovers the files of earlier runs in `directory`; they end when the
/// last sender is dropped and the last file finished. The result of each is its last error, if a file could not be finished.
pub fn start(
    directory: &Path,
    begun: &Receiver<()>,
    counters: &Arc<SinkCounters>,
) -> Result<(Vec<Handle>, Sender<CompleteFile>), SinkError> {
    start_with(directory, begun, counters, File::sync_all)
}

/// As [`start`]; `sync` writes the content of a file to the disk.
pub(super) fn start_with(
    directory: &Path,
    begun: &Receiver<()>,
    counters: &Arc<SinkCounters>,
    sync: impl Fn(&File) -> io::Result<()> + Clone + Send + 'static,
) -> Result<(Vec<Handle>, Sender<CompleteFile>), SinkError> {
    let (sender, receiver) = channel::bounded(WAITING);
    let threads = (0..THREADS).map(|number| {
        let (begun, files, sync) = (begun.clone(), receiver.clone(), sync.clone());
        let (directory, counters) = (directory.to_owned(), Arc::clone(counters));
        let work = move || {
            if begun.recv().is_err() {
                return Ok(());
            }
            contain(&directory, &counters, || {
                if number == 0 {
                    recovery::recover(&directory);
                }
                run(files, &counters, sync)
            })
        };
        thread::Builder::new().name(format!("sink-finish-{number}")).spawn(work).map_err(SinkError::Thread)
    });
    Ok((threads.collect::<Result<_, _>>()?, sender))
}

fn run(
    files: Receiver<CompleteFile>,
    counters: &SinkCounters,
    sync: impl Fn(&File) -> io::Result<()>,
) -> Result<(), SinkError> {
    let mut outcome = Ok(());
    for CompleteFile { file, partial, complete, unfinished } in files {
        match publish(&file, &partial, &complete, &sync) {
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
    use std::time::{Duration, Instant};

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
            let (finishers, finished) = self.start(File::sync_all);
            finished.send(self.complete_file(file, self.partial(), self.complete())).unwrap();
            drop(finished);
            join(finishers)
        }

        /// The threads at work.
        fn start(
            &self,
            sync: impl Fn(&File) -> io::Result<()> + Clone + Send + 'static,
        ) -> (Vec<Handle>, Sender<CompleteFile>) {
            let (start, begun) = channel::unbounded();
            let started = start_with(self.directory.path(), &begun, &self.counters, sync).unwrap();
            (0..THREADS).for_each(|_| start.send(()).unwrap());
            started
        }

        /// A file with ten records.
        fn complete_file(&self, file: File, partial: PathBuf, complete: PathBuf) -> CompleteFile {
            let amount = Amount { packets: 10, packet_records: 10, ..Amount::default() };
            let worker = &self.counters.workers()[0];
            let mut unfinished = Unfinished::new([Arc::clone(worker)]);
            worker.record(amount);
            unfinished.add(0, amount);
            CompleteFile { file, partial, complete, unfinished }
        }

        /// Recorded, and lost in this way; there is no other loss.
        fn counted(&self, loss: Loss) -> (u64, u64) {
            let worker = &self.counters.workers()[0];
            assert_eq!(worker.lost(loss), worker.all_lost());
            (worker.recorded().packets, worker.lost(loss).packets)
        }
    }

    /// Waits for the threads, and returns the error of one that has one.
    fn join(finishers: Vec<Handle>) -> Result<(), SinkError> {
        let results: Vec<_> = finishers.into_iter().map(|thread| thread.join().unwrap()).collect();
        results.into_iter().collect()
    }

    /// An fsync that lasts until it is let go, as that of a large file on a slow disk.
    #[test]
    fn a_slow_fsync_holds_up_no_other_file() {
        const SLOW: &[u8] = &[b'x'; 100];
        let fixture = Fixture::new();
        let (let_go, gate) = channel::bounded::<()>(0);
        let (finishers, finished) = fixture.start(move |file: &File| {
            if file.metadata()?.len() == SLOW.len() as u64 {
                let _ = gate.recv();
            }
            file.sync_all()
        });
        let send = |name: &str, bytes: &[u8]| {
            let complete = fixture.directory.path().join(name);
            let partial = fixture.directory.path().join(format!(".{name}.partial"));
            let mut file = files::create_new(&partial).unwrap();
            // Or it would be taken for a file of an earlier run.
            file.lock().unwrap();
            file.write_all(bytes).unwrap();
            finished.send(fixture.complete_file(file, partial, complete.clone())).unwrap();
            complete
        };
        let slow = send("mirror-slow.ndjson", SLOW);
        let quick: Vec<_> = (0..5).map(|number| send(&format!("mirror-{number}.ndjson"), b"{}\n")).collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        while fixture.counters.files() < 5 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(quick.iter().all(|path| path.exists()) && !slow.exists());
        drop(let_go);
        drop(finished);
        join(finishers).unwrap();
        assert!(slow.exists());
        assert_eq!(fixture.counted(Loss::SyncFailed), (60, 0));
        assert_eq!(fixture.counters.files(), 6);
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

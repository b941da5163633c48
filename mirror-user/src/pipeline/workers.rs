//! A worker on a thread of its own: its start, its panic, its end.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::RunError;
use super::drain::Drain;
use super::queue::LiveQueue;
use crate::config::Settings;
use crate::counters::WorkerCounters;
use crate::ledger::QueueLedger;
use crate::number::QueueId;
use crate::rebind::{OpenError, QueueControl, RELEASE, RebindingSource};
use crate::shutdown::Shutdown;
use crate::sink::{self, Producer, Sinks};
use crate::source::{FrameSource, Received};
use crate::worker::WhenFull;
use crate::xsk::{CopyMode, XskSource, XskStatistics};

/// Interval between attempts at a queue that still belongs to another socket.
const RETRY: Duration = Duration::from_millis(50);

/// Interval between looks for the end of the workers.
const LOOK: Duration = Duration::from_millis(2);
/// Time that a worker may take when it does not wait for anything any more.
const STUCK: Duration = Duration::from_secs(5);

/// A worker on a thread of its own.
pub(crate) struct RunningWorker {
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) cpu: usize,
    /// The mode that its first socket was bound in.
    pub(crate) copy_mode: CopyMode,
    /// To be set when its socket does not receive what it should.
    pub(crate) demand: Arc<AtomicBool>,
    panicked: Arc<AtomicBool>,
    thread: JoinHandle<Finished>,
}

/// The result of a worker's thread.
#[derive(Debug)]
struct Finished {
    statistics: io::Result<XskStatistics>,
    result: io::Result<()>,
    /// The message of its panic.
    panic: Option<String>,
}

/// The parts that a worker's thread is made of.
pub(crate) struct Post {
    /// The queue, without a socket so far.
    pub(crate) queue: LiveQueue,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) cpu: usize,
    pub(crate) producer: Producer,
    pub(crate) settings: Settings,
}

/// The workers of a capture. Dropped, it ends them.
#[derive(Default)]
pub(crate) struct Crew {
    workers: Vec<RunningWorker>,
    /// Tells them to end once their rings are empty. Not the request to stop: a worker must not end before the program is
    /// detached, or its ring would fill unread.
    drained: Shutdown,
}

impl Crew {
    /// Starts one more.
    ///
    /// # Errors
    ///
    /// As [`RunningWorker::start`].
    pub(crate) fn add(&mut self, post: Post) -> Result<(), RunError> {
        self.workers.push(RunningWorker::start(post, self.drained.clone())?);
        Ok(())
    }

    pub(crate) fn workers(&self) -> &[RunningWorker] {
        &self.workers
    }

    /// Has the workers empty their rings and end. To be called when the program is detached. When the time of `drain` is
    /// over, they do not wait for the sinks any more.
    pub(crate) fn end(mut self, drain: &mut Drain, sinks: &Sinks) -> Vec<EndedWorker> {
        self.drained.request();
        let have_ended = |workers: &[RunningWorker]| workers.iter().all(RunningWorker::has_ended);
        while !have_ended(&self.workers) && !drain.is_over(sinks) {
            thread::sleep(LOOK);
        }
        let last_moment = Instant::now() + STUCK;
        while !have_ended(&self.workers) && Instant::now() < last_moment {
            thread::sleep(LOOK);
        }
        self.workers.drain(..).map(RunningWorker::end).collect()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.drained.request();
        for worker in self.workers.drain(..) {
            worker.join();
        }
    }
}

impl RunningWorker {
    /// Starts the thread, which makes the socket and gives it to the XDP program. It does so on the processor that is to
    /// use it, so that packet buffers and flow table lie in the memory of its NUMA node.
    ///
    /// # Errors
    ///
    /// When there is no socket to be had, or no memory.
    fn start(post: Post, drained: Shutdown) -> Result<Self, RunError> {
        let (counters, cpu) = (Arc::clone(&post.counters), post.cpu);
        let queue = counters.queue;
        let panicked = Arc::new(AtomicBool::new(false));
        let (ready, started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(format!("worker-{queue}"))
            .spawn({
                let panicked = Arc::clone(&panicked);
                move || serve(post, &drained, &ready, &panicked)
            })
            .map_err(|source| RunError::System { what: "start a worker", source })?;
        match started.recv() {
            Ok(Ok(Ready { copy_mode, demand })) => {
                Ok(Self { counters, cpu, copy_mode, demand, panicked, thread })
            }
            Ok(Err(error)) => Err(error),
            // It ended before it was ready to say why.
            Err(_) => {
                let message = thread.join().err().map_or_else(String::new, |panic| text_of(panic.as_ref()));
                Err(RunError::Panicked { queue, message })
            }
        }
    }

    /// `true` once it has panicked. Its thread goes on, and counts what arrives.
    pub(crate) fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }

    /// `true` once its thread has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// The worker's last counters, if it has ended; else those of now.
    fn end(self) -> EndedWorker {
        if self.has_ended() {
            return self.join();
        }
        EndedWorker {
            failure: Some(RunError::Stuck { queue: self.counters.queue }),
            statistics: XskStatistics::default(),
            has_panicked: false,
            counters: self.counters,
            cpu: self.cpu,
            copy_mode: self.copy_mode,
        }
    }

    /// Waits for the worker's end and reads its last counters.
    fn join(self) -> EndedWorker {
        let queue = self.counters.queue;
        let Finished { statistics, result, panic } = self.thread.join().unwrap_or_else(|panic| Finished {
            statistics: Ok(XskStatistics::default()),
            result: Ok(()),
            panic: Some(text_of(panic.as_ref())),
        });
        let has_panicked = panic.is_some();
        let (statistics, unread) = match statistics {
            Ok(statistics) => (statistics, None),
            Err(error) => (XskStatistics::default(), Some(error)),
        };
        let failure = match panic {
            Some(message) => Some(RunError::Panicked { queue, message }),
            None => result.err().or(unread).map(|source| RunError::Worker { queue, source }),
        };
        EndedWorker {
            statistics,
            has_panicked,
            counters: self.counters,
            cpu: self.cpu,
            copy_mode: self.copy_mode,
            failure,
        }
    }
}

/// A thread's message that it is ready to receive.
struct Ready {
    copy_mode: CopyMode,
    demand: Arc<AtomicBool>,
}

/// The worker's thread.
fn serve(
    post: Post,
    drained: &Shutdown,
    ready: &SyncSender<Result<Ready, RunError>>,
    panicked: &AtomicBool,
) -> Finished {
    let Post { mut queue, counters, cpu, producer, settings } = post;
    // Nobody waits for an answer any more once it was given.
    let opened = pin(cpu).and_then(|()| open(&mut queue, counters.queue));
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            let _ = ready.send(Err(error));
            return Finished { statistics: Ok(XskStatistics::default()), result: Ok(()), panic: None };
        }
    };
    let copy_mode = socket.copy_mode();
    let mut source = RebindingSource::new(queue, socket, Arc::clone(&counters));
    let demand = source.demand();
    work(&mut source, &counters, panicked, drained, |source| {
        let worker = settings.worker(source, producer, WhenFull::Drop, &counters);
        match worker {
            Ok(worker) => {
                let _ = ready.send(Ok(Ready { copy_mode, demand }));
                worker
                    .run(|| {
                        #[cfg(debug_assertions)]
                        fault::panic_if_asked(&counters);
                        drained.requested()
                    })
                    .1
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                Ok(())
            }
        }
    })
}

/// Has `worker` work on what `source` receives. Where it panics, takes what arrives until all is drained, so that no
/// packet is lost without a count.
fn work<Q: QueueControl>(
    source: &mut RebindingSource<Q>,
    counters: &WorkerCounters,
    panicked: &AtomicBool,
    drained: &Shutdown,
    worker: impl FnOnce(&mut RebindingSource<Q>) -> io::Result<()>,
) -> Finished {
    // What the worker has besides is dropped by the panic; the source stands between two of its own steps.
    let result = catch_unwind(AssertUnwindSafe(|| worker(source)));
    let panic = result.as_ref().err().map(|panic| text_of(panic.as_ref()));
    if let Some(message) = &panic {
        panicked.store(true, Ordering::Relaxed);
        error!("queue {}: the worker panicked: {message}", counters.queue);
        // A source that panics itself is given up; the ledger shows what is missing then.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            source.release();
            drain(source, drained);
        }));
        counters.received.set(source.received());
    }
    source.finish();
    counters.without_metadata.set(source.without_metadata());
    counters.wall_clock_steps.set(source.wall_clock_steps());
    Finished { statistics: source.statistics(), result: result.unwrap_or(Ok(())), panic }
}

/// Takes what arrives, until there is nothing and `drained` says so.
fn drain<Q: QueueControl>(source: &mut RebindingSource<Q>, drained: &Shutdown) {
    loop {
        let stopping = drained.requested();
        match source.receive() {
            Ok(Received::Frames(_)) => source.release(),
            Ok(Received::Idle) if !stopping => {}
            Ok(Received::Idle | Received::End) | Err(_) => return,
        }
    }
}

/// Opens the socket of a queue and lets packets come to it. A queue that another socket has is tried again for some
/// seconds: the kernel releases the queue of a socket that was closed in its own time.
fn open(queue: &mut LiveQueue, number: QueueId) -> Result<XskSource, RunError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match queue.open() {
            Ok(socket) => {
                if told {
                    info!("queue {number}: released after {:.1} s", began.elapsed().as_secs_f64());
                }
                queue.set_socket(&socket).map_err(|source| RunError::Worker { queue: number, source })?;
                return Ok(socket);
            }
            Err(OpenError::Busy(error)) if began.elapsed() < RELEASE => {
                if !told {
                    let seconds = RELEASE.as_secs();
                    warn!("queue {number}: held by another socket; trying for {seconds} s: {error}");
                    told = true;
                }
                thread::sleep(RETRY);
            }
            Err(
                OpenError::Busy(error)
                | OpenError::Refused(error)
                | OpenError::NotReady(error)
                | OpenError::Gone(error),
            ) => return Err(RunError::Socket(error)),
        }
    }
}

/// A worker whose counters stand still.
pub(crate) struct EndedWorker {
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) failure: Option<RunError>,
    cpu: usize,
    copy_mode: CopyMode,
    statistics: XskStatistics,
    has_panicked: bool,
}

impl EndedWorker {
    /// Its part of the ledger, with what its sink counted.
    pub(crate) fn ledger(&self, sink: &sink::WorkerCounters) -> QueueLedger {
        let row = QueueLedger {
            cpu: Some(self.cpu),
            copy_mode: Some(self.copy_mode.name()),
            ..QueueLedger::new(&self.counters, sink, Some(self.statistics))
        };
        if self.has_panicked { row.after_panic() } else { row }
    }
}

/// The message of a panic.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Keeps the calling thread on one processor.
fn pin(cpu: usize) -> Result<(), RunError> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|errno| RunError::System { what: "pin a worker to its processor", source: errno.into() })
}

/// Faults that tests ask for. A release build has none.
#[cfg(debug_assertions)]
mod fault {
    use std::sync::LazyLock;

    use crate::counters::WorkerCounters;

    /// Panics once a worker has received as many packets as `MIRROR_CAPTURE_PANIC_AFTER` says.
    pub(crate) fn panic_if_asked(counters: &WorkerCounters) {
        static AFTER: LazyLock<Option<u64>> =
            LazyLock::new(|| std::env::var("MIRROR_CAPTURE_PANIC_AFTER").ok()?.parse().ok());
        if let Some(after) = *AFTER {
            assert!(counters.received.get() < after, "a test asked for it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use mirror_common::verdict::{Counts, Verdict};

    use super::*;
    use crate::DropReason;
    use crate::config::Options;
    use crate::decap::tests::frames::mirrored_web;
    use crate::ledger::{Ledger, RunFacts};
    use crate::rebind::Socket;
    use crate::rules::RecordKind;
    use crate::source::{Frame, LinkType};
    use crate::time::Timestamp;

    /// Batches of ten frames. Reading frame 4 of the third one panics.
    struct Trap {
        frame: Vec<u8>,
        batches: u64,
        received: u64,
        armed: bool,
        redirected: Arc<AtomicU64>,
    }

    impl FrameSource for Trap {
        fn receive(&mut self) -> io::Result<Received> {
            if self.received == self.batches {
                return Ok(Received::Idle);
            }
            self.received += 1;
            self.redirected.fetch_add(10, Ordering::Relaxed);
            Ok(Received::Frames(10))
        }

        fn now(&self) -> Option<Timestamp> {
            None
        }

        fn frame(&self, index: usize) -> Frame<'_> {
            assert!(!(self.armed && self.received == 3 && index == 4), "trapped");
            let length = u32::try_from(self.frame.len()).unwrap();
            Frame {
                data: &self.frame,
                captured_length: length,
                original_length: length,
                timestamp: Timestamp(1_000_000_000_000),
                link_type: LinkType::Ethernet,
            }
        }

        fn append(&self, _: usize, from: usize, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&self.frame[from..]);
        }

        fn release(&mut self) {}
    }

    impl Socket for Trap {
        fn probe(&self) -> io::Result<()> {
            Ok(())
        }

        fn statistics(&self) -> io::Result<XskStatistics> {
            Ok(XskStatistics { rx_ring_full: 6, ..XskStatistics::default() })
        }

        fn without_metadata(&self) -> u64 {
            0
        }

        fn wall_clock_steps(&self) -> u64 {
            0
        }
    }

    struct TrapQueue;

    impl QueueControl for TrapQueue {
        type Socket = Trap;

        fn open(&mut self) -> Result<Trap, OpenError> {
            Err(OpenError::Gone("there is one socket only".into()))
        }

        fn set_socket(&mut self, _: &Trap) -> io::Result<()> {
            Ok(())
        }

        fn clear_socket(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn redirected(&self) -> io::Result<u64> {
            Ok(0)
        }
    }

    /// The ledger of seven batches with records of this kind, and the message of the panic.
    fn seven_batches(records: RecordKind, armed: bool) -> (Ledger, Option<String>) {
        let mut flags = Options::default();
        flags.output.records = Some(vec![records]);
        flags.output.path = Some("/dev/null".into());
        let settings = Settings::resolve(flags, Options::default()).unwrap();
        let (mut producers, sinks) = settings.start_sinks(1).unwrap();
        let sinks = sinks.begin();
        let counters = Arc::new(WorkerCounters::new(QueueId(0)));
        let redirected = Arc::new(AtomicU64::new(0));
        let socket = Trap {
            frame: mirrored_web(),
            batches: 7,
            received: 0,
            armed,
            redirected: Arc::clone(&redirected),
        };
        let mut source = RebindingSource::new(TrapQueue, socket, Arc::clone(&counters));
        let (panicked, drained) = (AtomicBool::new(false), Shutdown::new());
        drained.request();
        let producer = producers.remove(0);
        let Finished { statistics, panic, .. } =
            work(&mut source, &counters, &panicked, &drained, |source| {
                settings
                    .worker(source, producer, WhenFull::Drop, &counters)
                    .unwrap()
                    .run(|| drained.requested())
                    .1
            });
        assert_eq!(panicked.load(Ordering::Relaxed), panic.is_some());
        let written = Arc::clone(sinks.counters());
        sinks.join().unwrap();
        let mut verdicts = Counts::default();
        verdicts[Verdict::Redirected as usize] = redirected.load(Ordering::Relaxed) + 6;
        let row = QueueLedger::new(&counters, &written.workers()[0], Some(statistics.unwrap()));
        let row = if panic.is_some() { row.after_panic() } else { row };
        (Ledger::new(RunFacts::default(), vec![row.with_verdicts(&verdicts)]), panic)
    }

    #[test]
    fn what_a_worker_holds_when_it_panics_and_what_comes_later_is_counted() {
        // Of the packets of the first two batches, the records were handed over, or wait in flows.
        for (records, recorded) in [(RecordKind::Packet, 20), (RecordKind::Flow, 0)] {
            let (ledger, panic) = seven_batches(records, true);
            assert_eq!(panic.as_deref(), Some("trapped"));
            assert!(ledger.balanced, "{:?}", ledger.checks);
            assert_eq!((ledger.seen, ledger.received, ledger.recorded), (76, 70, recorded));
            assert_eq!(ledger.dropped[DropReason::WorkerPanicked.name()], 70 - recorded);
            assert_eq!(ledger.dropped[DropReason::RxRingFull.name()], 6);
        }
    }

    #[test]
    fn a_worker_that_does_not_panic_is_not_corrected() {
        let (ledger, panic) = seven_batches(RecordKind::Flow, false);
        assert_eq!((panic, ledger.balanced, ledger.recorded), (None, true, 70));
        assert_eq!(ledger.dropped[DropReason::WorkerPanicked.name()], 0);
    }
}

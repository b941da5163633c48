//! A worker on a thread of its own: its start, its panic, its end.

use std::any::Any;
use std::io;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::build::{self, Policies};
use super::drain::Drain;
use super::error::PipelineError;
use super::instrument::{Instrument, Observed};
use super::queue::LiveQueue;
use crate::config::Config;
use crate::counters::WorkerCounters;
use crate::error::chain;
use crate::number::QueueId;
use crate::rebind::{OpenError, QueueControl, RELEASE, RebindingSource};
use crate::shutdown::Shutdown;
use crate::sink::{Producer, Sinks};
use crate::source::{FrameSource, Received};
use crate::worker::WhenFull;
use crate::xsk::{CopyMode, XskSource};

/// Interval between attempts at a queue that still belongs to another socket.
const RETRY: Duration = Duration::from_millis(50);

/// Interval between looks for the end of the workers.
const LOOK: Duration = Duration::from_millis(2);
/// Time that a worker may take when it does not wait for anything any more.
const STUCK: Duration = Duration::from_secs(5);

/// A worker on a thread of its own.
pub(super) struct RunningWorker {
    pub(super) counters: Arc<WorkerCounters>,
    /// The socket that it began with; [`None`] for a worker that reads capture files.
    pub(super) socket: Option<WorkerSocket>,
    /// Absent once its end was seen.
    thread: Option<JoinHandle<Finished>>,
}

/// The socket that a worker began with.
pub(super) struct WorkerSocket {
    /// CPU that the worker is pinned to.
    pub(super) cpu: usize,
    /// The mode that the socket was bound in.
    pub(super) copy_mode: CopyMode,
    /// To be set when it does not receive what it should.
    pub(super) rebind_request: Arc<AtomicBool>,
}

/// The result of a worker's thread.
#[derive(Debug)]
struct Finished {
    /// An error if the source, or its last counters, could not be read.
    result: io::Result<()>,
    /// The message of its panic.
    panic: Option<String>,
}

/// The parts that the thread of a receive queue's worker is made of.
pub(super) struct Post<I> {
    /// The queue, without a socket so far.
    pub(super) queue: LiveQueue,
    pub(super) number: QueueId,
    pub(super) cpu: usize,
    pub(super) producer: Producer,
    pub(super) config: Config,
    pub(super) policies: Policies,
    pub(super) instrument: I,
    /// The request to stop, which ends a wait for the queue.
    pub(super) shutdown: Shutdown,
}

/// The workers of a pipeline. Dropped, it ends them.
#[derive(Default)]
pub(super) struct Workers {
    workers: Vec<RunningWorker>,
    /// Tells them to end once their rings are empty. Not the request to stop: a worker must not end before the program is
    /// detached, or its ring would fill unread.
    drained: Shutdown,
}

impl Workers {
    /// Starts the worker of a receive queue, on a thread that makes the socket and gives it to the XDP program. It does so on
    /// the CPU that is to use it, so that packet buffers and flow table lie in the memory of its NUMA node.
    ///
    /// # Errors
    ///
    /// When there is no socket to be had, or no memory.
    pub(super) fn serve<I: Instrument>(&mut self, post: Post<I>) -> Result<(), PipelineError> {
        let (queue, cpu) = (post.number, post.cpu);
        let counters = Arc::new(WorkerCounters::new(queue));
        let (ready, started) = mpsc::sync_channel(1);
        let (drained, shared) = (self.drained.clone(), Arc::clone(&counters));
        let thread = spawn(queue, move || serve(post, &shared, &drained, &ready))?;
        let Ready { copy_mode, rebind_request } = match started.recv() {
            Ok(ready) => ready?,
            // It ended before it was ready to say why.
            Err(_) => {
                let message = thread.join().err().map_or_else(String::new, |panic| text_of(panic.as_ref()));
                return Err(PipelineError::Panicked { queue, message });
            }
        };
        let socket = Some(WorkerSocket { cpu, copy_mode, rebind_request });
        self.workers.push(RunningWorker { counters, socket, thread: Some(thread) });
        Ok(())
    }

    /// Starts a worker that reads `source` to its end, and hands it to `done` then. It waits for the sink.
    ///
    /// # Errors
    ///
    /// When an option is out of its range, or there is no thread to be had.
    pub(super) fn read<S: FrameSource + Send + 'static>(
        &mut self,
        config: &Config,
        policies: &Policies,
        source: S,
        producer: Producer,
        done: impl FnOnce(S) + Send + 'static,
    ) -> Result<(), PipelineError> {
        let queue = QueueId(0);
        let counters = Arc::new(WorkerCounters::new(queue));
        let worker = build::worker(config, policies, source, producer, WhenFull::Wait, &counters)?;
        let shared = Arc::clone(&counters);
        let thread = spawn(queue, move || match catch_unwind(AssertUnwindSafe(|| worker.run(|| false))) {
            Ok((source, result)) => {
                done(source);
                Finished { result, panic: None }
            }
            Err(panic) => {
                shared.set_panicked();
                Finished { result: Ok(()), panic: Some(text_of(panic.as_ref())) }
            }
        })?;
        self.workers.push(RunningWorker { counters, socket: None, thread: Some(thread) });
        Ok(())
    }

    pub(super) fn all(&self) -> &[RunningWorker] {
        &self.workers
    }

    /// `true` once every worker has ended.
    pub(super) fn have_ended(&self) -> bool {
        self.workers.iter().all(RunningWorker::has_ended)
    }

    /// Has the workers empty their rings and end. To be called when the program is detached. When the time of `drain` is
    /// over, they do not wait for the sinks any more. Returns what failed; their counters stand still then.
    pub(super) fn end(&mut self, drain: &mut Drain, sinks: &Sinks) -> Vec<PipelineError> {
        self.drained.request();
        while !self.have_ended() && !drain.is_over(sinks) {
            thread::sleep(LOOK);
        }
        let last_moment = Instant::now() + STUCK;
        while !self.have_ended() && Instant::now() < last_moment {
            thread::sleep(LOOK);
        }
        self.workers.iter_mut().filter_map(|worker| worker.end().err()).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.drained.request();
        for worker in &mut self.workers {
            // Whoever drops it is not interested in why it ended.
            let _ = worker.join();
        }
    }
}

impl RunningWorker {
    /// `true` once its thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The result of the worker, if it has ended.
    fn end(&mut self) -> Result<(), PipelineError> {
        if self.has_ended() {
            return self.join();
        }
        self.thread = None;
        Err(PipelineError::Stuck { queue: self.counters.queue })
    }

    /// Waits for the worker's end.
    fn join(&mut self) -> Result<(), PipelineError> {
        let (queue, is_live) = (self.counters.queue, self.socket.is_some());
        let Some(thread) = self.thread.take() else { return Ok(()) };
        match thread
            .join()
            .unwrap_or_else(|panic| Finished { result: Ok(()), panic: Some(text_of(panic.as_ref())) })
        {
            Finished { panic: Some(message), .. } => Err(PipelineError::Panicked { queue, message }),
            Finished { result: Err(error), .. } if is_live => Err(PipelineError::Worker { queue, error }),
            Finished { result: Err(source), .. } => {
                Err(PipelineError::System { what: "read the capture", source })
            }
            Finished { .. } => Ok(()),
        }
    }
}

fn spawn(
    queue: QueueId,
    work: impl FnOnce() -> Finished + Send + 'static,
) -> Result<JoinHandle<Finished>, PipelineError> {
    let thread = thread::Builder::new().name(format!("worker-{queue}")).spawn(work);
    thread.map_err(|source| PipelineError::System { what: "start a worker", source })
}

/// A thread's message that it is ready to receive.
struct Ready {
    copy_mode: CopyMode,
    rebind_request: Arc<AtomicBool>,
}

/// The worker's thread.
fn serve<I: Instrument>(
    post: Post<I>,
    counters: &Arc<WorkerCounters>,
    drained: &Shutdown,
    ready: &SyncSender<Result<Ready, PipelineError>>,
) -> Finished {
    let Post { mut queue, number, cpu, producer, config, policies, instrument, shutdown } = post;
    // Nobody waits for an answer any more once it was given.
    sleep_exactly();
    let opened = pin(cpu).and_then(|()| open(&mut queue, number, &shutdown));
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            let _ = ready.send(Err(error));
            return Finished { result: Ok(()), panic: None };
        }
    };
    let copy_mode = socket.copy_mode();
    let mut source = RebindingSource::new(queue, socket, Arc::clone(counters));
    let rebind_request = source.rebind_request();
    work(&mut source, counters, drained, |source| {
        let source = Observed::new(source, instrument.observer());
        match build::worker(&config, &policies, source, producer, WhenFull::Drop, counters) {
            Ok(worker) => {
                let _ = ready.send(Ok(Ready { copy_mode, rebind_request }));
                worker
                    .run(|| {
                        #[cfg(debug_assertions)]
                        fault::panic_if_asked(counters);
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
    drained: &Shutdown,
    worker: impl FnOnce(&mut RebindingSource<Q>) -> io::Result<()>,
) -> Finished {
    // What the worker has besides is dropped by the panic; the source stands between two of its own steps.
    let result = catch_unwind(AssertUnwindSafe(|| worker(source)));
    let panic = result.as_ref().err().map(|panic| text_of(panic.as_ref()));
    if let Some(message) = &panic {
        counters.set_panicked();
        error!("queue {}: the worker panicked: {message}", counters.queue);
        // A source that panics itself is given up; the ledger shows what is missing then.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            source.release();
            drain(source, drained);
        }));
        counters.received.set(source.received());
    }
    let finished = source.finish();
    Finished { result: result.unwrap_or(Ok(())).and(finished), panic }
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
/// seconds, unless `shutdown` is requested: the kernel releases the queue of a socket that was closed in its own time.
fn open(queue: &mut LiveQueue, number: QueueId, shutdown: &Shutdown) -> Result<XskSource, PipelineError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match queue.open() {
            Ok(socket) => {
                if told {
                    info!("queue {number}: released after {:.1} s", began.elapsed().as_secs_f64());
                }
                queue.set_socket(&socket).map_err(|error| PipelineError::Worker { queue: number, error })?;
                return Ok(socket);
            }
            Err(OpenError::Busy(_)) if shutdown.requested() => {
                return Err(PipelineError::Interrupted { queue: number });
            }
            Err(OpenError::Busy(error)) if began.elapsed() < RELEASE => {
                if !told {
                    let seconds = RELEASE.as_secs();
                    warn!(
                        "queue {number}: held by another socket; trying for {seconds} s: {}",
                        chain(error.as_ref())
                    );
                    told = true;
                }
                thread::sleep(RETRY);
            }
            Err(
                OpenError::Busy(error)
                | OpenError::Refused(error)
                | OpenError::NotReady(error)
                | OpenError::Gone(error),
            ) => return Err(PipelineError::Socket(error)),
        }
    }
}

/// The message of a panic.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Keeps the calling thread on one processor.
fn pin(cpu: usize) -> Result<(), PipelineError> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(|errno| PipelineError::System {
        what: "pin a worker to its processor",
        source: errno.into(),
    })
}

/// Has sleeps of the calling thread end on time, and not some 50 µs later together with other timers.
fn sleep_exactly() {
    // Refused for a real-time thread only, whose sleeps are exact.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Faults that tests ask for. A release build has none.
#[cfg(debug_assertions)]
mod fault {
    use std::sync::LazyLock;

    use crate::counters::WorkerCounters;

    /// Panics once a worker has received as many packets as `MIRROR_CAPTURE_PANIC_AFTER` says.
    pub(super) fn panic_if_asked(counters: &WorkerCounters) {
        static AFTER: LazyLock<Option<u64>> =
            LazyLock::new(|| std::env::var("MIRROR_CAPTURE_PANIC_AFTER").ok()?.parse().ok());
        if let Some(after) = *AFTER {
            assert!(counters.received.get() < after, "a test asked for it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use mirror_common::verdict::{Counts, Verdict};

    use super::*;
    use crate::DropReason;
    use crate::decap::tests::frames::mirrored_web;
    use crate::ledger::Ledger;
    use crate::rebind::Socket;
    use crate::rules::RecordKind;
    use crate::sink::{self, Destination};
    use crate::snapshot::{QueueSnapshot, Snapshot};
    use crate::source::{Frame, LinkType};
    use crate::time::Timestamp;
    use crate::xsk::XskStatistics;

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

        fn interpolated(&self) -> u64 {
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
        let mut config = Config::default();
        config.output.records = Some(vec![records]);
        config.only_sink_mut().unwrap().destination = Destination::File("/dev/null".into());
        let (mut producers, sinks) = sink::start(&config.sink[0], 1).unwrap();
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
        let drained = Shutdown::new();
        drained.request();
        let producer = producers.remove(0);
        let Finished { result, panic } = work(&mut source, &counters, &drained, |source| {
            let policies = Policies { rules: config.rules().unwrap(), ..Policies::default() };
            let worker =
                build::worker(&config, &policies, source, producer, WhenFull::Drop, &counters).unwrap();
            worker.run(|| drained.requested()).1
        });
        result.unwrap();
        assert_eq!(counters.has_panicked(), panic.is_some());
        let written = Arc::clone(sinks.counters());
        sinks.join().unwrap();
        let mut verdicts = Counts::default();
        verdicts[Verdict::Redirected as usize] = redirected.load(Ordering::Relaxed) + 6;
        let queue = QueueSnapshot::of(&counters, &written.workers()[0]).with_verdicts(&verdicts);
        (Ledger::new(&Snapshot { queues: vec![queue], ..Snapshot::default() }), panic)
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

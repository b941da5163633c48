//! `mirror-capture run`: sets the data path up, watches it, and takes it down without losing count.
//!
//! The order matters in both directions. Up: sinks, workers with their sockets, sockets into the XSKMAP, and the
//! XDP program attached last, so that the first packet finds everything ready. Down: the program detached first, so
//! that nothing arrives any more; then the workers empty their rings and end; then the sinks write what is left;
//! then every counter stands still and the ledger is made.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::addresses::OwnAddresses;
use super::config::Settings;
use super::config::settings::CaptureSettings;
use super::config::value::{Switch, XdpModeOption};
use super::ledger::{Ledger, NicFacts, QueueLedger, RunFacts};
use super::preflight::{allowed_cpus, check_system, choose_cpus, choose_queues, free_huge_page_bytes};
use super::shutdown::Shutdown;
use super::{Outcome, RunError, finish_sinks};
use crate::attach::{Capture, Mode, ModeRequest};
use crate::counters::WorkerCounters;
use crate::nic::Nic;
use crate::nic::meter::NicMeter;
use crate::sink::{self, Producer, SinkError, Sinks};
use crate::wire::number::QueueId;
use crate::worker::WhenFull;
use crate::xsk::{CopyMode, FRAME_DATA, FRAME_SIZE, XskConfig, XskError, XskSource, XskStatistics};

/// How often the watching thread looks up.
const WATCH: Duration = Duration::from_millis(50);

/// Largest frame from a Gateway Load Balancer, without its Ethernet header: 8,500 bytes and 68 of encapsulation.
const LARGEST_GWLB_PACKET: u32 = 8568;

/// Captures from the interface until `shutdown` is requested, standard output is closed or a worker fails, then
/// drains, and returns the ledger, which is also written to its file. Rates are logged every `stats_interval`.
///
/// # Errors
///
/// When the capture cannot start; nothing is left behind then.
pub fn run(
    settings: &Settings,
    stats_interval: Option<Duration>,
    shutdown: &Shutdown,
) -> Result<Outcome, RunError> {
    let capture = &settings.capture;
    let nic = Nic::look(capture.interface.as_deref().ok_or(RunError::NoInterface)?)?;
    check_system()?;
    let queues = choose_queues(&nic, capture.queues.as_deref())?;
    let cpus = choose_cpus(&nic, capture.cpus.as_deref(), &allowed_cpus())?;
    let sockets = SocketPlan::new(&nic, capture, queues.len());

    let mut program = Capture::load(&settings.load_options(nic.queues))?;
    let mut addresses = match capture.any_destination {
        true => None,
        false => Some(OwnAddresses::tell(&mut program, &nic.name)?),
    };
    if capture.allowed_sources.as_ref().is_some_and(Vec::is_empty) {
        warn!("allowed_sources is an empty list: every tunnel packet is dropped");
    }
    let (producers, sinks) = settings.start_sinks(queues.len())?;
    // Not `shutdown` itself: a worker must not end before the program is detached, or its ring would fill unread.
    let drained = Shutdown::new();
    let mut workers = Vec::with_capacity(queues.len());
    for ((&queue, producer), &cpu) in queues.iter().zip(producers).zip(cpus.iter().cycle()) {
        let worker = RunningWorker::start(QueueId(queue), cpu, producer, &sockets, settings, &drained)?;
        program.set_socket(worker.counters.queue, &worker.socket)?;
        workers.push(worker);
    }
    let mut meter = NicMeter::start(&nic.name);
    let attached = program.attach(&nic.name, mode_request(capture))?;
    let started = Instant::now();
    let sinks = sinks.begin();
    if let Some(reason) = &attached.fallback {
        warn!("generic XDP instead of native, which is slower: {reason}");
    }
    announce(&nic, attached.mode, &workers);

    watch(&mut program, &mut addresses, &workers, &sinks, stats_interval, shutdown);

    program.detach()?;
    drained.request();
    let ended: Vec<EndedWorker> = workers.into_iter().map(RunningWorker::join).collect();
    let run = RunFacts {
        version: env!("CARGO_PKG_VERSION"),
        interface: Some(nic.name.clone()),
        xdp_mode: Some(attached.mode.to_string()),
        seconds: started.elapsed().as_secs_f64(),
        nic: Some(nic_facts(&nic, &mut meter)),
        output_bytes: 0,
    };
    program.flush_log();
    let verdicts = program.verdicts()?;
    let (written, problems) = finish_sinks(sinks);
    for problem in &problems {
        error!("{problem}");
    }
    let mut rows: Vec<QueueLedger> = (0..)
        .zip(&verdicts.queues)
        .map(|(queue, counts)| {
            let worker =
                ended.iter().zip(written.workers()).find(|(worker, _)| worker.counters.queue.0 == queue);
            let row = match worker {
                Some((worker, sink)) => worker.ledger(sink),
                None => QueueLedger::unserved(QueueId(queue)),
            };
            row.with_verdicts(counts)
        })
        .collect();
    if verdicts.other_queues.iter().any(|&count| count != 0) {
        rows.push(QueueLedger::unserved(QueueId(nic.queues)).with_verdicts(&verdicts.other_queues));
    }
    let ledger = Ledger::new(RunFacts { output_bytes: written.bytes(), ..run }, rows);
    settings.write_ledger(&ledger)?;
    let panicked = problems.into_iter().find(|problem| matches!(problem, SinkError::Panicked { .. }));
    let failure = ended.into_iter().find_map(|worker| worker.failure).or(panicked.map(RunError::Sink));
    Ok(Outcome { ledger, failure })
}

/// What the interface counted until now.
fn nic_facts(nic: &Nic, meter: &mut NicMeter) -> NicFacts {
    meter.read_interface(&nic.name);
    meter.read_driver(&nic.name);
    NicFacts {
        driver: nic.driver.clone(),
        counters: meter.interface().clone(),
        driver_counters: meter.driver().clone(),
    }
}

/// `--strict` takes the fall-back away from the automatic choice.
fn mode_request(capture: &CaptureSettings) -> ModeRequest {
    match (capture.mode, capture.strict) {
        (XdpModeOption::Auto, false) => ModeRequest::Auto,
        (XdpModeOption::Auto, true) | (XdpModeOption::Native, _) => ModeRequest::Native,
        (XdpModeOption::Generic, _) => ModeRequest::Generic,
    }
}

/// Says what runs where: the line that tells a reader that the capture has begun.
fn announce(nic: &Nic, mode: Mode, workers: &[RunningWorker]) {
    for worker in workers {
        let RunningWorker { counters, cpu, copy_mode, .. } = worker;
        info!("queue {}: worker on processor {cpu}, AF_XDP in {} mode", counters.queue, copy_mode.name());
    }
    if nic.mtu < LARGEST_GWLB_PACKET && nic.driver.as_deref() == Some("ena") {
        warn!(
            "{} has an MTU of {}; a Gateway Load Balancer sends packets of up to {LARGEST_GWLB_PACKET} bytes: \
             `ip link set {} mtu 9001`",
            nic.name, nic.mtu, nic.name
        );
    }
    info!("capturing on {} ({mode} XDP, {} queue(s), MTU {})", nic.name, workers.len(), nic.mtu);
}

/// Waits for the end: a signal, a worker that cannot go on, or a closed output.
fn watch(
    program: &mut Capture,
    addresses: &mut Option<OwnAddresses>,
    workers: &[RunningWorker],
    sinks: &Sinks,
    stats_interval: Option<Duration>,
    shutdown: &Shutdown,
) {
    let mut rates = Rates::new(workers, sinks);
    while !shutdown.requested() {
        thread::sleep(WATCH);
        program.flush_log();
        if let Some(addresses) = addresses {
            addresses.follow(program);
        }
        if let Some(worker) = workers.iter().find(|worker| worker.thread.is_finished()) {
            error!("the worker of queue {} has stopped", worker.counters.queue);
            return;
        }
        if sinks.counters().panicked() {
            return; // It was said by the thread itself.
        }
        if sinks.counters().closed() {
            info!("nobody reads standard output any more");
            return;
        }
        if stats_interval.is_some_and(|interval| rates.since.elapsed() >= interval) {
            rates = rates.log(workers, sinks);
        }
    }
}

/// Counters at one moment, to tell rates from.
struct Rates {
    since: Instant,
    received: u64,
    recorded: u64,
}

impl Rates {
    fn new(workers: &[RunningWorker], sinks: &Sinks) -> Self {
        Self {
            since: Instant::now(),
            received: workers.iter().map(|worker| worker.counters.received.get()).sum(),
            recorded: sinks.counters().workers().iter().map(|worker| worker.recorded().packets).sum(),
        }
    }

    fn log(self, workers: &[RunningWorker], sinks: &Sinks) -> Self {
        let now = Self::new(workers, sinks);
        let seconds = self.since.elapsed().as_secs_f64();
        // Records of a file that could not be finished are recorded no longer.
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        info!(
            "received {} ({:.0}/s), recorded {} ({:.0}/s)",
            now.received,
            rate(now.received, self.received),
            now.recorded,
            rate(now.recorded, self.recorded)
        );
        now
    }
}

/// How sockets are to be made, worked out once for all queues.
#[derive(Clone)]
struct SocketPlan {
    interface: String,
    config: XskConfig,
    strict: bool,
}

impl SocketPlan {
    fn new(nic: &Nic, capture: &CaptureSettings, queues: usize) -> Self {
        let whole_frame_fits = nic.mtu <= FRAME_DATA;
        let zero_copy = match capture.zero_copy {
            Switch::On => true,
            Switch::Off => false,
            // Drivers drop frames of several buffers in zero-copy mode.
            Switch::Auto => whole_frame_fits && capture.mode != XdpModeOption::Generic,
        };
        let wanted = u64::from(capture.frames) * u64::from(FRAME_SIZE) * queues as u64;
        let huge_pages = match capture.huge_pages {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => free_huge_page_bytes() >= wanted,
        };
        Self {
            interface: nic.name.clone(),
            config: XskConfig {
                rx_ring: capture.rx_ring,
                frames: capture.frames,
                copy_mode: if zero_copy { CopyMode::ZeroCopy } else { CopyMode::Copy },
                huge_pages,
                busy_poll: capture.busy_poll,
            },
            strict: capture.strict,
        }
    }

    /// Makes the socket, falling back step by step, each step with its reason in the log.
    fn open(&self, queue: QueueId) -> Result<XskSource, RunError> {
        let mut config = self.config;
        loop {
            let error = match XskSource::open(&self.interface, queue, &config) {
                Ok(source) => return Ok(source),
                Err(error) => error,
            };
            let (next, instead) = match &error {
                XskError::Umem { huge_pages: true, .. } => {
                    (XskConfig { huge_pages: false, ..config }, "packet buffers on small pages")
                }
                XskError::Bind { mode: CopyMode::ZeroCopy, .. } => {
                    (XskConfig { copy_mode: CopyMode::Copy, ..config }, "copying by the kernel")
                }
                _ => return Err(error.into()),
            };
            if self.strict {
                return Err(RunError::Strict { reason: error.to_string() });
            }
            info!("queue {queue}: {instead}: {error}");
            config = next;
        }
    }
}

/// A worker on a thread of its own.
struct RunningWorker {
    counters: Arc<WorkerCounters>,
    cpu: usize,
    copy_mode: CopyMode,
    /// Open for as long as the thread has not been joined.
    socket: SocketFd,
    thread: JoinHandle<(XskSource, io::Result<()>)>,
}

/// A descriptor that a worker's thread owns.
struct SocketFd(RawFd);

impl AsRawFd for SocketFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl RunningWorker {
    /// Makes the socket and starts the thread. The socket is made on the processor that is to use it, so that the
    /// packet buffers lie in the memory of its NUMA node.
    fn start(
        queue: QueueId,
        cpu: usize,
        producer: Producer,
        sockets: &SocketPlan,
        settings: &Settings,
        drained: &Shutdown,
    ) -> Result<Self, RunError> {
        let opened =
            thread::scope(|scope| scope.spawn(|| pin(cpu).and_then(|()| sockets.open(queue))).join());
        let source = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let counters = Arc::new(WorkerCounters::new(queue));
        let (copy_mode, socket) = (source.copy_mode(), SocketFd(source.as_raw_fd()));
        let worker = settings.worker(source, producer, WhenFull::Drop, &counters)?;
        let drained = drained.clone();
        let work = move || {
            if let Err(error) = pin(cpu) {
                warn!("queue {queue}: {error}");
            }
            worker.run(|| drained.requested())
        };
        let thread = thread::Builder::new()
            .name(format!("worker-{queue}"))
            .spawn(work)
            .map_err(|source| RunError::System { what: "start a worker", source })?;
        Ok(Self { counters, cpu, copy_mode, socket, thread })
    }

    /// Waits for the worker's end and reads its socket's last counters.
    fn join(self) -> EndedWorker {
        let (source, result) = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let queue = self.counters.queue;
        self.counters.without_metadata.set(source.without_metadata());
        let statistics = source.statistics();
        let failure =
            result.and(statistics.as_ref().map(drop).map_err(|error| io::Error::from(error.kind())));
        EndedWorker {
            statistics: statistics.unwrap_or_default(),
            counters: self.counters,
            cpu: self.cpu,
            copy_mode: self.copy_mode,
            failure: failure.err().map(|source| RunError::Worker { queue, source }),
        }
    }
}

/// A worker whose counters stand still.
struct EndedWorker {
    counters: Arc<WorkerCounters>,
    cpu: usize,
    copy_mode: CopyMode,
    statistics: XskStatistics,
    failure: Option<RunError>,
}

impl EndedWorker {
    fn ledger(&self, sink: &sink::WorkerCounters) -> QueueLedger {
        QueueLedger {
            cpu: Some(self.cpu),
            copy_mode: Some(self.copy_mode.name()),
            ..QueueLedger::new(&self.counters, sink, Some(self.statistics))
        }
    }
}

/// Keeps the calling thread on one processor.
fn pin(cpu: usize) -> Result<(), RunError> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|errno| RunError::System { what: "pin a worker to its processor", source: errno.into() })
}

//! The daemon's pipeline: its XDP program, its socket, its worker and its sink, put together as the daemon does it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use mirror_user::DropReason;
use mirror_user::config::options::Options;
use mirror_user::config::settings::Settings;
use mirror_user::config::value::Switch;
use mirror_user::counters::WorkerCounters;
use mirror_user::degrade::DegradeMode;
use mirror_user::ledger::{Ledger, QueueLedger, RunFacts};
use mirror_user::number::QueueId;
use mirror_user::pipeline::addresses::OwnAddresses;
use mirror_user::pipeline::preflight::free_huge_page_bytes;
use mirror_user::rules::RecordKind;
use mirror_user::sink::{self, Format, Producer, SinkConfig, Sinks};
use mirror_user::worker::WhenFull;
use mirror_user::xdp::{AttachModeRequest, Program};
use mirror_user::xsk::{CopyMode, FRAME_SIZE, XskConfig, XskError, XskSource};
use serde::Serialize;
use tempfile::TempDir;

use super::meter::{Meter, Metered};
use super::output::{self, Latencies};
use super::{Counts, Ended, Receiver, ReceiverError, Records, is_busy, until_free};
use crate::testbed::{Processors, Testbed, pin};

/// The queue of the testbed.
const QUEUE: QueueId = QueueId(0);

/// What the pipeline is to do.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Which records it makes.
    pub records: Records,
    /// Where they go.
    pub sink: SinkKind,
    /// Most flows in its table.
    pub max_flows: u32,
    /// Entries of its receive ring; without it, the daemon's default.
    pub rx_ring: Option<u32>,
    /// Whether its packet buffers stand on huge pages, which must be reserved; without it, where enough are.
    pub huge_pages: Option<bool>,
    /// Where the way of each stamped packet to its record is noted; the records then go nowhere else.
    pub latencies: Option<Latencies>,
    /// How many times slower than it is its worker is made; 1 leaves it as it is.
    pub slowdown: f64,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            records: Records::default(),
            sink: SinkKind::default(),
            max_flows: 1 << 20,
            rx_ring: None,
            huge_pages: None,
            latencies: None,
            slowdown: 1.0,
        }
    }
}

/// Where records go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum SinkKind {
    /// Encoded as NDJSON in memory, and forgotten.
    Memory,
    /// NDJSON to /dev/null: a system call for each batch.
    #[default]
    Null,
    /// NDJSON to a file in the directory for temporary files.
    File,
    /// NDJSON to a directory there, with rotation.
    Directory,
    /// The packets as pcapng to a file there; takes records of packets only.
    Pcapng,
}

impl SinkKind {
    /// Name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Null => "null",
            Self::File => "file",
            Self::Directory => "directory",
            Self::Pcapng => "pcapng",
        }
    }
}

impl Pipeline {
    /// The daemon's settings for this.
    fn settings(&self, directory: &TempDir) -> Result<Settings, ReceiverError> {
        let mut options = Options::default();
        options.capture.rx_ring = self.rx_ring;
        options.capture.huge_pages = self.huge_pages.map(|on| if on { Switch::On } else { Switch::Off });
        options.flow.max_flows = Some(self.max_flows);
        options.output.records = Some(self.records.kinds());
        // What the worker cannot take must be lost, or a measurement would compare records with fewer records.
        options.output.degradation = Some(DegradeMode::Off);
        options.output.path = Some(match self.sink {
            SinkKind::Memory | SinkKind::Null => "/dev/null".into(),
            SinkKind::File | SinkKind::Pcapng => directory.path().join("records"),
            SinkKind::Directory => directory.path().to_owned(),
        });
        options.output.format = Some(match self.sink {
            SinkKind::Pcapng => Format::Pcapng,
            _ => Format::Ndjson,
        });
        Ok(Settings::resolve(options, Options::default())?)
    }

    /// Starts the sink, and returns the worker's way to it.
    fn start_sink(&self, settings: &Settings) -> Result<(Producer, Sinks), ReceiverError> {
        let output = match (&self.latencies, self.sink) {
            (Some(latencies), _) => Some(output::note(latencies.clone())),
            (None, SinkKind::Memory) => Some(output::forget()),
            (None, _) => None,
        };
        let (mut producers, sinks) = match output {
            None => {
                let (producers, opened) = settings.start_sinks(1)?;
                (producers, opened.begin())
            }
            Some(output) => {
                let config =
                    SinkConfig { queue_batches: settings.output.queue_batches, ..SinkConfig::default() };
                sink::start_with(&config, 1, vec![output])?
            }
        };
        Ok((producers.remove(0), sinks))
    }
}

impl Records {
    fn kinds(self) -> Vec<RecordKind> {
        match self {
            Self::Packet => vec![RecordKind::Packet],
            Self::Flow => vec![RecordKind::Flow],
            Self::Both => vec![RecordKind::Packet, RecordKind::Flow],
        }
    }
}

/// The running pipeline.
pub(super) struct Running {
    program: Program,
    counters: Arc<WorkerCounters>,
    meter: Arc<Meter>,
    stop: Arc<AtomicBool>,
    // Of these, one after the other ends when it is stopped.
    worker: Option<JoinHandle<(XskSource, io::Result<()>)>>,
    sinks: Option<Sinks>,
    _directory: TempDir,
}

impl Running {
    /// Starts it: sink, socket, worker, and the XDP program last.
    pub fn start(pipeline: &Pipeline, bed: &Testbed, processors: Processors) -> Result<Self, ReceiverError> {
        let directory = tempfile::tempdir().map_err(|source| ReceiverError::Directory { source })?;
        let settings = pipeline.settings(&directory)?;
        let mut program = Program::load(&settings.load_options(1))?;
        bed.far.enter(|| OwnAddresses::tell(&mut program, Testbed::FAR))??;
        let (producer, sinks) = pipeline.start_sink(&settings)?;
        let source = bed.far.enter(|| open_socket(&settings, processors))??;
        program.set_socket(QUEUE, &source)?;
        let counters = Arc::new(WorkerCounters::new(QUEUE));
        let meter = Arc::new(Meter::default());
        let stop = Arc::new(AtomicBool::new(false));
        let source = Metered::new(source, Arc::clone(&meter), pipeline.slowdown);
        let worker = settings.worker(source, producer, WhenFull::Drop, &counters)?;
        let work = {
            let stop = Arc::clone(&stop);
            move || {
                let _ = pin(processors.worker); // was checked when it was chosen
                let (source, result) = worker.run(|| stop.load(Ordering::Relaxed));
                (source.into_inner(), result)
            }
        };
        let worker = thread::Builder::new()
            .name(super::WORKER.to_owned())
            .spawn(work)
            .map_err(|source| ReceiverError::Thread { source })?;
        let mut running = Self {
            program,
            counters,
            meter,
            stop,
            worker: Some(worker),
            sinks: Some(sinks),
            _directory: directory,
        };
        let program = &mut running.program;
        bed.far.enter(|| program.attach(Testbed::FAR, AttachModeRequest::Native))??;
        Ok(running)
    }

    /// Stops the worker, if it was not stopped.
    fn join_worker(&mut self) -> Option<(XskSource, io::Result<()>)> {
        self.stop.store(true, Ordering::Relaxed);
        let worker = self.worker.take()?;
        Some(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

/// Makes the socket on the processor that is to use it, as the daemon does.
fn open_socket(settings: &Settings, processors: Processors) -> Result<XskSource, ReceiverError> {
    let _ = pin(processors.worker); // was checked when it was chosen
    let capture = &settings.capture;
    let config = XskConfig {
        rx_ring: capture.rx_ring,
        frames: capture.frames,
        copy_mode: CopyMode::Copy, // a veth has no other
        huge_pages: match capture.huge_pages {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => free_huge_page_bytes() >= u64::from(capture.frames) * u64::from(FRAME_SIZE),
        },
        busy_poll: None,
    };
    let open = || XskSource::open(Testbed::FAR, QUEUE, &config);
    Ok(until_free(open, |error| matches!(error, XskError::Bind { source, .. } if is_busy(source)))?)
}

impl Receiver for Running {
    fn counts(&self) -> Result<Counts, ReceiverError> {
        let dropped: u64 = DropReason::ALL.iter().map(|&reason| self.counters.dropped(reason)).sum();
        let sink = self.sinks.iter().flat_map(|sinks| sinks.counters().workers());
        let failed: u64 = sink.map(|sink| sink.all_lost().packets).sum();
        // Read last, so that what is dropped is never more than what was received.
        let received = self.counters.received.get();
        Ok(Counts { received, delivered: received - dropped - failed, busy: self.meter.read() })
    }

    fn stop(mut self: Box<Self>) -> Result<Ended, ReceiverError> {
        self.program.detach()?;
        let mut row = None;
        let mut kernel_dropped = 0;
        if let Some((source, result)) = self.join_worker() {
            result.map_err(|source| ReceiverError::Worker { source })?;
            self.counters.without_metadata.set(source.without_metadata());
            let statistics = source.statistics().map_err(|source| ReceiverError::Worker { source })?;
            kernel_dropped = statistics.rx_dropped + statistics.rx_ring_full;
            row = Some(statistics);
        }
        let mut counts = self.counts()?;
        let Some(sinks) = self.sinks.take() else { return Ok(Ended::default()) };
        let written = Arc::clone(sinks.counters());
        sinks.join().map_err(ReceiverError::Output)?;
        counts.delivered = written.workers().iter().map(|sink| sink.recorded().packets).sum();
        let verdicts = self.program.verdicts()?.total();
        let rows = written
            .workers()
            .iter()
            .map(|sink| QueueLedger::new(&self.counters, sink, row).with_verdicts(&verdicts))
            .collect();
        let facts = RunFacts { output_bytes: written.bytes(), ..RunFacts::default() };
        Ok(Ended { counts, kernel_dropped, ledger: Some(Ledger::new(facts, rows)) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.join_worker();
        if let Some(sinks) = self.sinks.take() {
            // Whoever drops it has given up, and is not interested in what could not be written.
            let _ = sinks.join();
        }
    }
}

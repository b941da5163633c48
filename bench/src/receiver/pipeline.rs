//! The daemon's pipeline, as the daemon puts it together.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mirror_testkit::processors::Processors;
use mirror_testkit::veth::VethPair;
use mirror_user::config::{Config, ConfigError};
use mirror_user::degrade::DegradeMode;
use mirror_user::ledger::Ledger;
use mirror_user::pipeline::{Ended as PipelineEnded, Instrument, Outputs, Pipeline};
use mirror_user::rules::RecordKind;
use mirror_user::shutdown::Shutdown;
use mirror_user::sink::{Destination, Format};
use mirror_user::snapshot::{QueueSnapshot, Snapshot};
use mirror_user::value::{List, Switch};
use mirror_user::xdp::AttachModeRequest;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::meter::{Meter, WorkerMeter};
use super::output::{self, Latencies};
use super::{Counts, Ended, Receiver, ReceiverError, Records};

/// The setup of a pipeline under test.
#[derive(Clone, Debug)]
pub struct PipelineSetup {
    /// The records that it makes.
    pub records: Records,
    /// Their destination.
    pub sink: SinkKind,
    /// Most flows in its table.
    pub max_flows: u32,
    /// Entries of its receive ring; without it, the daemon's default.
    pub rx_ring: Option<u32>,
    /// Packet buffers on huge pages, which must be reserved; without it, if enough are.
    pub huge_pages: Option<bool>,
    /// The histogram for the latencies of stamped packets; with it, the records go nowhere else.
    pub latencies: Option<Latencies>,
    /// Time after which the flow of a closed connection ends. Shorter than the daemon's default, so that the records of connections that close
    /// are made and written within a measurement.
    pub closing_timeout: Duration,
    /// Factor by which the worker is slowed down; 1 leaves it as it is.
    pub slowdown: f64,
}

impl Default for PipelineSetup {
    fn default() -> Self {
        Self {
            records: Records::default(),
            sink: SinkKind::default(),
            max_flows: 1 << 20,
            rx_ring: None,
            huge_pages: None,
            latencies: None,
            closing_timeout: Duration::from_millis(250),
            slowdown: 1.0,
        }
    }
}

/// Destinations of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
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

impl PipelineSetup {
    /// The daemon's configuration for this.
    fn config(&self, directory: &Path, processors: Processors) -> Result<Config, ReceiverError> {
        let mut config = Config::default();
        config.capture.interface = Some(VethPair::RECEIVING.to_owned());
        config.capture.cpus = Some(List(vec![processors.worker]));
        config.capture.mode = AttachModeRequest::Native;
        config.capture.zero_copy = Switch::Off; // a veth has none
        if let Some(rx_ring) = self.rx_ring {
            config.capture.rx_ring = rx_ring;
        }
        if let Some(on) = self.huge_pages {
            config.capture.huge_pages = if on { Switch::On } else { Switch::Off };
        }
        config.flow.max_flows = self.max_flows;
        config.flow.closing_timeout = self.closing_timeout;
        config.output.records = Some(self.records.kinds());
        // What the worker cannot take must be lost, or a measurement would compare records with fewer records.
        config.output.degradation = DegradeMode::Off;
        let sink = config.only_sink_mut().map_err(ConfigError::from)?;
        sink.destination = match self.sink {
            SinkKind::Memory | SinkKind::Null => Destination::File("/dev/null".into()),
            SinkKind::File | SinkKind::Pcapng => Destination::File(directory.join("records")),
            SinkKind::Directory => Destination::Directory(directory.to_owned()),
        };
        sink.format = match self.sink {
            SinkKind::Pcapng => Format::Pcapng,
            _ => Format::Ndjson,
        };
        Ok(config.check()?)
    }

    fn outputs(&self) -> Outputs {
        match (&self.latencies, self.sink) {
            (Some(latencies), _) => Outputs::Given(vec![output::timing(latencies.clone())]),
            (None, SinkKind::Memory) => Outputs::Given(vec![output::discarding()]),
            (None, _) => Outputs::Configured,
        }
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

/// Meters the worker, and slows it down.
#[derive(Clone)]
struct Metering {
    meter: Arc<Meter>,
    slowdown: f64,
}

impl Instrument for Metering {
    type Observer = WorkerMeter;

    fn observer(&self) -> WorkerMeter {
        WorkerMeter::new(Arc::clone(&self.meter), self.slowdown)
    }
}

/// The running pipeline.
pub(super) struct Running {
    pipeline: Pipeline,
    meter: Arc<Meter>,
    _directory: TempDir,
}

impl Running {
    /// Starts it at the far end of `bed`.
    pub fn start(
        pipeline: &PipelineSetup,
        bed: &VethPair,
        processors: Processors,
    ) -> Result<Self, ReceiverError> {
        let directory = tempfile::tempdir().map_err(|source| ReceiverError::Directory { source })?;
        let config = pipeline.config(directory.path(), processors)?;
        let meter = Arc::new(Meter::default());
        let metering = Metering { meter: Arc::clone(&meter), slowdown: pipeline.slowdown };
        let (shutdown, outputs) = (Shutdown::new(), pipeline.outputs());
        let start = || Pipeline::capture_with(&config, &shutdown, outputs, &metering);
        Ok(Self { pipeline: bed.receiver.enter(start)??, meter, _directory: directory })
    }
}

/// Packets that came, and those of them that were not dropped.
fn counts(snapshot: &Snapshot, meter: &Meter) -> Counts {
    let received = snapshot.received();
    let lost = snapshot.queues.iter().map(QueueSnapshot::dropped_after_arrival).sum::<u64>();
    // The later stage was read first, so no more seems to be recorded than was received.
    let recorded = Some(snapshot.recorded());
    Counts { received, delivered: received.saturating_sub(lost), recorded, busy: meter.read() }
}

impl Receiver for Running {
    fn counts(&self) -> Result<Counts, ReceiverError> {
        Ok(counts(&self.pipeline.snapshot(), &self.meter))
    }

    fn stop(self: Box<Self>) -> Result<Ended, ReceiverError> {
        let Self { pipeline, meter, .. } = *self;
        let PipelineEnded { snapshot, failures, unwritten } = pipeline.stop();
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure.into());
        }
        if !unwritten.is_empty() {
            return Err(ReceiverError::Output(unwritten));
        }
        let statistics = snapshot.queues.iter().filter_map(|queue| queue.af_xdp);
        let kernel_dropped = statistics.map(|socket| socket.rx_dropped + socket.rx_ring_full).sum();
        let counts = Counts { delivered: snapshot.recorded(), ..counts(&snapshot, &meter) };
        Ok(Ended { counts, kernel_dropped, ledger: Some(Ledger::new(&snapshot)) })
    }
}

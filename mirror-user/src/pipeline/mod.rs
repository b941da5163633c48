//! The data path of one run as one value: [`Pipeline`].
//!
//! Each stage owns its order of up and down; here they are put one after another. Up: the outputs opened and locked, workers
//! with their sockets, sockets into the XSKMAP, and then the XDP program attached, so that the first packet finds everything
//! ready; only after that are the outputs written to, so that a start that fails changes nothing. Down: the program detached
//! first, so that nothing arrives any more; then the workers empty their rings and end; then the sinks write what is left;
//! then every counter stands still.
//!
//! - [`preflight`]: the conditions of a capture; [`memory`]: whether there is as much as is asked for.
//! - `build`: the parts, as the configuration asks for them; `sockets`: how AF_XDP sockets are made, and what is tried where
//!   that fails.
//! - `intake`: the XDP program on its interface, with a watch on both: `addresses` and `link` of the interface, `served`:
//!   whether packets reach the workers.
//! - `workers`: a worker on a thread of its own, behind an `instrument` where one measures it; `queue`: the receive queue that it serves.
//! - `drain`: how long stopping may take.

mod addresses;
mod build;
mod drain;
mod error;
mod instrument;
mod intake;
mod link;
pub mod memory;
pub mod preflight;
mod queue;
mod served;
mod sockets;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use self::build::Policies;
use self::drain::Drain;
pub use self::error::PipelineError;
pub use self::instrument::{Direct, Instrument, Observed, Observer};
use self::intake::{AttachedIntake, Intake};
use self::memory::Demand;
use self::preflight::{allowed_cpus, check_system, choose_cpus, choose_queues, isolated_cpus};
use self::queue::LiveQueue;
use self::sockets::SocketPlan;
use self::workers::{Post, RunningWorker, Workers};
use crate::config::Config;
use crate::enrichment::Watched;
use crate::ledger;
use crate::nic::Nic;
use crate::number::QueueId;
use crate::privacy::Privacy;
use crate::rules::Rules;
use crate::shutdown::Shutdown;
use crate::sink::{self, Opened, Output, Producer, SinkCounters, SinkError, Sinks};
use crate::snapshot::{QueueSnapshot, Snapshot};
use crate::source::FrameSource;
use crate::xdp::{Program, Verdicts};

/// Outputs of the sinks.
pub enum Outputs {
    /// The destinations of the configuration.
    Configured,
    /// These, one for all workers or one for each.
    Given(Vec<Box<dyn Output>>),
}

/// The running data path, from its frames to its outputs. Dropped, it is taken down, and what could not be written is lost.
pub struct Pipeline {
    /// Absent where the frames come from files.
    intake: Option<AttachedIntake>,
    workers: Workers,
    sinks: Sinks,
    enrichment: Option<Watched>,
    drain: Drain,
    shutdown: Shutdown,
    started: Instant,
}

/// The stages of a pipeline that is about to begin.
struct Stages {
    intake: Option<AttachedIntake>,
    workers: Workers,
    sinks: Opened,
    enrichment: Option<Watched>,
}

/// A pipeline that has come to its end.
#[derive(Debug)]
pub struct Ended {
    /// Every counter, as it stands at last.
    pub snapshot: Snapshot,
    /// Failures of the stages before the sinks.
    pub failures: Vec<PipelineError>,
    /// Failures of the sinks.
    pub unwritten: Vec<SinkError>,
}

impl Pipeline {
    /// Captures from the interface that the configuration names, until `shutdown` is requested.
    ///
    /// # Errors
    ///
    /// When the capture cannot start; nothing is left behind then.
    pub fn capture(config: &Config, shutdown: &Shutdown) -> Result<Self, PipelineError> {
        Self::capture_with(config, shutdown, Outputs::Configured, &Direct)
    }

    /// Captures as [`Self::capture`] does, to `outputs`, with `instrument` at each worker.
    ///
    /// # Errors
    ///
    /// Those of [`Self::capture`].
    pub fn capture_with(
        config: &Config,
        shutdown: &Shutdown,
        outputs: Outputs,
        instrument: &impl Instrument,
    ) -> Result<Self, PipelineError> {
        let capture = &config.capture;
        let nic = Nic::query(capture.interface.as_deref().ok_or(PipelineError::NoInterface)?)?;
        check_system()?;
        let queues = choose_queues(&nic, capture.queues.as_ref().map(|list| list.0.as_slice()))?;
        let cpus = choose_cpus(&nic, capture.cpus.as_ref().map(|list| list.0.as_slice()), &allowed_cpus())?;
        let sockets = SocketPlan::new(&nic, capture, queues.len())?;
        let (rules, privacy) = (config.rules()?, config.privacy()?);
        memory::require(&sockets.demand(config, &rules, queues.len()), true)?;
        let enrichment = Watched::open(&config.enrichment)?;

        let index = nic.index;
        let intake = Intake::load(config, &rules, nic)?;
        let (producers, sinks) = open_sinks(config, queues.len(), outputs, enrichment.as_ref())?;
        let isolated = isolated_cpus();
        let policies = policies(rules, privacy, enrichment.as_ref());
        let mut workers = Workers::default();
        for ((&queue, producer), &cpu) in queues.iter().zip(producers).zip(cpus.iter().cycle()) {
            let number = QueueId(queue);
            workers.serve(Post {
                queue: LiveQueue::new(sockets.on_cpu(cpu, &isolated), index, number, intake.entry(number)?),
                number,
                cpu,
                producer,
                config: config.clone(),
                policies: policies.clone(),
                instrument: instrument.clone(),
                shutdown: shutdown.clone(),
            })?;
        }
        let intake = intake.attach(workers.all())?;
        let started = Instant::now();
        // From here on, nothing keeps the capture from running: the outputs may be changed.
        let intake = Some(intake);
        Ok(Self::begin(config, shutdown, Stages { intake, workers, sinks, enrichment }, started))
    }

    /// Reads `source` to its end, waiting for the sinks where they are slower; `done` gets it back then.
    ///
    /// # Errors
    ///
    /// When an output cannot be opened; nothing is left behind then.
    pub fn read<S: FrameSource + Send + 'static>(
        config: &Config,
        shutdown: &Shutdown,
        source: S,
        outputs: Outputs,
        done: impl FnOnce(S) + Send + 'static,
    ) -> Result<Self, PipelineError> {
        let (rules, privacy) = (config.rules()?, config.privacy()?);
        memory::require(&Demand::of_pipeline(config, &rules, 1), false)?;
        let enrichment = Watched::open(&config.enrichment)?;
        let (mut producers, sinks) = open_sinks(config, 1, outputs, enrichment.as_ref())?;
        let mut workers = Workers::default();
        let policies = policies(rules, privacy, enrichment.as_ref());
        workers.read(config, &policies, source, producers.remove(0), done)?;
        let stages = Stages { intake: None, workers, sinks, enrichment };
        Ok(Self::begin(config, shutdown, stages, Instant::now()))
    }

    fn begin(config: &Config, shutdown: &Shutdown, stages: Stages, started: Instant) -> Self {
        let Stages { intake, workers, sinks, enrichment } = stages;
        let drain = Drain::new(config.output.drain_timeout, shutdown);
        let sinks = sinks.begin();
        Self { intake, workers, sinks, enrichment, drain, shutdown: shutdown.clone(), started }
    }

    /// Looks after the stages, which is to be done several times a second. `false` once it is to be stopped: as was asked
    /// for, at the end of the source, or because an output is closed or a thread has failed, which was said then.
    ///
    /// # Errors
    ///
    /// The reason why the capture cannot go on.
    pub fn watch(&mut self) -> Result<bool, PipelineError> {
        let outputs = self.sinks.counters();
        let Some(intake) = &mut self.intake else {
            if outputs.closed() || outputs.panicked() {
                self.shutdown.request();
            }
            self.drain.is_over(&self.sinks);
            return Ok(!self.workers.have_ended());
        };
        if self.shutdown.requested() {
            return Ok(false);
        }
        intake.watch(self.workers.all())?;
        // After the link, which may well be the reason.
        let has_stopped = |worker: &&RunningWorker| worker.has_ended() || worker.counters.has_panicked();
        if let Some(worker) = self.workers.all().iter().find(has_stopped) {
            error!("the worker of queue {} has stopped; the capture ends", worker.counters.queue);
            return Ok(false);
        }
        if outputs.closed() {
            info!("nobody reads standard output any more");
        }
        // The thread that panicked has said so itself.
        Ok(!outputs.panicked() && !outputs.closed())
    }

    /// Every counter of every stage at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let Self { intake, workers, sinks, enrichment, started, .. } = self;
        // The program's counters last: no packet seems to be received before it was redirected.
        let queues = queues(workers, sinks.counters());
        let verdicts = intake.as_ref().and_then(|intake| intake.verdicts().ok());
        let enrichment = enrichment.as_ref();
        snapshot(intake.as_ref(), sinks.counters(), queues, verdicts.as_ref(), enrichment, started.elapsed())
    }

    /// Takes the stages down, each when the one before has come to its end.
    pub fn stop(self) -> Ended {
        let Self { mut intake, mut workers, sinks, enrichment, mut drain, started, .. } = self;
        let mut failures = Vec::new();
        if let Some(intake) = &mut intake {
            drain.begin();
            failures.extend(intake.detach().err());
        }
        failures.extend(workers.end(&mut drain, &sinks));
        let elapsed = started.elapsed();
        if let Some(intake) = &mut intake {
            intake.finish();
        }
        let verdicts = intake.as_ref().map(AttachedIntake::verdicts).transpose();
        let verdicts = verdicts.map_err(|error| failures.push(error)).ok().flatten();
        let (counters, unwritten) = drain.finish(sinks);
        let queues = queues(&workers, &counters);
        let (intake, enrichment) = (intake.as_ref(), enrichment.as_ref());
        let snapshot = snapshot(intake, &counters, queues, verdicts.as_ref(), enrichment, elapsed);
        Ended { snapshot, failures, unwritten }
    }
}

/// The XDP program of a capture with this configuration, without its workers: for measurements of the program alone.
///
/// # Errors
///
/// When there is no such interface, or the kernel does not take the program.
pub fn load_program(config: &Config) -> Result<Program, PipelineError> {
    let nic = Nic::query(config.capture.interface.as_deref().ok_or(PipelineError::NoInterface)?)?;
    Ok(Intake::load(config, &config.rules()?, nic)?.into_program())
}

/// What decides over the records of all workers.
fn policies(rules: Rules, privacy: Privacy, enrichment: Option<&Watched>) -> Policies {
    Policies { rules, privacy, enrichment: enrichment.map(|watched| Arc::clone(watched.enrichment())) }
}

/// Opens and locks the outputs for so many workers, and finds out that the ledger can be written. Nothing is changed there
/// until the sinks begin.
fn open_sinks(
    config: &Config,
    workers: usize,
    outputs: Outputs,
    enrichment: Option<&Watched>,
) -> Result<(Vec<Producer>, Opened), PipelineError> {
    let sink = config.only_sink()?;
    if !config.egress.is_empty() {
        warn!(
            "[[egress]]: the {} rules are right, but records do not have their verdicts; judge the records with \
             `mirror-capture rules test`",
            config.egress.len()
        );
    }
    let enrichment = enrichment.map(Watched::enrichment);
    let opened = match outputs {
        Outputs::Configured => sink::open(sink, workers, enrichment)?,
        Outputs::Given(outputs) => sink::open_with(sink, workers, outputs, enrichment)?,
    };
    if let Some(path) = &config.output.ledger {
        ledger::file::check(path).map_err(|source| PipelineError::Ledger { path: path.clone(), source })?;
    }
    Ok(opened)
}

/// The counters of the workers and of their records.
fn queues(workers: &Workers, sinks: &SinkCounters) -> Vec<QueueSnapshot> {
    let rows = workers.all().iter().zip(sinks.workers());
    rows.map(|(RunningWorker { counters, socket, .. }, records)| QueueSnapshot {
        cpu: socket.as_ref().map(|socket| socket.cpu),
        copy_mode: socket.as_ref().map(|socket| socket.copy_mode),
        ..QueueSnapshot::of(counters, records)
    })
    .collect()
}

fn snapshot(
    intake: Option<&AttachedIntake>,
    sinks: &SinkCounters,
    queues: Vec<QueueSnapshot>,
    verdicts: Option<&Verdicts>,
    enrichment: Option<&Watched>,
    elapsed: Duration,
) -> Snapshot {
    Snapshot {
        elapsed,
        interface: intake.map(AttachedIntake::snapshot),
        files: None,
        enrichment: enrichment.map(|watched| watched.enrichment().snapshot()),
        output_bytes: sinks.bytes(),
        output_files: sinks.files(),
        queues: match verdicts {
            Some(verdicts) => with_verdicts(queues, verdicts),
            None => queues,
        },
    }
}

/// The queues that the program knew at its start, whether a worker serves them or not, and one row for all later ones, if
/// packets came by them.
fn with_verdicts(mut served: Vec<QueueSnapshot>, verdicts: &Verdicts) -> Vec<QueueSnapshot> {
    let mut queues: Vec<QueueSnapshot> = (0..)
        .map(QueueId)
        .zip(&verdicts.queues)
        .map(|(queue, counts)| {
            let place = served.iter().position(|row| row.queue == queue);
            let row = place.map_or_else(|| QueueSnapshot::unserved(queue), |place| served.swap_remove(place));
            row.with_verdicts(counts)
        })
        .collect();
    if verdicts.other_queues.iter().any(|&count| count != 0) {
        let next = QueueId(u32::try_from(verdicts.queues.len()).unwrap_or(u32::MAX));
        queues.push(QueueSnapshot::unserved(next).with_verdicts(&verdicts.other_queues));
    }
    queues
}

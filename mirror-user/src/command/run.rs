//! `mirror-capture run`: sets the data path up, watches it, and takes it down without losing count.
//!
//! The order matters in both directions. Up: the output opened and locked, workers with their sockets, sockets into the
//! XSKMAP, and then the XDP program attached, so that the first packet finds everything ready; only after that is the
//! output written to, so that a start that fails changes nothing. Down: the program detached first, so
//! that nothing arrives any more; then the workers empty their rings and end; then the sinks write what is left;
//! then every counter stands still and the ledger is made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::Outcome;
use super::watch::Watch;
use crate::config::Settings;
use crate::config::settings::CaptureSettings;
use crate::config::value::XdpModeOption;
use crate::counters::WorkerCounters;
use crate::ledger::{Ledger, QueueLedger, RunFacts};
use crate::nic::Nic;
use crate::nic::meter::NicMeter;
use crate::number::QueueId;
use crate::pipeline::RunError;
use crate::pipeline::addresses::OwnAddresses;
use crate::pipeline::drain::Drain;
use crate::pipeline::link::{Link, LinkLost, mtu_warning};
use crate::pipeline::memory;
use crate::pipeline::preflight::{allowed_cpus, check_system, choose_cpus, choose_queues};
use crate::pipeline::queue::LiveQueue;
use crate::pipeline::sockets::SocketPlan;
use crate::pipeline::workers::{Crew, EndedWorker, Post, RunningWorker};
use crate::shutdown::Shutdown;
use crate::sink::{SinkCounters, SinkError};
use crate::xdp::{AttachMode, AttachModeRequest, Program, Verdicts};
use crate::xsk::CopyMode;

/// Captures from the interface until `shutdown` is requested, standard output is closed or something happens after which
/// the capture cannot go on; then drains, and returns the ledger, which is also written to its file. Rates are logged every
/// `stats_interval`.
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
    let nic = Nic::query(capture.interface.as_deref().ok_or(RunError::NoInterface)?)?;
    check_system()?;
    let queues = choose_queues(&nic, capture.queues.as_deref())?;
    let cpus = choose_cpus(&nic, capture.cpus.as_deref(), &allowed_cpus())?;
    let sockets = SocketPlan::new(&nic, capture, queues.len())?;
    memory::require(&sockets.demand(settings, queues.len()), true)?;

    let mut program = Program::load(&settings.load_options(nic.queues))?;
    let addresses = match capture.any_destination {
        true => None,
        false => Some(OwnAddresses::tell(&mut program, &nic.name)?),
    };
    if capture.allowed_sources.as_ref().is_some_and(Vec::is_empty) {
        warn!("allowed_sources is an empty list: every tunnel packet is dropped");
    }
    let (producers, sinks) = settings.start_sinks(queues.len())?;
    let mut crew = Crew::default();
    for ((&queue, producer), &cpu) in queues.iter().zip(producers).zip(cpus.iter().cycle()) {
        let queue = QueueId(queue);
        let entry = program.queue_entry(queue)?;
        crew.add(Post {
            queue: LiveQueue::new(sockets.clone(), nic.index, queue, entry),
            counters: Arc::new(WorkerCounters::new(queue)),
            cpu,
            producer,
            settings: settings.clone(),
        })?;
    }
    let meter = NicMeter::start(&nic.name);
    let attached = program.attach(&nic.name, mode_request(capture))?;
    let started = Instant::now();
    let zero_copy = crew.workers().iter().any(|worker| worker.copy_mode == CopyMode::ZeroCopy);
    let link = Link::watch(nic.clone(), program.id()?, zero_copy)
        .map_err(|source| RunError::System { what: "watch the interface", source })?;
    // From here on, nothing keeps the capture from running: the output may be changed.
    let sinks = sinks.begin();
    if let Some(reason) = &attached.fallback {
        warn!("generic XDP instead of native, which is slower: {reason}");
    }
    announce(&nic, attached.mode, crew.workers(), zero_copy);
    let mut watch = Watch::new(link, meter, attached.mode, addresses);

    let mut failures = Failures::default();
    failures.note(watch.wait(&mut program, crew.workers(), &sinks, stats_interval, shutdown));

    let mut drain = Drain::new(settings.output.drain_timeout, shutdown);
    drain.begin();
    watch.look_last(&program);
    failures.note(program.detach());
    let ended = crew.end(&mut drain, &sinks);
    let seconds = started.elapsed().as_secs_f64();
    let (name, mut facts) = watch.finish();
    if let Some(RunError::Link(LinkLost::Detached { .. } | LinkLost::Replaced { .. })) = &failures.first {
        facts.notes.push("packets since the program was detached are in no counter".to_owned());
    }
    program.flush_log();
    let verdicts = failures.note(program.verdicts()).unwrap_or_default();
    let (written, problems) = drain.finish(sinks);
    let run = RunFacts {
        version: env!("CARGO_PKG_VERSION"),
        interface: Some(name),
        xdp_mode: Some(attached.mode.to_string()),
        seconds,
        nic: Some(facts),
        files: None,
        output_bytes: written.bytes(),
    };
    let ledger = Ledger::new(run, rows(&verdicts, &ended, &written));
    for worker in ended {
        failures.note(worker.failure.map_or(Ok(()), Err));
    }
    for problem in problems {
        if matches!(problem, SinkError::Panicked { .. } | SinkError::Stalled { .. }) {
            failures.note(Err::<(), _>(problem));
        } else {
            error!("{problem}");
        }
    }
    failures.note(settings.write_ledger(&ledger));
    Ok(Outcome { ledger, failure: failures.first })
}

/// Errors after the start. The first is told at the end, the others at once.
#[derive(Default)]
struct Failures {
    first: Option<RunError>,
}

impl Failures {
    /// The result, or takes note of its error.
    fn note<T, E: Into<RunError>>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.into();
                if self.first.is_some() {
                    error!("{error}");
                } else {
                    self.first = Some(error);
                }
                None
            }
        }
    }
}

/// The ledger's rows: one for each queue that the program knew at its start, and one for later ones that packets came by.
fn rows(verdicts: &Verdicts, ended: &[EndedWorker], written: &SinkCounters) -> Vec<QueueLedger> {
    let workers = || ended.iter().zip(written.workers());
    let mut rows: Vec<QueueLedger> = (0..)
        .map(QueueId)
        .zip(&verdicts.queues)
        .map(|(queue, counts)| {
            let worker = workers().find(|(worker, _)| worker.counters.queue == queue);
            let row =
                worker.map_or_else(|| QueueLedger::unserved(queue), |(worker, sink)| worker.ledger(sink));
            row.with_verdicts(counts)
        })
        .collect();
    if rows.is_empty() {
        // The program's counters could not be read.
        rows.extend(workers().map(|(worker, sink)| worker.ledger(sink)));
    }
    if verdicts.other_queues.iter().any(|&count| count != 0) {
        let next = QueueId(u32::try_from(verdicts.queues.len()).unwrap_or(u32::MAX));
        rows.push(QueueLedger::unserved(next).with_verdicts(&verdicts.other_queues));
    }
    rows
}

/// `--strict` takes the fall-back away from the automatic choice.
fn mode_request(capture: &CaptureSettings) -> AttachModeRequest {
    match (capture.mode, capture.strict) {
        (XdpModeOption::Auto, false) => AttachModeRequest::Auto,
        (XdpModeOption::Auto, true) | (XdpModeOption::Native, _) => AttachModeRequest::Native,
        (XdpModeOption::Generic, _) => AttachModeRequest::Generic,
    }
}

/// Says what runs where: the line that tells a reader that the capture has begun.
fn announce(nic: &Nic, mode: AttachMode, workers: &[RunningWorker], zero_copy: bool) {
    for worker in workers {
        let RunningWorker { counters, cpu, copy_mode, .. } = worker;
        info!("queue {}: worker on processor {cpu}, AF_XDP in {} mode", counters.queue, copy_mode.name());
    }
    if let Some(warning) = mtu_warning(nic, zero_copy) {
        warn!("{warning}");
    }
    info!("capturing on {} ({mode} XDP, {} queue(s), MTU {})", nic.name, workers.len(), nic.mtu);
}

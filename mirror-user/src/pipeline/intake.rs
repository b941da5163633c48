//! The intake of a capture: the XDP program on the interface, and a watch on both.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::addresses::OwnAddresses;
use super::build;
use super::error::PipelineError;
use super::link::{Link, LinkLost, News, mtu_warning};
use super::served::Served;
use super::workers::{RunningWorker, WorkerSocket};
use crate::config::Config;
use crate::error::chain;
use crate::nic::Nic;
use crate::nic::meter::NicMeter;
use crate::number::QueueId;
use crate::rules::Rules;
use crate::snapshot::InterfaceSnapshot;
use crate::xdp::queue::QueueEntry;
use crate::xdp::{AttachMode, AttachModeRequest, Program, Verdicts};
use crate::xsk::CopyMode;

/// Interval between looks at the interface and the counters.
const LOOK: Duration = Duration::from_millis(500);
/// Interval between readings of the driver's own counters: with some drivers they are a question to the device.
const READ_DRIVER: Duration = Duration::from_secs(10);

/// The XDP program, loaded for an interface, and not attached yet.
pub(super) struct Intake {
    program: Program,
    addresses: Option<OwnAddresses>,
    nic: Nic,
    request: AttachModeRequest,
}

/// The XDP program on its interface. Dropped, it is detached.
pub(super) struct AttachedIntake {
    program: Program,
    addresses: Option<OwnAddresses>,
    link: Link,
    meter: NicMeter,
    served: Served,
    mode: AttachMode,
    looked: Instant,
    driver_read: Instant,
    notes: Vec<String>,
}

impl Intake {
    /// Loads the program, and tells it the interface's addresses.
    ///
    /// # Errors
    ///
    /// When the kernel does not take it.
    pub(super) fn load(config: &Config, rules: &Rules, nic: Nic) -> Result<Self, PipelineError> {
        let capture = &config.capture;
        let mut program = Program::load(&build::program_options(config, rules, nic.queues))?;
        let addresses = match capture.any_destination {
            true => None,
            false => Some(OwnAddresses::tell(&mut program, &nic.name)?),
        };
        if capture.allowed_sources.as_ref().is_some_and(Vec::is_empty) {
            warn!("allowed_sources is an empty list: every tunnel packet is dropped");
        }
        // `--strict` takes the fall-back away from the automatic choice.
        let request = match (capture.mode, capture.strict) {
            (AttachModeRequest::Auto, true) => AttachModeRequest::Native,
            (mode, _) => mode,
        };
        Ok(Self { program, addresses, nic, request })
    }

    /// The program, to be attached by the caller.
    pub(super) fn into_program(self) -> Program {
        self.program
    }

    /// The way from the program to the socket of a queue.
    ///
    /// # Errors
    ///
    /// When the program's maps cannot be used.
    pub(super) fn entry(&self, queue: QueueId) -> Result<QueueEntry, PipelineError> {
        Ok(self.program.queue_entry(queue)?)
    }

    /// Attaches the program: from now on packets arrive at the `workers`.
    ///
    /// # Errors
    ///
    /// When the interface does not take it, or cannot be watched.
    pub(super) fn attach(self, workers: &[RunningWorker]) -> Result<AttachedIntake, PipelineError> {
        let Self { mut program, addresses, nic, request } = self;
        let meter = NicMeter::start(&nic.name);
        let attached = program.attach(&nic.name, request)?;
        let looked = Instant::now();
        let sockets = || workers.iter().filter_map(|worker| worker.socket.as_ref());
        let zero_copy = sockets().any(|socket| socket.copy_mode == CopyMode::ZeroCopy);
        let link = Link::watch(nic, program.id()?, zero_copy)
            .map_err(|source| PipelineError::System { what: "watch the interface", source })?;
        if let Some(reason) = &attached.fallback {
            warn!("generic XDP instead of native, which is slower: {}", chain(reason));
        }
        let intake = AttachedIntake {
            program,
            addresses,
            link,
            meter,
            served: Served::default(),
            mode: attached.mode,
            looked,
            driver_read: looked,
            notes: Vec::new(),
        };
        intake.announce(workers, zero_copy);
        Ok(intake)
    }
}

impl AttachedIntake {
    /// Says what runs where: the lines that tell a reader that the capture has begun.
    fn announce(&self, workers: &[RunningWorker], zero_copy: bool) {
        for worker in workers {
            if let Some(WorkerSocket { cpu, copy_mode, .. }) = &worker.socket {
                info!(
                    "queue {}: worker on CPU {cpu}, AF_XDP in {} mode",
                    worker.counters.queue,
                    copy_mode.name()
                );
            }
        }
        let nic = self.link.nic();
        if let Some(warning) = mtu_warning(nic, zero_copy) {
            warn!("{warning}");
        }
        info!("capturing on {} ({} XDP, {} queue(s), MTU {})", nic.name, self.mode, workers.len(), nic.mtu);
    }

    /// Looks after the interface, its addresses and the program's log.
    ///
    /// # Errors
    ///
    /// The reason why the capture cannot go on.
    pub(super) fn watch(&mut self, workers: &[RunningWorker]) -> Result<(), PipelineError> {
        self.program.flush_log();
        if let Err(error) = self.look_if_due(workers) {
            if let PipelineError::Link(LinkLost::Detached { .. } | LinkLost::Replaced { .. }) = &error {
                self.notes.push("packets since the program was detached are in no counter".to_owned());
            }
            return Err(error);
        }
        if let Some(addresses) = &mut self.addresses {
            addresses.follow(&mut self.program);
        }
        Ok(())
    }

    fn look_if_due(&mut self, workers: &[RunningWorker]) -> Result<(), PipelineError> {
        let is_news = self.link.has_news()?;
        if is_news || self.looked.elapsed() >= LOOK {
            self.look(workers)?;
        }
        Ok(())
    }

    fn look(&mut self, workers: &[RunningWorker]) -> Result<(), PipelineError> {
        let News { queues_were_added, was_reset } = self.link.look()?;
        if was_reset {
            warn!("{} may have been reset: sockets in zero-copy mode are made again", self.link.nic().name);
            let sockets = workers.iter().filter_map(|worker| worker.socket.as_ref());
            for socket in sockets.filter(|socket| socket.copy_mode == CopyMode::ZeroCopy) {
                socket.rebind_request.store(true, Ordering::Relaxed);
            }
        }
        let is_due = self.looked.elapsed() >= LOOK;
        if !queues_were_added && !is_due {
            return Ok(());
        }
        let came = self.read_received();
        let name = &self.link.nic().name;
        let verdicts = self.program.verdicts()?;
        // In generic mode the program sees packets that were merged before.
        if queues_were_added && self.mode == AttachMode::Native {
            self.served.queues_were_added(came, &verdicts);
        }
        if is_due {
            self.looked = Instant::now();
            self.served.look(&verdicts, workers, name);
            self.served.compare(came, &verdicts, name);
            if self.driver_read.elapsed() >= READ_DRIVER {
                self.driver_read = Instant::now();
                self.meter.read_driver(name);
            }
        }
        Ok(())
    }

    /// Packets that the interface has received so far.
    fn read_received(&mut self) -> u64 {
        self.meter.read_interface(&self.link.nic().name);
        self.meter.interface().counters.get("rx_packets").copied().unwrap_or(0)
    }

    /// Packets by the program's verdict so far.
    ///
    /// # Errors
    ///
    /// When its counters cannot be read.
    pub(super) fn verdicts(&self) -> Result<Verdicts, PipelineError> {
        Ok(self.program.verdicts()?)
    }

    /// Detaches the program: nothing arrives any more.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. The program goes with this process in any case.
    pub(super) fn detach(&mut self) -> Result<(), PipelineError> {
        let came = self.read_received();
        // Where the counters cannot be read, the ledger says so.
        if let Ok(verdicts) = self.program.verdicts() {
            self.served.compare(came, &verdicts, &self.link.nic().name);
        }
        Ok(self.program.detach()?)
    }

    /// Reads the last counters of the interface and the last lines of the program's log.
    pub(super) fn finish(&mut self) {
        self.program.flush_log();
        let name = &self.link.nic().name;
        self.meter.read_interface(name);
        self.meter.read_driver(name);
    }

    /// Counters of the interface, as they were read last.
    pub(super) fn snapshot(&self) -> InterfaceSnapshot {
        let nic = self.link.nic();
        InterfaceSnapshot {
            name: nic.name.clone(),
            driver: nic.driver.clone(),
            xdp_mode: Some(self.mode),
            counters: self.meter.interface().clone(),
            driver_counters: self.meter.driver().clone(),
            unseen: self.served.unseen(),
            notes: self.notes.clone(),
        }
    }
}

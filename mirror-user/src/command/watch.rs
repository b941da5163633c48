//! Watching a capture while it runs, until there is a reason to end it.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::ledger::NicFacts;
use crate::nic::meter::NicMeter;
use crate::pipeline::RunError;
use crate::pipeline::addresses::OwnAddresses;
use crate::pipeline::link::{Link, News};
use crate::pipeline::served::Served;
use crate::pipeline::workers::RunningWorker;
use crate::shutdown::Shutdown;
use crate::sink::Sinks;
use crate::xdp::{AttachMode, Program};
use crate::xsk::CopyMode;

/// Interval at which the watching thread wakes up.
const WAKE: Duration = Duration::from_millis(50);
/// Interval between looks at the interface and the counters.
const LOOK: Duration = Duration::from_millis(500);
/// Interval between readings of the driver's own counters: with some drivers they are a question to the device.
const READ_DRIVER: Duration = Duration::from_secs(10);

/// Watches over the parts of a capture.
pub(crate) struct Watch {
    link: Link,
    meter: NicMeter,
    served: Served,
    mode: AttachMode,
    addresses: Option<OwnAddresses>,
    looked: Instant,
    driver_read: Instant,
}

impl Watch {
    /// A watch on `link`, whose counters `meter` reads, and to which the program is attached in `mode`; it takes packets to
    /// `addresses`, or to all.
    pub(crate) fn new(
        link: Link,
        meter: NicMeter,
        mode: AttachMode,
        addresses: Option<OwnAddresses>,
    ) -> Self {
        let now = Instant::now();
        Self { link, meter, served: Served::default(), mode, addresses, looked: now, driver_read: now }
    }

    /// Waits for the end: a signal or a closed output, which are as they should be; or the reason why the capture cannot go
    /// on. Rates are logged every `stats_interval`.
    ///
    /// # Errors
    ///
    /// That reason. Of a worker or a sink that has ended, it comes with it.
    pub(crate) fn wait(
        &mut self,
        program: &mut Program,
        workers: &[RunningWorker],
        sinks: &Sinks,
        stats_interval: Option<Duration>,
        shutdown: &Shutdown,
    ) -> Result<(), RunError> {
        let mut rates = Rates::new(workers, sinks);
        while !shutdown.requested() {
            thread::sleep(WAKE);
            program.flush_log();
            let is_news = self.link.has_news()?;
            if is_news || self.looked.elapsed() >= LOOK {
                self.look(program, workers)?;
            }
            if let Some(addresses) = &mut self.addresses {
                addresses.follow(program);
            }
            // After the link, which may well be the reason.
            if let Some(worker) = workers.iter().find(|worker| worker.has_ended() || worker.has_panicked()) {
                error!("the worker of queue {} has stopped; the capture ends", worker.counters.queue);
                return Ok(());
            }
            if sinks.counters().panicked() {
                return Ok(()); // It was said by the thread itself.
            }
            if sinks.counters().closed() {
                info!("nobody reads standard output any more");
                return Ok(());
            }
            if stats_interval.is_some_and(|interval| rates.since.elapsed() >= interval) {
                rates = rates.log(workers, sinks);
            }
        }
        Ok(())
    }

    fn look(&mut self, program: &Program, workers: &[RunningWorker]) -> Result<(), RunError> {
        let News { queues_were_added, was_reset } = self.link.look()?;
        if was_reset {
            warn!("{} may have been reset: sockets in zero-copy mode are made again", self.link.nic().name);
            for worker in workers.iter().filter(|worker| worker.copy_mode == CopyMode::ZeroCopy) {
                worker.demand.store(true, Ordering::Relaxed);
            }
        }
        let is_due = self.looked.elapsed() >= LOOK;
        if !queues_were_added && !is_due {
            return Ok(());
        }
        let came = self.read_received();
        let name = &self.link.nic().name;
        let verdicts = program.verdicts()?;
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

    /// Looks once more, at the end: to be called before the program is detached.
    pub(crate) fn look_last(&mut self, program: &Program) {
        let came = self.read_received();
        // Where the counters cannot be read, the ledger says so.
        if let Ok(verdicts) = program.verdicts() {
            self.served.compare(came, &verdicts, &self.link.nic().name);
        }
    }

    /// The name of the interface now, and what it has counted.
    pub(crate) fn finish(mut self) -> (String, NicFacts) {
        let nic = self.link.nic();
        self.meter.read_interface(&nic.name);
        self.meter.read_driver(&nic.name);
        let facts = NicFacts {
            driver: nic.driver.clone(),
            counters: self.meter.interface().clone(),
            driver_counters: self.meter.driver().clone(),
            unseen: self.served.unseen(),
            notes: Vec::new(),
        };
        (nic.name.clone(), facts)
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

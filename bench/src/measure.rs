//! One measurement: traffic from the near end, a receiver at the far end, and what both counted.

use std::time::{Duration, Instant};
use std::{fs, io, thread};

use mirror_testkit::generator::interface::{Interface, InterfaceError};
use mirror_testkit::generator::{self, GenerateError, Settings, Source};
use mirror_testkit::interrupt::{Interrupt, Interrupted};
use mirror_testkit::namespace::NamespaceError;
use mirror_testkit::processors::{Processors, TooFew};
use mirror_testkit::traffic::{Profile, ProfileError, Traffic};
use mirror_testkit::veth::{VethOptions, VethPair};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::receiver::{Counts, Ended, Receiver, ReceiverError, ReceiverKind, WORKER};

/// Bytes of an Ethernet header, which an MTU does not count.
const ETHERNET_HEADER: usize = 14;
/// Least MTU of the cable.
const LEAST_MTU: usize = 1500;
/// Time without new packets after which no more come, where some of those sent have not: they were lost, or a machine that does
/// other things has not come to them.
const QUIET: Duration = Duration::from_millis(100);
/// Time limit for the traffic to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two queries of a receiver.
const POLL: Duration = Duration::from_millis(5);

/// Nothing could be measured.
#[derive(Debug, Error)]
pub enum MeasureError {
    /// There is one processor only.
    #[error(transparent)]
    TooFew(#[from] TooFew),
    /// The user interrupted the measurement.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The traffic contradicts itself.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// There is no testbed.
    #[error(transparent)]
    Testbed(#[from] NamespaceError),
    /// The sending interface is not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// There is no memory for the latencies.
    #[error("no histogram for the latencies")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// The generator failed.
    #[error(transparent)]
    Generate(Box<GenerateError>),
    /// The receiver failed.
    #[error(transparent)]
    Receiver(Box<ReceiverError>),
    /// Packets are missing in the pipeline's account, so that what it delivered is not known.
    #[error("the pipeline's ledger does not balance, so its figures are worth nothing: {}", .0.join(", "))]
    Unbalanced(Vec<String>),
}

impl From<GenerateError> for MeasureError {
    fn from(error: GenerateError) -> Self {
        Self::Generate(Box::new(error))
    }
}

impl From<ReceiverError> for MeasureError {
    fn from(error: ReceiverError) -> Self {
        Self::Receiver(Box::new(error))
    }
}

/// A cable, and the traffic that goes over it.
#[derive(Debug)]
pub struct Harness {
    bed: VethPair,
    processors: Processors,
    traffic: Traffic,
    interface: Interface,
    interrupt: Interrupt,
}

/// The traffic of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Packets per second; as fast as possible without it.
    pub rate: Option<u64>,
    /// Its duration.
    pub duration: Duration,
}

/// The counts of generator and receiver over the same time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Packets that the generator handed to the kernel.
    pub offered: u64,
    /// Packets among them that the cable refused.
    pub refused: u64,
    /// Packets that the receiver took.
    pub received: u64,
    /// Packets that it processed completely. For the pipeline, those that end in a record, by the ledger of the whole run.
    pub delivered: u64,
    /// Packets in records that the sink wrote meanwhile, also of packets that came before; for the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<u64>,
    /// Packets in flows that were open at the end, or in records that were not written yet; for the pipeline. Their records were
    /// written when it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<u64>,
    /// Seconds from the first packet to the last.
    pub seconds: f64,
    /// Processor time of the worker: busy or looking for packets.
    pub worker_seconds: f64,
    /// Processor time of the sink's threads.
    pub sink_seconds: f64,
    /// User-space nanoseconds per packet, in batches that were not empty; for the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds_per_packet: Option<f64>,
    /// Packets that the worker found at a time; for the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets_per_batch: Option<f64>,
}

impl Measured {
    /// Packets per second that were offered.
    pub fn offered_rate(&self) -> f64 {
        rate(self.offered, self.seconds)
    }

    /// Packets per second that were delivered.
    pub fn delivered_rate(&self) -> f64 {
        rate(self.delivered, self.seconds)
    }

    /// Nanoseconds for each packet that the cable took, on the processor of the generator and the kernel's receive path. As long as
    /// the generator is not paced, all its time goes there.
    pub fn nanoseconds_at_the_kernel(&self) -> f64 {
        rate(1, (self.offered - self.refused) as f64) * self.seconds * 1e9
    }

    /// Processor time of worker and sink for each packet that was delivered, in nanoseconds.
    pub fn processor_nanoseconds(&self) -> f64 {
        (self.worker_seconds + self.sink_seconds) * 1e9 / self.delivered.max(1) as f64
    }

    /// The part of the offered packets that was lost on the way.
    pub fn loss(&self) -> f64 {
        rate(self.offered.saturating_sub(self.delivered), self.offered as f64)
    }
}

fn rate(packets: u64, over: f64) -> f64 {
    if over > 0.0 { packets as f64 / over } else { 0.0 }
}

impl Harness {
    /// Lays a cable that `profile` fits through.
    ///
    /// # Errors
    ///
    /// When the profile contradicts itself, or the process may not make a testbed.
    pub fn new(
        profile: &Profile,
        processors: Processors,
        interrupt: &Interrupt,
    ) -> Result<Self, MeasureError> {
        let traffic = Traffic::new(profile)?;
        let mtu = traffic.longest_frame().saturating_sub(ETHERNET_HEADER).max(LEAST_MTU);
        let bed = VethPair::new(VethOptions { mtu: u32::try_from(mtu).unwrap_or(u32::MAX), queues: 1 })?;
        let interface = bed.sender.enter(|| Interface::new(VethPair::SENDING))??;
        Ok(Self { bed, processors, traffic, interface, interrupt: interrupt.clone() })
    }

    /// The cable.
    pub fn bed(&self) -> &VethPair {
        &self.bed
    }

    /// The processors of generator and worker.
    pub fn processors(&self) -> Processors {
        self.processors
    }

    /// Starts a receiver.
    ///
    /// # Errors
    ///
    /// When it cannot start.
    pub fn start(&self, kind: &ReceiverKind) -> Result<Session<'_>, MeasureError> {
        self.interrupt.check()?;
        let receiver = kind.start(&self.bed, self.processors)?;
        Ok(Session { harness: self, receiver })
    }

    /// Starts a receiver, lets `warm_up` pass, measures, and stops it.
    ///
    /// # Errors
    ///
    /// When the receiver cannot start, or traffic cannot be sent.
    pub fn measure(
        &self,
        kind: &ReceiverKind,
        warm_up: Duration,
        load: Load,
    ) -> Result<(Measured, Ended), MeasureError> {
        let session = self.start(kind)?;
        session.send(Load { duration: warm_up, ..load })?;
        let mut measured = session.send(load)?;
        let settled = session.counts()?;
        let ended = session.stop()?;
        if let Some(ledger) = &ended.ledger {
            if !ledger.balanced {
                let dropped = ledger.dropped.iter().map(|(reason, packets)| format!("{reason} {packets}"));
                return Err(MeasureError::Unbalanced(dropped.collect()));
            }
            // Only what is in a record at last was delivered.
            measured.open = settled.recorded.map(|recorded| ended.counts.delivered.saturating_sub(recorded));
            let lost = settled.delivered.saturating_sub(ended.counts.delivered);
            measured.delivered = measured.delivered.saturating_sub(lost);
        }
        Ok((measured, ended))
    }

    /// Sends, and returns the report.
    ///
    /// # Errors
    ///
    /// When nothing can be sent, or the user interrupted it.
    pub fn send(&self, load: Load) -> Result<generator::report::Report, MeasureError> {
        self.interrupt.check()?;
        let settings = Settings {
            source: if self.traffic.longest_frame() > generator::live::LONGEST_FRAME {
                Source::Socket
            } else {
                Source::Live
            },
            packets: None,
            duration: Some(load.duration),
            rate: load.rate,
            cpu: Some(self.processors.generator),
        };
        let send = || generator::send(&self.traffic, &self.interface, &settings, self.interrupt.flag());
        let report = self.bed.sender.enter(send)??;
        self.interrupt.check()?;
        Ok(report)
    }
}

/// A receiver that runs.
pub struct Session<'harness> {
    harness: &'harness Harness,
    receiver: Box<dyn Receiver>,
}

impl Session<'_> {
    /// Sends, waits until everything has arrived, and returns the counts.
    ///
    /// # Errors
    ///
    /// When nothing can be sent, or counters cannot be read.
    pub fn send(&self, load: Load) -> Result<Measured, MeasureError> {
        let before = (self.receiver.counts()?, ThreadTimes::read());
        let report = self.harness.send(load)?;
        let threads = ThreadTimes::read();
        let counts = self.settled(before.0.received + report.sent)?;
        let busy = counts.busy.since(before.0.busy);
        Ok(Measured {
            offered: report.offered,
            refused: report.refused,
            received: counts.received - before.0.received,
            delivered: counts.delivered - before.0.delivered,
            recorded: counts.recorded.zip(before.0.recorded).map(|(now, before)| now - before),
            open: None,
            seconds: report.seconds,
            worker_seconds: threads.worker - before.1.worker,
            sink_seconds: threads.sink - before.1.sink,
            nanoseconds_per_packet: busy.nanoseconds_per_packet(),
            packets_per_batch: busy.packets_per_batch(),
        })
    }

    /// The receiver's counters so far.
    ///
    /// # Errors
    ///
    /// When counters cannot be read.
    pub fn counts(&self) -> Result<Counts, MeasureError> {
        Ok(self.receiver.counts()?)
    }

    /// The receiver's counters once it has received as many packets as were `sent` to it, or nothing arrives any more. Records
    /// may go on being made, of flows that end now.
    ///
    /// # Errors
    ///
    /// When counters cannot be read.
    pub fn settled(&self, sent: u64) -> Result<Counts, MeasureError> {
        let deadline = Instant::now() + PATIENCE;
        let (mut counts, mut since) = (self.counts()?, Instant::now());
        while counts.received < sent && since.elapsed() < QUIET && Instant::now() < deadline {
            thread::sleep(POLL);
            let now = self.counts()?;
            if now.received != counts.received {
                since = Instant::now();
            }
            counts = now;
        }
        Ok(counts)
    }

    /// Stops the receiver.
    ///
    /// # Errors
    ///
    /// When it has failed.
    pub fn stop(self) -> Result<Ended, MeasureError> {
        Ok(self.receiver.stop()?)
    }
}

/// Processor time of this process's threads so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct ThreadTimes {
    worker: f64,
    sink: f64,
}

impl ThreadTimes {
    /// Reads it from `/proc`; threads that end meanwhile are left out.
    fn read() -> Self {
        let mut times = Self::default();
        for (name, seconds) in thread_times("/proc/self/task").unwrap_or_default() {
            if name == WORKER {
                times.worker += seconds;
            } else if name.starts_with("sink-") {
                times.sink += seconds;
            }
        }
        times
    }
}

/// Name and processor time in seconds of each thread in the directory `tasks`.
///
/// # Errors
///
/// When the directory cannot be read.
pub(crate) fn thread_times(tasks: &str) -> io::Result<Vec<(String, f64)>> {
    let mut times = Vec::new();
    for entry in fs::read_dir(tasks)? {
        let path = entry?.path();
        let read = |file| fs::read_to_string(path.join(file)).ok();
        let Some((name, statistics)) = read("comm").zip(read("schedstat")) else { continue };
        // The first number is the time on a processor in nanoseconds (Documentation/scheduler/sched-stats.rst).
        let nanoseconds: Option<f64> = statistics.split(' ').next().and_then(|number| number.parse().ok());
        times.push((name.trim().to_owned(), nanoseconds.unwrap_or(0.0) / 1e9));
    }
    Ok(times)
}

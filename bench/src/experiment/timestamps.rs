//! Error of timestamps that are worked out from those of some packets (`--timestamps batched`).
//!
//! The XDP program stamps every packet, and the socket hides the stamps of those that would have none: the times that it works out
//! for them are compared with the stamps. Everything else is as in the daemon: the batches, the waiting, and the choice of how many
//! packets are stamped.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use mirror_testkit::processors::pin;
use mirror_testkit::traffic::Profile;
use mirror_testkit::veth::VethPair;
use mirror_user::config::CaptureConfig;
use mirror_user::number::QueueId;
use mirror_user::pipeline::PipelineError;
use mirror_user::source::{FrameSource, Received};
use mirror_user::xdp::{AttachModeRequest, Program, ProgramConfig};
use mirror_user::xsk::arrival::Witness;
use mirror_user::xsk::{CopyMode, XskConfig, XskSource};
use serde::{Deserialize, Serialize};

use super::{Setting, TrafficFacts, millions};
use crate::measure::{Harness, Load, MeasureError};
use crate::receiver::ReceiverError;

/// Packets per second at which the error is measured; none for as many as the generator can send.
pub const RATES: [Option<u64>; 4] = [Some(1_000), Some(50_000), Some(1_000_000), None];

/// The error of worked-out timestamps at several rates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimestampErrors {
    /// The traffic.
    pub traffic: TrafficFacts,
    /// One for each rate and way to wait.
    pub errors: Vec<TimestampError>,
}

/// The error at one rate; times in nanoseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimestampError {
    /// Packets per second that were offered, in millions.
    pub offered: f64,
    /// The worker spins on an empty ring; otherwise it sleeps for set times.
    pub spins: bool,
    /// Packets that were compared.
    pub packets: u64,
    /// Share of packets that were stamped.
    pub stamped: f64,
    /// The median of the error, over all packets.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The greatest.
    pub max: u64,
    /// Packets with an earlier time than the one before.
    pub out_of_order: u64,
}

impl TimestampErrors {
    /// Measures for `duration` at each of [`RATES`].
    ///
    /// # Errors
    ///
    /// When nothing can be measured.
    pub fn measure(setting: &Setting, profile: &Profile, duration: Duration) -> Result<Self, MeasureError> {
        let harness = Harness::new(profile, setting.processors, &setting.interrupt)?;
        let mut errors = Vec::new();
        for rate in RATES {
            for spins in [false, true] {
                setting.progress.set_message(format!("timestamps, {rate:?} packets/s"));
                errors.push(measure_one(&harness, Load { rate, duration }, spins)?);
                setting.progress.inc(1);
            }
        }
        Ok(Self { traffic: profile.into(), errors })
    }
}

/// Measurements that [`TimestampErrors::measure`] takes.
pub const STEPS: usize = 2 * RATES.len();

/// Measures under one load.
fn measure_one(harness: &Harness, load: Load, spins: bool) -> Result<TimestampError, MeasureError> {
    let failed = |error: PipelineError| ReceiverError::from(error);
    let bed = harness.bed();
    let capture = CaptureConfig::default();
    let config = XskConfig {
        rx_ring: capture.rx_ring,
        frames: capture.frames(),
        copy_mode: CopyMode::Copy,
        huge_pages: false,
        busy_poll: None,
        spin: spins,
    };
    let comparison = Arc::new(Mutex::new(Comparison::new()?));
    let mut program = Program::load(&ProgramConfig::default()).map_err(|error| failed(error.into()))?;
    let source = bed
        .receiver
        .enter(|| {
            crate::receiver::until_socket_is_free(|| {
                XskSource::open(VethPair::RECEIVING, QueueId(0), &config)
            })
        })?
        .map_err(|error| failed(error.into()))?
        .with_witness(Box::new(Shared(Arc::clone(&comparison))));
    program.set_socket(QueueId(0), &source).map_err(|error| failed(error.into()))?;
    let attach = || program.attach(VethPair::RECEIVING, AttachModeRequest::Native);
    bed.receiver.enter(attach)?.map_err(|error| failed(error.into()))?;
    let stop = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let worker = scope.spawn(|| receive(source, harness.processors().worker, &stop));
        // The first packets find the interval.
        let warm_up = Load { duration: load.duration / 4, ..load };
        let sent = harness.send(warm_up).and_then(|_| {
            lock(&comparison).start();
            harness.send(load)
        });
        thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        let received = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        received.map_err(|source| MeasureError::from(ReceiverError::Socket { source }))?;
        sent
    })?;
    let comparison = lock(&comparison);
    Ok(TimestampError {
        offered: millions(sent.offered as f64 / sent.seconds),
        spins,
        packets: comparison.errors.len(),
        stamped: comparison.stamped as f64 / comparison.errors.len().max(1) as f64,
        p50: comparison.errors.value_at_quantile(0.5),
        p99: comparison.errors.value_at_quantile(0.99),
        max: comparison.errors.max(),
        out_of_order: comparison.out_of_order,
    })
}

/// Receives and recycles until it is to stop.
fn receive(mut source: XskSource, processor: usize, stop: &AtomicBool) -> std::io::Result<()> {
    let _ = pin(processor); // was checked when it was chosen
    while !stop.load(Ordering::Relaxed) {
        if matches!(source.receive()?, Received::Frames(_)) {
            source.release();
        }
    }
    Ok(())
}

/// Stamps, and how far the times are from them that were worked out.
struct Comparison {
    stamps: Vec<u64>,
    /// Packets so far.
    count: u64,
    errors: Histogram<u64>,
    stamped: u64,
    last: u64,
    out_of_order: u64,
}

impl Comparison {
    fn new() -> Result<Self, MeasureError> {
        let errors = Histogram::new(3)?;
        Ok(Self { stamps: Vec::new(), count: 0, errors, stamped: 0, last: 0, out_of_order: 0 })
    }

    /// Forgets what was compared so far.
    fn start(&mut self) {
        self.errors.reset();
        (self.stamped, self.out_of_order) = (0, 0);
    }
}

/// A witness whose findings others can read.
struct Shared(Arc<Mutex<Comparison>>);

impl Witness for Shared {
    fn hide(&mut self, times: &mut [u64], interval: u64) {
        let mut comparison = lock(&self.0);
        comparison.stamps.clear();
        for time in times {
            comparison.stamps.push(*time);
            if comparison.count.is_multiple_of(interval) {
                comparison.stamped += 1;
            } else {
                *time = 0;
            }
            comparison.count += 1;
        }
    }

    fn compare(&mut self, times: &[u64]) {
        let comparison = &mut *lock(&self.0);
        for (time, stamp) in times.iter().zip(&comparison.stamps) {
            // An error of hours would still be one.
            comparison.errors.saturating_record(time.abs_diff(*stamp));
            comparison.out_of_order += u64::from(*time < comparison.last);
            comparison.last = *time;
        }
    }
}

fn lock(comparison: &Mutex<Comparison>) -> std::sync::MutexGuard<'_, Comparison> {
    comparison.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for TimestampErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { traffic, errors } = self;
        write!(formatter, "{traffic}; error of receive times in microseconds")?;
        write!(
            formatter,
            "\n  {:>12} {:<8} {:>9} {:>8} {:>8} {:>8}",
            "offered Mpps", "worker", "stamped", "p50", "p99", "max"
        )?;
        for error in errors {
            let TimestampError { offered, spins, stamped, p50, p99, max, .. } = error;
            let worker = if *spins { "spins" } else { "sleeps" };
            let [p50, p99, max] = [p50, p99, max].map(|&nanoseconds| nanoseconds as f64 / 1e3);
            write!(
                formatter,
                "\n  {offered:>12.3} {worker:<8} {:>7.1} % {p50:>8.1} {p99:>8.1} {max:>8.1}",
                stamped * 100.0
            )?;
            if error.out_of_order > 0 {
                write!(formatter, "  {} packets out of order", error.out_of_order)?;
            }
        }
        Ok(())
    }
}

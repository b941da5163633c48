//! The speed of two workers side by side, compared with two loops that only compute: the loss of those is the
//! machine's.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;

use mirror_testkit::processors::{Processors, pin};
use serde::{Deserialize, Serialize};

use super::setup::{traffic, worker};
use super::synthetic::Synthetic;
use super::time::Amount;
use super::{MicroError, Observer};
use crate::receiver::Records;
use crate::receiver::meter::{Busy, Meter};
use crate::receiver::tsc::ticks;
use crate::statistics::Summary;

/// Flows of each worker.
const FLOWS: u64 = 64_000;
/// Rounds of the compute loop that take about as long as a packet.
const ROUNDS_PER_PACKET: u64 = 64;

/// The speed of two threads side by side, as a part of their speeds alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scaling {
    /// Two loops that only compute.
    pub compute: Summary,
    /// Two workers, each with its own queue, flow table and sink.
    pub workers: Summary,
    /// The workers' part divided by that of the loops measured right before them.
    pub ratio: Summary,
}

/// Measures it with so many packets for each worker.
pub(super) fn measure(
    observer: &Observer,
    processors: Processors,
    amount: Amount,
) -> Result<Scaling, MicroError> {
    let Amount { packets, runs } = amount;
    let processors = [processors.generator, processors.worker];
    let work = || pipeline(packets);
    let (mut loops, mut workers) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        observer.interrupt.check()?;
        observer.progress.set_message("two workers side by side");
        loops.push(side_by_side(processors, &|| Ok(compute(packets)))?);
        workers.push(side_by_side(processors, &work)?);
        observer.progress.inc(1);
    }
    let ratios = workers.iter().zip(&loops).map(|(workers, loops)| workers / loops);
    Ok(Scaling {
        ratio: Summary::of(ratios).unwrap_or_default(),
        compute: Summary::of(loops).unwrap_or_default(),
        workers: Summary::of(workers).unwrap_or_default(),
    })
}

/// Work that says how many nanoseconds its items took.
type Work<'a> = &'a (dyn Fn() -> Result<f64, MicroError> + Sync);

/// The speed of `work` on both processors at once, as a part of its speed on each alone.
fn side_by_side(processors: [usize; 2], work: Work<'_>) -> Result<f64, MicroError> {
    let [first, second] = processors;
    let alone = [on(&[first], work)?, on(&[second], work)?];
    let together = on(&processors, work)?;
    let speed = |times: &[f64]| times.iter().map(|time| 1.0 / time).sum::<f64>();
    Ok(speed(&together) / speed(&alone.concat()))
}

/// Does `work` on each of the processors at the same time.
fn on(processors: &[usize], work: Work<'_>) -> Result<Vec<f64>, MicroError> {
    let barrier = Barrier::new(processors.len());
    thread::scope(|scope| {
        let start = |&processor| {
            let barrier = &barrier;
            scope.spawn(move || {
                let _ = pin(processor); // was checked when it was chosen
                barrier.wait();
                work()
            })
        };
        let threads: Vec<_> = processors.iter().map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Nanoseconds per packet of a worker on synthetic traffic.
fn pipeline(packets: u64) -> Result<f64, MicroError> {
    let meter = Arc::new(Meter::default());
    let source = Synthetic::new(&traffic(FLOWS)?, FLOWS, FLOWS + packets, Arc::clone(&meter));
    let (worker, sinks) = worker(source, Records::Flow, 64)?;
    worker.run(|| false).1?;
    sinks.join().map_err(MicroError::Output)?;
    Ok(meter.read().nanoseconds_per_packet().unwrap_or_default())
}

/// Nanoseconds per item of a loop that touches no memory.
fn compute(items: u64) -> f64 {
    let start = ticks();
    let mut state = black_box(1_u64);
    for _ in 0..items * ROUNDS_PER_PACKET {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (state >> 29);
    }
    black_box(state);
    let busy = Busy { packets: items, batches: 1, ticks: ticks().wrapping_sub(start) };
    busy.nanoseconds_per_packet().unwrap_or_default()
}

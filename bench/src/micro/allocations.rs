//! Memory allocations in the steady state, of which the data path makes none.

use std::io;
use std::sync::Arc;

use mirror_testkit::allocations;
use mirror_user::counters::Counter;
use mirror_user::pipeline::{Observed, Observer};
use mirror_user::source::Received;
use serde::{Deserialize, Serialize};

use super::MicroError;
use super::setup::{traffic, worker};
use super::synthetic::Synthetic;
use crate::receiver::Records;

/// Allocations in a steady state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Allocations {
    /// Records that were made.
    pub records: Records,
    /// Packets that went through.
    pub packets: u64,
    /// Allocations of the worker in that time.
    pub worker: u64,
    /// Allocations of the sink's thread in that time.
    pub sink: u64,
}

/// Counts the allocations for `packets` packets of 1,000 flows, after as many that warm everything up; none where the
/// program does not run on the [`Counting`](allocations::Counting) allocator.
pub(super) fn measure(records: Records, packets: u64) -> Result<Option<Allocations>, MicroError> {
    if !allocations::are_counted() {
        return Ok(None);
    }
    let [worker_count, all] = [(); 2].map(|()| Arc::new(Counter::default()));
    let source = Synthetic::new(&traffic(1000)?, 0, 2 * packets, Arc::default());
    let watch = AllocationWatch {
        from: packets,
        handed_out: 0,
        start: None,
        worker: Arc::clone(&worker_count),
        all: Arc::clone(&all),
    };
    let source = Observed::new(source, watch);
    let (worker, sinks) = worker(source, records, 64)?;
    worker.run(|| false).1?;
    sinks.join().map_err(MicroError::Output)?;
    let worker = worker_count.get();
    Ok(Some(Allocations { records, packets, worker, sink: all.get() - worker }))
}

/// Notes how many allocations there were, from a packet on until the last one.
struct AllocationWatch {
    from: u64,
    /// Packets that were handed out.
    handed_out: u64,
    /// Allocations of the thread and of all, when it began.
    start: Option<[u64; 2]>,
    worker: Arc<Counter>,
    all: Arc<Counter>,
}

impl Observer for AllocationWatch {
    fn before_receive(&mut self) {
        let now = [allocations::own().allocations, allocations::all()];
        match self.start {
            Some([own, all]) => {
                self.worker.set(now[0] - own);
                self.all.set(now[1] - all);
            }
            None if self.handed_out >= self.from => self.start = Some(now),
            None => {}
        }
    }

    fn after_receive(&mut self, answer: &io::Result<Received>) {
        if let Ok(Received::Frames(count)) = answer {
            self.handed_out += *count as u64;
        }
    }
}

//! Memory allocations in the steady state, of which the data path makes none.

use std::io;
use std::sync::Arc;

use mirror_testkit::allocations;
use mirror_user::counters::Counter;
use mirror_user::source::{Frame, FrameSource, Received};
use mirror_user::time::Timestamp;
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
    let source = Watched {
        source: Synthetic::new(&traffic(1000)?, 0, 2 * packets, Arc::default()),
        from: packets,
        start: None,
        worker: Arc::clone(&worker_count),
        all: Arc::clone(&all),
    };
    let (worker, sinks) = worker(source, records, 64)?;
    worker.run(|| false).1?;
    sinks.join().map_err(MicroError::Output)?;
    let worker = worker_count.get();
    Ok(Some(Allocations { records, packets, worker, sink: all.get() - worker }))
}

/// Notes how many allocations there were, from a packet on until the last one.
struct Watched {
    source: Synthetic,
    from: u64,
    /// Allocations of the thread and of all, when it began.
    start: Option<[u64; 2]>,
    worker: Arc<Counter>,
    all: Arc<Counter>,
}

impl FrameSource for Watched {
    fn receive(&mut self) -> io::Result<Received> {
        let now = [allocations::own().allocations, allocations::all()];
        match self.start {
            Some([own, all]) => {
                self.worker.set(now[0] - own);
                self.all.set(now[1] - all);
            }
            None if self.source.handed_out() >= self.from => self.start = Some(now),
            None => {}
        }
        self.source.receive()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        self.source.frame(index)
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        self.source.append(index, from, bytes);
    }

    fn release(&mut self) {
        self.source.release();
    }

    fn now(&self) -> Option<Timestamp> {
        self.source.now()
    }
}

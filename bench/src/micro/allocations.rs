//! How often memory is allocated, which on the data path is never.
#![expect(unsafe_code, reason = "an allocator is unsafe by its nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mirror_user::counters::Counter;
use mirror_user::source::{Frame, FrameSource, Received};
use mirror_user::time::Timestamp;
use serde::Serialize;

use super::MicroError;
use super::setup::{traffic, worker};
use super::synthetic::Synthetic;
use crate::receiver::Records;

/// The system's allocator, with a count of what it is asked for. For `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// Allocations of all threads.
static ALL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Allocations of this thread.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALL.fetch_add(1, Ordering::Relaxed);
    OWN.set(OWN.get() + 1);
}

// SAFETY: everything is handed on to the system's allocator. Counting allocates nothing: the thread's counter is
// initialised at compile time and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that the system's allocator asks for; the same below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Allocations in a steady state.
#[derive(Clone, Debug, Serialize)]
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
/// program does not run on the [`Counting`] allocator.
pub(super) fn measure(records: Records, packets: u64) -> Result<Option<Allocations>, MicroError> {
    let before = OWN.get();
    drop(std::hint::black_box(Box::new(0)));
    if OWN.get() == before {
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
        let now = [OWN.get(), ALL.load(Ordering::Relaxed)];
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

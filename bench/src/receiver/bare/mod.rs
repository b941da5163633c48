//! Receive and recycle, nothing else: as many packets as AF_XDP can bring to user space.

mod rings;

use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use aya::maps::XskMap;
use mirror_testkit::processors::{Processors, pin};
use mirror_testkit::veth::VethPair;
use mirror_traffic::program::{REDIRECT_PROGRAM, SOCKETS_MAP};
use mirror_user::counters::Counter;

use self::rings::Rings;
use super::program::Program;
use super::{Counts, Ended, Receiver, ReceiverError, is_busy, until_free};

/// The running loop.
pub(super) struct Bare {
    program: Program,
    received: Arc<Counter>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Rings>>,
}

impl Bare {
    /// Starts the loop on its processor and lets packets in.
    pub fn start(bed: &VethPair, processors: Processors) -> Result<Self, ReceiverError> {
        let mut program = Program::load(bed, REDIRECT_PROGRAM)?;
        let index = program.interface();
        let opened = bed.receiver.enter(|| until_free(|| Rings::open(index), is_busy))?;
        let mut rings = opened.map_err(|source| ReceiverError::Socket { source })?;
        let mut sockets: XskMap<_> = program.map(SOCKETS_MAP)?;
        let set = sockets.set(0, rings.as_raw_fd(), 0);
        set.map_err(|source| ReceiverError::Map { name: SOCKETS_MAP, source })?;
        let received = Arc::new(Counter::default());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name(super::WORKER.to_owned())
            .spawn({
                let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
                move || {
                    let _ = pin(processors.worker); // was checked when it was chosen
                    loop {
                        match rings.recycle() {
                            0 if stop.load(Ordering::Relaxed) => return rings,
                            0 => std::hint::spin_loop(),
                            packets => received.add(packets),
                        }
                    }
                }
            })
            .map_err(|source| ReceiverError::Thread { source })?;
        let mut bare = Self { program, received, stop, thread: Some(thread) };
        bare.program.attach(bed)?;
        Ok(bare)
    }

    fn join(&mut self) -> Option<Rings> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take()?;
        Some(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Receiver for Bare {
    fn counts(&self) -> Result<Counts, ReceiverError> {
        let received = self.received.get();
        Ok(Counts { received, delivered: received, ..Counts::default() })
    }

    fn stop(mut self: Box<Self>) -> Result<Ended, ReceiverError> {
        self.program.detach();
        let rings = self.join();
        let dropped = rings.map_or(Ok(0), |rings| rings.dropped());
        let kernel_dropped = dropped.map_err(|source| ReceiverError::Socket { source })?;
        Ok(Ended { counts: self.counts()?, kernel_dropped, ..Ended::default() })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.join();
    }
}

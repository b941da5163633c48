//! Receive and recycle, nothing else: as many packets as AF_XDP can bring to user space, behind the least XDP program that
//! redirects, or behind the daemon's.

mod rings;

use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use aya::maps::XskMap;
use mirror_testkit::generator::interface::Interface;
use mirror_testkit::processors::{Processors, pin};
use mirror_testkit::veth::VethPair;
use mirror_traffic::program::{REDIRECT_PROGRAM, SOCKETS_MAP};
use mirror_user::config::Config;
use mirror_user::counters::Counter;
use mirror_user::number::QueueId;
use mirror_user::pipeline::load_program;
use mirror_user::xdp::{self as capture, AttachModeRequest};

use self::rings::Rings;
use super::program::Program;
use super::{Counts, Ended, Receiver, ReceiverError, is_busy, until_free};

/// Packets of which the daemon's program stamps one, as a worker asks for it under full load: at 3 million packets per second
/// they take half of [`LONGEST_NS`](mirror_user::xsk::arrival::LONGEST_NS).
const STAMP_INTERVAL: u64 = 32;

/// The daemon's XDP program, as a configuration makes it.
#[derive(Clone, Debug)]
pub struct ProgramSetup {
    /// Name in results.
    pub name: &'static str,
    /// The configuration of a capture; its interface is that of the testbed.
    pub config: Box<Config>,
}

/// The program that sends packets to the socket.
enum Steering {
    /// The least that redirects.
    Least(Program),
    /// The daemon's.
    Capture(Box<capture::Program>),
}

impl Steering {
    fn load(bed: &VethPair, setup: Option<&ProgramSetup>) -> Result<Self, ReceiverError> {
        let Some(ProgramSetup { config, .. }) = setup else {
            return Ok(Self::Least(Program::load(bed, REDIRECT_PROGRAM)?));
        };
        let mut config = config.clone();
        config.capture.interface = Some(VethPair::RECEIVING.to_owned());
        Ok(Self::Capture(Box::new(bed.receiver.enter(|| load_program(&config))??)))
    }

    fn set_socket(&mut self, rings: &Rings) -> Result<(), ReceiverError> {
        match self {
            Self::Least(program) => {
                let mut sockets: XskMap<_> = program.map(SOCKETS_MAP)?;
                let set = sockets.set(0, rings.as_raw_fd(), 0);
                set.map_err(|source| ReceiverError::Map { name: SOCKETS_MAP, source })
            }
            Self::Capture(program) => {
                program.set_socket(QueueId(0), rings)?;
                // The loop reads no stamps, so it cannot tell how many it needs.
                Ok(program.queue_entry(QueueId(0))?.stamps()?.set_interval(STAMP_INTERVAL)?)
            }
        }
    }

    fn attach(&mut self, bed: &VethPair) -> Result<(), ReceiverError> {
        match self {
            Self::Least(program) => program.attach(bed),
            Self::Capture(program) => {
                let attach = || program.attach(VethPair::RECEIVING, AttachModeRequest::Native);
                bed.receiver.enter(attach)??;
                Ok(())
            }
        }
    }

    fn detach(&mut self) -> Result<(), ReceiverError> {
        match self {
            Self::Least(program) => program.detach(),
            Self::Capture(program) => program.detach()?,
        }
        Ok(())
    }
}

/// The running loop.
pub(super) struct Bare {
    steering: Steering,
    received: Arc<Counter>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Rings>>,
}

impl Bare {
    /// Starts the loop on its processor and lets packets in.
    pub fn start(
        bed: &VethPair,
        processors: Processors,
        setup: Option<&ProgramSetup>,
    ) -> Result<Self, ReceiverError> {
        let mut steering = Steering::load(bed, setup)?;
        let index = bed.receiver.enter(|| Interface::new(VethPair::RECEIVING))??.index;
        let opened = bed.receiver.enter(|| until_free(|| Rings::open(index), is_busy))?;
        let mut rings = opened.map_err(|source| ReceiverError::Socket { source })?;
        steering.set_socket(&rings)?;
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
        let mut bare = Self { steering, received, stop, thread: Some(thread) };
        bare.steering.attach(bed)?;
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
        self.steering.detach()?;
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

//! An AF_XDP socket as a [`FrameSource`].
//!
//! - [`arrival`]: the receive times of all packets, from those of some.
//! - [`bind`]: the flags of a bind, and the alternative where the kernel refuses it.
//! - `rings`: the socket's rings and packet buffers, shared with the kernel.
//! - `waiting`: how a worker waits for packets.
//! - `wall_clock`: from the kernel's receive time to wall-clock time.
//! - `config`, `statistics`, `error`: configuration, the kernel's counters, and errors with their remedies.
//!
//! An [`XskSource`] groups descriptors into frames, and reads the preambles that the XDP program wrote before some. Kernel
//! interface: `Documentation/networking/af_xdp.rst`.

pub mod arrival;
pub mod bind;
mod config;
mod error;
mod rings;
mod statistics;
mod waiting;
mod wall_clock;

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::Duration;

use mirror_common::preamble::{self, Preamble};
use tracing::{info, warn};

use self::arrival::{Arrivals, Witness};
pub use self::config::{CopyMode, FRAME_DATA, FRAME_SIZE, XskConfig, ZERO_COPY_MTU};
pub use self::error::XskError;
use self::rings::Rings;
pub use self::statistics::XskStatistics;
pub use self::waiting::WaitMode;
use self::waiting::{Wait, Waiting};
use self::wall_clock::WallClock;
use crate::batch::BATCH_FRAMES;
use crate::number::QueueId;
use crate::source::{Backlog, Frame, FrameSource, LinkType, Received};
use crate::time::Timestamp;
use crate::xdp::XdpError;
use crate::xdp::queue::Stamps;

/// Longest wait of [`FrameSource::receive`] when nothing arrives, in milliseconds.
const IDLE_WAIT_MS: i32 = 10;

/// A frame of the current batch: the descriptors that it spans, and its lengths.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    first: usize,
    descriptors: usize,
    /// Bytes before the packet in the first descriptor: the preamble, where there is one.
    skip: usize,
    captured_length: u32,
    original_length: u32,
}

/// Busy polling: the worker runs the kernel's part of receiving itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BusyPoll {
    Off,
    /// Requested; the first packet shows whether the kernel can do it.
    Requested,
    On,
}

/// An AF_XDP socket bound to one receive queue, with a UMEM of its own.
pub struct XskSource {
    rings: Rings,
    queue: QueueId,
    copy_mode: CopyMode,
    busy_poll: BusyPoll,
    /// The frames of the current batch.
    spans: [Span; BATCH_FRAMES],
    /// Number of the held descriptors that belong to those frames; the others begin a frame that ends in the next batch.
    whole: usize,
    /// Receive times of the frames of the current batch, in nanoseconds on the kernel's monotonic clock.
    times: [u64; BATCH_FRAMES],
    arrivals: Arrivals,
    witness: Option<Box<dyn Witness>>,
    /// Control of the packets that are stamped; none where all of them are.
    stamps: Option<Stamps>,
    interpolated: u64,
    clock: WallClock,
    waiting: Waiting,
}

impl XskSource {
    /// Makes a socket for `queue` of `interface`, in the network namespace of the calling thread, and fills its
    /// fill ring. Packets arrive once the socket's descriptor is in the XSKMAP.
    ///
    /// # Errors
    ///
    /// See [`XskError`]. Nothing is left behind.
    pub fn open(interface: &str, queue: QueueId, config: &XskConfig) -> Result<Self, XskError> {
        let rings = Rings::open(interface, queue, config)?;
        Ok(Self {
            copy_mode: rings.copy_mode(),
            rings,
            queue,
            busy_poll: config.busy_poll.map_or(BusyPoll::Off, |_| BusyPoll::Requested),
            spans: [Span::default(); BATCH_FRAMES],
            whole: 0,
            times: [0; BATCH_FRAMES],
            arrivals: Arrivals::new(),
            witness: None,
            stamps: None,
            interpolated: 0,
            clock: WallClock::new(),
            waiting: Waiting::new(config.rx_ring, config.spin),
        })
    }

    /// Has the XDP program stamp no more packets than good timestamps need, by `stamps` of the same queue.
    ///
    /// # Errors
    ///
    /// When the kernel does not let the program's map be written.
    pub fn with_stamps(mut self, mut stamps: Stamps) -> Result<Self, XdpError> {
        stamps.set_interval(self.arrivals.interval())?;
        self.stamps = Some(stamps);
        Ok(self)
    }

    /// Has `witness` measure the error of the times that are worked out. The program is to stamp every packet.
    #[must_use]
    pub fn with_witness(mut self, witness: Box<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// The mode that the kernel uses.
    pub fn copy_mode(&self) -> CopyMode {
        self.copy_mode
    }

    /// The receive queue that the socket is bound to.
    pub fn queue(&self) -> QueueId {
        self.queue
    }

    /// Frames whose receive time was worked out from that of others.
    pub fn interpolated(&self) -> u64 {
        self.interpolated
    }

    /// Steps of the system's wall clock since the socket was made. Timestamps follow it.
    pub fn wall_clock_steps(&self) -> u64 {
        self.clock.steps()
    }

    /// The kernel's counters of this socket since it was made.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the socket option.
    pub fn statistics(&self) -> io::Result<XskStatistics> {
        self.rings.statistics()
    }

    /// Asks the kernel for the socket's state: bound to a queue of a device that is up, or an error.
    ///
    /// # Errors
    ///
    /// The kernel's answer in any other state: ENXIO if it is not bound, ENETDOWN if the device is down.
    pub fn probe(&self) -> io::Result<()> {
        self.rings.probe()
    }

    /// Groups the held descriptors into frames, each with its lengths and its time; returns how many frames are whole.
    fn group(&mut self) -> io::Result<usize> {
        let (mut frames, mut first, mut length) = (0, 0, 0);
        for index in 0..self.rings.held() {
            length += self.rings.bytes(index).len();
            if self.rings.continues(index) {
                continue;
            }
            let (span, stamp) = self.span(first, index + 1 - first, length);
            if let (Some(slot), Some(time)) = (self.spans.get_mut(frames), self.times.get_mut(frames)) {
                (*slot, *time) = (span, stamp);
            }
            frames += 1;
            first = index + 1;
            length = 0;
        }
        self.whole = first;
        self.take_times(frames)?;
        Ok(frames)
    }

    /// The frame in `descriptors` descriptors from `first` on, `length` bytes long, and its stamp; 0 where it has none.
    fn span(&self, first: usize, descriptors: usize, length: usize) -> (Span, u64) {
        let preamble = Preamble::of(self.rings.bytes(first));
        let skip = if preamble.is_some() { preamble::LENGTH } else { 0 };
        let Preamble { monotonic_ns, original_length, .. } = preamble.unwrap_or_default();
        let captured_length = u32::try_from(length.saturating_sub(skip)).unwrap_or(u32::MAX);
        let original_length = original_length.max(captured_length);
        (Span { first, descriptors, skip, captured_length, original_length }, monotonic_ns)
    }

    /// Works out the times of the first `frames` frames of the batch, from the stamps among them.
    fn take_times(&mut self, frames: usize) -> io::Result<()> {
        let times = self.times.get_mut(..frames).unwrap_or_default();
        if let Some(witness) = &mut self.witness {
            witness.hide(times, self.arrivals.interval());
        }
        self.interpolated += self.arrivals.fill(times, || self.clock.monotonic()) as u64;
        if let Some(witness) = &mut self.witness {
            witness.compare(times);
        }
        if let Some(&last) = times.last()
            && self.clock.is_due(last)
        {
            self.follow_clock();
        }
        self.request_stamps()
    }

    /// Has the program stamp as many packets as the times need.
    fn request_stamps(&mut self) -> io::Result<()> {
        match &mut self.stamps {
            Some(stamps) => stamps.set_interval(self.arrivals.interval()).map_err(io::Error::other),
            None => Ok(()),
        }
    }

    /// Checks whether the wall clock was set, and logs it.
    #[cold]
    fn follow_clock(&mut self) {
        if let Some(step) = self.clock.follow() {
            let by = Duration::from_nanos(step.unsigned_abs());
            let direction = if step < 0 { "back" } else { "forward" };
            warn!(
                "queue {}: the system's clock was set {direction} by {by:?}; timestamps follow it",
                self.queue
            );
        }
    }

    /// Wakes the kernel where it asks for it, and waits for packets for a short time.
    fn wait(&mut self) -> io::Result<()> {
        if self.waiting.found_empty() {
            let now = self.clock.monotonic();
            self.arrivals.ring_is_empty(now);
            if self.clock.is_due(now) {
                self.follow_clock();
            }
            if self.busy_poll == BusyPoll::Off {
                match self.waiting.next(now) {
                    Wait::Spin => {}
                    wait => return self.sleep(wait),
                }
            }
        }
        if self.busy_poll != BusyPoll::Off {
            return self.busy_poll_once();
        }
        if self.rings.needs_wakeup() {
            return self.rings.poll(0);
        }
        std::hint::spin_loop();
        Ok(())
    }

    /// Sleeps, for a short time at most. The one place where a worker goes to sleep.
    fn sleep(&mut self, wait: Wait) -> io::Result<()> {
        match wait {
            Wait::Spin => Ok(()),
            Wait::Sleep(nanoseconds) => {
                if self.rings.needs_wakeup() {
                    self.rings.poll(0)?;
                }
                thread::sleep(Duration::from_nanos(nanoseconds));
                Ok(())
            }
            Wait::Poll => {
                self.arrivals.sleep();
                self.request_stamps()?;
                self.rings.poll(IDLE_WAIT_MS)
            }
        }
    }

    /// Logs whether the kernel can busy poll the queue, and falls back to interrupts where it cannot.
    #[cold]
    fn resolve_busy_poll(&mut self) {
        let queue = self.queue;
        if let Some(napi) = self.rings.napi_id() {
            info!("queue {queue}: busy polling (NAPI instance {napi})");
            self.busy_poll = BusyPoll::On;
        } else {
            warn!(
                "queue {queue}: interrupts instead of --busy-poll: the driver does not tell the kernel which NAPI instance \
                 serves the queue; leave --busy-poll out"
            );
            self.busy_poll = BusyPoll::Off;
        }
    }

    /// Has the kernel receive in this thread. While the interface is down, waits instead.
    fn busy_poll_once(&mut self) -> io::Result<()> {
        match self.rings.probe().map_err(|error| (error.raw_os_error(), error)) {
            Ok(()) | Err((Some(libc::EAGAIN | libc::EINTR | libc::EBUSY | libc::ENOBUFS), _)) => Ok(()),
            // The socket has lost its interface.
            Err((Some(libc::ENXIO | libc::ENODEV), error)) => Err(error),
            Err(_) => self.sleep(Wait::Poll),
        }
    }
}

impl FrameSource for XskSource {
    /// Sleeps after a batch that has emptied the ring, where the policy says so.
    fn pause(&mut self) -> io::Result<()> {
        if !self.waiting.has_drained() || self.busy_poll != BusyPoll::Off {
            return Ok(());
        }
        match self.waiting.next(self.clock.monotonic()) {
            wait @ Wait::Sleep(_) => self.sleep(wait),
            // The ring is looked at first.
            Wait::Spin | Wait::Poll => Ok(()),
        }
    }

    fn receive(&mut self) -> io::Result<Received> {
        if self.rings.receive() == 0 {
            self.wait()?;
            return Ok(Received::Idle);
        }
        self.waiting.received(self.rings.held());
        if self.busy_poll == BusyPoll::Requested {
            self.resolve_busy_poll();
        }
        self.rings.prefetch();
        match self.group()? {
            0 => Ok(Received::Idle),
            frames => Ok(Received::Frames(frames)),
        }
    }

    fn now(&self) -> Option<Timestamp> {
        Some(self.clock.now())
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let span = &self.spans[index];
        Frame {
            data: self.rings.bytes(span.first).get(span.skip..).unwrap_or_default(),
            captured_length: span.captured_length,
            original_length: span.original_length,
            timestamp: self.clock.wall(self.times[index]),
            link_type: LinkType::Ethernet,
        }
    }

    fn idle_limit(&self) -> u32 {
        if self.waiting.sleeps() && self.busy_poll == BusyPoll::Off { 1 } else { 32 }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        let Some(span) = self.spans.get(index) else { return };
        let mut skip = span.skip + from;
        for descriptor in span.first..span.first + span.descriptors {
            let part = self.rings.bytes(descriptor);
            bytes.extend_from_slice(part.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(part.len());
        }
    }

    fn backlog(&mut self) -> Backlog {
        let dropped =
            self.statistics().map_or(0, |statistics| statistics.rx_dropped + statistics.rx_ring_full);
        Backlog { fill: self.rings.fill(), dropped }
    }

    fn release(&mut self) {
        self.rings.release(self.whole);
        self.whole = 0;
    }
}

impl AsRawFd for XskSource {
    fn as_raw_fd(&self) -> RawFd {
        self.rings.as_raw_fd()
    }
}

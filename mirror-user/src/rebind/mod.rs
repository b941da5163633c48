//! A queue's socket that is made again when the kernel has taken the queue away from it.
//!
//! A device that resets itself, or whose driver is reconfigured, may unbind the AF_XDP sockets of its queues. Nothing tells
//! a socket that waits: `poll` finds nothing to read, for ever. [`RebindingSource`] asks now and then while nothing arrives,
//! and is told by others who see that packets do not arrive ([`RebindingSource::demand`]). Then it
//!
//! 1. takes the socket out of the XDP program's map, so that packets pass to the kernel and are counted as such,
//! 2. receives what the socket still holds,
//! 3. keeps the counters of the socket, closes it and opens another one, as soon as the device lets it,
//! 4. puts that one into the map.
//!
//! Packets that the program redirected meanwhile, and no socket took or refused, are counted as
//! [`SocketLost`](DropReason::SocketLost).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tracing::{info, warn};

use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::error::chain;
use crate::source::{Backlog, Frame, FrameSource, Received};
use crate::time::Timestamp;
use crate::xsk::{XskSource, XskStatistics};

/// Interval at which a socket that receives nothing is asked for its state.
const PROBE: Duration = Duration::from_millis(500);
/// Empty looks at the ring in a row before the clock is read.
const IDLE_LOOKS: u32 = 64;
/// Time in which the kernel may still deliver to a socket that was taken out of the map: longer than any poll of a driver.
const GRACE: Duration = Duration::from_millis(20);
/// Interval between attempts to open a socket.
const RETRY: Duration = Duration::from_millis(50);
/// Time for which a queue may still belong to a closed socket: the kernel releases it in a worker of its own.
pub const RELEASE: Duration = Duration::from_secs(5);

/// A socket that can be closed and made again.
pub trait Socket: FrameSource {
    /// Asks the kernel for the socket's state: bound to a queue of a device that is up, or an error.
    ///
    /// # Errors
    ///
    /// The kernel's answer in any other state, see [`SocketState`].
    fn probe(&self) -> io::Result<()>;

    /// The kernel's counters of the socket.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the answer.
    fn statistics(&self) -> io::Result<XskStatistics>;

    /// Frames that came without metadata.
    fn without_metadata(&self) -> u64;

    /// How often the system's wall clock was set, which the frames' times follow.
    fn wall_clock_steps(&self) -> u64;
}

impl Socket for XskSource {
    fn probe(&self) -> io::Result<()> {
        Self::probe(self)
    }

    fn statistics(&self) -> io::Result<XskStatistics> {
        Self::statistics(self)
    }

    fn without_metadata(&self) -> u64 {
        Self::without_metadata(self)
    }

    fn wall_clock_steps(&self) -> u64 {
        Self::wall_clock_steps(self)
    }
}

/// A receive queue, seen from a socket that is to serve it.
pub trait QueueControl {
    /// The sockets that can serve it.
    type Socket: Socket;

    /// Opens a socket on the queue.
    ///
    /// # Errors
    ///
    /// When there is none; the kind of error says if there may be one later.
    fn open(&mut self) -> Result<Self::Socket, OpenError>;

    /// Lets packets of the queue come to the socket.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    fn set_socket(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Lets no packets of the queue come to any socket: they pass to the kernel.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    fn clear_socket(&mut self) -> io::Result<()>;

    /// Packets of the queue that the XDP program has redirected to a socket.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    fn redirected(&self) -> io::Result<u64>;
}

/// The reason for which a socket could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The queue still belongs to another socket.
    #[error(transparent)]
    Busy(Box<dyn std::error::Error + Send + Sync>),
    /// The device is not ready.
    #[error(transparent)]
    NotReady(Box<dyn std::error::Error + Send + Sync>),
    /// The kernel refuses it for another reason, which may pass while a device is reset.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    /// There is no such device any more.
    #[error(transparent)]
    Gone(Box<dyn std::error::Error + Send + Sync>),
}

/// The meaning of a kernel's answer for a socket (`xsk_check_common` in `net/xdp/xsk.c`, poll(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// A signal came in between, or there is nothing for now.
    Nothing,
    /// The device is down; the socket stays bound to it.
    Down,
    /// The socket is not bound any more.
    Unbound,
    /// The socket is of no use.
    Broken,
}

impl SocketState {
    /// The meaning of this error.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN) => Self::Nothing,
            Some(libc::ENETDOWN) => Self::Down,
            Some(libc::ENXIO) => Self::Unbound,
            _ => Self::Broken,
        }
    }
}

/// A step on the way from one socket to the next.
enum Phase {
    /// It serves the queue.
    Serving,
    /// It is out of the map, and what it holds is received.
    Leaving { since: Instant },
    /// It is closed, and the next one cannot be opened yet.
    Away { since: Instant, tried: Instant, error: String },
}

/// A source of frames that outlives its sockets.
pub struct RebindingSource<Q: QueueControl> {
    queue: Q,
    /// Absent while it is [`Phase::Away`].
    socket: Option<Q::Socket>,
    phase: Phase,
    counters: Arc<WorkerCounters>,
    /// Set by whoever sees that the socket does not receive what it should.
    demand: Arc<AtomicBool>,
    /// Frames handed out so far.
    received: u64,
    /// Of sockets that are closed.
    closed: XskStatistics,
    closed_without_metadata: u64,
    closed_wall_clock_steps: u64,
    /// Empty receives in a row.
    idle: u32,
    probed: Instant,
}

impl<Q: QueueControl> RebindingSource<Q> {
    /// A source that begins with `socket`, which serves `queue` already, and counts what is lost in `counters`.
    pub fn new(queue: Q, socket: Q::Socket, counters: Arc<WorkerCounters>) -> Self {
        Self {
            queue,
            socket: Some(socket),
            phase: Phase::Serving,
            counters,
            demand: Arc::default(),
            received: 0,
            closed: XskStatistics::default(),
            closed_without_metadata: 0,
            closed_wall_clock_steps: 0,
            idle: 0,
            probed: Instant::now(),
        }
    }

    /// To be set when the socket does not receive what it should; it is made again then. The source takes it back when
    /// it begins.
    pub fn demand(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.demand)
    }

    /// Frames that were handed out so far, by all sockets.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The kernel's counters, over all sockets so far.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the answer.
    pub fn statistics(&self) -> io::Result<XskStatistics> {
        Ok(match &self.socket {
            Some(socket) => self.closed + socket.statistics()?,
            None => self.closed,
        })
    }

    /// Frames that came without metadata, by all sockets.
    pub fn without_metadata(&self) -> u64 {
        self.closed_without_metadata + self.socket.as_ref().map_or(0, Socket::without_metadata)
    }

    /// How often the system's wall clock was set, as far as there was a socket.
    pub fn wall_clock_steps(&self) -> u64 {
        self.closed_wall_clock_steps + self.socket.as_ref().map_or(0, Socket::wall_clock_steps)
    }

    /// To be called when the program is detached and everything is received: counts the packets that were redirected to a
    /// socket which the kernel had unbound, and shows the last counters of the sockets.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to tell its counters.
    pub fn finish(&mut self) -> io::Result<()> {
        let answer = self.socket.as_ref().map_or(Ok(()), Socket::probe);
        if answer.is_err_and(|error| SocketState::of(&error) == SocketState::Unbound) {
            self.count_lost();
        }
        self.publish()
    }

    /// Shows the counters of the sockets to other threads.
    fn publish(&self) -> io::Result<()> {
        self.counters.without_metadata.set(self.without_metadata());
        self.counters.wall_clock_steps.set(self.wall_clock_steps());
        self.counters.publish_socket(self.statistics()?);
        Ok(())
    }

    /// Looks after the socket while nothing arrives.
    #[cold]
    fn look_after(&mut self) -> io::Result<()> {
        match &self.phase {
            Phase::Serving => {
                if self.demand.load(Ordering::Relaxed) {
                    return self.leave("packets of the queue do not reach its socket");
                }
                if self.probed.elapsed() < PROBE {
                    return Ok(());
                }
                self.probed = Instant::now();
                match self.socket.as_ref().map_or(Ok(()), Socket::probe) {
                    Ok(()) => Ok(()),
                    Err(error) => self.consider(error),
                }
            }
            Phase::Leaving { since } if since.elapsed() > GRACE => self.close(),
            Phase::Leaving { .. } => Ok(()),
            Phase::Away { .. } => self.reopen(),
        }
    }

    /// Does what an answer of the kernel asks for.
    fn consider(&mut self, error: io::Error) -> io::Result<()> {
        match SocketState::of(&error) {
            SocketState::Nothing => Ok(()),
            SocketState::Down => {
                // The kernel answers at once then.
                thread::sleep(Duration::from_millis(10));
                Ok(())
            }
            SocketState::Unbound if matches!(self.phase, Phase::Serving) => {
                self.leave("the kernel has unbound the socket: the device was reset, or has gone")
            }
            SocketState::Unbound => Ok(()),
            SocketState::Broken => Err(error),
        }
    }

    fn leave(&mut self, reason: &str) -> io::Result<()> {
        self.queue.clear_socket()?;
        warn!("queue {}: {reason}; the socket is made again", self.counters.queue);
        self.phase = Phase::Leaving { since: Instant::now() };
        Ok(())
    }

    /// Closes the socket, whose last packet was received.
    fn close(&mut self) -> io::Result<()> {
        self.count_lost();
        self.closed = self.statistics()?;
        self.closed_without_metadata = self.without_metadata();
        self.closed_wall_clock_steps = self.wall_clock_steps();
        self.socket = None;
        let now = Instant::now();
        self.phase = Phase::Away { since: now, tried: now, error: String::new() };
        self.reopen()
    }

    /// Counts the packets that were redirected, and neither received nor refused by a socket. No packet may be on its way.
    fn count_lost(&mut self) {
        let (Ok(redirected), Ok(statistics)) = (self.queue.redirected(), self.statistics()) else { return };
        let refused = statistics.rx_dropped.saturating_add(statistics.rx_ring_full);
        let known = self.received.saturating_add(refused);
        let lost =
            redirected.saturating_sub(known.saturating_add(self.counters.dropped(DropReason::SocketLost)));
        self.counters.drop_packets(DropReason::SocketLost, lost);
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Phase::Away { since, tried, error } = &mut self.phase else { return Ok(()) };
        let since = *since;
        if !error.is_empty() && tried.elapsed() < RETRY {
            thread::sleep(Duration::from_millis(10));
            return Ok(());
        }
        *tried = Instant::now();
        match self.queue.open() {
            Ok(socket) => {
                self.queue.set_socket(&socket)?;
                self.counters.rebinds.add(1);
                self.demand.store(false, Ordering::Relaxed);
                self.probed = Instant::now();
                let queue = self.counters.queue;
                info!("queue {queue}: served again after {:.1} s", since.elapsed().as_secs_f64());
                self.socket = Some(socket);
                self.phase = Phase::Serving;
                Ok(())
            }
            Err(OpenError::Busy(cause) | OpenError::Refused(cause)) if since.elapsed() > RELEASE => {
                Err(io::Error::other(cause))
            }
            Err(OpenError::Busy(cause) | OpenError::Refused(cause) | OpenError::NotReady(cause)) => {
                let text = chain(cause.as_ref()).to_string();
                if *error != text {
                    warn!("queue {}: cannot be served yet: {text}", self.counters.queue);
                    *error = text;
                }
                Ok(())
            }
            Err(OpenError::Gone(cause)) => Err(io::Error::other(cause)),
        }
    }
}

impl<Q: QueueControl> FrameSource for RebindingSource<Q> {
    fn receive(&mut self) -> io::Result<Received> {
        let received = match &mut self.socket {
            Some(socket) => socket.receive(),
            None => Ok(Received::Idle),
        };
        match received {
            Ok(Received::Frames(count)) => {
                self.idle = 0;
                self.received += count as u64;
                return Ok(Received::Frames(count));
            }
            Ok(Received::Idle) => {
                self.idle = self.idle.wrapping_add(1);
                let serves = matches!(self.phase, Phase::Serving);
                if !serves || self.idle.is_multiple_of(IDLE_LOOKS) {
                    self.look_after()?;
                }
            }
            Ok(Received::End) => return Ok(Received::End),
            Err(error) => self.consider(error)?,
        }
        Ok(Received::Idle)
    }

    fn now(&self) -> Option<Timestamp> {
        match &self.socket {
            Some(socket) => socket.now(),
            None => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Some(Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)))
            }
        }
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        match &self.socket {
            Some(socket) => socket.frame(index),
            None => panic!("there is no frame {index}: no socket is open"),
        }
    }

    fn append(&self, index: usize, from: usize, bytes: &mut Vec<u8>) {
        if let Some(socket) = &self.socket {
            socket.append(index, from, bytes);
        }
    }

    fn backlog(&mut self) -> Backlog {
        let closed = self.closed.rx_dropped.saturating_add(self.closed.rx_ring_full);
        // At the end they must be there; until then the last ones stand.
        let _ = self.publish();
        let Backlog { fill, dropped } = self.socket.as_mut().map(FrameSource::backlog).unwrap_or_default();
        Backlog { fill, dropped: dropped.saturating_add(closed) }
    }

    fn release(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.release();
        }
    }
}

#[cfg(test)]
mod tests;

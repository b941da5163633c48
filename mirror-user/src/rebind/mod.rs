//! A source that opens a new socket when the kernel has unbound the old one from its queue.
//!
//! A device that resets itself, or whose driver is reconfigured, may unbind the AF_XDP sockets of its queues. A socket that
//! waits is not notified: `poll` finds nothing to read, for ever. [`RebindingSource`] probes now and then while nothing
//! arrives, and rebinds on request of others who see that packets do not arrive ([`RebindingSource::rebind_request`]). Then it
//!
//! 1. takes the socket out of the XDP program's map, so that packets pass to the kernel and are counted as such,
//! 2. receives the packets that the socket still holds,
//! 3. keeps the counters of the socket, closes it and opens another one, as soon as the device lets it,
//! 4. puts that one into the map.
//!
//! Packets that the program redirected meanwhile, and that no socket took or refused, are counted as
//! [`SocketLost`](DropReason::SocketLost).

mod socket;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{info, warn};

pub use self::socket::{OpenError, QueueControl, Socket, SocketState};
use crate::DropReason;
use crate::counters::WorkerCounters;
use crate::error::chain;
use crate::source::{Backlog, Frame, FrameSource, Received};
use crate::time::Timestamp;
use crate::xsk::XskStatistics;

/// Interval at which a socket that receives nothing is probed.
const PROBE: Duration = Duration::from_millis(500);
/// Empty receives in a row before the clock is read.
const IDLE_RECEIVES: u32 = 64;
/// Time in which the kernel may still deliver to a socket that was taken out of the map: longer than any poll of a driver.
const GRACE: Duration = Duration::from_millis(20);
/// Interval between attempts to open a socket.
const RETRY: Duration = Duration::from_millis(50);
/// Time for which a queue may still belong to a closed socket: the kernel releases it in a worker of its own.
pub const RELEASE: Duration = Duration::from_secs(5);

/// Step on the way from one socket to the next.
enum RebindStep {
    /// The socket serves the queue.
    Serving,
    /// The socket is out of the map, and the packets that it holds are received.
    Draining { since: Instant },
    /// The socket is closed, and the next one cannot be opened yet.
    Closed { since: Instant, tried: Instant, error: String },
}

/// A source of frames that outlives its sockets.
pub struct RebindingSource<Q: QueueControl> {
    queue: Q,
    /// Absent while it is [`RebindStep::Closed`].
    socket: Option<Q::Socket>,
    step: RebindStep,
    counters: Arc<WorkerCounters>,
    /// Set by an observer that sees packets not arrive at the socket.
    rebind_request: Arc<AtomicBool>,
    /// Frames handed out so far.
    received: u64,
    /// Counters of closed sockets.
    closed: XskStatistics,
    closed_interpolated: u64,
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
            step: RebindStep::Serving,
            counters,
            rebind_request: Arc::default(),
            received: 0,
            closed: XskStatistics::default(),
            closed_interpolated: 0,
            closed_wall_clock_steps: 0,
            idle: 0,
            probed: Instant::now(),
        }
    }

    /// Flag to set when packets do not arrive at the socket, which is then closed and opened anew. The source resets it when
    /// the new socket serves the queue.
    pub fn rebind_request(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.rebind_request)
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

    /// Frames whose receive time was worked out from that of others, by all sockets.
    pub fn interpolated(&self) -> u64 {
        self.closed_interpolated + self.socket.as_ref().map_or(0, Socket::interpolated)
    }

    /// Steps of the system's wall clock while there was a socket.
    pub fn wall_clock_steps(&self) -> u64 {
        self.closed_wall_clock_steps + self.socket.as_ref().map_or(0, Socket::wall_clock_steps)
    }

    /// Counts the packets that were redirected to a socket which the kernel had unbound, and publishes the last counters of
    /// the sockets. To be called when the program is detached and everything is received.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to return its counters.
    pub fn finish(&mut self) -> io::Result<()> {
        let answer = self.socket.as_ref().map_or(Ok(()), Socket::probe);
        if answer.is_err_and(|error| SocketState::of(&error) == SocketState::Unbound) {
            self.count_lost();
        }
        self.publish()
    }

    /// Shows the counters of the sockets to other threads.
    fn publish(&self) -> io::Result<()> {
        self.counters.interpolated_times.set(self.interpolated());
        self.counters.wall_clock_steps.set(self.wall_clock_steps());
        self.counters.publish_socket(self.statistics()?);
        Ok(())
    }

    /// Probes the socket, or goes on with its replacement, while nothing arrives.
    #[cold]
    fn supervise(&mut self) -> io::Result<()> {
        match &self.step {
            RebindStep::Serving => {
                if self.rebind_request.load(Ordering::Relaxed) {
                    return self.drain("packets of the queue do not reach its socket");
                }
                if self.probed.elapsed() < PROBE {
                    return Ok(());
                }
                self.probed = Instant::now();
                match self.socket.as_ref().map_or(Ok(()), Socket::probe) {
                    Ok(()) => Ok(()),
                    Err(error) => self.react(error),
                }
            }
            RebindStep::Draining { since } if since.elapsed() > GRACE => self.close(),
            RebindStep::Draining { .. } => Ok(()),
            RebindStep::Closed { .. } => self.reopen(),
        }
    }

    /// Reacts to an error of the kernel.
    fn react(&mut self, error: io::Error) -> io::Result<()> {
        match SocketState::of(&error) {
            SocketState::Bound => Ok(()),
            SocketState::Down => {
                // The kernel answers at once then.
                thread::sleep(Duration::from_millis(10));
                Ok(())
            }
            SocketState::Unbound if matches!(self.step, RebindStep::Serving) => {
                self.drain("the kernel has unbound the socket: the device was reset, or has gone")
            }
            SocketState::Unbound => Ok(()),
            SocketState::Broken => Err(error),
        }
    }

    /// Takes the socket out of the map.
    fn drain(&mut self, reason: &str) -> io::Result<()> {
        self.queue.clear_socket()?;
        warn!("queue {}: {reason}; the socket is made again", self.counters.queue);
        self.step = RebindStep::Draining { since: Instant::now() };
        Ok(())
    }

    /// Closes the socket, all packets of which were received.
    fn close(&mut self) -> io::Result<()> {
        self.count_lost();
        self.closed = self.statistics()?;
        self.closed_interpolated = self.interpolated();
        self.closed_wall_clock_steps = self.wall_clock_steps();
        self.socket = None;
        let now = Instant::now();
        self.step = RebindStep::Closed { since: now, tried: now, error: String::new() };
        self.reopen()
    }

    /// Counts the packets that were redirected, and neither received nor refused by a socket. No packet may be in flight.
    fn count_lost(&mut self) {
        let (Ok(redirected), Ok(statistics)) = (self.queue.redirected(), self.statistics()) else { return };
        let refused = statistics.rx_dropped.saturating_add(statistics.rx_ring_full);
        let known = self.received.saturating_add(refused);
        let lost =
            redirected.saturating_sub(known.saturating_add(self.counters.dropped(DropReason::SocketLost)));
        self.counters.drop_packets(DropReason::SocketLost, lost);
    }

    /// Opens the next socket, if the device is ready.
    fn reopen(&mut self) -> io::Result<()> {
        let RebindStep::Closed { since, tried, error } = &mut self.step else { return Ok(()) };
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
                self.rebind_request.store(false, Ordering::Relaxed);
                self.probed = Instant::now();
                let queue = self.counters.queue;
                info!("queue {queue}: served again after {:.1} s", since.elapsed().as_secs_f64());
                self.socket = Some(socket);
                self.step = RebindStep::Serving;
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
    fn pause(&mut self) -> io::Result<()> {
        match &mut self.socket {
            Some(socket) => socket.pause().or_else(|error| self.react(error)),
            None => Ok(()),
        }
    }

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
                let serves = matches!(self.step, RebindStep::Serving);
                if !serves || self.idle.is_multiple_of(IDLE_RECEIVES) {
                    self.supervise()?;
                }
            }
            Ok(Received::End) => return Ok(Received::End),
            Err(error) => self.react(error)?,
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

    fn idle_limit(&self) -> u32 {
        self.socket.as_ref().map_or(1, FrameSource::idle_limit)
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

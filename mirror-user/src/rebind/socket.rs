//! The seam between a source that rebinds and its queue: sockets, and the control of the queue.

use std::io;

use thiserror::Error;

use crate::source::FrameSource;
use crate::xsk::{XskSource, XskStatistics};

/// A socket that can be closed and replaced by another one.
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

    /// Frames whose receive time was worked out from that of others.
    fn interpolated(&self) -> u64;

    /// Steps of the system's wall clock, which the frames' times follow.
    fn wall_clock_steps(&self) -> u64;
}

impl Socket for XskSource {
    fn probe(&self) -> io::Result<()> {
        Self::probe(self)
    }

    fn statistics(&self) -> io::Result<XskStatistics> {
        Self::statistics(self)
    }

    fn interpolated(&self) -> u64 {
        Self::interpolated(self)
    }

    fn wall_clock_steps(&self) -> u64 {
        Self::wall_clock_steps(self)
    }
}

/// Control of a receive queue: its sockets, and its entry in the XDP program's map.
pub trait QueueControl {
    /// The sockets that can serve it.
    type Socket: Socket;

    /// Opens a socket on the queue.
    ///
    /// # Errors
    ///
    /// When there is none; the kind of error tells whether a later attempt may succeed.
    fn open(&mut self) -> Result<Self::Socket, OpenError>;

    /// Has the XDP program redirect packets of the queue to the socket.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    fn set_socket(&mut self, socket: &Self::Socket) -> io::Result<()>;

    /// Has the XDP program pass packets of the queue to the kernel.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    fn clear_socket(&mut self) -> io::Result<()>;

    /// Packets of the queue that the XDP program has redirected to a socket.
    ///
    /// # Errors
    ///
    /// When the kernel does not return the counter.
    fn redirected(&self) -> io::Result<u64>;
}

/// Reason for which a socket could not be opened.
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

/// State of a socket by the kernel's answer (`xsk_check_common` in `net/xdp/xsk.c`, poll(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Bound: a signal came in between, or there are no packets for now.
    Bound,
    /// The device is down; the socket stays bound to it.
    Down,
    /// The socket is not bound any more.
    Unbound,
    /// The socket cannot be used.
    Broken,
}

impl SocketState {
    /// The state of a socket that returns this error.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN) => Self::Bound,
            Some(libc::ENETDOWN) => Self::Down,
            Some(libc::ENXIO) => Self::Unbound,
            _ => Self::Broken,
        }
    }
}

//! Frames onto an interface or into a file, and an exact count of what became of them.
//!
//! - [`live`]: frames that an XDP program makes inside the kernel, the fast source.
//! - [`socket`]: frames through an `AF_PACKET` socket, for machines and frame sizes that the fast one is not for.
//! - [`mod@file`]: the same frames in a capture file.

pub mod file;
pub mod interface;
pub mod live;
mod pace;
pub mod report;
pub mod socket;
mod sys;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::CpuSet;
use thiserror::Error;
use tracing::warn;

use self::interface::Interface;
use self::live::LiveError;
use self::report::Report;
use self::socket::SocketError;
use crate::traffic::Traffic;

/// How frames get onto an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// `live` where it works, otherwise `socket`.
    Auto,
    /// An XDP program run inside the kernel (Linux 5.18 or later).
    Live,
    /// An `AF_PACKET` socket. All frames take the transmit queue of the CPU that sends.
    Socket,
    /// An `AF_PACKET` socket whose frames are spread over the transmit queues by a hash of their outer addresses and ports, as a
    /// NIC spreads them over its receive queues.
    Spread,
}

/// How much is sent, how fast, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How frames get onto the interface.
    pub source: Source,
    /// Stop after this many packets.
    pub packets: Option<u64>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Packets per second; as fast as possible without it. Up to 10^9.
    pub rate: Option<u64>,
    /// The CPU that sends.
    pub cpu: Option<usize>,
}

/// Why traffic could not be sent.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// The live frames source.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Frames exceed what the interface takes.
    #[error(
        "frames of {longest} bytes do not fit through {interface}, whose MTU of {mtu} allows {allowed}: \
         raise the MTU at both ends (`ip link set {interface} mtu {needed}`) or lower --frame-size"
    )]
    Mtu {
        /// Name of the interface.
        interface: String,
        /// Bytes of the longest frame.
        longest: usize,
        /// Its MTU, in bytes.
        mtu: usize,
        /// Bytes of the longest frame that fits.
        allowed: usize,
        /// The MTU that the longest frame needs.
        needed: usize,
    },
    /// Only paced live frames have stamps.
    #[error("stamped packets come from live frames at a rate only: set one, and leave --source auto or live")]
    Stamps,
    /// The CPU cannot be used.
    #[error(
        "cannot send from CPU {cpu}: {error}; --cpu takes a CPU that this process may run on (`nproc`, `taskset -p`)"
    )]
    Cpu {
        /// Number of the CPU.
        cpu: usize,
        /// What the kernel said.
        error: Errno,
    },
}

/// Sends `traffic` out of `interface` until a limit of `settings` is reached or `stop` is set.
///
/// # Errors
///
/// Where nothing could be sent, or what became of it is not known exactly.
pub fn send(
    traffic: &Traffic,
    interface: &Interface,
    settings: &Settings,
    stop: &AtomicBool,
) -> Result<Report, GenerateError> {
    const ETHERNET_HEADER: usize = 14;
    let (longest, allowed) = (traffic.longest_frame(), interface.mtu + ETHERNET_HEADER);
    if longest > allowed {
        return Err(GenerateError::Mtu {
            interface: interface.name.clone(),
            longest,
            mtu: interface.mtu,
            allowed,
            needed: longest - ETHERNET_HEADER,
        });
    }
    let stamped = traffic.mix().stamped != 0;
    if stamped && (matches!(settings.source, Source::Socket | Source::Spread) || settings.rate.is_none()) {
        return Err(GenerateError::Stamps);
    }
    match settings.source {
        Source::Auto if stamped => live::send(traffic, interface, settings, stop),
        Source::Live => live::send(traffic, interface, settings, stop),
        Source::Socket | Source::Spread => socket::send(traffic, interface, settings, stop),
        Source::Auto => match live::send(traffic, interface, settings, stop) {
            Err(GenerateError::Live(reason)) if reason.nothing_sent() => {
                warn!("falling back to the socket, which is slower: {reason}");
                socket::send(traffic, interface, settings, stop)
            }
            result => result,
        },
    }
}

/// Keeps the calling thread on `cpu`.
fn pin(cpu: usize) -> Result<(), GenerateError> {
    let failed = |error| GenerateError::Cpu { cpu, error };
    if cpu >= CpuSet::MAX_CPU {
        return Err(failed(Errno::INVAL));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).map_err(failed)
}

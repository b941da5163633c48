//! The amount of traffic, its rate and its source.

use std::time::Duration;

/// The way of frames onto an interface.
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

/// The amount of traffic, its rate and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The way of frames onto the interface.
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

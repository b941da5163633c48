//! Frames onto an interface or into a file, and an exact count of those that were sent.
//!
//! - [`live`]: frames that an XDP program makes inside the kernel, the fast source.
//! - [`socket`]: frames through an `AF_PACKET` socket, for machines and frame sizes that the fast one is not for.
//! - [`mod@file`]: the same frames in a capture file.

pub mod cpu;
pub mod file;
pub mod interface;
pub mod live;
mod pace;
pub mod report;
mod settings;
pub mod socket;
mod sys;

use std::sync::atomic::AtomicBool;

use thiserror::Error;
use tracing::warn;

use self::interface::Interface;
use self::live::LiveError;
use self::report::Report;
pub use self::settings::{Settings, Source};
use self::socket::SocketError;
use crate::traffic::Traffic;

/// A failure to send traffic.
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
}

/// Sends `traffic` out of `interface` until a limit of `settings` is reached or `stop` is set.
///
/// # Errors
///
/// When nothing could be sent, or what became of it is not known exactly.
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
        Source::Auto if stamped => Ok(live::send(traffic, interface, settings, stop)?),
        Source::Live => Ok(live::send(traffic, interface, settings, stop)?),
        Source::Socket | Source::Spread => Ok(socket::send(traffic, interface, settings, stop)?),
        Source::Auto => match live::send(traffic, interface, settings, stop) {
            Err(reason) if reason.leaves_the_socket() => {
                warn!("falling back to the socket, which is slower: {reason}");
                Ok(socket::send(traffic, interface, settings, stop)?)
            }
            result => Ok(result?),
        },
    }
}

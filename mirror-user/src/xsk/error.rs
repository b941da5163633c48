//! Errors of making an AF_XDP socket, and their remedies.

use std::io;

use thiserror::Error;

use super::config::CopyMode;
use crate::error::chain;
use crate::number::QueueId;

/// Reason for which a socket could not be made.
#[derive(Debug, Error)]
pub enum XskError {
    /// A ring size is not a power of two, or the sizes do not fit together.
    #[error("{name} = {value} does not do: {remedy}")]
    RingSize {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: u32,
        /// Its valid values.
        remedy: &'static str,
    },
    /// The UMEM could not be allocated.
    #[error(
        "no memory for {mib} MiB of packet buffers{on}: {}; use smaller rings (--frames), allow more locked \
         memory (`ulimit -l unlimited`, LimitMEMLOCK= in systemd) or reserve huge pages (sysctl vm.nr_hugepages)",
        chain(error),
        on = if *huge_pages { " on huge pages" } else { "" }
    )]
    Umem {
        /// Size that was requested, in MiB.
        mib: u64,
        /// `true` if huge pages were requested.
        huge_pages: bool,
        /// The kernel's answer.
        error: io::Error,
    },
    /// The socket could not be bound to the queue.
    #[error("cannot bind an AF_XDP socket to queue {queue} of {interface} in {} mode: {}{remedy}", mode.name(), chain(error))]
    Bind {
        /// The interface.
        interface: String,
        /// The receive queue.
        queue: QueueId,
        /// The mode that was requested.
        mode: CopyMode,
        /// The kernel's answer.
        error: io::Error,
        /// The remedy, or nothing.
        remedy: &'static str,
    },
    /// A socket option was refused.
    #[error("the kernel refuses {option} on the AF_XDP socket of queue {queue}: {error}; {remedy}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// The receive queue.
        queue: QueueId,
        /// The kernel's answer.
        error: io::Error,
        /// The remedy.
        remedy: &'static str,
    },
}

/// The operating system's error at the bottom of an error of xsk-rs.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code));
        }
        cause = error.source();
    }
    None
}

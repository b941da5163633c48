//! Reasons why a pipeline could not start, or not go on.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::link::LinkLost;
use super::memory::MemoryError;
use super::preflight::PreflightError;
use crate::degrade::DegradeConfigError;
use crate::enrichment::EnrichmentError;
use crate::nic::NicError;
use crate::number::QueueId;
use crate::privacy::PrivacyError;
use crate::replay::ReplayError;
use crate::rules::RuleError;
use crate::sink::SinkError;
use crate::value::ValueError;
use crate::xdp;
use crate::xsk::XskError;

/// Reasons why a pipeline could not start, or not go on.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// No interface was named.
    #[error("which interface? give --interface IF, or interface in [capture] of --config")]
    NoInterface,
    /// The interface does not do.
    #[error(transparent)]
    Nic(#[from] NicError),
    /// The system does not do.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// There is too little memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Nothing is addressed to the interface.
    #[error(
        "{interface} has no IP address, so that no tunnel packet is addressed to it: give it the one that the packets are \
         sent to (`ip address add …/24 dev {interface}`), or take packets to any destination (--any-destination), as for a \
         mirror port"
    )]
    NoAddress {
        /// The interface.
        interface: String,
    },
    /// The XDP program cannot be loaded or attached.
    #[error(transparent)]
    Attach(#[from] xdp::XdpError),
    /// An AF_XDP socket cannot be made.
    #[error(transparent)]
    Xsk(#[from] XskError),
    /// A fall-back would be needed that `--strict` forbids.
    #[error("--strict: {reason}")]
    Strict {
        /// The thing that was not to be had.
        reason: String,
    },
    /// The degradation cannot be followed.
    #[error(transparent)]
    Degrade(#[from] DegradeConfigError),
    /// An option is out of its range.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A privacy rule cannot be followed.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// The enrichment map cannot be taken up.
    #[error(transparent)]
    Enrichment(#[from] EnrichmentError),
    /// The output cannot be opened.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A capture file cannot be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The output would overwrite the capture that is replayed.
    #[error(
        "{} is a capture to be replayed, which writing would destroy; give another --output or --ledger",
        path.display()
    )]
    OutputIsInput {
        /// The file.
        path: PathBuf,
    },
    /// A worker had to stop.
    #[error("queue {queue} cannot be read any more: {error}; is the interface still there?")]
    Worker {
        /// Its queue.
        queue: QueueId,
        /// The system's answer.
        error: io::Error,
    },
    /// The interface or the program on it has gone.
    #[error(transparent)]
    Link(#[from] LinkLost),
    /// A queue has no socket.
    #[error(transparent)]
    Socket(Box<dyn std::error::Error + Send + Sync>),
    /// The program was asked to stop before it could start.
    #[error("asked to stop while queue {queue} was still held by another socket; nothing was captured")]
    Interrupted {
        /// The queue.
        queue: QueueId,
    },
    /// A worker panicked.
    #[error(
        "the worker of queue {queue} panicked: {message}. This is a fault of mirror-capture: please report it, with the \
         lines that the log has of it; the packets that it held are counted as worker_panicked"
    )]
    Panicked {
        /// Its queue.
        queue: QueueId,
        /// Its message.
        message: String,
    },
    /// A worker did not end.
    #[error(
        "the worker of queue {queue} has not ended in time, and was left behind: this is a fault of mirror-capture; please \
         report it"
    )]
    Stuck {
        /// Its queue.
        queue: QueueId,
    },
    /// The ledger cannot be written.
    #[error("cannot write the ledger to {}", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The operating system refused something that does not depend on the input.
    #[error("cannot {what}")]
    System {
        /// The action that was tried, as a verb with its object.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

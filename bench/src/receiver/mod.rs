//! Receivers at the far end of a testbed, from a drop in the driver to the whole pipeline.

mod bare;
mod discard;
pub mod meter;
pub(crate) mod output;
mod pipeline;
mod program;
mod throttle;
pub mod tsc;

use std::time::{Duration, Instant};
use std::{io, thread};

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use mirror_testkit::generator::interface::InterfaceError;
use mirror_testkit::namespace::NamespaceError;
use mirror_testkit::processors::Processors;
use mirror_testkit::veth::VethPair;
use mirror_user::config::ConfigError;
use mirror_user::error::chain;
use mirror_user::ledger::Ledger;
use mirror_user::pipeline::PipelineError;
use mirror_user::sink::SinkError;
use mirror_user::xdp::XdpError;
use mirror_user::xsk::XskError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::bare::Bare;
pub use self::bare::ProgramSetup;
pub use self::discard::Discard;
use self::meter::Busy;
pub use self::output::Latencies;
use self::pipeline::Running;
pub use self::pipeline::{PipelineSetup, SinkKind};

/// Name of the thread that receives.
pub(crate) const WORKER: &str = "worker-0";

/// The kinds of receivers.
#[derive(Clone, Debug)]
pub enum ReceiverKind {
    /// An XDP program that drops.
    XdpDrop,
    /// A loop that receives over AF_XDP and recycles.
    RxDrop,
    /// The same loop behind the daemon's XDP program.
    XdpOnly(ProgramSetup),
    /// The daemon's pipeline.
    Pipeline(PipelineSetup),
}

impl ReceiverKind {
    /// Name in results.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::XdpDrop => "xdp-drop",
            Self::RxDrop => "rxdrop",
            Self::XdpOnly(_) => "rxdrop behind the daemon's XDP program",
            Self::Pipeline(_) => "pipeline",
        }
    }

    /// Starts it at the far end of `bed`; when this returns, packets are received.
    ///
    /// # Errors
    ///
    /// When the kernel or the configuration does not allow it.
    pub fn start(&self, bed: &VethPair, processors: Processors) -> Result<Box<dyn Receiver>, ReceiverError> {
        Ok(match self {
            Self::XdpDrop => Box::new(Discard::start(bed)?),
            Self::RxDrop => Box::new(Bare::start(bed, processors, None)?),
            Self::XdpOnly(setup) => Box::new(Bare::start(bed, processors, Some(setup))?),
            Self::Pipeline(pipeline) => Box::new(Running::start(pipeline, bed, processors)?),
        })
    }
}

/// Receives until it is stopped. Dropping it stops it as well.
pub trait Receiver {
    /// The counters so far.
    ///
    /// # Errors
    ///
    /// When the kernel does not let its counters be read.
    fn counts(&self) -> Result<Counts, ReceiverError>;

    /// Lets no more packets in, finishes those that are there, and stops.
    ///
    /// # Errors
    ///
    /// When the kernel does not let its counters be read, or the pipeline failed.
    fn stop(self: Box<Self>) -> Result<Ended, ReceiverError>;
}

/// Counters of a running receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came.
    pub received: u64,
    /// Packets that were processed completely: those received, without those that were dropped since.
    pub delivered: u64,
    /// Packets among them in records that the sink has written; for the pipeline.
    pub recorded: Option<u64>,
    /// Time that the worker spent on batches that were not empty.
    pub busy: Busy,
}

/// The result of a receiver that has stopped.
#[derive(Debug, Default)]
pub struct Ended {
    /// The counters as they stand at last.
    pub counts: Counts,
    /// Packets that the rings had no room for.
    pub kernel_dropped: u64,
    /// The account of every packet, for the pipeline.
    pub ledger: Option<Ledger>,
}

/// The records that the pipeline makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
pub enum Records {
    /// One per packet.
    #[value(name = "packet")]
    #[serde(rename = "packet")]
    Packet,
    /// Those of flows.
    #[default]
    #[value(name = "flow")]
    #[serde(rename = "flow")]
    Flow,
    /// Both.
    #[value(name = "packet,flow")]
    #[serde(rename = "packet,flow")]
    Both,
}

impl Records {
    /// Name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Flow => "flow",
            Self::Both => "packet,flow",
        }
    }
}

/// Time limit for the kernel to release a queue after its last socket was closed, which it does in the background.
const RELEASE: Duration = Duration::from_secs(5);

/// Binds a socket, again and again until the previous socket of the queue is released.
fn until_free<T, E>(mut bind: impl FnMut() -> Result<T, E>, is_busy: impl Fn(&E) -> bool) -> Result<T, E> {
    let deadline = Instant::now() + RELEASE;
    loop {
        match bind() {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Opens the daemon's socket, as soon as the queue is free.
///
/// # Errors
///
/// When it cannot be opened for another reason.
pub(crate) fn until_socket_is_free<T>(open: impl FnMut() -> Result<T, XskError>) -> Result<T, XskError> {
    until_free(open, |error| matches!(error, XskError::Bind { error, .. } if is_busy(error)))
}

/// True if another socket has the queue.
fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

/// A receiver could not start, or failed.
#[derive(Debug, Error)]
pub enum ReceiverError {
    /// There is no testbed.
    #[error(transparent)]
    Testbed(#[from] NamespaceError),
    /// The receiving interface is not there.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The object of the harness cannot be loaded.
    #[error(
        "the harness's eBPF object cannot be loaded: run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Load(#[source] EbpfError),
    /// The object has been built from other sources.
    #[error("the harness's eBPF object has no {0}: build it anew (`cargo build -p mirror-bench`)")]
    Missing(&'static str),
    /// A program cannot be loaded or attached.
    #[error("the harness's program {name} cannot be loaded or attached")]
    Program {
        /// Its name.
        name: &'static str,
        /// The cause.
        source: ProgramError,
    },
    /// A map cannot be used.
    #[error("the harness's map {name} cannot be used")]
    Map {
        /// Its name.
        name: &'static str,
        /// The cause.
        source: MapError,
    },
    /// The bare loop's socket.
    #[error("the bare AF_XDP socket failed; it needs root, and memory to lock (`ulimit -l unlimited`)")]
    Socket {
        /// The cause.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start the worker's thread")]
    Thread {
        /// The cause.
        source: io::Error,
    },
    /// The sink could not write everything.
    #[error("the sink could not write everything: {}", .0.iter().map(|error| chain(error).to_string()).collect::<Vec<_>>().join("; "))]
    Output(Vec<SinkError>),
    /// The daemon's settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The daemon's worker or sinks cannot be made.
    #[error(transparent)]
    Run(Box<PipelineError>),
    /// The daemon's XDP program cannot be loaded or attached.
    #[error("the daemon's XDP program cannot be used")]
    Capture(#[from] XdpError),
    /// There is no place for the sink's files.
    #[error("cannot make a directory for the sink's files in {}", std::env::temp_dir().display())]
    Directory {
        /// The cause.
        source: io::Error,
    },
}

impl From<PipelineError> for ReceiverError {
    fn from(error: PipelineError) -> Self {
        Self::Run(Box::new(error))
    }
}

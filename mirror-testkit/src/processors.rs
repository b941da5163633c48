//! The processors of generator and worker.

use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The processors of generator and worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processors {
    /// The generator, and the kernel's receive path: a veth receives on the processor that sends.
    pub generator: usize,
    /// The receiver's worker.
    pub worker: usize,
}

/// There are not enough processors to measure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "needs a processor for generator and kernel and another for the worker; this process may use {0}, on which they \
     would take turns and the figure would mean nothing"
)]
pub struct TooFew(pub usize);

impl Processors {
    /// The first two that the process may use.
    ///
    /// # Errors
    ///
    /// When there is one only.
    pub fn choose() -> Result<Self, TooFew> {
        match *allowed_processors() {
            [generator, worker, ..] => Ok(Self { generator, worker }),
            ref fewer => Err(TooFew(fewer.len())),
        }
    }
}

/// The processors that the process may use.
pub fn allowed_processors() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Keeps the calling thread on `processor`.
///
/// # Errors
///
/// When the process may not use it.
pub fn pin(processor: usize) -> Result<(), Errno> {
    if processor >= CpuSet::MAX_CPU {
        return Err(Errno::INVAL);
    }
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set)
}

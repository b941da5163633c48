//! The CPU that sends.

use rustix::io::Errno;
use thiserror::Error;

use crate::processors;

/// The CPU cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "cannot send from CPU {cpu}: {error}; --cpu takes a CPU that this process may run on (`nproc`, `taskset -p`)"
)]
pub struct CpuError {
    /// Number of the CPU.
    cpu: usize,
    /// The kernel's answer.
    error: Errno,
}

/// Keeps the calling thread on `cpu`.
pub(super) fn pin(cpu: usize) -> Result<(), CpuError> {
    processors::pin(cpu).map_err(|error| CpuError { cpu, error })
}

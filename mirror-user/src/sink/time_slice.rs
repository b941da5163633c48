//! Time slice of a sink thread.
#![expect(unsafe_code, reason = "a system call that takes a pointer to a C structure")]

use std::io;
use std::mem;

use tracing::debug;

/// The shortest time slice that the kernel gives, in nanoseconds.
const SHORTEST_NS: u64 = 100_000;
const THIS_THREAD: libc::pid_t = 0;
const NO_FLAGS: libc::c_uint = 0;

/// Requests the shortest time slice for the calling thread instead of some milliseconds. The thread gets no more CPU time by
/// that, but is scheduled soon after it wakes (`EEVDF`, since Linux 6.12; earlier kernels change nothing): where every CPU has
/// a worker that spins on its ring, a batch would else wait until the worker's time slice is over.
pub(super) fn shorten() {
    if let Err(error) = set_slice(SHORTEST_NS) {
        debug!("records may wait some milliseconds for their sink: sched_setattr: {error}");
    }
}

fn set_slice(nanoseconds: u64) -> io::Result<()> {
    let attributes = attributes()?;
    if attributes.sched_policy.cast_signed() != libc::SCHED_OTHER {
        return Ok(()); // The operator has chosen otherwise.
    }
    let attributes = libc::sched_attr { sched_runtime: nanoseconds, ..attributes };
    // SAFETY: the pointer is to a structure whose size stands in it; the kernel only reads it.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, THIS_THREAD, &raw const attributes, NO_FLAGS) })
}

/// Scheduling attributes of the calling thread.
fn attributes() -> io::Result<libc::sched_attr> {
    // SAFETY: the structure consists of integers, for which all zeros is a value.
    let mut attributes: libc::sched_attr = unsafe { mem::zeroed() };
    let size = libc::c_uint::try_from(size_of_val(&attributes)).unwrap_or(libc::c_uint::MAX);
    // SAFETY: the pointer is to a structure of the size given, beyond which the kernel does not write.
    check(unsafe {
        libc::syscall(libc::SYS_sched_getattr, THIS_THREAD, &raw mut attributes, size, NO_FLAGS)
    })?;
    Ok(attributes)
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_slice_changes() {
        let before = attributes().unwrap();
        set_slice(SHORTEST_NS).unwrap();
        let after = attributes().unwrap();
        assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
        // 0 before Linux 6.12, which has no time slice for a single thread.
        assert!([0, SHORTEST_NS].contains(&after.sched_runtime), "{}", after.sched_runtime);
    }
}

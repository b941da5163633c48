//! A network namespace without a name.
#![expect(
    unsafe_code,
    reason = "the system call that makes namespaces could also take file descriptors away"
)]

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::TestbedError;

/// A network namespace without a name: it is there as long as this is, or something in it.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes a namespace with nothing in it but a loopback interface that is down.
    pub(super) fn new() -> Result<Self, TestbedError> {
        inside_thread(|| {
            // SAFETY: a new network namespace concerns this thread alone; file descriptors stay shared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|error| match error {
                Errno::PERM => TestbedError::NotPermitted,
                error => TestbedError::Namespace { action: "make", error },
            })?;
            let file = File::open("/proc/thread-self/ns/net").map_err(|error| TestbedError::Namespace {
                action: "open",
                error: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            })?;
            Ok(Self(file))
        })
    }

    /// Does `work` in a thread of its own, which lives in the namespace, as do threads and processes that it starts; /sys shows them its
    /// interfaces.
    /// Sockets that it makes belong to the namespace also outside of it.
    ///
    /// # Errors
    ///
    /// When the kernel does not let the thread in.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, TestbedError> {
        inside_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .and_then(|()| show_own_interfaces())
                .map_err(|error| TestbedError::Namespace { action: "enter", error })?;
            Ok(work())
        })
    }
}

/// Mounts a sysfs for this thread that shows the interfaces of its network namespace, as `ip netns exec` does.
fn show_own_interfaces() -> rustix::io::Result<()> {
    // SAFETY: a new mount namespace concerns this thread alone; file descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None)
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn inside_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

//! A network namespace without a name.
#![expect(
    unsafe_code,
    reason = "the system call that makes namespaces could also take file descriptors away, and a child enters its \
              namespace between fork and exec"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use thiserror::Error;

use crate::process::{self, ProcessError};

/// A failure to make a network namespace, to enter it, or to run a program in it.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// The process may not make network namespaces.
    #[error("making network namespaces is not permitted: run as root")]
    NotPermitted,
    /// The kernel refused for another reason.
    #[error("cannot {action} a network namespace: {error}")]
    Namespace {
        /// The action that failed.
        action: &'static str,
        /// The kernel's answer.
        error: Errno,
    },
    /// IPv6 cannot be turned off.
    #[error("cannot turn IPv6 off in a network namespace")]
    Ipv6(#[source] io::Error),
    /// A program is missing.
    #[error("cannot run {program}; install the package {package}")]
    Missing {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
}

/// A network namespace without a name: it exists as long as this value or something in it, so that nothing is left behind
/// however the process ends, even when it is killed.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// Makes a namespace with nothing in it but a loopback interface, which is up. IPv6 is off, so that the kernel sends
    /// nothing by itself.
    ///
    /// # Errors
    ///
    /// When the process is not root, or `ip` is missing.
    pub fn new() -> Result<Self, NamespaceError> {
        let namespace = in_a_thread(|| {
            // SAFETY: a new network namespace concerns this thread alone; file descriptors stay shared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|error| match error {
                Errno::PERM => NamespaceError::NotPermitted,
                error => NamespaceError::Namespace { action: "make", error },
            })?;
            for interfaces in ["all", "default"] {
                match fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6"), "1") {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(NamespaceError::Ipv6(error));
                    }
                    _ => {}
                }
            }
            let file = File::open("/proc/thread-self/ns/net").map_err(|error| NamespaceError::Namespace {
                action: "open",
                error: Errno::from_io_error(&error).unwrap_or(Errno::IO),
            })?;
            Ok(Self(Arc::new(file)))
        })?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The path by which `ip link set … netns PATH` finds the namespace, as long as this process runs.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Does `work` in a thread of its own, which lives in the namespace, as do threads and processes that it starts.
    /// /sys shows
    /// them its interfaces. Sockets that it makes belong to the namespace also outside of it.
    ///
    /// # Errors
    ///
    /// When the kernel does not let the thread in.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        in_a_thread(|| {
            enter(self.0.as_fd()).map_err(|error| NamespaceError::Namespace { action: "enter", error })?;
            Ok(work())
        })
    }

    /// A command that runs `program` in the namespace, with a /sys that shows it, as `ip netns exec` would. The child is
    /// `program` itself, so that its id is the program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let namespace = Arc::clone(&self.0);
        // SAFETY: between fork and exec there are only system calls on values that exist already: nothing is allocated,
        // and no lock is taken.
        unsafe { command.pre_exec(move || Ok(enter(namespace.as_fd())?)) };
        command
    }

    /// Runs `program` in the namespace, and returns its standard output.
    ///
    /// # Errors
    ///
    /// When it cannot be run or fails; its standard error is in the message.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, NamespaceError> {
        Ok(process::output(self.command(program).args(arguments))?)
    }

    /// Runs `ip` with `arguments`, which are separated by spaces.
    ///
    /// # Errors
    ///
    /// When `ip` is missing or fails.
    pub fn ip(&self, arguments: &str) -> Result<String, NamespaceError> {
        self.run_packaged("ip", "iproute2", arguments)
    }

    /// Runs `ethtool` with `arguments`, which are separated by spaces.
    ///
    /// # Errors
    ///
    /// When `ethtool` is missing or fails.
    pub fn ethtool(&self, arguments: &str) -> Result<String, NamespaceError> {
        self.run_packaged("ethtool", "ethtool", arguments)
    }

    fn run_packaged(
        &self,
        program: &'static str,
        package: &'static str,
        arguments: &str,
    ) -> Result<String, NamespaceError> {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        self.run(program, &arguments).map_err(|error| match error {
            NamespaceError::Process(ProcessError::Spawn { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                NamespaceError::Missing { program, package, source }
            }
            error => error,
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Moves the calling thread into `namespace`, and gives it a /sys that shows the interfaces there.
fn enter(namespace: BorrowedFd<'_>) -> rustix::io::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    // SAFETY: a new mount namespace concerns this thread alone; file descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change(c"/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount(c"sysfs", c"/sys", c"sysfs", MountFlags::empty(), None)
}

fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::root::skipped_without_root;

    #[test]
    fn a_child_and_a_thread_see_the_namespace_and_nothing_else() {
        if skipped_without_root() {
            return;
        }
        let namespace = Namespace::new().unwrap();
        namespace.ip("link add only0 type veth peer name only1").unwrap();
        let listed = namespace.run("ls", &["/sys/class/net"]).unwrap();
        let listed: BTreeSet<&str> = listed.lines().collect();
        let links = namespace.ip("-oneline link show").unwrap();
        let links: BTreeSet<&str> =
            links.lines().filter_map(|line| line.split(": ").nth(1)?.split('@').next()).collect();
        assert_eq!(listed, links);
        assert!(links.is_superset(&BTreeSet::from(["lo", "only0", "only1"])), "{links:?}");
        let in_a_thread = namespace.enter(|| fs::read_dir("/sys/class/net").unwrap().count()).unwrap();
        assert_eq!(in_a_thread, links.len());
        let inside = namespace.enter(|| fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
        let child = namespace.run("readlink", &["/proc/self/ns/net"]).unwrap();
        assert_eq!(inside.to_str().unwrap(), child.trim());
        assert_ne!(inside, fs::read_link("/proc/thread-self/ns/net").unwrap());
    }

    #[test]
    fn a_missing_program_and_a_refusal_are_named() {
        if skipped_without_root() {
            return;
        }
        let namespace = Namespace::new().unwrap();
        let error = namespace.run_packaged("no-such-program", "no-such-package", "x").unwrap_err();
        assert!(error.to_string().contains("no-such-package"), "{error}");
        let error = namespace.ip("link set nothing up").unwrap_err().to_string();
        assert!(error.contains("link set nothing up") && error.contains("nothing\""), "{error}");
    }
}

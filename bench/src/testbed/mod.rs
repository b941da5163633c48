//! Where live measurements take place: two network namespaces joined by a veth pair, and a processor for each end.
//!
//! The namespaces have no names. They exist for as long as this process holds them, so that nothing is left behind
//! however it ends, even when it is killed.

mod namespace;
mod processors;

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::Command;

use rustix::io::Errno;
use thiserror::Error;

pub use self::namespace::Namespace;
pub use self::processors::{Processors, TooFew, allowed_processors, pin};
use crate::traffic::Addresses;

/// Why there is no testbed.
#[derive(Debug, Error)]
pub enum TestbedError {
    /// The process may not make network namespaces.
    #[error("making network namespaces is not permitted: run as root")]
    NotPermitted,
    /// The kernel refused for another reason.
    #[error("cannot {action} a network namespace: {error}")]
    Namespace {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        error: Errno,
    },
    /// A program is missing.
    #[error("cannot run {program}: {source}; install the package {package}")]
    Missing {
        /// The program.
        program: String,
        /// The package that has it.
        package: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed: {words}")]
    Failed {
        /// The command.
        command: String,
        /// What it said.
        words: String,
    },
}

/// A veth pair between two namespaces. Gone when it is dropped.
#[derive(Debug)]
pub struct Testbed {
    /// Namespace of the sending end, [`NEAR`](Self::NEAR).
    pub near: Namespace,
    /// Namespace of the receiving end, [`FAR`](Self::FAR).
    pub far: Namespace,
}

impl Testbed {
    /// Name of the sending interface.
    pub const NEAR: &str = "near";
    /// Name of the receiving interface.
    pub const FAR: &str = "far";

    /// Lays the cable: one queue at each end, both up. The far end has the address that traffic is sent to by default, and no
    /// route to anywhere, so that the kernel sends nothing by itself. `mtu` is that of both ends, in bytes.
    ///
    /// # Errors
    ///
    /// When the process is not root, or `ip` is missing or refuses.
    pub fn new(mtu: u32) -> Result<Self, TestbedError> {
        let bed = Self { near: Namespace::new()?, far: Namespace::new()? };
        let (near, far) = (Self::NEAR, Self::FAR);
        let end = format!("mtu {mtu} numrxqueues 1 numtxqueues 1");
        let place = format!("/proc/{}/fd/{}", std::process::id(), bed.far.as_fd().as_raw_fd());
        bed.near.ip(&format!("link add {near} {end} type veth peer name {far} {end} netns {place}"))?;
        for (namespace, interface) in [(&bed.near, near), (&bed.far, far)] {
            namespace.ip(&format!("link set {interface} addrgenmode none"))?;
            namespace.ip(&format!("link set {interface} up"))?;
        }
        bed.far.ip(&format!("address add {}/32 dev {far}", Addresses::default().destination))?;
        Ok(bed)
    }
}

impl Namespace {
    /// Runs `ip` with `arguments`, which are separated by spaces.
    ///
    /// # Errors
    ///
    /// When `ip` is missing or fails.
    pub fn ip(&self, arguments: &str) -> Result<String, TestbedError> {
        self.run("ip", "iproute2", arguments)
    }

    /// Runs `ethtool` with `arguments`, which are separated by spaces.
    ///
    /// # Errors
    ///
    /// When `ethtool` is missing or fails.
    pub fn ethtool(&self, arguments: &str) -> Result<String, TestbedError> {
        self.run("ethtool", "ethtool", arguments)
    }

    fn run(
        &self,
        program: &'static str,
        package: &'static str,
        arguments: &str,
    ) -> Result<String, TestbedError> {
        let mut command = Command::new(program);
        command.args(arguments.split(' '));
        let missing = |source| TestbedError::Missing { program: program.to_owned(), package, source };
        let output = self.enter(|| command.output())?.map_err(missing)?;
        if !output.status.success() {
            return Err(TestbedError::Failed {
                command: format!("{program} {arguments}"),
                words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

//! Errors of the capture program, and their remedies.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::{ProgramError, XdpError as AttachError};
use mirror_common::config::MIN_SNAP_LENGTH;

use super::config::MOST_ADDRESSES;
use super::interface::Interface;
use super::mode::AttachMode;
use crate::number::QueueId;

/// Lines of the verifier's log that a message carries.
const VERIFIER_TAIL: usize = 12;

/// The verifier's message where it forbids arithmetic on packet pointers for want of CAP_PERFMON.
const NEEDS_PERFMON: &str = "prohibited for !root";

/// An action that may not be permitted.
const LOAD: &str = "load the capture program";

/// Reason for which the capture program could not be loaded, attached or read.
#[derive(Debug, thiserror::Error)]
pub enum XdpError {
    /// The snap length would cut into the Ethernet header.
    #[error(
        "a snap length of {0} bytes cuts into the Ethernet header: make it at least {MIN_SNAP_LENGTH}, or leave it \
         out to keep whole packets"
    )]
    SnapLength(u32),
    /// A prefix that is longer than its address.
    #[error(
        "the allowed source {address}/{prefix_length} is no prefix: an address of its family has {} bits",
        if address.is_ipv4() { 32 } else { 128 }
    )]
    PrefixLength {
        /// The address.
        address: IpAddr,
        /// The prefix length.
        prefix_length: u8,
    },
    /// More addresses than the program's map has room for.
    #[error(
        "{0} addresses of its own are more than the capture program can tell from others ({MOST_ADDRESSES}): take packets \
         to any destination (--any-destination)"
    )]
    TooManyAddresses(usize),
    /// The kernel has no XDP programs for packets of several buffers.
    #[error(
        "the kernel is too old ({release}): XDP programs for packets of several buffers need Linux 5.18, and AF_XDP \
         sockets for them 6.6"
    )]
    KernelTooOld {
        /// Release of the running kernel.
        release: String,
    },
    /// The process lacks a capability.
    #[error(
        "not permitted to {action}: run as root, or grant CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and, for AF_XDP \
         sockets, CAP_NET_RAW (no value of `kernel.unprivileged_bpf_disabled` stands in for them); in a container, its \
         seccomp profile must allow bpf(2) as well"
    )]
    NotPermitted {
        /// The action.
        action: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The verifier rejected the program.
    #[error("the kernel's verifier rejected the capture program; the end of its log:\n{log_tail}")]
    Rejected {
        /// The last lines of its log.
        log_tail: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// No interface of that name.
    #[error("there is no interface {name:?} here; there are: {}", existing.join(", "))]
    UnknownInterface {
        /// The name asked for.
        name: String,
        /// The names that exist in this network namespace.
        existing: Vec<String>,
    },
    /// The interfaces could not be listed.
    #[error("the network interfaces cannot be listed through rtnetlink")]
    Interfaces(#[source] io::Error),
    /// Another XDP program holds the interface.
    #[error(
        "interface {interface} already has an XDP program{occupant}: stop the process that attached it (another \
         mirror-capture?) or, if it came by `ip link`, detach it with `ip link set dev {interface} {} off`",
        occupant.keyword()
    )]
    AlreadyAttached {
        /// The interface.
        interface: String,
        /// The program that holds it, as far as it is known.
        occupant: OtherProgram,
    },
    /// The driver has no XDP in this mode.
    #[error("the driver of {interface} has no {mode} XDP")]
    ModeNotSupported {
        /// The interface.
        interface: String,
        /// The mode.
        mode: AttachMode,
    },
    /// The MTU is too large for XDP in this mode.
    #[error(
        "the MTU of {interface} or of its peer is too large for {mode} XDP (here it is {mtu}): lower it with `ip link \
         set dev {interface} mtu …`"
    )]
    MtuTooLarge {
        /// The interface.
        interface: String,
        /// The mode.
        mode: AttachMode,
        /// Its MTU in bytes.
        mtu: u32,
    },
    /// The driver has too few queues for XDP.
    #[error(
        "the driver of {interface} has too few queues for {mode} XDP: a veth needs as many receive queues as its peer \
         has transmit queues, and most NICs need free queues to transmit from; change them with `ethtool -L \
         {interface} …`"
    )]
    TooFewQueues {
        /// The interface.
        interface: String,
        /// The mode.
        mode: AttachMode,
    },
    /// The driver refused the program for a reason of its own.
    #[error(
        "the driver of {interface} refuses {mode} XDP at MTU {mtu}: ENA before 2.17.0 wants at most half of its \
         channels in use (`ethtool -L {interface} combined …`), and drivers without multi-buffer XDP (ENA before \
         2.14.0) an MTU of one page at most (3,502); `dmesg` may say more"
    )]
    Refused {
        /// The interface.
        interface: String,
        /// The mode.
        mode: AttachMode,
        /// Its MTU in bytes.
        mtu: u32,
        /// The system's error, with the driver's message where there is one.
        #[source]
        source: ProgramError,
    },
    /// Attaching failed in a way that has no remedy of its own.
    #[error("the capture program cannot be attached to {interface} in {mode} mode")]
    Attach {
        /// The interface.
        interface: String,
        /// The mode.
        mode: AttachMode,
        /// The system's error.
        #[source]
        source: ProgramError,
    },
    /// The object file and this program do not fit together.
    #[error("the capture object has no {0}: it was built from other sources than this program; rebuild both")]
    Missing(&'static str),
    /// The object could not be loaded for another reason.
    #[error("the capture program cannot be loaded")]
    Load(#[source] EbpfError),
    /// The log of the program could not be opened.
    #[error("the log of the capture program cannot be opened")]
    Log(#[source] aya_log::Error),
    /// A queue that the program was not loaded for.
    #[error(
        "the capture program knows no queue {queue}: it was loaded for {queues} queues, numbered from 0; give the \
         interface that many (`ethtool -L`), or start again"
    )]
    UnknownQueue {
        /// The queue.
        queue: QueueId,
        /// Number of queues that it was loaded for.
        queues: u32,
    },
    /// A map could not be read or written.
    #[error("the map {map} of the capture program cannot be {action}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// The action.
        action: &'static str,
        /// The system's error.
        #[source]
        source: MapError,
    },
    /// A map's descriptor could not be duplicated.
    #[error(
        "the map {map} of the capture program cannot be opened once more; raise the limit on open files (ulimit -n)"
    )]
    Handle {
        /// Name of the map.
        map: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The kernel does not return the program's id.
    #[error("the kernel does not say by which id it knows the capture program")]
    Id(#[source] ProgramError),
    /// The program could not be detached.
    #[error("the capture program cannot be detached")]
    Detach(#[source] ProgramError),
}

/// The XDP program that holds an interface, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherProgram {
    /// Its mode and id.
    pub program: Option<(AttachMode, u32)>,
    /// Its name: only readable with CAP_SYS_ADMIN.
    pub name: Option<String>,
}

impl OtherProgram {
    /// The program that holds `interface`.
    pub(super) fn of(interface: &Interface) -> Self {
        let program = interface.program();
        let name = program.and_then(|(_, id)| {
            let info = aya::programs::loaded_programs().flatten().find(|info| info.id() == id)?;
            info.name_as_str().map(str::to_owned)
        });
        Self { program, name }
    }

    /// The keyword of `ip link set` for its mode.
    fn keyword(&self) -> &'static str {
        match self.program {
            Some((AttachMode::Generic, _)) => "xdpgeneric",
            Some((AttachMode::Native, _)) => "xdpdrv",
            None => "xdp",
        }
    }
}

impl fmt::Display for OtherProgram {
    /// Continues a sentence: empty if nothing is known.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((mode, id)) = self.program {
            write!(
                formatter,
                ", {} (id {id}, {mode} mode)",
                self.name.as_deref().unwrap_or("name not readable")
            )?;
        }
        Ok(())
    }
}

impl XdpError {
    /// The error of an object that aya could not load.
    pub(super) fn from_load(error: EbpfError) -> Self {
        match error {
            EbpfError::ProgramError(ProgramError::LoadError { io_error, verifier_log }) => {
                let log = verifier_log.to_string();
                if log.contains(NEEDS_PERFMON) {
                    Self::NotPermitted { action: LOAD, source: io_error }
                } else if log.trim().is_empty() {
                    let error = ProgramError::LoadError { io_error, verifier_log };
                    Self::from_refused_load(error.into())
                } else {
                    Self::Rejected { log_tail: tail(&log), source: io_error }
                }
            }
            error => Self::from_refused_load(error),
        }
    }

    fn from_refused_load(error: EbpfError) -> Self {
        match errno(&error) {
            Some(code @ (libc::EPERM | libc::EACCES)) => {
                Self::NotPermitted { action: LOAD, source: io::Error::from_raw_os_error(code) }
            }
            _ => Self::Load(error),
        }
    }

    /// The error of a program that aya could not attach to `interface` in `mode`.
    pub(super) fn from_attach(error: ProgramError, interface: &Interface, mode: AttachMode) -> Self {
        let code = match &error {
            ProgramError::XdpError(AttachError::NetlinkError(error)) => error.raw_os_error(),
            error => errno(error),
        };
        let name = interface.name.clone();
        match code {
            Some(code @ (libc::EPERM | libc::EACCES)) => Self::NotPermitted {
                action: "attach the capture program",
                source: io::Error::from_raw_os_error(code),
            },
            Some(libc::EBUSY | libc::EEXIST) => {
                Self::AlreadyAttached { interface: name, occupant: OtherProgram::of(interface) }
            }
            Some(libc::EOPNOTSUPP) => Self::ModeNotSupported { interface: name, mode },
            Some(libc::ERANGE | libc::EMSGSIZE) => {
                Self::MtuTooLarge { interface: name, mode, mtu: interface.mtu }
            }
            Some(libc::ENOSPC) => Self::TooFewQueues { interface: name, mode },
            Some(libc::EINVAL) => Self::Refused { interface: name, mode, mtu: interface.mtu, source: error },
            _ => Self::Attach { interface: name, mode, source: error },
        }
    }

    /// `true` if generic mode may succeed where native mode ended with this error.
    pub(super) fn is_of_driver(&self) -> bool {
        matches!(
            self,
            Self::ModeNotSupported { .. }
                | Self::MtuTooLarge { .. }
                | Self::TooFewQueues { .. }
                | Self::Refused { .. }
                | Self::Attach { .. }
        )
    }
}

/// The system's error number at the root of `error`.
fn errno(error: &(dyn StdError + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .find_map(io::Error::raw_os_error)
}

/// The last lines of `log`.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(VERIFIER_TAIL)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use aya::sys::SyscallError;

    use super::*;

    fn attach_error(code: i32) -> XdpError {
        let interface = Interface {
            name: "eth0".into(),
            index: 2,
            mtu: 9001,
            generic_program: Some(u32::MAX),
            ..Interface::default()
        };
        let error = SyscallError { call: "bpf_link_create", io_error: io::Error::from_raw_os_error(code) };
        XdpError::from_attach(error.into(), &interface, AttachMode::Native)
    }

    #[test]
    fn attach_errors_name_the_thing_and_the_remedy() {
        let cases = [
            (libc::EPERM, "CAP_NET_ADMIN"),
            (libc::EBUSY, "(id 4294967295, generic mode)"),
            (libc::EEXIST, "`ip link set dev eth0 xdpgeneric off`"),
            (libc::EOPNOTSUPP, "the driver of eth0 has no native XDP"),
            (libc::ERANGE, "(here it is 9001)"),
            (libc::ENOSPC, "`ethtool -L eth0 …`"),
            (libc::EINVAL, "refuses native XDP at MTU 9001"),
            (libc::ENOMEM, "cannot be attached to eth0 in native mode"),
        ];
        for (code, text) in cases {
            let message = attach_error(code).to_string();
            assert!(message.contains(text), "{message:?} does not say {text:?}");
        }
    }

    #[test]
    fn only_errors_of_the_driver_lead_to_generic_mode() {
        for code in [libc::EOPNOTSUPP, libc::ERANGE, libc::ENOSPC, libc::EINVAL, libc::ENOMEM] {
            assert!(attach_error(code).is_of_driver(), "{code}");
        }
        for code in [libc::EPERM, libc::EBUSY, libc::EEXIST] {
            assert!(!attach_error(code).is_of_driver(), "{code}");
        }
    }

    #[test]
    fn a_rejection_carries_the_end_of_the_log() {
        let log: String = (0..100).map(|line| format!("{line}: (bf) r1 = r2\n")).collect();
        assert!(tail(&log).starts_with("88: "));
        assert!(tail(&log).ends_with("99: (bf) r1 = r2"));
        assert_eq!(tail("one\n\n"), "one");
    }
}

//! Conditions of a capture, checked first so that the answer is a sentence and not an errno.

use std::fs;

use rustix::thread::{CapabilitySet, capabilities};
use thiserror::Error;

use crate::nic::Nic;
use crate::value::parse_list;

/// Reasons why a capture cannot start on this system.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PreflightError {
    /// The process may not do it.
    #[error(
        "missing {}: run as root, or give the binary the capabilities with \
         `setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon,cap_ipc_lock+ep`, or AmbientCapabilities= in systemd",
        missing.join(", ")
    )]
    Capabilities {
        /// Names of the missing capabilities.
        missing: Vec<&'static str>,
    },
    /// The kernel is too old.
    #[error("Linux {release} cannot do AF_XDP with frames of several buffers; 6.6 or later is needed")]
    Kernel {
        /// The answer of `uname -r`.
        release: String,
    },
    /// A queue does not exist.
    #[error(
        "queue {queue} was asked for, but {interface} has {queues} receive queue(s), numbered from 0 \
         (`ethtool -l {interface}` shows how many it could have)"
    )]
    Queue {
        /// The interface.
        interface: String,
        /// The queue that was asked for.
        queue: usize,
        /// Number of queues that there are.
        queues: u32,
    },
    /// A processor does not exist or may not be used.
    #[error("processor {cpu} was asked for, but this process may run on {allowed:?} only")]
    Cpu {
        /// The processor that was asked for.
        cpu: usize,
        /// Those that may be used.
        allowed: Vec<usize>,
    },
}

/// Oldest kernel that binds an AF_XDP socket with `XDP_USE_SG`.
const MINIMUM_KERNEL: (u32, u32) = (6, 6);

/// Checks capabilities and kernel.
///
/// # Errors
///
/// The first thing that is missing.
pub fn check_system() -> Result<(), PreflightError> {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    check_capabilities(effective)?;
    check_kernel(&rustix::system::uname().release().to_string_lossy())
}

fn check_capabilities(effective: CapabilitySet) -> Result<(), PreflightError> {
    // CAP_SYS_ADMIN includes both that are for BPF (capabilities(7)).
    let holds = |capability| effective.intersects(capability | CapabilitySet::SYS_ADMIN);
    let missing: Vec<&'static str> = [
        ("CAP_NET_ADMIN", effective.contains(CapabilitySet::NET_ADMIN)),
        ("CAP_NET_RAW", effective.contains(CapabilitySet::NET_RAW)),
        ("CAP_BPF", holds(CapabilitySet::BPF)),
        // The verifier forbids packet offsets that vary without it.
        ("CAP_PERFMON", holds(CapabilitySet::PERFMON)),
    ]
    .into_iter()
    .filter_map(|(name, held)| (!held).then_some(name))
    .collect();
    if missing.is_empty() { Ok(()) } else { Err(PreflightError::Capabilities { missing }) }
}

fn check_kernel(release: &str) -> Result<(), PreflightError> {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= MINIMUM_KERNEL {
        Ok(())
    } else {
        Err(PreflightError::Kernel { release: release.to_owned() })
    }
}

/// The queues to capture from: all, or those that were asked for.
///
/// # Errors
///
/// When one does not exist.
pub fn choose_queues(nic: &Nic, asked: Option<&[usize]>) -> Result<Vec<u32>, PreflightError> {
    let Some(asked) = asked else { return Ok((0..nic.queues).collect()) };
    let mut queues: Vec<u32> = asked
        .iter()
        .map(|&queue| {
            u32::try_from(queue).ok().filter(|&queue| queue < nic.queues).ok_or_else(|| {
                PreflightError::Queue { interface: nic.name.clone(), queue, queues: nic.queues }
            })
        })
        .collect::<Result<_, _>>()?;
    queues.sort_unstable();
    queues.dedup();
    Ok(queues)
}

/// The processors to pin to: those that were asked for, or the ones local to the NIC.
///
/// # Errors
///
/// When one may not be used.
pub fn choose_cpus(
    nic: &Nic,
    asked: Option<&[usize]>,
    allowed: &[usize],
) -> Result<Vec<usize>, PreflightError> {
    match asked {
        None => Ok(nic.local_cpus(allowed)),
        Some(asked) => match asked.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(&cpu) => Err(PreflightError::Cpu { cpu, allowed: allowed.to_vec() }),
            None => Ok(asked.to_vec()),
        },
    }
}

/// The processors that this thread may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_else(|_| rustix::thread::CpuSet::new());
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// The processors on which the kernel runs only what is pinned to them (`isolcpus`, isolated partitions of control groups).
pub fn isolated_cpus() -> Vec<usize> {
    parse_list(&fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default())
}

/// Bytes of huge pages that are free, from `/proc/meminfo`.
pub fn free_huge_page_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let number = |key: &str| {
        let line = meminfo.lines().find(|line| line.starts_with(key))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    };
    number("HugePages_Free:").unwrap_or(0) * number("Hugepagesize:").unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(queues: u32) -> Nic {
        Nic { name: "eth1".to_owned(), index: 7, mtu: 9001, queues, driver: None, numa_node: None }
    }

    #[test]
    fn missing_capabilities_are_named() {
        let all = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        assert_eq!(check_capabilities(all | CapabilitySet::BPF | CapabilitySet::PERFMON), Ok(()));
        assert_eq!(check_capabilities(all | CapabilitySet::SYS_ADMIN), Ok(()));
        let error = check_capabilities(CapabilitySet::NET_RAW).unwrap_err().to_string();
        assert!(error.contains("missing CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON: run as root"), "{error}");
    }

    #[test]
    fn old_kernels_are_named() {
        for release in ["6.6.0", "6.18.44-generic", "7.0-rc1", "6.10"] {
            assert_eq!(check_kernel(release), Ok(()), "{release}");
        }
        for release in ["6.5.13", "5.10.0-amd64", "odd"] {
            let error = check_kernel(release).unwrap_err().to_string();
            assert!(error.contains(release) && error.contains("6.6"), "{error}");
        }
    }

    #[test]
    fn queues_and_processors_must_exist() {
        assert_eq!(choose_queues(&nic(3), None).unwrap(), [0, 1, 2]);
        assert_eq!(choose_queues(&nic(4), Some(&[3, 1, 1])).unwrap(), [1, 3]);
        let error = choose_queues(&nic(2), Some(&[0, 2])).unwrap_err().to_string();
        assert!(error.contains("queue 2") && error.contains("2 receive queue(s)"), "{error}");
        assert_eq!(choose_cpus(&nic(1), None, &[0, 1]).unwrap(), [1, 0]);
        assert_eq!(choose_cpus(&nic(1), Some(&[0]), &[0, 1]).unwrap(), [0]);
        assert!(choose_cpus(&nic(1), Some(&[7]), &[0, 1]).unwrap_err().to_string().contains("processor 7"));
    }
}

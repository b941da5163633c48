//! The network interface, as the system describes it: queues, MTU, driver, NUMA node and its CPUs.
//!
//! - [`meter`]: the growth of the interface's counters.
//! - [`ethtool`]: the counters that drivers keep under names of their own.
//!
//! Everything but the drivers' own counters is read from sysfs, which `ip netns exec` mounts anew, so that it describes
//! the namespace's own interfaces.

pub mod ethtool;
pub mod meter;

use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::value::parse_list;

/// A network interface at the time of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Name.
    pub name: String,
    /// Index, which stays the same when the name changes.
    pub index: u32,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Receive queues.
    pub queues: u32,
    /// Name of the driver, where it is known (`ena`, `veth`).
    pub driver: Option<String>,
    /// NUMA node that the device is attached to, where the system has several.
    pub numa_node: Option<u32>,
}

/// Reason for which an interface cannot be used.
#[derive(Debug, Error)]
pub enum NicError {
    /// There is no interface of that name.
    #[error("there is no interface {name}; there {}", interfaces_text(existing))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names that exist.
        existing: Vec<String>,
    },
    /// A file of sysfs could not be read.
    #[error("cannot read {}: {error}; is sysfs mounted for this network namespace?", path.display())]
    Sysfs {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The interface is down.
    #[error("{name} is down, so that nothing can arrive; `ip link set {name} up` mends it")]
    Down {
        /// The interface.
        name: String,
    },
}

fn interfaces_text(existing: &[String]) -> String {
    match existing {
        [] => "are none at all".to_owned(),
        [one] => format!("is {one}"),
        several => format!("are {}", several.join(", ")),
    }
}

impl Nic {
    /// Queries the interface `name`.
    ///
    /// # Errors
    ///
    /// When there is no such interface, it is down, or sysfs cannot be read.
    pub fn query(name: &str) -> Result<Self, NicError> {
        let nic = Self::query_in(Path::new("/sys/class/net"), name)?;
        // A virtual interface has no device in sysfs, whose driver could be named there.
        let driver = nic.driver.or_else(|| ethtool::driver(name).ok());
        Ok(Self { driver, ..nic })
    }

    fn query_in(class: &Path, name: &str) -> Result<Self, NicError> {
        let directory = class.join(name);
        if name.is_empty() || name.contains('/') || !directory.is_dir() {
            return Err(NicError::Unknown { name: name.to_owned(), existing: names(class) });
        }
        let flags = read(&directory.join("flags"))?;
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).unwrap_or(1);
        if flags & 1 == 0 {
            return Err(NicError::Down { name: name.to_owned() });
        }
        Ok(Self {
            name: name.to_owned(),
            index: read(&directory.join("ifindex"))?.parse().unwrap_or(0),
            mtu: read(&directory.join("mtu"))?.parse().unwrap_or(0),
            queues: queues(&directory).max(1),
            driver: driver(&directory),
            numa_node: read(&directory.join("device/numa_node")).ok().and_then(|node| node.parse().ok()),
        })
    }

    /// The CPUs of `allowed` that workers are best pinned to: on the NIC's NUMA node where it has one, the first one last,
    /// because interrupts and the rest of the system prefer it.
    pub fn local_cpus(&self, allowed: &[usize]) -> Vec<usize> {
        let local = self
            .numa_node
            .and_then(|node| read(Path::new(&format!("/sys/devices/system/node/node{node}/cpulist"))).ok());
        prefer(local.as_deref().map(parse_list).unwrap_or_default(), allowed)
    }
}

/// CPUs of `allowed` that are in `local` too, or all of `allowed` if there are none; the first one last.
fn prefer(local: Vec<usize>, allowed: &[usize]) -> Vec<usize> {
    let mut cpus: Vec<usize> = local.into_iter().filter(|cpu| allowed.contains(cpu)).collect();
    if cpus.is_empty() {
        cpus = allowed.to_vec();
    }
    if cpus.len() > 1 {
        cpus.rotate_left(1);
    }
    cpus
}

/// The number of receive queues that the interface `name` has now; 0 where there is no such interface.
pub fn receive_queues(name: &str) -> u32 {
    queues(&Path::new("/sys/class/net").join(name))
}

fn queues(directory: &Path) -> u32 {
    let queues = names(&directory.join("queues")).iter().filter(|queue| queue.starts_with("rx-")).count();
    u32::try_from(queues).unwrap_or(u32::MAX)
}

fn driver(directory: &Path) -> Option<String> {
    let target = fs::read_link(directory.join("device/driver")).ok();
    let by_link = target.and_then(|target| Some(target.file_name()?.to_str()?.to_owned()));
    by_link.or_else(|| {
        let uevent = read(&directory.join("uevent")).ok()?;
        uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=").map(str::to_owned))
    })
}

fn read(path: &Path) -> Result<String, NicError> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| NicError::Sysfs { path: path.to_owned(), error })
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for (text, expected) in [
            ("0", vec![0]),
            ("0-3", vec![0, 1, 2, 3]),
            ("0-1,4,6-7", vec![0, 1, 4, 6, 7]),
            (" 2 , 5 ", vec![2, 5]),
            ("", vec![]),
            ("a-b,1", vec![1]),
        ] {
            assert_eq!(parse_list(text), expected, "{text:?}");
        }
    }

    #[test]
    fn workers_keep_to_the_local_node_and_off_its_first_cpu() {
        assert_eq!(prefer(vec![4, 5, 6], &[0, 1, 2, 3, 4, 5, 6, 7]), [5, 6, 4]);
        assert_eq!(prefer(vec![], &[0, 1]), [1, 0]);
        assert_eq!(prefer(vec![8], &[0, 1]), [1, 0], "nothing of the local node is allowed");
        assert_eq!(prefer(vec![0], &[0]), [0]);
    }

    #[test]
    fn reads_an_interface_from_sysfs() {
        let class = tempfile::tempdir().unwrap();
        let eth = class.path().join("eth7");
        for queue in ["rx-0", "rx-1", "tx-0"] {
            fs::create_dir_all(eth.join("queues").join(queue)).unwrap();
        }
        fs::write(eth.join("flags"), "0x1003\n").unwrap();
        fs::write(eth.join("mtu"), "9001\n").unwrap();
        fs::write(eth.join("ifindex"), "12\n").unwrap();
        fs::write(eth.join("uevent"), "DEVTYPE=vlan\nINTERFACE=eth7\n").unwrap();
        let nic = Nic::query_in(class.path(), "eth7").unwrap();
        assert_eq!((nic.index, nic.mtu, nic.queues, nic.numa_node), (12, 9001, 2, None));
        assert_eq!(nic.driver.as_deref(), Some("vlan"));

        fs::write(eth.join("flags"), "0x1002\n").unwrap();
        let down = Nic::query_in(class.path(), "eth7").unwrap_err().to_string();
        assert!(down.contains("ip link set eth7 up"), "{down}");

        let unknown = Nic::query_in(class.path(), "eth8").unwrap_err().to_string();
        assert_eq!(unknown, "there is no interface eth8; there is eth7");
        assert!(Nic::query_in(class.path(), "../net").is_err());
    }
}

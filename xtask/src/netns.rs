//! Network namespaces that are gone when their guard is dropped, whatever happened in between.

use std::process::{self as this, Command};

use anyhow::{Context as _, Result};

use crate::process;

/// Name of the interface at each end of a [`Link`].
pub const INTERFACE: &str = "veth0";

/// Address of the sensor's interface: the one that the generator sends to by itself.
const ADDRESS: &str = "192.0.2.2/32";

/// A network namespace, removed when this is dropped.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes the namespace `mirror-PURPOSE-PID`.
    ///
    /// # Errors
    ///
    /// When this program is not root, or `ip` is missing.
    pub fn create(purpose: &str) -> Result<Self> {
        let name = format!("mirror-{purpose}-{}", this::id());
        ip(&["netns", "add", &name]).with_context(|| {
            format!("the network namespace {name} cannot be made (that needs root, and the package iproute2)")
        })?;
        Ok(Self { name })
    }

    /// A command that runs `program` in the namespace. It replaces `ip`, so that the child's id is the program's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` in the namespace and returns what it prints.
    ///
    /// # Errors
    ///
    /// When `ip` fails; its words are in the message.
    fn ip(&self, arguments: &[&str]) -> Result<String> {
        ip(&[&["-netns", self.name.as_str()], arguments].concat())
    }

    /// Packets that [`INTERFACE`] has received.
    ///
    /// # Errors
    ///
    /// When the interface is not there.
    pub fn received(&self) -> Result<u64> {
        let counter = format!("/sys/class/net/{INTERFACE}/statistics/rx_packets");
        let text = process::output(self.command("cat").arg(&counter))?;
        text.trim().parse().with_context(|| format!("{counter} is no number: {text}"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("the network namespace {} is left behind: {error:#}", self.name);
        }
    }
}

/// Two namespaces, joined by a pair of veth interfaces with one queue each, both named [`INTERFACE`] and up.
pub struct Link {
    /// Where traffic arrives.
    pub sensor: Namespace,
    /// Where traffic comes from.
    pub source: Namespace,
}

impl Link {
    /// Makes namespaces and interfaces; `mtu` in bytes is that of both ends.
    ///
    /// # Errors
    ///
    /// When this program is not root, or `ip` refuses.
    pub fn create(mtu: u32) -> Result<Self> {
        let link = Self { sensor: Namespace::create("sensor")?, source: Namespace::create("source")? };
        let end = [INTERFACE, "mtu", &mtu.to_string(), "numrxqueues", "1", "numtxqueues", "1"];
        let words = [
            &["link", "add", "name"],
            end.as_slice(),
            &["type", "veth", "peer", "name"],
            &end,
            &["netns", &link.source.name],
        ];
        link.sensor.ip(&words.concat())?;
        for namespace in [&link.sensor, &link.source] {
            // No address of its own making, so that the kernel sends nothing by itself and the counters are those of the
            // traffic.
            namespace.ip(&["link", "set", "dev", INTERFACE, "addrgenmode", "none"])?;
            namespace.ip(&["link", "set", "dev", INTERFACE, "up"])?;
        }
        link.sensor.ip(&["address", "add", ADDRESS, "dev", INTERFACE])?;
        Ok(link)
    }
}

/// The namespaces of this machine whose names begin with `mirror`, as those of the demo and the tests do.
///
/// # Errors
///
/// When `ip` cannot be run.
pub fn strays() -> Result<Vec<String>> {
    Ok(mirror_names(&ip(&["netns", "list"])?))
}

/// Reads `ip netns list`: a name on each line, and perhaps an id behind it.
fn mirror_names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("mirror"))
        .map(str::to_owned)
        .collect()
}

fn ip(arguments: &[&str]) -> Result<String> {
    Ok(process::output(Command::new("ip").args(arguments))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::is_root;

    #[test]
    fn names_are_read_with_and_without_an_id() {
        let list = "mirror-sensor-12 (id: 0)\nother\nmirror-source-12\nnot-mirror\n";
        assert_eq!(mirror_names(list), ["mirror-sensor-12", "mirror-source-12"]);
        assert!(mirror_names("").is_empty());
    }

    #[test]
    fn a_link_is_there_and_after_a_panic_is_gone() {
        if !is_root() {
            println!("SKIPPED: making network namespaces needs root");
            return;
        }
        let names = std::panic::catch_unwind(|| {
            let link = Link::create(1500).unwrap();
            assert_eq!(link.sensor.received().unwrap(), 0);
            for namespace in [&link.sensor, &link.source] {
                assert!(strays().unwrap().contains(&namespace.name));
            }
            std::panic::panic_any([link.sensor.name.clone(), link.source.name.clone()]);
        })
        .unwrap_err();
        let names = names.downcast::<[String; 2]>().unwrap();
        let left = strays().unwrap();
        assert!(names.iter().all(|name| !left.contains(name)), "{names:?} among {left:?}");
    }
}

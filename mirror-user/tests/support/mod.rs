//! Network namespaces and veth pairs for tests, which are gone again however a test ends.
//!
//! Only root can make them: a test begins with `if skipped_without_root() { return; }`.

mod root;

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use self::root::skipped_without_root;

/// A network namespace with nothing but its loopback interface, without IPv6 (so that no packets come of
/// themselves), deleted when dropped.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace whose name holds `label`, the process id and a counter.
    pub fn new(label: &str) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mirror-{label}-{}-{number}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self { name };
        namespace.enter(|| {
            for interfaces in ["all", "default"] {
                match fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6"), "1") {
                    Err(error) if error.kind() != ErrorKind::NotFound => panic!("disable_ipv6: {error}"),
                    _ => {}
                }
            }
        });
        namespace.run("ip", &["link", "set", "dev", "lo", "up"]);
        namespace
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in the namespace. The process that is spawned is `program` itself, so that killing
    /// it kills `program`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command in the namespace and returns its standard output.
    ///
    /// # Panics
    ///
    /// With its standard error, if it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        run(self.command(program).args(arguments))
    }

    /// Runs `work` in a thread of its own, which has entered the namespace. File descriptors that it makes there
    /// belong to the namespace also outside of it.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let namespace = fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace is there");
        let inside = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may enter a namespace");
            work()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A failure would only hide the one that the test is about.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// How a [`VethPair`] is made.
#[derive(Clone, Copy, Debug)]
pub struct VethOptions {
    /// MTU of both ends.
    pub mtu: u32,
    /// Receive queues and transmit queues of both ends, each.
    pub queues: u32,
}

impl Default for VethOptions {
    /// One queue each way, packets of 1,500 bytes.
    fn default() -> Self {
        Self { mtu: 1500, queues: 1 }
    }
}

/// Two namespaces, joined by a cable: what is sent on one end is received on the other. Both ends are up; the receiving one
/// has the address that generated traffic is sent to, and no other.
pub struct VethPair {
    /// Holds [`VethPair::RECEIVING`], where packets are captured.
    pub receiver: Namespace,
    /// Holds [`VethPair::SENDING`], where packets are sent.
    pub sender: Namespace,
}

impl VethPair {
    /// Name of the interface in `receiver`.
    pub const RECEIVING: &str = "veth-rx";
    /// Address of the interface in `receiver`. There is no route to anywhere, so that the kernel answers nothing.
    pub const ADDRESS: &str = "192.0.2.2/32";
    /// Name of the interface in `sender`.
    pub const SENDING: &str = "veth-tx";

    /// Makes the namespaces and the cable.
    pub fn new(options: VethOptions) -> Self {
        let pair = Self { receiver: Namespace::new("rx"), sender: Namespace::new("tx") };
        let mtu = options.mtu.to_string();
        let queues = options.queues.to_string();
        let end = ["mtu", &mtu, "numrxqueues", &queues, "numtxqueues", &queues];
        let mut link = pair.receiver.command("ip");
        link.args(["link", "add", Self::RECEIVING]).args(end).args(["type", "veth"]);
        link.args(["peer", "name", Self::SENDING]).args(end).args(["netns", pair.sender.name()]);
        run(&mut link);
        for (namespace, interface) in [(&pair.receiver, Self::RECEIVING), (&pair.sender, Self::SENDING)] {
            if options.queues > 1 {
                // A veth begins with one queue each way, however many it was made with.
                namespace.run("ethtool", &["--set-channels", interface, "rx", &queues, "tx", &queues]);
            }
            namespace.run("ip", &["link", "set", "dev", interface, "up"]);
        }
        pair.receiver.run("ip", &["address", "add", Self::ADDRESS, "dev", Self::RECEIVING]);
        pair
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

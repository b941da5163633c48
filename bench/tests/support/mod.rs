//! A veth pair between two network namespaces, with a counting receiver at its far end.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use aya::maps::PerCpuArray;
use aya::programs::{Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use mirror_bench::generator::interface::Interface;
use mirror_common::traffic::{DISCARD_PROGRAM, DISCARDED_MAP};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Name of the interface in [`Cable::near`].
pub const NEAR: &str = "near";
/// Name of the interface in [`Cable::far`].
pub const FAR: &str = "far";

/// A veth pair, whose ends lie in namespaces of their own. Goes when it is dropped.
pub struct Cable {
    /// Namespace of the sending end.
    pub near: String,
    /// Namespace of the receiving end.
    pub far: String,
}

impl Cable {
    /// Lays a cable with `mtu`, without GRO at the far end; [`None`], with a line that says so, without root.
    pub fn lay(mtu: u32) -> Option<Self> {
        static CABLES: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: network namespaces need root");
            return None;
        }
        let number = CABLES.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("bench-{}-{number}-{end}", process::id());
        let cable = Self { near: name(NEAR), far: name(FAR) };
        let (near, far) = (&cable.near, &cable.far);
        ip(&format!("netns add {near}"));
        ip(&format!("netns add {far}"));
        for namespace in [near, far] {
            // Without it the kernel itself sends router solicitations.
            let off = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
            run(Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", off]));
        }
        ip(&format!(
            "link add {NEAR} netns {near} mtu {mtu} type veth peer name {FAR} netns {far} mtu {mtu}"
        ));
        ip(&format!("-n {near} link set {NEAR} up"));
        ip(&format!("-n {far} link set {FAR} up"));
        Some(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// Does `work` in a thread that lives in `namespace`.
pub fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let namespace = File::open(format!("/run/netns/{namespace}")).unwrap();
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        worker.join().unwrap()
    })
}

/// The counting receiver: a native XDP program that drops everything.
pub struct Receiver(Ebpf);

impl Receiver {
    /// Attaches it to the far end of `cable`.
    pub fn attach(cable: &Cable) -> Self {
        within(&cable.far, || {
            let mut object = EbpfLoader::new().load(mirror_ebpf::generate()).unwrap();
            let program: &mut Xdp = object.program_mut(DISCARD_PROGRAM).unwrap().try_into().unwrap();
            program.load().unwrap();
            program.attach_to_if_index(Interface::new(FAR).unwrap().index, XdpMode::Driver).unwrap();
            Self(object)
        })
    }

    /// Packets and bytes received so far.
    pub fn received(&self) -> [u64; 2] {
        let map = self.0.map(DISCARDED_MAP).unwrap();
        let counts = PerCpuArray::<_, [u64; 2]>::try_from(map).unwrap().get(&0, 0).unwrap();
        counts.iter().fold([0, 0], |[packets, bytes], [more, longer]| [packets + more, bytes + longer])
    }
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

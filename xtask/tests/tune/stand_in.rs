use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use tempfile::TempDir;

use super::{Run, script, scripts};

/// A host with eight processors and an ENA interface with eight channels, all in files: /proc and /sys as far as the
/// script looks, and `nic`, which is what the stand-in for ethtool knows.
struct Host {
    root: TempDir,
    states: TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { root: TempDir::new().unwrap(), states: TempDir::new().unwrap() };
        for (path, text) in [
            ("nic/driver", "ena"),
            ("nic/version", "2.13.2g"),
            ("nic/maximum", "8"),
            ("nic/combined", "8"),
            ("nic/ring", "1024"),
            ("nic/adaptive", "off"),
            ("nic/usecs", "20"),
            ("nic/gro-hw", "on"),
            ("proc/sys/vm/nr_hugepages", "4"),
            ("proc/meminfo", "HugePages_Free: 3\nHugePages_Rsvd: 1\nHugepagesize: 2048 kB"),
            ("sys/class/net/eth1/ifindex", "3"),
            ("sys/class/net/eth1/device/numa_node", "0"),
            ("sys/class/net/eth1/napi_defer_hard_irqs", "0"),
            ("sys/class/net/eth1/gro_flush_timeout", "0"),
            ("sys/devices/system/node/node0/cpulist", "0-7"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors", "performance powersave"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "2"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "0"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "133"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
        ] {
            host.write(path, text);
        }
        let made = host.command("ethtool").args(["-G", "eth1", "rx", "1024"]).status().unwrap();
        assert!(made.success(), "the stand-in makes the queues");
        for queue in 0..8 {
            host.write(&affinity(queue), "0-7");
            host.write(&format!("sys/class/net/eth1/queues/rx-{queue}/rps_cpus"), "0f");
        }
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap().trim().to_owned()
    }

    /// The processor of each queue's interrupt.
    fn affinities(&self, queues: u32) -> Vec<String> {
        (0..queues).map(|queue| self.read(&affinity(queue))).collect()
    }

    /// Makes a process of irqbalance with these arguments.
    fn start_irqbalance(&self, arguments: &str) {
        self.write("proc/99/comm", "irqbalance");
        self.write("proc/99/cmdline", &format!("/usr/sbin/irqbalance {arguments}").replace(' ', "\0"));
    }

    /// Runs a stand-in, or with an absolute path any other program, where the stand-ins are found first.
    fn command(&self, program: &str) -> Command {
        let stand_ins = scripts().join("tests/stand-in");
        let path = format!("{}:{}", stand_ins.display(), env::var("PATH").unwrap());
        let mut command = Command::new(stand_ins.join(program));
        command.env("PATH", path).env("TUNE_ROOT", self.root.path());
        command
    }

    fn state(&self) -> PathBuf {
        self.states.path().join("eth1.state")
    }

    fn tune(&self, command: &str, arguments: &[&str]) -> Run {
        let mut tune = self.command(&script());
        tune.args([command, "--interface=eth1", "--state"]).arg(self.state()).args(arguments);
        Run::of(&mut tune)
    }

    /// Every file of the host.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        read_all(self.root.path(), &mut files);
        files
    }
}

fn read_all(directory: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, files);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            files.insert(path, text);
        }
    }
}

/// The stand-in numbers interrupts from 31.
fn affinity(queue: u32) -> String {
    format!("proc/irq/{}/smp_affinity_list", 31 + queue)
}

#[test]
fn every_lever_of_ena_is_set_and_put_back() {
    let host = Host::new();
    let before = host.files();
    let said = host.tune("apply", &["--busy-poll"]).done();
    assert!(!said.contains("skipped: "), "{said}");
    assert!(said.contains("note: irq-affinity: ENA"), "{said}");
    for (path, value) in [
        // Four queues with 8192 buffers of 4096 bytes each, and two pages that are spoken for.
        ("proc/sys/vm/nr_hugepages", "66"),
        ("nic/gro-hw", "off"),
        ("nic/combined", "4"),
        ("nic/ring", "4096"),
        ("nic/adaptive", "on"),
        ("nic/usecs", "20"),
        ("sys/class/net/eth1/napi_defer_hard_irqs", "2"),
        ("sys/class/net/eth1/gro_flush_timeout", "200000"),
        ("sys/class/net/eth1/queues/rx-3/rps_cpus", "0"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance"),
        ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0"),
        ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "1"),
    ] {
        assert_eq!(host.read(path), value, "{path}");
    }
    // The workers are on 1 to 4.
    assert_eq!(host.affinities(4), ["0", "5", "6", "7"]);

    host.tune("undo", &[]).done();
    assert_eq!(host.files(), before, "also what belongs to queues that were gone");
    assert!(!host.state().exists());
}

#[test]
fn a_driver_that_refuses_leaves_nothing_behind() {
    let host = Host::new();
    for option in ["-L", "-G", "-C"] {
        host.write("nic/refuse", option);
        let before = host.files();
        host.tune("apply", &[]).refused(1, &["eth1", "Invalid argument", "everything is as it was before"]);
        assert_eq!(host.files(), before, "{option}");
        assert!(!host.state().exists());
    }
}

#[test]
fn undo_that_fails_can_be_repeated() {
    let host = Host::new();
    let before = host.files();
    host.tune("apply", &[]).done();
    host.write("nic/refuse", "-G");
    host.tune("undo", &[]).refused(1, &["nic-ring: eth1 cannot be set back to 1024: ", "undo again"]);
    assert_eq!(host.read("proc/sys/vm/nr_hugepages"), "4", "the rest is put back");
    fs::remove_file(host.root.path().join("nic/refuse")).unwrap();
    host.tune("undo", &[]).done();
    assert_eq!(host.files(), before);
}

#[test]
fn channels_follow_the_version_of_ena() {
    let kernel = Command::new("uname").arg("-r").output().unwrap().stdout;
    let kernel = String::from_utf8(kernel).unwrap();
    for (driver, version, maximum, current, expected) in [
        ("ena", "2.13.2g", "8", "8", "4"),
        ("ena", "2.16.9g", "8", "5", "4"),
        ("ena", "2.13.2g", "8", "3", "3"),
        ("ena", "2.17.0g", "8", "8", "8"),
        ("ena", "3.0.0g", "32", "32", "32"),
        ("ena", "2.1.0K", "8", "8", "4"),
        ("ena", kernel.trim(), "8", "8", "4"),
        ("ena", "2.13.2g", "1", "1", "1"),
        ("ixgbe", "1.0.0", "8", "8", "8"),
    ] {
        let host = Host::new();
        for (name, value) in
            [("driver", driver), ("version", version), ("maximum", maximum), ("combined", current)]
        {
            host.write(&format!("nic/{name}"), value);
        }
        host.tune("apply", &["--skip", "irq-affinity"]).done();
        assert_eq!(host.read("nic/combined"), expected, "{driver} {version}, {current} of {maximum}");
    }
    let host = Host::new();
    host.tune("apply", &["--channels", "5"])
        .refused(1, &["channels: ENA 2.13.2g", "half of its 8", "not with 5"]);
    host.tune("apply", &["--channels", "9"]).refused(1, &["channels: eth1 has 8 at most"]);
    host.tune("apply", &["--nic-ring", "32768"]).refused(1, &["nic-ring: ", "16384 entries at most"]);
}

#[test]
fn interrupts_go_where_they_are_wanted() {
    for (arguments, expected) in [
        (&["--irq-affinity", "apart"][..], ["0", "5", "6", "7"]),
        (&["--irq-affinity", "same"], ["1", "2", "3", "4"]),
        (&["--irq-affinity", "same", "--cpus", "2,6-7"], ["2", "6", "7", "2"]),
        (&["--cpus", "0-5"], ["4", "5", "6", "7"]),
        (&["--cpus", "1-3"], ["0", "4", "5", "6"]),
        (&["--irq-affinity", "5-6,0"], ["5", "6", "0", "5"]),
    ] {
        let host = Host::new();
        host.tune("apply", arguments).done();
        assert_eq!(host.affinities(4), expected, "{arguments:?}");
    }

    let host = Host::new();
    host.write("sys/devices/system/node/node0/cpulist", "0-3");
    host.tune("apply", &["--irq-affinity", "apart"])
        .refused(1, &["every processor near eth1 has a worker", "--cpus"]);
    host.tune("apply", &[]).done();
    assert_eq!(host.affinities(4), ["1", "2", "3", "0"], "with the workers, where none is left");
}

#[test]
fn irqbalance_is_left_alone_unless_it_is_to_be_stopped() {
    let host = Host::new();
    host.start_irqbalance("--foreground");
    let before = host.files();
    let said = host.tune("apply", &["--skip", "channels,nic-ring"]).done();
    assert!(
        said.contains("skipped: irq-affinity: irqbalance runs") && said.contains("--banirq=38"),
        "{said}"
    );
    assert_eq!(host.affinities(8), vec!["0-7"; 8]);
    host.tune("undo", &[]).done();
    host.tune("apply", &["--only", "irq-affinity"]).refused(1, &["irqbalance runs", "--irqbalance stop"]);
    assert_eq!(host.files(), before);

    host.tune("apply", &["--irqbalance", "stop"]).done();
    assert!(!host.root.path().join("proc/99").exists(), "it was stopped");
    assert_eq!(host.affinities(4), ["0", "5", "6", "7"]);
    host.tune("undo", &[]).done();
    assert_eq!(host.read("proc/99/comm"), "irqbalance", "it was started again");
    assert_eq!(host.affinities(8), vec!["0-7"; 8]);

    let banned: Vec<String> = (31..39).map(|irq| format!("--banirq={irq}")).collect();
    host.start_irqbalance(&banned.join(" "));
    host.tune("apply", &["--only", "irq-affinity", "--cpus", "0-3"]).done();
    assert_eq!(host.affinities(8), ["4", "5", "6", "7", "4", "5", "6", "7"]);
    assert_eq!(host.read("proc/99/comm"), "irqbalance", "it leaves them alone already");
}

#[test]
fn channels_and_rings_stay_while_a_program_is_attached() {
    let host = Host::new();
    host.tune("apply", &["--skip", "nic-ring"]).done();
    let set = host.files();
    host.write("nic/link", "3: eth1: <BROADCAST,UP,LOWER_UP> mtu 3000 xdp/id:7 qdisc mq state UP");
    host.tune("undo", &[])
        .refused(1, &["channels: an XDP program is attached to eth1", "stop mirror-capture"]);
    fs::remove_file(host.root.path().join("nic/link")).unwrap();
    assert_eq!(host.files(), set);
    host.tune("undo", &[]).done();

    host.write("nic/link", "3: eth1: <BROADCAST,UP,LOWER_UP> mtu 3000 prog/xdp id 7 qdisc mq state UP");
    let said = host.tune("apply", &[]).done();
    for lever in ["channels", "nic-ring"] {
        assert!(said.contains(&format!("skipped: {lever}: an XDP program is attached")), "{said}");
    }
    assert!(!said.contains("note: "), "the driver is done with the interrupts: {said}");
    assert_eq!((host.read("nic/combined"), host.read("nic/ring")), ("8".to_owned(), "1024".to_owned()));
}

#[test]
fn coalescing_takes_a_time_or_adapts() {
    for (adaptive, wish, expected) in
        [("off", "adaptive", ["on", "20"]), ("on", "0", ["off", "0"]), ("off", "64", ["off", "64"])]
    {
        let host = Host::new();
        host.write("nic/adaptive", adaptive);
        let before = host.files();
        host.tune("apply", &["--only", "coalescing", "--coalescing", wish]).done();
        assert_eq!([host.read("nic/adaptive"), host.read("nic/usecs")], expected, "{wish}");
        host.tune("undo", &[]).done();
        assert_eq!(host.files(), before, "{wish}");
    }
}

#[test]
fn huge_pages_are_those_of_the_nic_s_node_where_there_are_several() {
    let host = Host::new();
    let pages = "sys/devices/system/node/node1/hugepages/hugepages-2048kB";
    host.write("sys/devices/system/node/node1/cpulist", "8-15");
    host.write("sys/class/net/eth1/device/numa_node", "1");
    host.write(&format!("{pages}/nr_hugepages"), "10");
    host.write(&format!("{pages}/free_hugepages"), "10");
    host.tune("apply", &["--only", "huge-pages", "--frames", "4096"]).done();
    assert_eq!(host.read(&format!("{pages}/nr_hugepages")), "64", "eight queues of 16 MiB");
    assert_eq!(host.read("proc/sys/vm/nr_hugepages"), "4");
    host.tune("undo", &[]).done();
    assert_eq!(host.read(&format!("{pages}/nr_hugepages")), "10");
}

#[test]
fn a_wrong_command_line_is_told_apart() {
    let host = Host::new();
    let before = host.files();
    for (arguments, words) in [
        (&["--nic-ring", "much"][..], &["--nic-ring", "much"][..]),
        (&["--channels", "0"], &["--channels", "1 or more"]),
        (&["--channels"], &["--channels needs a value"]),
        (&["--only", "rps,speed"], &["--only", "speed", "nic-ring"]),
        (&["--irq-affinity", "near"], &["--irq-affinity", "apart", "same"]),
        (&["--cpus", "1-"], &["--cpus", "0-3,8"]),
        (&["--json"], &["--json"]),
        (&["--faster"], &["--faster"]),
    ] {
        host.tune("apply", arguments).refused(2, words);
    }
    host.tune("tune", &[]).refused(2, &["unknown command 'tune'"]);
    Run::of(host.command(&script()).arg("apply")).refused(2, &["--interface"]);
    Run::of(host.command(&script()).args(["show", "--interface", "eth9"]))
        .refused(1, &["eth9", "ip netns exec"]);
    let help = Run::of(host.command(&script()).args(["apply", "--help"])).done();
    assert!(help.contains("Exit codes:") && help.contains("--irq-affinity"), "{help}");
    assert_eq!(host.files(), before);
}

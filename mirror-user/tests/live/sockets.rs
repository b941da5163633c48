//! Sockets, as they are made and read: fall-backs, and busy polling.

use std::fs;
use std::thread;
use std::time::Duration;

use mirror_testkit::daemon::Ended;
use mirror_testkit::generator::{self, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::daemon::{self, mixed, send_all, settings};
use crate::timestamps::timestamps;

/// The warnings in the log.
fn warnings(ended: &Ended) -> Vec<&str> {
    ended.log.lines().filter(|line| line.contains("WARN")).collect()
}

#[test]
fn fall_backs_are_warnings() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { mtu: 8600, ..VethOptions::default() }).unwrap();
    for (mtu, arguments, expected, strictly) in [
        (
            "1500",
            &["--zero-copy", "on"][..],
            "queue 0: the kernel copies, no zero-copy: ",
            "no zero-copy (for ENA",
        ),
        ("1500", &[], "queue 0: the kernel copies, no zero-copy: ", "no zero-copy (for ENA"),
        ("8600", &["--zero-copy", "on"], "with its MTU of 8600", "may be 3814 at most"),
        (
            "1500",
            &["--zero-copy", "off", "--huge-pages", "on"],
            "packet buffers on small pages: ",
            "huge pages",
        ),
    ] {
        if arguments.contains(&"--huge-pages") && huge_pages() > 0 {
            continue; // this machine has some
        }
        pair.receiver.run("ip", &["link", "set", "dev", VethPair::RECEIVING, "mtu", mtu]).unwrap();
        let daemon = daemon::start(&pair, arguments);
        let report = send_all(&pair, &mixed(), &settings(1_000, Source::Socket));
        let ended = daemon.stop();
        ended.assert_accounts_for(&report);
        assert!(
            warnings(&ended).iter().any(|line| line.contains(expected)),
            "{arguments:?}: {:?}",
            warnings(&ended)
        );

        let strict = [arguments, &["--strict"]].concat();
        let refused = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &strict).join();
        assert_eq!(refused.status.code(), Some(1), "{strict:?}: {}", refused.log);
        let error = refused.log.lines().last().unwrap();
        assert!(error.starts_with("error: --strict: ") && error.contains(strictly), "{strict:?}: {error}");
    }
    // What was not asked for and cannot be had is no fall-back.
    let daemon = daemon::start(&pair, &["--zero-copy", "off", "--huge-pages", "off"]);
    let ended = daemon.stop();
    assert!(warnings(&ended).is_empty(), "{:?}", warnings(&ended));
}

fn huge_pages() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Total:")).unwrap_or("0");
    line.trim().parse().unwrap()
}

#[test]
fn busy_polling_receives_without_interrupts() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let set = |name: &str, value: &str| {
        let path = format!("/sys/class/net/{}/{name}", VethPair::RECEIVING);
        pair.receiver.run("sh", &["-c", &format!("echo {value} > {path}")]).unwrap();
    };
    let profile = Profile { malformed: Share::NONE, ..mixed() };
    let slowly = |packets| generator::Settings { rate: Some(20), ..settings(packets, Source::Socket) };

    let daemon = daemon::start(&pair, &["--busy-poll", "50us", "--cpus", "1"]);
    let report = send_all(&pair, &profile, &settings(10_000, Source::Live));
    let ended = daemon.stop();
    ended.assert_accounts_for(&report);
    let told = warnings(&ended).join("\n");
    assert!(told.contains("napi_defer_hard_irqs") && told.contains("gro_flush_timeout"), "{told}");

    // An interface that is down for a while is waited for.
    let mut daemon = daemon::start(&pair, &["--busy-poll", "50us", "--cpus", "1"]);
    pair.receiver.run("ip", &["link", "set", "dev", VethPair::RECEIVING, "down"]).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(daemon.is_running());
    pair.receiver.run("ip", &["link", "set", "dev", VethPair::RECEIVING, "up"]).unwrap();
    let second = send_all(&pair, &profile, &slowly(10));
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.number("seen"), second.sent);
    if told.contains("interrupts instead of --busy-poll") {
        println!("the rest needs a kernel by which queues of a veth can be polled busily");
        return;
    }

    // Without busy polling, the kernel would now look for packets once in two seconds.
    set("napi_defer_hard_irqs", "2");
    set("gro_flush_timeout", "2000000000");
    let daemon = daemon::start(&pair, &["--busy-poll", "50us", "--cpus", "1"]);
    let report = send_all(&pair, &profile, &slowly(60));
    let ended = daemon.stop();
    ended.assert_accounts_for(&report);
    assert!(!ended.log.contains("--busy-poll:"), "{}", ended.log);
    let times = timestamps(&ended.records());
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 500_000_000, "packets that were sent every 50 ms were received {longest} ns apart");
}

#[test]
fn memory_is_summed_up_and_refused_where_it_is_not_there() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    let ended = daemon::start(&pair, &["--zero-copy", "off", "--huge-pages", "off"]).stop();
    let line = ended.log.lines().find(|line| line.contains("of memory at most")).unwrap();
    for part in
        ["are available (", "packet buffers 2 x 32.0 MiB", "rings 2 x ", "records ", "the program 32.0 MiB"]
    {
        assert!(line.contains(part), "{line}");
    }
    let many = ["--queue-batches", "100000000"];
    let refused = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &many).join();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
    let error = refused.log.lines().last().unwrap();
    assert!(
        error.starts_with("error: the options ask for ") && error.contains(" are available ("),
        "{error}"
    );
    assert!(error.ends_with("ask for less by --queue-batches"), "{error}");
    assert!(!refused.records().exists(), "nothing was changed");
}

//! Events that end or disturb a capture: each is said at once, and no packet vanishes without a count.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aya::maps::{Map, MapData, XskMap};
use aya::programs::loaded_programs;
use mirror_testkit::daemon::{Daemon, Ended};
use mirror_testkit::generator::{self, Source};
use mirror_testkit::namespace::Namespace;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};
use mirror_user::number::QueueId;
use mirror_user::xdp::{Program, ProgramConfig};
use mirror_user::xsk::{CopyMode, XskConfig, XskSource};

use crate::bpf;
use crate::daemon::{self, mixed, send, send_all, settings};

/// Every packet that the XDP program took is in the ledger, under one name.
fn assert_balanced(ended: &Ended) {
    assert_eq!(ended.ledger["balanced"], true, "{:#}\n{}", ended.ledger, ended.log);
    assert_eq!(ended.number("seen"), ended.number("recorded") + ended.dropped().values().sum::<u64>());
}

/// A release build cannot be asked to panic.
#[cfg(debug_assertions)]
#[test]
fn a_panic_of_a_worker_is_contained() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    let mut daemon = daemon::spawn_with(
        &pair.receiver,
        VethPair::RECEIVING,
        &["--records", "flow"],
        &[("MIRROR_CAPTURE_PANIC_AFTER", "2000")],
    );
    daemon.wait_for("capturing on");
    // A veth receives on the queue that has the number of the sending processor: the other worker gets too few to panic.
    let few = generator::Settings { cpu: Some(0), ..settings(1_500, Source::Live) };
    assert_eq!(send_all(&pair, &mixed(), &few).sent, 1_500);
    let many = generator::Settings { cpu: Some(1), ..settings(20_000, Source::Live) };
    send_all(&pair, &mixed(), &many);
    let ended = daemon.join();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("queue 1: the worker panicked: a test asked for it"), "{}", ended.log);
    let last = ended.log.lines().last().unwrap();
    assert!(last.starts_with("error: the worker of queue 1 panicked: a test asked for it"), "{last}");
    assert_balanced(&ended);
    let (whole, panicked) = (&ended.ledger["queues"][0], &ended.ledger["queues"][1]);
    assert_eq!((&whole["received"], &panicked["panicked"]), (&1_500.into(), &true.into()));
    assert_eq!(whole["dropped"]["worker_panicked"], 0, "{whole:#}");
    assert!(panicked["dropped"]["worker_panicked"].as_u64().unwrap() > 1_000, "{panicked:#}");
    assert!(ended.log.contains("dropped: worker_panicked"), "{}", ended.log);
}

/// An AF_XDP socket of somebody else on the first queue.
fn hold_queue(pair: &VethPair) -> XskSource {
    let config = XskConfig {
        rx_ring: 64,
        frames: 64,
        copy_mode: CopyMode::Copy,
        huge_pages: false,
        busy_poll: None,
        spin: false,
    };
    pair.receiver.enter(|| XskSource::open(VethPair::RECEIVING, QueueId(0), &config)).unwrap().unwrap()
}

#[test]
fn a_queue_that_is_still_being_released_is_waited_for() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let holder = hold_queue(&pair);
    let mut daemon = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &[]);
    daemon.wait_for("queue 0: held by another socket; trying for 5 s");
    std::thread::sleep(Duration::from_millis(300));
    drop(holder);
    daemon.wait_for("queue 0: released after");
    daemon.wait_for("capturing on");
    let report = send_all(&pair, &mixed(), &settings(10_000, Source::Live));
    daemon.stop().assert_accounts_for(&report);
}

#[test]
fn a_queue_that_is_not_released_is_an_error_after_five_seconds() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let _holder = hold_queue(&pair);
    let began = Instant::now();
    let ended = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &[]).join();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let last = ended.log.lines().last().unwrap();
    assert!(last.contains("another AF_XDP socket has the queue: stop the other capture"), "{last}");
    assert!(
        (Duration::from_secs(5)..Duration::from_secs(8)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_request_to_stop_ends_the_wait_for_a_queue() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let _holder = hold_queue(&pair);
    let mut daemon = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &[]);
    daemon.wait_for("queue 0: held by another socket; trying for 5 s");
    let began = Instant::now();
    daemon.signal(rustix::process::Signal::TERM);
    let ended = daemon.join();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let last = ended.log.lines().last().unwrap();
    assert!(last.starts_with("error: asked to stop while queue 0"), "{last}");
}

/// Whatever happens to the interface is said within this time.
const AT_ONCE: Duration = Duration::from_millis(1_500);

/// A capture in which packets have arrived.
fn running(pair: &VethPair, arguments: &[&str]) -> Daemon {
    let daemon = daemon::start(pair, arguments);
    assert_eq!(send_all(pair, &mixed(), &settings(5_000, Source::Live)).sent, 5_000);
    // The counters of the interface are read twice a second, and cannot be read any more when it is gone.
    std::thread::sleep(Duration::from_millis(700));
    daemon
}

/// The daemon ends by itself within a second, with code 1, the reason and a whole ledger. Starting and stopping take
/// their time as well.
fn assert_ends(daemon: Daemon, reason: &str, packets: u64) -> Ended {
    let began = Instant::now();
    let ended = daemon.join();
    assert!(began.elapsed() < AT_ONCE, "{:?}\n{}", began.elapsed(), ended.log);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let last = ended.log.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains(reason), "{}", ended.log);
    assert_balanced(&ended);
    assert_eq!(ended.number("seen"), packets);
    assert_eq!(ended.ledger["run"]["nic"]["rx_packets"], packets, "{:#}", ended.ledger["run"]);
    ended
}

/// The id of the XDP program on the receiving interface.
fn program_on(pair: &VethPair) -> u32 {
    let interfaces = pair.receiver.enter(|| mirror_user::xdp::interface::interfaces().unwrap()).unwrap();
    let interface = interfaces.iter().find(|interface| interface.name == VethPair::RECEIVING).unwrap();
    interface.native_program.unwrap()
}

#[test]
fn an_interface_that_is_deleted_ends_the_capture() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = running(&pair, &[]);
    pair.receiver.run("ip", &["link", "delete", VethPair::RECEIVING]).unwrap();
    let ended = assert_ends(daemon, "veth-rx was deleted; start again when it is back", 5_000);
    let notes = &ended.ledger["never_reached"]["notes"];
    assert!(
        notes[0].as_str().unwrap().starts_with("the counters of the interface could not be read"),
        "{notes}"
    );
}

#[test]
fn an_interface_that_is_deleted_under_load_ends_the_capture_with_a_balance() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = running(&pair, &["--records", "flow"]);
    let stop = AtomicBool::new(false);
    let endless = generator::Settings { packets: None, rate: None, ..settings(0, Source::Live) };
    let ended = std::thread::scope(|scope| {
        // Its own end goes as well.
        let sender = scope.spawn(|| send(&pair, &mixed(), &endless, &stop));
        std::thread::sleep(Duration::from_millis(800));
        pair.receiver.run("ip", &["link", "delete", VethPair::RECEIVING]).unwrap();
        let ended = daemon.join();
        stop.store(true, Ordering::Relaxed);
        drop(sender.join().unwrap());
        ended
    });
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.lines().last().unwrap().contains("veth-rx was deleted"), "{}", ended.log);
    assert_balanced(&ended);
    assert!(ended.number("seen") > 100_000, "{:#}", ended.ledger);
}

#[test]
fn an_interface_that_is_moved_away_ends_the_capture() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = running(&pair, &[]);
    let elsewhere = Namespace::new().unwrap();
    // It is back at once: what was attached to it is lost all the same.
    pair.receiver.run("ip", &["link", "set", VethPair::RECEIVING, "netns", &elsewhere.path()]).unwrap();
    elsewhere.run("ip", &["link", "set", VethPair::RECEIVING, "netns", &pair.receiver.path()]).unwrap();
    assert_ends(daemon, "veth-rx was moved to another network namespace", 5_000);
}

#[test]
fn a_program_that_is_detached_by_others_ends_the_capture() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = running(&pair, &[]);
    // The kernel lets nobody detach it by netlink.
    let off =
        pair.receiver.command("ip").args(["link", "set", "dev", VethPair::RECEIVING, "xdp", "off"]).output();
    assert!(!off.unwrap().status.success());
    bpf::detach(&bpf::link_of(program_on(&pair)));
    let ended = assert_ends(daemon, "another process has detached the capture program from veth-rx", 5_000);
    assert!(
        ended.log.contains("; packets since the program was detached are in no counter"),
        "{}",
        ended.log
    );
}

#[test]
fn a_program_that_is_replaced_by_others_ends_the_capture() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = running(&pair, &[]);
    let other = Program::load(&ProgramConfig::default()).unwrap();
    bpf::replace(&bpf::link_of(program_on(&pair)), other.program().unwrap().fd().unwrap().as_fd());
    let expected =
        format!("another XDP program (id {}, native mode) has taken the place", other.id().unwrap());
    assert_ends(daemon, &expected, 5_000);
}

#[test]
fn an_interface_that_is_renamed_or_down_for_a_while_is_captured_from_all_along() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let mut daemon = running(&pair, &[]);
    let began = Instant::now();
    pair.receiver.run("ip", &["link", "set", VethPair::RECEIVING, "down"]).unwrap();
    daemon.wait_for(
        "WARN veth-rx is down: nothing arrives until it is up again (`ip link set dev veth-rx up`)",
    );
    pair.receiver.run("ip", &["link", "set", VethPair::RECEIVING, "name", "mirror0"]).unwrap();
    daemon.wait_for("veth-rx is named mirror0 now; the capture goes on");
    // Longer than it takes to ask whether the socket is bound.
    std::thread::sleep(Duration::from_millis(700));
    pair.receiver.run("ip", &["link", "set", "mirror0", "up"]).unwrap();
    daemon.wait_for("mirror0 is up again after");
    pair.sender.run("ip", &["link", "set", VethPair::SENDING, "down"]).unwrap();
    daemon.wait_for("WARN mirror0 has lost its carrier");
    pair.sender.run("ip", &["link", "set", VethPair::SENDING, "up"]).unwrap();
    daemon.wait_for("mirror0 is up again after");
    pair.receiver.run("ip", &["link", "set", "mirror0", "mtu", "1400"]).unwrap();
    daemon.wait_for("the MTU of mirror0 was changed from 1500 to 1400");
    assert!(began.elapsed() < Duration::from_millis(700) + 5 * AT_ONCE, "{:?}", began.elapsed());
    let profile = Profile { malformed: Share::NONE, ..mixed() };
    assert_eq!(send_all(&pair, &profile, &settings(5_000, Source::Live)).sent, 5_000);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_balanced(&ended);
    assert_eq!(ended.number("seen"), 10_000, "{:#}", ended.ledger);
    assert_eq!(
        (&ended.ledger["run"]["interface"], &ended.ledger["queues"][0]["rebinds"]),
        (&"mirror0".into(), &0.into())
    );
    assert_eq!(
        ended.ledger["run"]["nic"]["rx_packets"], 10_000,
        "also under the new name: {:#}",
        ended.ledger["run"]
    );
}

/// A worker that polls busily calls the kernel all the time, and is answered that the network is down.
#[test]
fn an_interface_that_is_down_for_a_while_does_not_end_busy_polling() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let mut daemon = running(&pair, &["--busy-poll", "20us"]);
    pair.receiver.run("ip", &["link", "set", VethPair::RECEIVING, "down"]).unwrap();
    daemon.wait_for("WARN veth-rx is down");
    std::thread::sleep(Duration::from_millis(700));
    pair.receiver.run("ip", &["link", "set", VethPair::RECEIVING, "up"]).unwrap();
    daemon.wait_for("veth-rx is up again after");
    assert_eq!(send_all(&pair, &mixed(), &settings(5_000, Source::Live)).sent, 5_000);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_balanced(&ended);
    assert_eq!(
        (ended.number("seen"), &ended.ledger["queues"][0]["rebinds"]),
        (10_000, &0.into()),
        "{:#}",
        ended.ledger
    );
}

/// Has both ends use so many queues from now on. A veth with a program refuses fewer receive queues than its peer has
/// transmit queues.
fn set_queues(pair: &VethPair, queues: &str) {
    let ends = [(&pair.receiver, VethPair::RECEIVING), (&pair.sender, VethPair::SENDING)];
    // An error where it has one already.
    let narrow =
        pair.sender.command("ethtool").args(["--set-channels", VethPair::SENDING, "tx", "1"]).output();
    drop(narrow.unwrap());
    for (namespace, interface) in ends {
        namespace.run("ethtool", &["--set-channels", interface, "rx", queues, "tx", queues]).unwrap();
    }
}

#[test]
fn a_change_of_queues_is_told_of_and_what_passes_by_them() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    let mut daemon = daemon::start(&pair, &["--queues", "0"]);
    set_queues(&pair, "1");
    daemon.wait_for("WARN veth-rx has 1 receive queue(s) now, 2 before");
    set_queues(&pair, "2");
    daemon.wait_for("WARN veth-rx has 2 receive queues now, 1 before");
    for cpu in 0..2 {
        let settings = generator::Settings { cpu: Some(cpu), ..settings(3_000, Source::Live) };
        send_all(&pair, &mixed(), &settings);
    }
    daemon.wait_for("WARN queue 1 of veth-rx: 3000 tunnel packets so far have passed to the kernel unseen");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_balanced(&ended);
    let never = &ended.ledger["never_reached"];
    assert_eq!((ended.number("seen"), &never["queues"]["1"]), (3_000, &3_000.into()), "{never:#}");
    assert!(ended.log.ends_with("3,000 never did: 3,000 passed_no_socket (queue 1)"), "{}", ended.log);
}

/// A veth runs the program on the queues that it had when it was attached.
#[test]
fn packets_on_queues_that_the_driver_leaves_out_are_told_of() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    set_queues(&pair, "1");
    let mut daemon = daemon::start(&pair, &[]);
    set_queues(&pair, "2");
    daemon.wait_for("WARN veth-rx has 2 receive queues now, 1 before");
    for cpu in 0..2 {
        let settings = generator::Settings { cpu: Some(cpu), ..settings(3_000, Source::Live) };
        send_all(&pair, &mixed(), &settings);
    }
    daemon.wait_for("packets on veth-rx so far came by queues that were added meanwhile");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_balanced(&ended);
    let never = &ended.ledger["never_reached"];
    assert_eq!((ended.number("seen"), &never["packets"]), (3_000, &3_000.into()), "{never:#}");
    assert!(ended.log.ends_with("3,000 never did: 3,000 not_seen_by_program"), "{}", ended.log);
}

/// The program's map of sockets, as others may open it.
fn sockets_of(program: u32) -> XskMap<MapData> {
    let program = loaded_programs().flatten().find(|info| info.id() == program).unwrap();
    let maps = program.map_ids().unwrap().unwrap();
    let map = maps.into_iter().map(|id| MapData::from_id(id).unwrap());
    let map = map.into_iter().find(|map| map.info().unwrap().name_as_str() == Some("XSKS")).unwrap();
    Map::XskMap(map).try_into().unwrap()
}

/// Nothing but a reset of a real device unbinds a socket; here its place in the program's map is taken away, so that its
/// packets do not reach it. It is made again, and no packet is lost without a count.
#[test]
fn a_socket_that_receives_nothing_is_made_again() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let mut daemon = running(&pair, &["--records", "flow"]);
    let mut sockets = sockets_of(program_on(&pair));
    let stop = AtomicBool::new(false);
    let endless = generator::Settings { packets: None, rate: Some(20_000), ..settings(0, Source::Live) };
    let report = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&pair, &mixed(), &endless, &stop).unwrap());
        for _ in 0..2 {
            sockets.unset(0).unwrap();
            daemon.wait_for(
                "WARN queue 0: packets of the queue do not reach its socket; the socket is made again",
            );
            daemon.wait_for("queue 0: served again after");
        }
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_balanced(&ended);
    let queue = &ended.ledger["queues"][0];
    assert_eq!((&queue["rebinds"], &queue["dropped"]["socket_lost"]), (&2.into(), &0.into()), "{queue:#}");
    let passed = ended.ledger["never_reached"]["reasons"]["passed_no_socket"].as_u64().unwrap();
    assert!(passed > 5_000, "{:#}", ended.ledger["never_reached"]);
    assert_eq!(ended.number("seen") + passed, 5_000 + report.sent, "{report}\n{:#}", ended.ledger);
}

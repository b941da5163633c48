//! Packets that never reached the capture, and the ledger's account of them.

use mirror_testkit::generator::{self, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::daemon::{self, mixed, send_all, settings};

#[test]
fn tunnel_packets_of_a_queue_without_a_worker_are_told() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    let daemon = daemon::start(&pair, &["--queues", "0"]);
    let profile = Profile { malformed: Share::NONE, ..mixed() };
    // A veth receives on the queue that has the number of the sending processor.
    for (cpu, packets) in [(0, 5_000), (1, 12_345)] {
        let settings = generator::Settings { cpu: Some(cpu), ..settings(packets, Source::Live) };
        send_all(&pair, &profile, &settings);
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!((&ended.ledger["balanced"], ended.number("seen")), (&true.into(), 5_000));
    let never = &ended.ledger["never_reached"];
    assert_eq!(never["packets"], 12_345, "{never:#}");
    assert_eq!(never["reasons"]["passed_no_socket"], 12_345, "{never:#}");
    assert_eq!(never["queues"]["1"], 12_345, "{never:#}");
    let last = ended.log.lines().last().unwrap();
    let expected = "balanced: every packet that reached the capture is accounted for; 12,345 never did: 12,345 \
                    passed_no_socket (queue 1)";
    assert_eq!(last.trim(), expected);
}

/// A veth counts packets that the rings refused as drops of the interface; the capture has counted them already.
#[test]
fn packets_that_the_rings_refused_are_not_told_twice() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let tight = ["--rx-ring", "64", "--frames", "64", "--queue-batches", "2", "--mode", "native"];
    let daemon = daemon::start(&pair, &tight);
    let unlimited = generator::Settings { rate: None, ..settings(1_000_000, Source::Live) };
    let report = send_all(&pair, &mixed(), &unlimited);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!((&ended.ledger["balanced"], ended.number("seen")), (&true.into(), report.sent));
    assert!(ended.overrun() > 0, "the rings were full: {:#}", ended.ledger);
    let nic = &ended.ledger["run"]["nic"];
    assert!(nic["rx_dropped"].as_u64().unwrap() > 0, "{nic:#}");
    assert_eq!(ended.ledger["never_reached"]["packets"], 0, "{:#}", ended.ledger);
    assert!(ended.log.ends_with("; the interface counts no loss before it"), "{}", ended.log);
}

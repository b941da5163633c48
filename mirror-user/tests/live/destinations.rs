//! Whose packets are taken: those that are addressed to the interface.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use mirror_testkit::generator::Source;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Addresses, Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::daemon::{self, mixed, send_all, settings};

/// An address that the receiving interface does not have at first.
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

/// Sends packets to `destination`.
fn send_to(pair: &VethPair, destination: Ipv4Addr, packets: u64) {
    let addresses = Addresses { destination, ..Addresses::default() };
    let profile = Profile { malformed: Share::NONE, addresses, ..mixed() };
    assert_eq!(send_all(pair, &profile, &settings(packets, Source::Live)).sent, packets);
}

#[test]
fn packets_to_other_addresses_reach_the_kernel() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    // Another program's tunnel: its address is this host's, but not the interface's.
    pair.receiver.run("ip", &["address", "add", &format!("{OTHER}/32"), "dev", "lo"]).unwrap();
    let other = pair.receiver.enter(|| UdpSocket::bind((OTHER, 6081)).unwrap()).unwrap();
    other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut daemon = daemon::start(&pair, &[]);
    send_to(&pair, OTHER, 3_000);
    daemon.wait_for("pass to the kernel");
    send_to(&pair, Addresses::default().destination, 2_000);
    let (length, source) = other.recv_from(&mut [0; 2048]).expect("the tunnel goes on");
    assert!(length > 100 && source.ip() == Addresses::default().source, "{length} bytes from {source}");
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!((&ended.ledger["balanced"], ended.number("seen")), (&true.into(), 2_000));
    assert_eq!(ended.ledger["passed"]["passed_other_destination"], 3_000, "{:#}", ended.ledger);
}

#[test]
fn addresses_are_followed_as_they_change() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let own = Addresses::default().destination;
    let address = |verb: &str, address: Ipv4Addr, interface: &str| {
        pair.receiver.run("ip", &["address", verb, &format!("{address}/32"), "dev", interface]).unwrap();
    };
    let mut daemon = daemon::start(&pair, &[]);
    send_to(&pair, OTHER, 1_000);
    address("add", OTHER, VethPair::RECEIVING);
    daemon.wait_for("has got 192.0.2.77");
    send_to(&pair, OTHER, 200);
    address("del", own, VethPair::RECEIVING);
    daemon.wait_for("has lost 192.0.2.2");
    send_to(&pair, own, 3_000);
    address("del", OTHER, VethPair::RECEIVING);
    daemon.wait_for("has lost 192.0.2.77");
    send_to(&pair, OTHER, 4_000);
    // Where the interface is a port of a bridge, the host's address is the bridge's.
    pair.receiver.run("ip", &["link", "add", "bridge", "type", "bridge"]).unwrap();
    pair.receiver.run("ip", &["link", "set", VethPair::RECEIVING, "master", "bridge"]).unwrap();
    address("add", own, "bridge");
    daemon.wait_for("has got 192.0.2.2");
    send_to(&pair, own, 50);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!((&ended.ledger["balanced"], ended.number("seen")), (&true.into(), 250));
    assert_eq!(ended.ledger["passed"]["passed_other_destination"], 8_000, "{:#}", ended.ledger);
}

#[test]
fn an_interface_without_an_address_takes_any_packet_or_does_not_start() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    pair.receiver.run("ip", &["address", "flush", "dev", VethPair::RECEIVING]).unwrap();
    let refused = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &[]).join();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.log);
    let error = refused.log.lines().last().unwrap();
    assert!(error.contains("veth-rx has no IP address") && error.contains("--any-destination"), "{error}");

    let daemon = daemon::start(&pair, &["--any-destination"]);
    send_to(&pair, OTHER, 1_000);
    send_to(&pair, Addresses::default().destination, 500);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!((&ended.ledger["balanced"], ended.number("seen")), (&true.into(), 1_500));
    assert_eq!(ended.ledger["passed"]["passed_other_destination"], 0, "{:#}", ended.ledger);
}

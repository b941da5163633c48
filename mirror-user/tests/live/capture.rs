//! Captures of all kinds: modes, queues, frame sizes, records, rules, pressure, starts and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mirror_testkit::generator::{self, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{FrameSize, Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};
use serde_json::Value;

use crate::daemon::{self, mixed, send, send_all, settings};

#[test]
fn native_mode() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = daemon::start(&pair, &["--mode", "native", "--timestamps", "exact"]);
    let report = send_all(&pair, &mixed(), &settings(300_000, Source::Live));
    let ended = daemon.stop();
    ended.assert_accounts_for(&report);
    assert_eq!(ended.ledger["run"]["xdp_mode"], "native");
    assert_eq!(ended.ledger["queues"][0]["interpolated_times"], 0);
}

#[test]
fn generic_mode() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = daemon::start(&pair, &["--mode", "generic", "--timestamps", "exact"]);
    let report = send_all(&pair, &mixed(), &settings(100_000, Source::Socket));
    let ended = daemon.stop();
    ended.assert_accounts_for(&report);
    assert_eq!(ended.ledger["run"]["xdp_mode"], "generic");
    assert_eq!(ended.ledger["queues"][0]["interpolated_times"], 0);
}

#[test]
fn several_queues() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { queues: 2, ..VethOptions::default() }).unwrap();
    let daemon = daemon::start(&pair, &[]);
    // A veth receives on the queue that has the number of the sending processor.
    let mut sent = 0;
    for cpu in 0..2 {
        let settings = generator::Settings { cpu: Some(cpu), ..settings(100_000, Source::Live) };
        sent += send_all(&pair, &mixed(), &settings).sent;
    }
    let ended = daemon.stop();
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!(ended.number("seen"), sent);
    let queues = ended.ledger["queues"].as_array().unwrap();
    assert_eq!(queues.len(), 2);
    for queue in queues {
        assert!(queue["received"].as_u64().unwrap() > 0, "{queue:#}");
        assert_eq!(
            queue["cpu"].as_u64(),
            Some(1 - queue["queue"].as_u64().unwrap()),
            "one worker per processor"
        );
    }
}

#[test]
fn jumbo_frames_in_several_buffers() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { mtu: 8600, ..VethOptions::default() }).unwrap();
    // Far more packets than buffers: every one of them goes round many times.
    let daemon = daemon::start(&pair, &["--rx-ring", "1024", "--frames", "2048"]);
    let profile = Profile { frame_size: FrameSize::Bytes(8500), malformed: Share::NONE, ..mixed() };
    let settings = generator::Settings { rate: Some(20_000), ..settings(30_000, Source::Socket) };
    let report = send_all(&pair, &profile, &settings);
    let ended = daemon.stop();
    ended.assert_accounts_for(&report);
    let text = fs::read_to_string(ended.records()).unwrap();
    for record in text.lines().step_by(500).map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let captured = record["mirror"]["captured_bytes"].as_u64().unwrap();
        assert!(captured > 8300, "{record}");
        assert_eq!(record["mirror"]["original_bytes"].as_u64(), Some(captured), "{record}");
    }
}

#[test]
fn jumbo_frames_come_whole_into_pcapng() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { mtu: 8600, ..VethOptions::default() }).unwrap();
    let daemon = daemon::start(&pair, &["--format", "pcapng", "--records", "packet"]);
    let profile = Profile { frame_size: FrameSize::Bytes(8000), malformed: Share::NONE, ..mixed() };
    let settings = generator::Settings { rate: Some(5_000), ..settings(2_000, Source::Socket) };
    let report = send_all(&pair, &profile, &settings);
    let ended = daemon.stop();
    assert_eq!(ended.number("recorded") + ended.overrun(), report.sent);
    let file = fs::File::open(ended.records()).unwrap();
    let mut reader = pcap_file::pcapng::PcapNgReader::new(file).unwrap();
    let mut packets = 0;
    while let Some(block) = reader.next_block() {
        if let pcap_file::pcapng::Block::EnhancedPacket(packet) = block.unwrap().0 {
            assert_eq!(packet.data.len(), packet.original_len as usize);
            let header = etherparse::LaxPacketHeaders::from_ethernet(&packet.data)
                .ok()
                .filter(|headers| headers.net.is_some())
                .or_else(|| etherparse::LaxPacketHeaders::from_ip(&packet.data).ok());
            assert!(header.is_some_and(|headers| headers.stop_err.is_none()), "an intact packet");
            packets += 1;
        }
    }
    assert_eq!(packets, ended.number("recorded"));
}

#[test]
fn the_kernel_cuts() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions { mtu: 8600, ..VethOptions::default() }).unwrap();
    let daemon = daemon::start(&pair, &["--snap-length", "200"]);
    for (bytes, source) in [(1400, Source::Live), (6000, Source::Socket)] {
        let profile = Profile {
            frame_size: FrameSize::Bytes(bytes),
            malformed: Share::NONE,
            vxlan: Share::NONE,
            ..mixed()
        };
        let settings = generator::Settings { rate: Some(20_000), ..settings(5_000, source) };
        send_all(&pair, &profile, &settings);
    }
    let ended = daemon.stop();
    assert_eq!(ended.ledger["balanced"], true);
    assert_eq!(ended.number("seen"), 10_000);
    let mut originals = BTreeMap::new();
    for line in fs::read_to_string(ended.records()).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let mirror = &record["mirror"];
        assert_eq!(mirror["truncated"], true, "{record}");
        assert_eq!(mirror["captured_bytes"], 200 - 82, "what stands behind the GENEVE header: {record}");
        *originals.entry(mirror["original_bytes"].as_u64().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(originals.keys().copied().collect::<Vec<_>>(), [1400 - 82, 6000 - 82]);
    assert!(ended.ledger["queues"][0]["received_bytes"].as_u64().unwrap() <= 10_000 * 200);
}

#[test]
fn other_sources_are_dropped_and_other_traffic_passes() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    pair.receiver.run("ip", &["address", "add", "198.51.100.1/24", "dev", VethPair::RECEIVING]).unwrap();
    pair.sender.run("ip", &["address", "add", "198.51.100.2/24", "dev", VethPair::SENDING]).unwrap();
    let daemon = daemon::start(&pair, &["--allowed-sources", "10.0.0.0/8,2001:db8::/32"]);
    let listener = pair.receiver.enter(|| std::net::TcpListener::bind("198.51.100.1:8080").unwrap()).unwrap();
    let answered = pair
        .sender
        .enter(|| {
            let address = "198.51.100.1:8080".parse().unwrap();
            std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
        })
        .unwrap();
    assert!(answered, "a health check reaches the kernel");
    drop(listener);
    let report = send_all(&pair, &mixed(), &settings(20_000, Source::Live));
    let ended = daemon.stop();
    assert_eq!(ended.ledger["balanced"], true);
    assert_eq!(ended.dropped()["source_not_allowed"], report.sent);
    assert_eq!((ended.number("seen"), ended.number("received")), (report.sent, 0));
    assert!(ended.ledger["passed"]["passed_not_tunnel"].as_u64().unwrap() >= 3, "{:#}", ended.ledger);
    assert!(ended.ledger["passed"]["passed_not_ip"].as_u64().unwrap() >= 1, "ARP: {:#}", ended.ledger);
}

/// Packets that the flow records of a file account for, and how many of them end a flow.
fn read_flows(path: &Path) -> (u64, u64) {
    let (mut packets, mut ended) = (0, 0);
    for line in BufReader::new(fs::File::open(path).unwrap()).lines() {
        let line = line.unwrap();
        let before = &line[..line.rfind(",\"direction\":").expect("a flow record")];
        let digits = before.rfind(|c: char| !c.is_ascii_digit()).unwrap();
        assert!(before[..=digits].ends_with("\"packets\":"), "{line}");
        packets += before[digits + 1..].parse::<u64>().unwrap();
        ended += u64::from(line.contains("\"action\":\"end\""));
    }
    (packets, ended)
}

#[test]
fn a_million_flows() {
    if skipped_without_root() {
        return;
    }
    const FLOWS: u64 = 1_000_000;
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = daemon::start(&pair, &["--records", "flow", "--max-flows", "1048576"]);
    let profile = Profile { flows: FLOWS, ..mixed() };
    let report = send_all(&pair, &profile, &settings(3 * FLOWS / 2, Source::Live));
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!(ended.number("seen"), report.sent);
    let (packets, flows) = read_flows(&ended.records());
    assert_eq!(packets, ended.number("recorded"));
    assert_eq!(packets + ended.dropped().values().sum::<u64>(), report.sent);
    let queue = &ended.ledger["queues"][0];
    assert_eq!(queue["flows_created"], flows, "each flow ends once");
    assert_eq!(queue["flows_evicted"], 0);
    if ended.overrun() == 0 {
        assert!(flows > FLOWS * 9 / 10, "each flow that a whole packet was sent of: {flows}");
    }
}

#[test]
fn a_full_pipeline_loses_nothing_without_a_count() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let tight = ["--rx-ring", "256", "--frames", "512", "--queue-batches", "2", "--max-flows", "1000"];
    let daemon = daemon::start(&pair, &[&["--records", "flow"], &tight[..]].concat());
    let profile = Profile { flows: 100_000, ..mixed() };
    let unlimited = generator::Settings { rate: None, ..settings(2_000_000, Source::Live) };
    let report = send_all(&pair, &profile, &unlimited);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!(ended.number("seen"), report.sent);
    assert!(ended.overrun() > 0, "the pipeline was full: {:#}", ended.ledger);
    let queue = &ended.ledger["queues"][0];
    assert!(queue["flows_evicted"].as_u64().unwrap() > 100_000, "the table was full: {queue:#}");
    let (packets, _) = read_flows(&ended.records());
    assert_eq!(packets + ended.dropped().values().sum::<u64>(), report.sent);
}

#[test]
fn packets_and_flows_together() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = daemon::start(&pair, &["--records", "packet,flow"]);
    // Slowly, so that a busy machine loses none of them at the ring.
    let slowly = generator::Settings { rate: Some(50_000), ..settings(50_000, Source::Live) };
    let report = send_all(&pair, &mixed(), &slowly);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!(ended.number("seen"), report.sent);
    let queue = &ended.ledger["queues"][0];
    let written = |kind: &str| queue[kind]["written"].as_u64().unwrap();
    assert!(written("flow_records") >= 900 && written("packet_records") > 40_000, "{queue:#}");
    let lines = fs::read(ended.records()).unwrap().iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(lines as u64, written("flow_records") + written("packet_records"));
}

#[test]
fn degradation_is_declared() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let tight = ["--rx-ring", "256", "--frames", "512", "--queue-batches", "2", "--max-flows", "1000"];
    let auto = [&["--records", "packet,flow", "--degradation", "auto"], &tight[..]].concat();
    let daemon = daemon::start(&pair, &auto);
    let profile = Profile { flows: 100_000, ..mixed() };
    let unlimited = generator::Settings { rate: None, ..settings(3_000_000, Source::Live) };
    let report = send_all(&pair, &profile, &unlimited);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!(ended.number("seen"), report.sent);
    assert!(ended.log.contains("records from full to flows"), "{}", ended.log);
    let queue = &ended.ledger["queues"][0];
    assert!(queue["level_changes"].as_u64().unwrap() >= 2, "{queue:#}");
    let levels = queue["levels"].as_array().unwrap();
    assert!(levels.len() >= 3, "{queue:#}");
    let packets: u64 = levels.iter().map(|level| level["packets"].as_u64().unwrap()).sum();
    assert_eq!(queue["decapsulated"], packets, "each packet was worked on at one level");
    let rates: BTreeSet<u64> = BufReader::new(fs::File::open(ended.records()).unwrap())
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
            record["mirror"]["sampling_rate"].as_u64().expect("a rate on each record")
        })
        .collect();
    assert!(rates.contains(&1) && rates.contains(&8), "{rates:?}");
}

#[test]
fn each_tunnel_has_its_rule() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("mirror-capture.toml");
    let rules = "[[rule]]\ngwlbe_id = \"0e5d000000000001\"\nrecords = []\n\
                 [[rule]]\ngwlbe_id = \"vpce-00e5d000000000002\"\nsnap_length = 160\n\
                 [[rule]]\ngwlbe_id = \"0e5d000000000003\"\nrecords = [\"flow\"]\n";
    fs::write(&config, rules).unwrap();
    let daemon = daemon::start(&pair, &["--config", config.to_str().unwrap()]);
    let profile = Profile { vxlan: Share::NONE, malformed: Share::NONE, ..mixed() };
    let report = send_all(&pair, &profile, &settings(20_000, Source::Live));
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!(ended.number("seen"), report.sent);
    assert!(ended.dropped()["policy_excluded"] > 1_000, "{:#}", ended.ledger);
    let mut endpoints = BTreeMap::<String, u64>::new();
    for line in fs::read_to_string(ended.records()).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let mirror = &record["mirror"];
        let endpoint = mirror["gwlbe_id"].as_str().unwrap().to_owned();
        let flow = record["event"]["dataset"] == "mirror.flow";
        assert_eq!(flow, endpoint == "vpce-00e5d000000000003", "{record}");
        if !flow {
            let captured = if endpoint == "vpce-00e5d000000000002" { 160 - 82 } else { 256 - 82 };
            assert_eq!(mirror["captured_bytes"], captured, "{record}");
            assert_eq!(mirror["original_bytes"], 256 - 82, "{record}");
        }
        *endpoints.entry(endpoint).or_default() += 1;
    }
    let endpoints: Vec<&str> = endpoints.keys().map(String::as_str).collect();
    assert_eq!(endpoints, ["vpce-00e5d000000000002", "vpce-00e5d000000000003", "vpce-00e5d000000000004"]);
}

#[test]
fn shutdown_under_load() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let daemon = daemon::start(&pair, &["--output", "/dev/null"]);
    let stop = AtomicBool::new(false);
    let endless = generator::Settings { packets: None, rate: None, ..settings(0, Source::Live) };
    let ended = thread::scope(|scope| {
        let sender = scope.spawn(|| send(&pair, &mixed(), &endless, &stop));
        thread::sleep(Duration::from_secs(2));
        let ended = daemon.stop();
        stop.store(true, Ordering::Relaxed);
        // Whether the sender has an exact count does not matter here: a veth whose end loses its XDP program
        // loses packets before they reach it.
        drop(sender.join().unwrap());
        ended
    });
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert!(ended.number("received") > 500_000, "{:#}", ended.ledger);
}

#[test]
fn restart_after_sigkill() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let killed = daemon::start(&pair, &[]);
    send_all(&pair, &mixed(), &settings(10_000, Source::Live));
    killed.signal(rustix::process::Signal::KILL);
    assert!(!killed.join().status.success());
    let link = pair.receiver.run("ip", &["-details", "link", "show", "dev", VethPair::RECEIVING]).unwrap();
    assert!(!link.contains("prog/xdp"), "the kernel has detached the program: {link}");

    let daemon = daemon::start(&pair, &[]);
    let report = send_all(&pair, &mixed(), &settings(50_000, Source::Live));
    daemon.stop().assert_accounts_for(&report);
}

#[test]
fn two_instances_on_one_interface() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let first = daemon::start(&pair, &[]);
    let second = daemon::spawn(&pair.receiver, VethPair::RECEIVING, &[]).join();
    assert_eq!(second.status.code(), Some(1), "{}", second.log);
    let error = second.log.lines().last().unwrap();
    assert!(error.starts_with("error: ") && error.contains(VethPair::RECEIVING), "{error}");
    assert!(error.contains("already") || error.contains("another"), "{error}");

    let report = send_all(&pair, &mixed(), &settings(50_000, Source::Live));
    first.stop().assert_accounts_for(&report);
}

#[test]
fn what_cannot_start_says_why() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let fail = |interface: &str, arguments: &[&str]| {
        let ended = daemon::spawn(&pair.receiver, interface, arguments).join();
        (ended.status.code(), ended.log.lines().last().unwrap_or_default().to_owned())
    };
    for (interface, arguments, code, expected) in [
        ("eth9", &[][..], 1, "there is no interface eth9; there are lo, veth-rx"),
        (
            VethPair::RECEIVING,
            &["--queues", "0-3"],
            1,
            "queue 1 was asked for, but veth-rx has 1 receive queue(s)",
        ),
        (VethPair::RECEIVING, &["--cpus", "900"], 1, "processor 900"),
        (VethPair::RECEIVING, &["--rx-ring", "1000"], 2, "--rx-ring: 1000 is not a power of two"),
        (VethPair::RECEIVING, &["--strict", "--zero-copy", "on"], 1, "zero-copy"),
        (VethPair::RECEIVING, &["--output", "/no/such/directory/file"], 1, "/no/such/directory/file"),
        (VethPair::RECEIVING, &["--config", "/no/such.toml"], 2, "/no/such.toml"),
    ] {
        let (status, error) = fail(interface, arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let unprivileged = pair
        .receiver
        .command("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "--bounding-set", "-all"])
        .args([env!("CARGO_BIN_EXE_mirror-capture"), "run", "--interface", VethPair::RECEIVING])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&unprivileged.stderr).into_owned();
    assert!(error.contains("missing CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON"), "{error}");
}

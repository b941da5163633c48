//! Traffic over a real veth pair: the receiver at the other end counts exactly what the report says was sent.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use mirror_bench::receiver::Discard;
use mirror_testkit::generator::interface::{Interface, InterfaceError};
use mirror_testkit::generator::live::LiveError;
use mirror_testkit::generator::report::Report;
use mirror_testkit::generator::{self, GenerateError, Settings, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{FrameSize, Profile, Share, Traffic};
use mirror_testkit::veth::{VethOptions, VethPair};

const SETTINGS: Settings =
    Settings { source: Source::Auto, packets: None, duration: None, rate: None, cpu: None };

/// Lays a cable with `mtu`; [`None`], with a line that says so, without root.
fn lay(mtu: u32) -> Option<VethPair> {
    (!skipped_without_root()).then(|| VethPair::new(VethOptions { mtu, queues: 1 }).unwrap())
}

fn send(cable: &VethPair, profile: &Profile, settings: &Settings) -> Result<Report, GenerateError> {
    let sending = || {
        let interface = Interface::new(VethPair::SENDING).unwrap();
        let traffic = Traffic::new(profile).unwrap();
        generator::send(&traffic, &interface, settings, &AtomicBool::new(false))
    };
    cable.sender.enter(sending).unwrap()
}

/// Everything varied at once.
fn varied() -> Profile {
    let half = Share::new(0.5).unwrap();
    let tenth = Share::new(0.1).unwrap();
    Profile {
        frame_size: FrameSize::InternetMix,
        vxlan: half,
        ipv6: half,
        icmp: tenth,
        malformed: tenth,
        ..Profile::default()
    }
}

/// Checks that the receiver has got exactly what `report` says, on top of `before`.
fn assert_received(receiver: &Discard, before: [u64; 2], report: &Report) {
    let expected = [before[0] + report.sent, before[1] + report.bytes];
    // What was sent stands in the ring of the other end at the worst, and is taken out in a moment.
    let deadline = Instant::now() + Duration::from_secs(5);
    while receiver.received().unwrap() != expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(receiver.received().unwrap(), expected, "{report}");
    assert_eq!(report.offered, report.sent + report.refused);
    assert_eq!(report.by_kind.iter().map(|(_, packets)| packets).sum::<u64>(), report.sent);
}

#[test]
fn the_receiver_counts_what_live_frames_sent() {
    let Some(cable) = lay(3000) else { return };
    let receiver = Discard::start(&cable).unwrap();
    let settings = Settings { source: Source::Live, packets: Some(1_000_000), ..SETTINGS };
    let report = send(&cable, &varied(), &settings).unwrap();
    assert_eq!((report.offered, report.source), (1_000_000, "live"));
    assert!(report.by_kind.iter().all(|(_, packets)| *packets > 0), "{report}");
    assert_received(&receiver, [0, 0], &report);
}

#[test]
fn the_receiver_counts_what_the_socket_sent() {
    let Some(cable) = lay(9000) else { return };
    let receiver = Discard::start(&cable).unwrap();
    let profile = Profile { frame_size: FrameSize::Bytes(8568), ..varied() };
    let settings = Settings { packets: Some(20_000), ..SETTINGS };
    let report = send(&cable, &profile, &settings).unwrap();
    assert_eq!((report.offered, report.source), (20_000, "socket"), "frames too long for live ones");
    assert_received(&receiver, [0, 0], &report);
}

/// Most packets that either source sends at a time.
const BATCH: f64 = 256.0;

#[test]
fn a_rate_and_a_duration_are_kept() {
    let Some(cable) = lay(1500) else { return };
    let receiver = Discard::start(&cable).unwrap();
    for source in [Source::Live, Source::Socket] {
        let before = receiver.received().unwrap();
        let duration = Some(Duration::from_millis(500));
        let settings = Settings { source, duration, rate: Some(20_000), ..SETTINGS };
        let report = send(&cable, &Profile::default(), &settings).unwrap();
        // Stalls of a busy machine are not made up for, so there may be fewer; never more.
        let most = 20_000.0 * report.seconds + BATCH;
        assert!((4_000.0..=most).contains(&(report.offered as f64)), "{report}");
        assert!((0.4..0.7).contains(&report.seconds), "{report}");
        assert_received(&receiver, before, &report);
    }
}

#[test]
fn without_a_receiver_for_live_frames_the_socket_takes_over() {
    let Some(cable) = lay(1500) else { return };
    let live = Settings { source: Source::Live, packets: Some(1000), ..SETTINGS };
    let error = send(&cable, &Profile::default(), &live).unwrap_err();
    assert!(matches!(error, GenerateError::Live(LiveError::NotAccepted(_))), "{error}");
    let report = send(&cable, &Profile::default(), &Settings { source: Source::Auto, ..live }).unwrap();
    assert_eq!((report.sent, report.source), (1000, "socket"));
}

#[test]
fn frames_must_fit_through_the_interface() {
    let Some(cable) = lay(1500) else { return };
    let profile = Profile { frame_size: FrameSize::Bytes(1515), ..Profile::default() };
    let error = send(&cable, &profile, &SETTINGS).unwrap_err();
    assert!(error.to_string().contains("ip link set veth-tx mtu 1501"), "{error}");
}

#[test]
fn an_unknown_or_dead_interface_is_named() {
    let Some(cable) = lay(1500) else { return };
    let unknown = cable.sender.enter(|| Interface::new(VethPair::RECEIVING)).unwrap().unwrap_err();
    assert_eq!(unknown, InterfaceError::Unknown(VethPair::RECEIVING.to_owned()));
    cable.sender.ip("link set lo down").unwrap();
    let down = cable.sender.enter(|| Interface::new("lo")).unwrap().unwrap_err();
    assert_eq!(down, InterfaceError::Down("lo".to_owned()));
}

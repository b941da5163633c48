//! Mirrored sessions that begin and end.

use std::fs;

use mirror_testkit::generator::{Settings, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Traffic, sessions};
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::daemon::{self, send_all, settings};

#[test]
fn each_flow_of_mirrored_sessions_is_recorded_to_the_packet() {
    if skipped_without_root() {
        return;
    }
    const PACKETS: u64 = 100_000;
    let profile = Profile { flows: 500, ..Profile::mirrored() };
    let pair = VethPair::new(VethOptions { mtu: 2000, ..VethOptions::default() }).unwrap();
    let daemon = daemon::start(&pair, &["--records", "flow", "--rx-ring", "32768"]);
    // Slowly, so that a busy machine loses none of them at the ring.
    let slowly = Settings { rate: Some(50_000), ..settings(PACKETS, Source::Live) };
    let report = send_all(&pair, &profile, &slowly);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!(ended.ledger["balanced"], true, "{:#}", ended.ledger);
    assert_eq!((report.sent, ended.number("recorded")), (PACKETS, PACKETS), "{:#}", ended.ledger);
    let recorded = sessions::recorded(&fs::read_to_string(ended.records()).unwrap()).unwrap();
    let sent = sessions::sent(&Traffic::new(&profile).unwrap(), PACKETS);
    assert_eq!((recorded.len() as u64, sent.len() as u64), (report.flows, report.flows));
    for (remote, session) in &sent {
        assert_eq!(recorded.get(remote), Some(session), "{remote:?}");
    }
}

//! Generated flows with beginning and end.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mirror_testkit::generator::file::{Schedule, write};
use mirror_testkit::traffic::{Profile, Traffic, sessions};
use tempfile::TempDir;

use crate::program::replay;

#[test]
fn each_flow_has_the_records_that_it_must_have() {
    const PACKETS: u64 = 100_000;
    let directory = TempDir::new().unwrap();
    let capture = directory.path().join("capture.pcap");
    let traffic = Traffic::new(&Profile { flows: 300, ..Profile::mirrored() }).unwrap();
    let schedule = Schedule { start: Duration::from_secs(1_800_000_000), rate: 50_000 };
    let report = write(&traffic, &capture, PACKETS, schedule, &AtomicBool::new(false)).unwrap();
    let replayed = replay(&[&capture], |command| {
        command.args(["--records", "flow"]);
    })
    .succeeded();

    let [recorded, sent] =
        [sessions::recorded(&replayed.records).unwrap(), sessions::sent(&traffic, PACKETS)];
    assert_eq!(recorded.len() as u64, report.flows);
    assert_eq!(sent.len() as u64, report.flows);
    for (remote, session) in &sent {
        assert_eq!(recorded.get(remote), Some(session), "{remote:?}");
    }
    let closed = sent.values().filter(|session| session.state.as_deref() == Some("closed")).count();
    assert!(closed > 3_000, "{closed} connections from SYN to FIN");
}

//! The little that a burst can gain against `--degradation auto`.

use mirror_testkit::generator::{self, Source};
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::traffic::{Profile, Share};
use mirror_testkit::veth::{VethOptions, VethPair};
use serde_json::Value;

use crate::daemon::{self, mixed, send_all, settings};

#[test]
fn a_burst_takes_no_more_than_seconds() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let tight = ["--rx-ring", "256", "--frames", "512", "--queue-batches", "2", "--cpus", "1"];
    let auto = [&["--records", "both", "--degradation", "auto"], &tight[..]].concat();
    let mut daemon = daemon::start(&pair, &auto);
    let profile = Profile { flows: 10_000, malformed: Share::NONE, ..mixed() };
    let usual = |packets| generator::Settings { rate: Some(1_000), ..settings(packets, Source::Live) };
    let burst = generator::Settings { rate: None, ..settings(200_000, Source::Live) };
    let mut sent = 0;
    for _ in 0..2 {
        sent += send_all(&pair, &profile, &usual(500)).sent;
        sent += send_all(&pair, &profile, &burst).sent;
        daemon.wait_for("records from full to flows");
        sent += send_all(&pair, &profile, &usual(4_000)).sent;
        daemon.wait_for("from flows to full (calm)");
    }
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}\n{}", ended.status, ended.log);
    assert_eq!((&ended.ledger["balanced"], ended.number("seen")), (&true.into(), sent));
    let level = |name: &str| {
        let levels = ended.ledger["queues"][0]["levels"].as_array().unwrap();
        let seconds = |level: &Value| level["seconds"].as_f64().unwrap();
        let of_name = |level: &&Value| level["level"].as_str().unwrap().starts_with(name);
        levels.iter().filter(of_name).map(seconds).sum::<f64>()
    };
    assert!(level("counters") == 0.0, "{:#}", ended.ledger["queues"][0]["levels"]);
    assert!(level("flows") + level("sampled") < 10.0, "{:#}", ended.ledger["queues"][0]["levels"]);
}

//! The choice of sampled flows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mirror_testkit::generator::file::{Schedule, write};
use mirror_testkit::traffic::{Profile, Traffic};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::replay;

/// Community ids of the flows that were selected: 1 in 8.
fn selected(capture: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let replayed = replay(&[capture], |command| {
        command.args(["--records", "flow", "--degradation", "sampled"]).args(arguments);
    })
    .succeeded();
    let records = replayed.records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.map(|record| record["network"]["community_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn flows_are_selected_by_a_seed_that_is_random_unless_it_is_given() {
    let directory = TempDir::new().unwrap();
    let capture = directory.path().join("capture.pcap");
    let traffic = Traffic::new(&Profile { flows: 400, ..Profile::default() }).unwrap();
    let schedule = Schedule { start: Duration::from_secs(1_800_000_000), rate: 10_000 };
    write(&traffic, &capture, 2_000, schedule, &AtomicBool::new(false)).unwrap();

    let hexadecimal = selected(&capture, &["--sampling-seed", "0x3039"]);
    assert!((20..100).contains(&hexadecimal.len()), "{} of 400 flows", hexadecimal.len());
    assert_eq!(hexadecimal, selected(&capture, &["--sampling-seed", "12345"]), "the same number");
    assert_ne!(hexadecimal, selected(&capture, &["--sampling-seed", "0"]));
    // That two random choices of 50 in 400 flows agree does not happen.
    assert_ne!(selected(&capture, &[]), selected(&capture, &[]));
}

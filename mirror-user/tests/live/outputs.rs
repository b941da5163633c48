//! Outputs of captures that cannot start.

use std::fs;

use mirror_testkit::generator::Source;
use mirror_testkit::root::skipped_without_root;
use mirror_testkit::veth::{VethOptions, VethPair};

use crate::daemon::{self, mixed, send_all, settings};

#[test]
fn a_capture_that_cannot_start_harms_neither_its_output_nor_another_s() {
    if skipped_without_root() {
        return;
    }
    let pair = VethPair::new(VethOptions::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let first = daemon::start(&pair, &[]);
    let records = first.records();
    let report = send_all(&pair, &mixed(), &settings(50_000, Source::Live));

    // The same output.
    let second =
        daemon::spawn(&pair.receiver, VethPair::RECEIVING, &["--output", records.to_str().unwrap()]).join();
    assert_eq!(second.status.code(), Some(1), "{}", second.log);
    let expected = format!("cannot write to {}: process ", records.display());
    assert!(second.log.contains(&expected), "{}", second.log);

    // Outputs of its own, but the same interface: it fails when they are open.
    let before = directory.path().join("before.ndjson");
    fs::write(&before, "the records of yesterday\n").unwrap();
    let new = directory.path().join("new/");
    for output in [&before, &new] {
        let second =
            daemon::spawn(&pair.receiver, VethPair::RECEIVING, &["--output", output.to_str().unwrap()])
                .join();
        assert_eq!(second.status.code(), Some(1), "{}", second.log);
        assert_eq!(fs::read(&before).unwrap(), b"the records of yesterday\n");
        assert!(!new.exists());
    }

    let first = first.stop();
    first.assert_accounts_for(&report);
    assert!(first.number("recorded") > 0);
}

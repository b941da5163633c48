//! From the start of an instance to a record with its name, on doubles: `deploy/tests/story.py` with the programs that the
//! workspace's build has made.

use std::path::Path;
use std::process::Command;

#[test]
fn from_an_event_to_a_named_record() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/tests/run");
    let output = Command::new(script).arg("story").output().unwrap();
    // With the line that says that it was skipped, if it was.
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

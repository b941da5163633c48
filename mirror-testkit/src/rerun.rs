//! A test program that runs one of its tests again, in a process of its own.

use std::env;
use std::process::{Command, Stdio};

const CHILD: &str = "MIRROR_TEST_CHILD";

/// This test program once more, to run the one test `name` as a process of its own with `argument`.
///
/// # Panics
///
/// When the system does not know the program's path.
pub fn child(name: &str, argument: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the test program has a path"));
    command.args(["--exact", name, "--nocapture"]).env(CHILD, argument).stdin(Stdio::null());
    command
}

/// The argument where this process was started by [`child`]; a test that is for children only returns without it.
pub fn child_argument() -> Option<String> {
    env::var(CHILD).ok()
}

/// Does the `work` of the test `name` in a process of its own, because it measures the process as a whole.
///
/// # Panics
///
/// When it panics there.
pub fn alone(name: &str, work: impl FnOnce()) {
    if child_argument().is_some() {
        return work();
    }
    let output = child(name, "alone").output().expect("the test program can be run");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // Marked, so that whoever counts results does not take the child's for this program's; but a skipped test is one.
        let mark = if line.starts_with("SKIPPED: ") { "" } else { "child: " };
        println!("{mark}{line}");
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_another_process() {
        let id = std::process::id();
        let output = child("rerun::tests::work_in_the_child", "alone").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.contains("1 passed")
                && said.contains("done in ")
                && !said.contains(&format!("done in {id}."))
        );
    }

    #[test]
    fn work_in_the_child() {
        alone("rerun::tests::work_in_the_child", || println!("done in {}.", std::process::id()));
    }

    #[test]
    fn a_panic_in_the_child_is_one_of_the_test() {
        let result = std::panic::catch_unwind(|| {
            alone("rerun::tests::panics_in_the_child", || unreachable!("the parent does no work"));
        });
        assert!(result.is_err());
    }

    #[test]
    fn panics_in_the_child() {
        assert!(child_argument().is_none(), "on purpose");
    }
}

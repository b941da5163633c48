//! Tests that need root.

/// True where this process runs with user id 0.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// True where a test cannot run because its user is not root; then a line that begins with `SKIPPED: ` says so.
pub fn skipped_without_root() -> bool {
    let skipped = !is_root();
    if skipped {
        println!("SKIPPED: network namespaces and XDP need root");
    }
    skipped
}

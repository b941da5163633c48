//! What only root may test.

/// Whether the test cannot run because its user is not root; then says so in a line that begins with `SKIPPED: `.
pub fn skipped_without_root() -> bool {
    let skipped = !rustix::process::geteuid().is_root();
    if skipped {
        println!("SKIPPED: network namespaces and XDP need root");
    }
    skipped
}

//! Processes in network namespaces of their own: a test that leaves one behind leaves the namespace behind with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::{fs, io};

/// The processes whose network namespace is not that of this one: `ID NAME`. Those that this user may not look at are
/// left out.
///
/// # Errors
///
/// When /proc cannot be read.
pub fn in_other_namespaces() -> io::Result<BTreeSet<String>> {
    let own = fs::read_link("/proc/self/ns/net")?;
    let mut processes = BTreeSet::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let id = entry.file_name().to_string_lossy().into_owned();
        let is_elsewhere = |path: &Path| fs::read_link(path.join("ns/net")).is_ok_and(|other| other != own);
        if id.bytes().all(|byte| byte.is_ascii_digit()) && is_elsewhere(&entry.path()) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            processes.insert(format!("{id} {}", name.trim()));
        }
    }
    Ok(processes)
}

#[cfg(test)]
mod tests {
    use mirror_testkit::namespace::Namespace;
    use mirror_testkit::process::Running;
    use mirror_testkit::root::skipped_without_root;

    use super::*;

    #[test]
    fn a_process_is_seen_while_it_runs() {
        if skipped_without_root() {
            return;
        }
        let (running, ..) = Running::spawn(Namespace::new().unwrap().command("sleep").arg("600")).unwrap();
        let line = format!("{} sleep", running.id());
        assert!(in_other_namespaces().unwrap().contains(&line));
        drop(running);
        assert!(!in_other_namespaces().unwrap().contains(&line));
    }
}

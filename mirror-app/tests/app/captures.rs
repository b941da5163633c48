//! Public captures of applications, which are not part of the project.
//!
//! They are looked for in `MIRROR_PCAPS`, and without that in `shared/pcaps` beside the workspace; where they are absent,
//! a test prints a line that begins with `SKIPPED: ` and passes.

use std::env;
use std::path::PathBuf;

/// The path of the file `name` of the captures of applications; [`None`], with a line that says so, where it is absent.
pub fn path(name: &str) -> Option<PathBuf> {
    let folder = env::var_os("MIRROR_PCAPS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps"), PathBuf::from);
    let path = folder.join("app").join(name);
    if !path.is_file() {
        println!("SKIPPED: {} is absent; set MIRROR_PCAPS to the folder of the captures", path.display());
        return None;
    }
    Some(path)
}

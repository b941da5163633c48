//! The corpus of the fuzz targets, replayed.

use std::fs;
use std::path::PathBuf;

use crate::checks;

type Check = fn(&[u8]);

#[test]
fn corpus() {
    let checks: [(&str, Check); 5] = [
        ("tls", checks::tls),
        ("quic", checks::quic),
        ("dns", checks::dns),
        ("openings", checks::openings),
        ("flows", checks::flows),
    ];
    for (name, check) in checks {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in files {
            check(&fs::read(file).unwrap());
        }
    }
}

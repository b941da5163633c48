//! What the tests share.

use std::fs;
use std::path::{Path, PathBuf};

use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{Compression, Counters, Flow, FlowBatch, Manifest, Reader, SpoolConfig, Writer};

/// A configuration with small files, so that few rows make several.
pub fn small() -> SpoolConfig {
    SpoolConfig { batch_rows: 100, file_rows: 1000, ..SpoolConfig::default() }
}

/// Writes sample rows, and finishes.
pub fn write(directory: &Path, config: SpoolConfig, seed: u64, rows: u64) -> Counters {
    let (mut writer, _) = Writer::open(directory, config, BEGIN + seed).unwrap();
    let mut samples = Samples::new(seed);
    for _ in 0..rows {
        let _ = writer.push(&samples.next_flow());
    }
    writer.finish()
}

/// Writes these rows into one file, and reads its batches.
pub fn through_a_file(directory: &Path, compression: Compression, rows: &[Flow<'_>]) -> Vec<FlowBatch> {
    let config = SpoolConfig { compression, batch_rows: 100, ..SpoolConfig::default() };
    let (mut writer, _) = Writer::open(directory, config, BEGIN).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish();
    batches(directory)
}

/// The batches of every file, in order.
pub fn batches(directory: &Path) -> Vec<FlowBatch> {
    let files = data_files(directory);
    files
        .iter()
        .flat_map(|path| Reader::open(path).unwrap().map(Result::unwrap).collect::<Vec<_>>())
        .collect()
}

/// The data files, in order.
pub fn data_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "arrow")).collect();
    files.sort();
    files
}

/// The manifest.
pub fn manifest(directory: &Path) -> Manifest {
    Manifest::read(directory).unwrap()
}

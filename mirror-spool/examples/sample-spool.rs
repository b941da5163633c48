//! Writes a spool of synthetic records, to try a destination without traffic.
//!
//! Run with: cargo run --package mirror-spool --features sample --example sample-spool -- DIRECTORY RECORDS

use std::path::Path;
use std::process::ExitCode;

use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{SpoolConfig, Writer};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, records] = &arguments[..] else {
        eprintln!("usage: sample-spool DIRECTORY RECORDS");
        return ExitCode::FAILURE;
    };
    let Ok(records) = records.parse::<u64>() else {
        eprintln!("{records} is no number of records");
        return ExitCode::FAILURE;
    };
    let mut writer = match Writer::open(Path::new(directory), SpoolConfig::default(), BEGIN) {
        Ok((writer, _)) => writer,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut samples = Samples::new(1);
    for _ in 0..records {
        if let Err(loss) = writer.push(&samples.next_flow()) {
            eprintln!("a record is not in the spool: {loss}");
        }
    }
    let counters = writer.finish();
    println!("{} records in {} files, {} bytes", counters.stored.records, counters.files, counters.bytes);
    if counters.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

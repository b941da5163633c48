//! The cost of a record, where it is asked for.

use std::time::Instant;

use mirror_ship::ecs;
use mirror_ship::ocsf::Version;
use mirror_ship::parquet_file::{ParquetFile, Shape};
use mirror_ship::source::{self, SourceError};
use mirror_ship::table::write_json;
use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{Manifest, SpoolConfig, Writer};

/// Run with: cargo test --release --package mirror-ship -- --ignored --nocapture speed
#[test]
#[ignore = "a measurement, for an idle machine and a release build"]
fn speed() {
    const ROWS: u64 = 1 << 20;
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (mut writer, _) = Writer::open(directory.path(), SpoolConfig::default(), BEGIN).unwrap();
    let mut samples = Samples::new(1);
    for _ in 0..ROWS {
        writer.push(&samples.next_flow()).unwrap();
    }
    writer.finish();
    let manifest = Manifest::read(directory.path()).unwrap();
    let measure = |name: &str, work: &mut dyn FnMut(&mirror_spool::Entry)| {
        let begin = Instant::now();
        manifest.entries.iter().for_each(work);
        println!("{name}: {:.2} µs a record", begin.elapsed().as_secs_f64() * 1e6 / ROWS as f64);
    };
    for _ in 0..3 {
        measure("reading, sorted, with community id", &mut |entry| {
            source::records(directory.path(), entry, true, |_| Ok::<_, SourceError>(())).unwrap();
        });
        for (name, table, shape) in [
            ("Parquet, ECS", ecs::FLOW, Shape::Flat),
            ("Parquet, OCSF 1.3", Version::V1_3.table(), Shape::Nested),
        ] {
            let mut bytes = 0;
            measure(name, &mut |entry| {
                let mut file = ParquetFile::new(table, shape, Vec::new()).unwrap();
                source::records(directory.path(), entry, true, |record| {
                    file.push(&record).unwrap();
                    Ok::<_, SourceError>(())
                })
                .unwrap();
                bytes += file.finish().unwrap().len();
            });
            println!("  {:.1} bytes a record", bytes as f64 / ROWS as f64);
        }
        let mut text = Vec::new();
        measure("JSON, ECS", &mut |entry| {
            source::records(directory.path(), entry, false, |record| {
                text.clear();
                write_json(ecs::FLOW, &record, &mut text);
                Ok::<_, SourceError>(())
            })
            .unwrap();
        });
    }
}

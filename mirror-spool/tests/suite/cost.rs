//! The cost of a record: allocations always, times where they are asked for.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{Compression, Flow, Reader, SpoolConfig, Writer};
use mirror_testkit::{allocations, rerun};

use crate::support::data_files;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Peak of the resident memory of this process, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const NAME: &str = "cost::a_writer_needs_little_memory_and_few_allocations";

#[test]
fn a_writer_needs_little_memory_and_few_allocations() {
    rerun::alone(NAME, || {
        assert!(allocations::are_counted());
        const ROWS: u64 = 262_144;
        let directory = tempfile::tempdir().unwrap();
        let mut samples = Samples::new(1);
        let before = peak();
        let (mut writer, _) = Writer::open(directory.path(), SpoolConfig::default(), BEGIN).unwrap();
        let allocations = allocations::all();
        for _ in 0..ROWS {
            writer.push(&samples.next_flow()).unwrap();
        }
        writer.finish();
        let per_row = (allocations::all() - allocations) as f64 / ROWS as f64;
        let grown = peak() - before;
        println!("{per_row:.3} allocations a record, {grown} KiB");
        assert!(per_row <= 0.12, "{per_row} allocations a record");
        assert!(grown <= 8 * 1024, "{grown} KiB");
    });
}

/// Rows of 256 bytes, written as they are: what the format is measured against.
fn raw(path: &Path, rows: u64) -> Duration {
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path).unwrap());
    let mut samples = Samples::new(1);
    let begin = Instant::now();
    let mut row = [0; 256];
    for _ in 0..rows {
        let flow = samples.next_flow();
        let numbers = [
            flow.start,
            flow.end,
            flow.forward.packets,
            flow.forward.bytes,
            flow.forward.captured_bytes,
            flow.reverse.packets,
            flow.reverse.bytes,
            flow.reverse.captured_bytes,
            flow.accounted,
            flow.tunnel.endpoint.unwrap_or(0),
            flow.cookie.unwrap_or(0).into(),
            flow.tunnel.vxlan_vni.unwrap_or(0).into(),
        ];
        for (place, number) in row.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        file.write_all(&row).unwrap();
    }
    file.flush().unwrap();
    begin.elapsed()
}

/// Making the sample rows, which is no part of the cost.
fn samples_alone(rows: u64) -> Duration {
    let mut samples = Samples::new(1);
    let begin = Instant::now();
    let mut sum = 0_u64;
    for _ in 0..rows {
        sum = sum.wrapping_add(std::hint::black_box(samples.next_flow()).end);
    }
    std::hint::black_box(sum);
    begin.elapsed()
}

fn spool(directory: &Path, compression: Compression, rows: u64) -> (Duration, u64) {
    let config = SpoolConfig { compression, ..SpoolConfig::default() };
    let (mut writer, _) = Writer::open(directory, config, BEGIN).unwrap();
    let mut samples = Samples::new(1);
    let begin = Instant::now();
    for _ in 0..rows {
        writer.push(&samples.next_flow()).unwrap();
    }
    let time = begin.elapsed();
    (time, writer.finish().bytes)
}

fn read(directory: &Path) -> Duration {
    let begin = Instant::now();
    let mut sum = 0_u64;
    for file in data_files(directory) {
        for batch in Reader::open(&file).unwrap() {
            let batch = batch.unwrap();
            let take = |flow: Flow<'_>| flow.packets().wrapping_add(flow.end);
            sum = batch.rows().map(|row| take(row.unwrap())).fold(sum, u64::wrapping_add);
        }
    }
    std::hint::black_box(sum);
    begin.elapsed()
}

/// Run with: cargo test --release --package mirror-spool -- --ignored --nocapture speed
#[test]
#[ignore = "a measurement, for an idle machine and a release build"]
fn speed() {
    const ROWS: u64 = 2 * 1024 * 1024;
    let root = Path::new("/dev/shm");
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / ROWS as f64;
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..3 {
        let directory = tempfile::tempdir_in(root).unwrap();
        let making = nanoseconds(samples_alone(ROWS));
        let raw = nanoseconds(raw(&directory.path().join("raw"), ROWS)) - making;
        std::fs::remove_file(directory.path().join("raw")).unwrap();
        println!("round {round}: making {making:.0} ns, raw {raw:.0} ns a record");
        for (index, compression) in
            [Compression::Zstd, Compression::Lz4, Compression::None].into_iter().enumerate()
        {
            let spooled = directory.path().join(format!("{compression:?}"));
            let (write, bytes) = spool(&spooled, compression, ROWS);
            let write = nanoseconds(write) - making;
            let read = nanoseconds(read(&spooled));
            let ratio = write / raw;
            let size = bytes as f64 / ROWS as f64;
            println!(
                "  {compression:?}: write {write:.0} ns ({ratio:.1} of raw), {size:.1} bytes, read {read:.0} ns"
            );
            ratios[index].push((ratio, size));
            std::fs::remove_dir_all(&spooled).unwrap();
        }
    }
    for (measured, (most_ratio, most_size)) in ratios.iter_mut().zip([(5.0, 55.0), (3.6, 80.0)]) {
        measured.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ratio, size) = measured[1];
        assert!(ratio <= most_ratio && size <= most_size, "{ratio} of raw, {size} bytes");
    }
}

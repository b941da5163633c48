//! Other readers, and files of other versions.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use mirror_spool::sample::Samples;
use mirror_spool::{Compression, Flow, ReadError, Reader};
use mirror_testkit::python;

use crate::support::{data_files, through_a_file};

/// What pyarrow counts in a file.
const PYARROW: &str = "
import sys, json, pyarrow as pa, pyarrow.dataset, pyarrow.compute as pc, duckdb
path = sys.argv[1]
with pa.OSFile(path) as file:
    table = pa.ipc.open_file(file).read_all()
table.validate(full=True)
data = pyarrow.dataset.dataset(path, format='arrow')
assert data.count_rows() == len(table)
flows = table
query = '''select count(*), sum(forward_packets), sum(reverse_bytes), count(server_name), count(source_ipv6),
    count(distinct tunnel.interface), max(epoch_ns(\"end\")), count(destination_host.account),
    sum((json_extract_string(tunnel.tags, '$.team') = 'a \"b\"')::int)
    from flows'''
print(json.dumps([int(value) for value in duckdb.sql(query).fetchall()[0]]))
";

fn expected(rows: &[Flow<'_>]) -> Vec<u64> {
    let count = |is: &dyn Fn(&Flow<'_>) -> bool| rows.iter().filter(|row| is(row)).count() as u64;
    let interfaces: std::collections::BTreeSet<_> =
        rows.iter().filter_map(|row| row.tunnel.host?.interface.as_deref()).collect();
    vec![
        rows.len() as u64,
        rows.iter().map(|row| row.forward.packets).sum(),
        rows.iter().map(|row| row.reverse.bytes).sum(),
        count(&|row| row.application.server_name.is_some()),
        count(&|row| row.source.is_ipv6()),
        interfaces.len() as u64,
        rows.iter().map(|row| row.end).max().unwrap(),
        count(&|row| row.destination_host.is_some()),
        count(&|row| row.tunnel.host.is_some()),
    ]
}

#[test]
fn pyarrow_and_duckdb_read_every_compression() {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt");
    let python = match python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), &requirements) {
        Ok(python) => python,
        Err(reason) => {
            println!("SKIPPED: no pyarrow: {reason}");
            return;
        }
    };
    for compression in [Compression::Zstd, Compression::Lz4, Compression::None] {
        let directory = tempfile::tempdir().unwrap();
        let mut sources: Vec<_> = (0..20).map(Samples::new).collect();
        let rows: Vec<Flow<'_>> = sources.iter_mut().map(Samples::next_flow).collect();
        // Each of them several times, so that there are several batches.
        let rows: Vec<Flow<'_>> = rows.iter().cycle().take(950).copied().collect();
        through_a_file(directory.path(), compression, &rows);
        let file = &data_files(directory.path())[0];
        let said = python::script(&python, PYARROW, &[file]).unwrap();
        let found: Vec<u64> = serde_json::from_str(&said).unwrap();
        assert_eq!(found, expected(&rows), "{compression:?}");
    }
}

/// The file again, with other columns and metadata.
fn rewrite(file: &Path, version: &str, change: impl Fn(&RecordBatch) -> RecordBatch) -> PathBuf {
    let reader = FileReader::try_new(File::open(file).unwrap(), None).unwrap();
    let batches: Vec<_> = reader.map(|batch| change(&batch.unwrap())).collect();
    let mut metadata = batches[0].schema().metadata().clone();
    metadata.insert("mirror.version".to_owned(), version.to_owned());
    let schema = Schema::new_with_metadata(batches[0].schema().fields().clone(), metadata);
    let path = file.with_extension("changed");
    let mut writer = FileWriter::try_new(File::create(&path).unwrap(), &schema).unwrap();
    for batch in batches {
        writer.write(&batch).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn one_file(rows: &[Flow<'_>]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    through_a_file(directory.path(), Compression::Zstd, rows);
    let file = data_files(directory.path()).remove(0);
    (directory, file)
}

/// A file of an older version has fewer columns, and one of a later version more, in any order.
#[test]
fn columns_are_looked_up_by_name() {
    let mut samples = Samples::new(5);
    let row = samples.next_flow();
    let (_directory, file) = one_file(&[row]);
    let changed = rewrite(&file, "1", |batch| {
        let names = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        let without = ["ja4", "destination_host", "rule", "outcome", "dns_queries"];
        let mut kept: Vec<usize> =
            (0..names.len()).rev().filter(|index| !without.contains(&names[*index].as_str())).collect();
        kept.rotate_left(7);
        let batch = batch.project(&kept).unwrap();
        let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        fields.push(Arc::new(Field::new("of_tomorrow", DataType::Utf8, true)));
        columns.push(arrow_array::new_null_array(&DataType::Utf8, batch.num_rows()));
        let schema = Schema::new_with_metadata(fields, batch.schema().metadata().clone());
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    });
    let mut expected = Flow { destination_host: None, verdict: None, ..row };
    expected.application.ja4 = None;
    expected.application.dns_queries = None;
    let batch = Reader::open(&changed).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.row(0).unwrap(), expected);
}

#[test]
fn a_file_that_cannot_be_understood_is_refused_with_its_reason() {
    let mut samples = Samples::new(5);
    let row = samples.next_flow();
    let (_directory, file) = one_file(&[row]);
    let newer = rewrite(&file, "2", Clone::clone);
    assert!(matches!(Reader::open(&newer).err(), Some(ReadError::Version { found: 2, known: 1 })));
    let none = rewrite(&file, "?", Clone::clone);
    assert!(matches!(Reader::open(&none).err(), Some(ReadError::NoVersion { .. })));
    let shorter =
        rewrite(&file, "1", |batch| batch.project(&(1..batch.num_columns()).collect::<Vec<_>>()).unwrap());
    let read = Reader::open(&shorter).unwrap().next().unwrap();
    assert!(matches!(read.err(), Some(ReadError::NoColumn { name: "end" })));
}

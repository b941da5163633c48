//! Parquet files: what duckdb and pyarrow read, and exactly once across kills.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mirror_ship::command;
use mirror_ship::config::Config;
use mirror_ship::cursor::CursorFile;
use mirror_ship::ecs;
use mirror_ship::ocsf::Version;
use mirror_ship::source::{self, SourceError};
use mirror_ship::table::{Record, write_json};
use mirror_spool::Manifest;
use mirror_testkit::{python, rerun};

use crate::support::{Place, assert_balance, once, only, python, query};

const ECS: &str = "[[destination]]\nname = 'lake'\nkind = 'files'\ndirectory = 'LAKE'\n";
const OCSF: &str = "[[destination]]\nname = 'lake'\nkind = 'files'\ndirectory = 'LAKE'\nformat = 'security-lake'\naccount = '999999999999'\n";

#[test]
fn duckdb_counts_what_the_spool_held() {
    let Some(python) = python() else { return };
    let place = Place::new();
    place.write(1, 3500);
    let mut packets = 0;
    for entry in &Manifest::read(&place.spool()).unwrap().entries {
        packets += entry.file.as_ref().unwrap().amount.packets;
    }
    let config = place.config(ECS);
    once(&config);
    let status = only(&config);
    assert_eq!(
        (status.lag_records, status.cursor.delivered.records, status.cursor.delivered.packets),
        (0, 3500, packets)
    );
    let sql = "select count(*), count(distinct \"event.id\"), sum(\"network.packets\"), count(distinct accountId) > 5,
        bool_and(coalesce(\"cloud.account.id\", 'unknown') = accountId::varchar) from lake";
    assert_eq!(
        query(&python, &place.lake(), sql),
        serde_json::json!([[3500, 3500, packets.to_string().parse::<u64>().unwrap(), true, true]])
    );
    // Delivered files are gone from the spool, and nothing is delivered again.
    assert_eq!(mirror_spool::verify(&place.spool(), true).unwrap().files, 0);
    once(&config);
    assert_eq!(only(&config).cursor.delivered.records, 3500);
}

#[test]
fn security_lake_has_its_layout_and_order() {
    let Some(python) = python() else { return };
    let place = Place::new();
    place.write(1, 3000);
    once(&place.config(OCSF));
    let sql = "select count(*), count(distinct metadata.uid), min(region), bool_and(class_uid = 4001),
        bool_and(coalesce(cloud.account.uid, '999999999999') = accountId::varchar),
        bool_and(strftime(make_timestamp(time * 1000), '%Y%m%d') = eventDay::varchar),
        count(*) filter (tls is not null and tls.version is null) from lake";
    let expected = serde_json::json!([[3000, 3000, "eu-west-1", true, true, true, 0]]);
    // Records of unknown hosts have no region.
    let found = query(&python, &place.lake(), sql);
    assert_eq!(found, expected);
    let script = "
import sys, glob, pyarrow.parquet as pq
for path in glob.glob(sys.argv[1] + '/ext/mirror-flow/region=*/accountId=*/eventDay=*/*.parquet'):
    file = pq.ParquetFile(path)
    times = file.read()['time'].to_pylist()
    assert file.metadata.row_group(0).column(0).compression == 'ZSTD'
    print(len(times), sum(a > b for a, b in zip(times, times[1:])))
";
    let place = Place::new();
    place.write(1, 900);
    once(&place.config(OCSF));
    let said = python::script(&python, script, &[&place.lake()]).unwrap();
    let lines: Vec<(u64, u64)> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(rows, turns)| (rows.parse().unwrap(), turns.parse().unwrap()))
        .collect();
    assert_eq!(lines.iter().map(|line| line.0).sum::<u64>(), 900);
    assert!(lines.len() > 5 && lines.iter().all(|line| line.1 == 0), "{lines:?}");
}

/// Parquet has the values that JSON has, field by field.
#[test]
fn parquet_and_json_agree() {
    let Some(python) = python() else { return };
    let script = "
import sys, json, glob, datetime, pyarrow.parquet as pq
def bare(value):
    if isinstance(value, dict):
        inner = {key: bare(member) for key, member in value.items()}
        return {key: member for key, member in inner.items() if member is not None} or None
    return value
def nest(row):
    out = {}
    for path, value in row.items():
        place = out
        *objects, name = path.split('.')
        for object in objects:
            place = place.setdefault(object, {})
        place[name] = value
    return out
for path in glob.glob(sys.argv[1] + '/**/*.parquet', recursive=True):
    table = pq.ParquetFile(path).read()
    for index, name in enumerate(table.column_names):
        if str(table.schema.field(name).type).startswith('timestamp'):
            table = table.set_column(index, name, table[name].cast('int64'))
    for row in table.to_pylist():
        print(json.dumps(bare(nest(row))))
";
    for (destination, table, id) in
        [(ECS, ecs::FLOW, "/event/id"), (OCSF, Version::V1_3.table(), "/metadata/uid")]
    {
        let place = Place::new();
        place.write(1, 1000);
        let mut expected = BTreeMap::new();
        for entry in &Manifest::read(&place.spool()).unwrap().entries {
            source::records(&place.spool(), entry, false, |record: Record<'_>| {
                let mut text = Vec::new();
                write_json(table, &record, &mut text);
                let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
                expected.insert(document.pointer(id).unwrap().to_string(), document);
                Ok::<_, SourceError>(())
            })
            .unwrap();
        }
        once(&place.config(destination));
        let said = python::script(&python, script, &[&place.lake()]).unwrap();
        let mut count = 0;
        for line in said.lines() {
            let mut found: serde_json::Value = serde_json::from_str(line).unwrap();
            let key = found.pointer(id).unwrap().to_string();
            for leaf in table.iter().filter(|leaf| leaf.kind == mirror_ship::table::Kind::Time) {
                if let Some(value) = found.pointer_mut(&format!("/{}", leaf.path.replace('.', "/"))) {
                    *value = mirror_ship::time::rfc3339(value.as_u64().unwrap()).into();
                }
            }
            assert_eq!(found, expected[&key]);
            count += 1;
        }
        assert_eq!(count, 1000);
    }
}

#[test]
fn what_is_not_delivered_is_named() {
    let place = Place::new();
    place.write(1, 5000);
    let file = |number: u64| place.spool().join(format!("{number:016}.flow.arrow"));
    std::fs::remove_file(file(2)).unwrap();
    let mut bytes = std::fs::read(file(4)).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(file(4), bytes).unwrap();
    let config = place.config(&format!("{ECS}accounts = ['100000000003']\n"));
    once(&config);
    let cursor = only(&config).cursor;
    assert_balance(&cursor, 5000);
    assert_eq!(
        (cursor.dropped["spool_missing"].records, cursor.dropped["spool_altered"].records),
        (1000, 1000)
    );
    assert!(cursor.delivered.records > 100 && cursor.dropped["filtered"].records > 2000, "{cursor:?}");
}

const KILLED: &str = "files::killed_at_any_point_it_delivers_each_record_once";
/// Variable with the number of kills, for a longer run.
const KILLS: &str = "MIRROR_TEST_KILLS";

#[test]
fn killed_at_any_point_it_delivers_each_record_once() {
    if let Some(path) = rerun::child_argument() {
        let config = Config::read(Path::new(&path)).unwrap();
        command::deliver(&config, true, &AtomicBool::new(false)).unwrap();
        return;
    }
    let Some(python) = python() else { return };
    let kills: u64 = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let place = Place::new();
    place.write(1, kills * 1000);
    let config = place.config(&format!("{OCSF}interval = 3600\nmost-records = 2500\n"));
    let path: PathBuf = place.state().parent().unwrap().join("ship.toml");
    for kill in 0..kills {
        let mut child = rerun::child(KILLED, &path.display().to_string())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(2000 + kill * 7919 % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let reached = CursorFile::new(&place.state(), "lake").read().unwrap();
    println!("{kills} kills: line {} was reached", reached.sequence);
    once(&config);
    assert_balance(&only(&config).cursor, kills * 1000);
    let records = kills * 1000;
    let found = query(&python, &place.lake(), "select count(*), count(distinct metadata.uid) from lake");
    assert_eq!(found, serde_json::json!([[records, records]]));
}

/// Several destinations: the spool keeps what the slowest has not got.
#[test]
fn a_file_stays_until_every_destination_has_it() {
    let place = Place::new();
    place.write(1, 2000);
    // A file where its directory should be: it cannot be written to.
    std::fs::write(place.lake(), b"in the way").unwrap();
    let good = ECS.replace("'lake'", "'good'").replace("LAKE", "LAKE-good");
    let config = place.config(&format!("{ECS}{good}"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| command::deliver(&config, true, &stop).unwrap());
        std::thread::sleep(Duration::from_secs(2));
        let statuses = mirror_ship::status::read(&config).unwrap();
        assert!(statuses[0].cursor.retries > 1 && statuses[0].cursor.last_error.is_some(), "{statuses:?}");
        assert_eq!((statuses[0].lag_records, statuses[1].lag_records), (2000, 0));
        assert_eq!(mirror_spool::verify(&place.spool(), true).unwrap().files, 2);
        std::fs::remove_file(place.lake()).unwrap();
        running.join().unwrap();
    });
    assert_eq!(mirror_spool::verify(&place.spool(), true).unwrap().files, 0);
}

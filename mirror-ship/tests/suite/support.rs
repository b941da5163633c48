//! What the tests share.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use mirror_ship::command;
use mirror_ship::config::Config;
use mirror_ship::cursor::Cursor;
use mirror_ship::status::{self, Status};
use mirror_spool::sample::{BEGIN, Samples};
use mirror_spool::{SpoolConfig, Writer};
use mirror_testkit::python;
use tempfile::TempDir;

/// A spool, a directory of state, and one to deliver to.
pub struct Place {
    root: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.state()).unwrap();
        place
    }

    pub fn spool(&self) -> PathBuf {
        self.root.path().join("spool")
    }

    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub fn lake(&self) -> PathBuf {
        self.root.path().join("lake")
    }

    /// Appends sample records to the spool, in files of a thousand.
    pub fn write(&self, seed: u64, records: u64) {
        let config = SpoolConfig {
            batch_rows: 250,
            file_rows: 1000,
            sync: Duration::from_secs(3600),
            ..SpoolConfig::default()
        };
        let (mut writer, _) = Writer::open(&self.spool(), config, BEGIN + seed).unwrap();
        let mut samples = Samples::new(seed);
        for _ in 0..records {
            writer.push(&samples.next_flow()).unwrap();
        }
        writer.finish();
    }

    /// A configuration with these destinations.
    pub fn config(&self, destinations: &str) -> Config {
        let path = self.root.path().join("ship.toml");
        let (spool, state, lake) = (self.spool(), self.state(), self.lake());
        let head = format!("spool = {spool:?}\nstate = {state:?}\n");
        std::fs::write(&path, head + &destinations.replace("LAKE", &lake.display().to_string())).unwrap();
        Config::read(&path).unwrap()
    }
}

/// Delivers what there is.
pub fn once(config: &Config) {
    command::deliver(config, true, &AtomicBool::new(false)).unwrap();
}

/// The only destination's status.
pub fn only(config: &Config) -> Status {
    let mut statuses = status::read(config).unwrap();
    assert_eq!(statuses.len(), 1);
    statuses.remove(0)
}

/// Checks that every record went somewhere.
pub fn assert_balance(cursor: &Cursor, records: u64) {
    assert_eq!(cursor.delivered.records + cursor.dropped_records(), records, "{cursor:?}");
}

/// The Python with pyarrow and duckdb, or a line that says why there is none.
pub fn python() -> Option<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requirements.txt");
    match python::environment(Path::new(env!("CARGO_TARGET_TMPDIR")), &requirements) {
        Ok(python) => Some(python),
        Err(reason) => {
            println!("SKIPPED: no pyarrow and duckdb: {reason}");
            None
        }
    }
}

/// What a query of duckdb answers, where `lake` is a view of every Parquet file under a directory.
pub fn query(python: &Path, lake: &Path, query: &str) -> serde_json::Value {
    const SCRIPT: &str = "
import sys, json, duckdb
duckdb.sql(f\"create view lake as select * from read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)\")
print(json.dumps(duckdb.sql(sys.argv[2]).fetchall(), default=str))
";
    let said = python::script(python, SCRIPT, &[lake, Path::new(query)]).unwrap();
    serde_json::from_str(&said).unwrap()
}

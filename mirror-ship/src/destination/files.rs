//! Parquet files in a directory: flat with the names of ECS, or OCSF in the layout of Security Lake. Exactly once.
//!
//! A group of the spool's files becomes one file for each region, account and day that its records are about. The name has the
//! group's lines and a hash of their files, and a file is published under it only if there is none: what a group has delivered
//! before it was interrupted is not delivered again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use mirror_spool::{Entry, sha256};
use serde::Deserialize;

use super::{Delivered, DeliveryError, Destination};
use crate::config::DestinationConfig;
use crate::parquet_file::{ParquetFile, Shape};
use crate::source;
use crate::table::{Leaf, Record};
use crate::{ecs, ocsf, time};

/// Settings of a directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FilesConfig {
    /// Root of the files.
    pub directory: PathBuf,
    /// Form and layout.
    #[serde(default)]
    pub format: Format,
    /// Version of OCSF.
    #[serde(default)]
    pub ocsf_version: ocsf::Version,
    /// Name of the custom source in Security Lake's layout.
    #[serde(default = "source_name")]
    pub source: String,
    /// Region of records whose region is not known.
    #[serde(default = "unknown")]
    pub region: String,
    /// Account of records whose account is not known.
    #[serde(default = "unknown")]
    pub account: String,
}

fn source_name() -> String {
    "mirror-flow".to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Form and layout of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A column for each field of ECS; the layout is `eventDay=YYYYMMDD/accountId=A/`.
    #[default]
    Ecs,
    /// OCSF; the layout is `ext/SOURCE/region=R/accountId=A/eventDay=YYYYMMDD/`.
    SecurityLake,
}

/// Region, account and day that records are about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Partition {
    region: String,
    account: String,
    day: u32,
}

/// A directory of Parquet files.
pub struct Files {
    config: DestinationConfig,
    settings: FilesConfig,
    /// Where files are written before they are published; on the file system of the directory.
    workshop: PathBuf,
}

impl Files {
    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn new(
        config: &DestinationConfig,
        settings: &FilesConfig,
        _state: &Path,
    ) -> Result<Self, DeliveryError> {
        let workshop = settings.directory.join(format!(".{}.unfinished", config.name));
        Ok(Self { config: config.clone(), settings: settings.clone(), workshop })
    }

    const fn mapping(&self) -> (&'static [Leaf], Shape) {
        match self.settings.format {
            Format::Ecs => (ecs::FLOW, Shape::Flat),
            Format::SecurityLake => (self.settings.ocsf_version.table(), Shape::Nested),
        }
    }

    fn partition(&self, record: &Record<'_>) -> Partition {
        let host = record.flow.tunnel.host;
        let known = |value: Option<&Option<String>>, otherwise: &String| {
            value.and_then(Option::as_ref).unwrap_or(otherwise).replace(['/', '\\', '\0'], "_")
        };
        Partition {
            region: known(host.map(|host| &host.region), &self.settings.region),
            account: known(host.map(|host| &host.account), &self.settings.account),
            day: time::day(record.flow.end),
        }
    }

    fn directory(&self, Partition { region, account, day }: &Partition) -> PathBuf {
        let root = &self.settings.directory;
        match self.settings.format {
            Format::Ecs => root.join(format!("eventDay={day}/accountId={account}")),
            Format::SecurityLake => {
                let source = &self.settings.source;
                root.join(format!("ext/{source}/region={region}/accountId={account}/eventDay={day}"))
            }
        }
    }

    fn write(&self, spool: &Path, group: &[Entry]) -> Result<Delivered, DeliveryError> {
        let (table, shape) = self.mapping();
        let mut open: BTreeMap<Partition, (PathBuf, ParquetFile<BufWriter<File>>)> = BTreeMap::new();
        let mut result = Delivered::default();
        for entry in group {
            source::records(spool, entry, true, |record| {
                if !self.config.takes(&record.flow) {
                    result.drop_record("filtered", record.flow.accounted);
                    return Ok(());
                }
                let partition = self.partition(&record);
                let number = open.len();
                let (_, file) = match open.entry(partition) {
                    std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        let path = self.workshop.join(number.to_string());
                        let file = File::create(&path).map_err(failed("create", &path))?;
                        let parquet = ParquetFile::new(table, shape, BufWriter::new(file));
                        place.insert((path.clone(), parquet.map_err(failed("begin", &path))?))
                    }
                };
                file.push(&record).map_err(failed("write", &self.settings.directory))?;
                result.count(record.flow.accounted);
                Ok::<_, DeliveryError>(())
            })?;
        }
        let name = name(group);
        for (partition, (path, file)) in open {
            let written = file.finish().map_err(failed("finish", &path))?;
            let file = written.into_inner().map_err(|error| failed("write", &path)(error.into_error()))?;
            file.sync_all().map_err(failed("sync", &path))?;
            let directory = self.directory(&partition);
            publish(&path, &directory, &name).map_err(failed("publish in", &directory))?;
        }
        Ok(result)
    }
}

fn failed<E>(action: &str, path: &Path) -> impl FnOnce(E) -> DeliveryError
where
    E: std::error::Error + Send + Sync + 'static,
{
    let what = format!("cannot {action} {}", path.display());
    move |error| DeliveryError::of(what)(Box::new(error))
}

/// The name of a group's files.
fn name(group: &[Entry]) -> String {
    let hashes: String =
        group.iter().filter_map(|entry| Some(entry.file.as_ref()?.sha256.as_str())).collect();
    let (first, last) =
        (group.first().map_or(0, |entry| entry.sequence), group.last().map_or(0, |entry| entry.sequence));
    format!("{first:016}-{last:016}-{}.parquet", &sha256(hashes.as_bytes())[..16])
}

/// Publishes a file under its name, unless there is one, which is then the same.
fn publish(from: &Path, directory: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    match fs::hard_link(from, directory.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(directory)?.sync_all()?;
    fs::remove_file(from)
}

impl Destination for Files {
    fn deliver(&mut self, spool: &Path, group: &[Entry]) -> Result<Delivered, DeliveryError> {
        // What an interrupted attempt has left.
        match fs::remove_dir_all(&self.workshop) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("clear", &self.workshop)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&self.workshop).map_err(failed("create", &self.workshop))?;
        let result = self.write(spool, group);
        // Space may be what is missing; an error here comes again at the next attempt.
        let _ = fs::remove_dir_all(&self.workshop);
        result
    }

    fn check(&mut self) -> Result<String, DeliveryError> {
        let probe = self.settings.directory.join(format!(".{}.probe", self.config.name));
        fs::create_dir_all(&self.settings.directory).map_err(failed("create", &self.settings.directory))?;
        fs::write(&probe, b"").map_err(failed("write", &probe))?;
        fs::remove_file(&probe).map_err(failed("remove", &probe))?;
        Ok(format!("{} can be written to", self.settings.directory.display()))
    }
}

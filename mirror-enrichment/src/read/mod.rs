//! Reading a map, with errors that name the entry and the field.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use thiserror::Error;

use crate::map::{MAX_VNI, Map, VERSION};

/// Longest file in bytes that is read: some 300,000 sessions.
pub const LONGEST_FILE: u64 = 256 << 20;

/// Longest name, id or other text of an entry in bytes, tags apart.
const LONGEST_TEXT: usize = 128;

/// A map that was read.
#[derive(Clone, Debug)]
pub struct Content {
    /// The map.
    pub map: Map,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Time at which the file was last written, where the system tells.
    pub modified: Option<SystemTime>,
}

/// Reasons why a file is no map.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be read.
    #[error("cannot read the enrichment map {}; `mirror-sessions map` writes one", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is too long.
    #[error("the enrichment map {} is longer than {LONGEST_FILE} bytes: split it by appliance", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It has another version.
    #[error(
        "the enrichment map {} has version {found}, and this program reads version {VERSION}: use programs of one release",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it states, as JSON.
        found: String,
    },
    /// It is no JSON, or a value is wrong.
    #[error("the enrichment map {}: {place}: {problem}; docs/sessions.md describes the format", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The entry, counted from 0, and the field, such as `sessions[3].vni`.
        place: String,
        /// The problem.
        problem: String,
    },
}

/// Reads the map in the file `path`.
///
/// # Errors
///
/// When the file cannot be read or is no map.
pub fn read(path: &Path) -> Result<Content, ReadError> {
    let read = || -> io::Result<_> {
        let file = File::open(path)?;
        let modified = file.metadata()?.modified().ok();
        let mut json = Vec::new();
        file.take(LONGEST_FILE + 1).read_to_end(&mut json)?;
        Ok((modified, json))
    };
    let (modified, json) = read().map_err(|source| ReadError::File { path: path.to_owned(), source })?;
    let bytes = json.len() as u64;
    if bytes > LONGEST_FILE {
        return Err(ReadError::TooLong { path: path.to_owned() });
    }
    Ok(Content { map: parse(&json, path)?, bytes, modified })
}

/// Reads a map from the content of the file `path`, which is only named in errors.
///
/// # Errors
///
/// When it is no map.
pub fn parse(json: &[u8], path: &Path) -> Result<Map, ReadError> {
    /// All that is known of a map of any version.
    #[derive(Deserialize)]
    struct Head {
        version: serde_json::Value,
    }

    let Head { version } = deserialize(json, path)?;
    if version.as_u64() != Some(VERSION.into()) {
        return Err(ReadError::Version { path: path.to_owned(), found: version.to_string() });
    }
    let map: Map = deserialize(json, path)?;
    match fault(&map) {
        None => Ok(map),
        Some((place, problem)) => Err(ReadError::Malformed { path: path.to_owned(), place, problem }),
    }
}

fn deserialize<'de, T: Deserialize<'de>>(json: &'de [u8], path: &Path) -> Result<T, ReadError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let malformed =
        |place: String, problem: String| ReadError::Malformed { path: path.to_owned(), place, problem };
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let place = error.path().to_string();
        let place = if place == "." { "the whole file".to_owned() } else { place };
        malformed(place, error.into_inner().to_string())
    })?;
    deserializer.end().map_err(|error| malformed("behind the map".to_owned(), error.to_string()))?;
    Ok(value)
}

/// The first value that has the right type but is none that there can be, with its place.
fn fault(map: &Map) -> Option<(String, String)> {
    let too_long = |text: &str| text.len() > LONGEST_TEXT;
    for (number, session) in map.sessions.iter().enumerate() {
        let fault = |field: &str, problem: String| Some((format!("sessions[{number}].{field}"), problem));
        if session.vni > MAX_VNI {
            return fault("vni", format!("{} exceeds 24 bits", session.vni));
        }
        let texts = [
            ("account", Some(&session.account)),
            ("region", Some(&session.region)),
            ("session", Some(&session.session)),
            ("interface", Some(&session.interface)),
            ("endpoint", session.endpoint.as_ref()),
            ("rule", session.rule.as_ref()),
            ("vpc", session.vpc.as_ref()),
            ("subnet", session.subnet.as_ref()),
            ("zone", session.zone.as_ref()),
            ("instance", session.instance.as_ref()),
            ("instance_type", session.instance_type.as_ref()),
        ];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.is_some_and(|text| too_long(text))) {
            return fault(field, format!("is longer than {LONGEST_TEXT} bytes"));
        }
    }
    let long_id = map.vpcs.iter().position(|vpc| too_long(&vpc.vpc))?;
    Some((format!("vpcs[{long_id}].vpc"), format!("is longer than {LONGEST_TEXT} bytes")))
}

#[cfg(test)]
mod tests;

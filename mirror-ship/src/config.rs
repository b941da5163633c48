//! The configuration file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mirror_spool::Flow;
use serde::Deserialize;

use crate::destination::Kind;

/// Configuration of the shipper.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Directory of the spool.
    pub spool: PathBuf,
    /// Directory of cursors, unfinished objects and dead letters.
    pub state: PathBuf,
    /// Destinations.
    #[serde(rename = "destination")]
    pub destinations: Vec<DestinationConfig>,
}

/// Configuration of a destination.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct DestinationConfig {
    /// Name: letters, digits and hyphens.
    pub name: String,
    /// Accounts whose records are delivered; all where the list is empty.
    pub accounts: BTreeSet<String>,
    /// Seconds of records that are delivered together; 0 for each file of the spool by itself.
    pub interval: u64,
    /// Records that are delivered together at most, but for those of one file.
    pub most_records: u64,
    /// What and where it is.
    pub kind: Kind,
}

/// The settings that every kind of destination has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Common {
    name: String,
    #[serde(default)]
    accounts: BTreeSet<String>,
    #[serde(default)]
    interval: u64,
    #[serde(default = "most_records")]
    most_records: u64,
}

impl TryFrom<toml::Table> for DestinationConfig {
    type Error = toml::de::Error;

    /// Serde cannot refuse unknown fields of a structure that is flattened into another, so the two are taken apart here.
    fn try_from(mut table: toml::Table) -> Result<Self, Self::Error> {
        let mut common = toml::Table::new();
        for key in ["name", "accounts", "interval", "most-records"] {
            if let Some(value) = table.remove(key) {
                common.insert(key.to_owned(), value);
            }
        }
        let Common { name, accounts, interval, most_records } = common.try_into()?;
        Ok(Self { name, accounts, interval, most_records, kind: table.try_into()? })
    }
}

const fn most_records() -> u64 {
    4_000_000
}

impl DestinationConfig {
    /// `true` if it takes this record.
    pub fn takes(&self, flow: &Flow<'_>) -> bool {
        self.accounts.is_empty() || flow.account().is_some_and(|account| self.accounts.contains(account))
    }
}

/// Reason why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is not TOML, or has something that is not known.
    #[error("{}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<toml::de::Error>,
    },
    /// There is no destination.
    #[error("there is no [[destination]]")]
    NoDestination,
    /// A name cannot be one of a file.
    #[error("the name `{name}` must be of letters, digits and hyphens")]
    Name {
        /// The name.
        name: String,
    },
    /// Two destinations have one name.
    #[error("two destinations are called `{name}`, and would share a cursor")]
    Twice {
        /// The name.
        name: String,
    },
}

impl Config {
    /// Reads a configuration file, and checks it.
    ///
    /// # Errors
    ///
    /// When it cannot be read or used.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.destinations.is_empty() {
            return Err(ConfigError::NoDestination);
        }
        let mut names = BTreeSet::new();
        for DestinationConfig { name, .. } in &self.destinations {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(ConfigError::Name { name: name.clone() });
            }
            if !names.insert(name) {
                return Err(ConfigError::Twice { name: name.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn mistakes_are_named() {
        let head = "spool = '/s'\nstate = '/t'\n";
        let one =
            |name: &str| format!("[[destination]]\nname = '{name}'\nkind = 'files'\ndirectory = '/d'\n");
        assert!(parse(&format!("{head}{}", one("lake"))).is_ok());
        for (text, words) in [
            (format!("{head}destination = []"), "no [[destination]]"),
            (format!("{head}{}", one("a/b")), "letters, digits and hyphens"),
            (format!("{head}{}{}", one("a"), one("a")), "share a cursor"),
            (format!("{head}spol = 1\n{}", one("a")), "spol"),
            (format!("{head}[[destination]]\nname = 'a'\nkind = 'pigeon'\n"), "pigeon"),
            (format!("{head}{}colour = 1\n", one("a")), "colour"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}

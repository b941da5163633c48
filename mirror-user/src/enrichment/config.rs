//! Options of enrichment.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::value::ValueError;

/// Options of enrichment. Table `[enrichment]` of the file.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Enrichment")]
pub struct EnrichmentConfig {
    /// Enrich records with account, session, interface and instance from this map, which `mirror-sessions` writes. A file that is
    /// replaced is taken up while the capture runs
    #[arg(long = "enrichment", value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Tags of the instance and interface that become labels of the records
    #[arg(long = "enrichment-tag", value_name = "KEY", value_delimiter = ',')]
    pub tags: Vec<String>,
}

impl EnrichmentConfig {
    /// Checks that every value is in its range.
    ///
    /// # Errors
    ///
    /// The first value that is not.
    pub fn check(&self) -> Result<(), ValueError> {
        if self.map.is_none() && !self.tags.is_empty() {
            return Err(ValueError::new(
                "--enrichment-tag",
                "there is no map to take tags from: give --enrichment",
            ));
        }
        if self.tags.iter().any(String::is_empty) {
            return Err(ValueError::new("--enrichment-tag", "the key of a tag is not empty"));
        }
        Ok(())
    }
}

//! Destinations: one file each.

#[cfg(feature = "bulk")]
pub mod bulk;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "ipfix")]
pub mod ipfix;
#[cfg(feature = "syslog")]
pub mod syslog;

use std::path::Path;

use mirror_spool::{Amount, Entry};
use serde::Deserialize;

use crate::config::DestinationConfig;
use crate::source::SourceError;

/// The kinds of destination, with their settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// Parquet files in a directory.
    #[cfg(feature = "files")]
    Files(files::FilesConfig),
    /// Elasticsearch or OpenSearch.
    #[cfg(feature = "bulk")]
    Bulk(bulk::BulkConfig),
    /// An IPFIX collector.
    #[cfg(feature = "ipfix")]
    Ipfix(ipfix::IpfixConfig),
    /// A syslog receiver.
    #[cfg(feature = "syslog")]
    Syslog(syslog::SyslogConfig),
}

/// What a delivery has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Records that the destination has.
    pub delivered: Amount,
    /// Records that it did not take, by reason.
    pub dropped: Vec<(&'static str, Amount)>,
}

impl Delivered {
    /// Counts a record.
    pub(crate) fn count(&mut self, packets: u64) {
        self.delivered.add(Amount { records: 1, packets });
    }

    /// Counts a record that is not delivered.
    pub(crate) fn drop_record(&mut self, reason: &'static str, packets: u64) {
        let amount = Amount { records: 1, packets };
        match self.dropped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, sum)) => sum.add(amount),
            None => self.dropped.push((reason, amount)),
        }
    }
}

/// Reason why a delivery failed. It is made again, from the beginning of its group.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The destination cannot be reached, or does not take records now.
    #[error("{what}: {cause}")]
    Destination {
        /// What was to be done.
        what: String,
        /// The cause.
        cause: String,
    },
    /// The spool's file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl DeliveryError {
    /// From a cause of any type.
    pub(crate) fn of(
        what: impl Into<String>,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let what = what.into();
        move |cause| Self::Destination { what, cause: cause.to_string() }
    }
}

/// A place that records are delivered to.
pub trait Destination: Send {
    /// Delivers the files of these lines of the spool's manifest. A group that was begun is delivered as the same group again.
    ///
    /// # Errors
    ///
    /// When it is not sure that the destination has all records.
    fn deliver(&mut self, spool: &Path, group: &[Entry]) -> Result<Delivered, DeliveryError>;

    /// Reach, credentials and schema, without delivering anything; what was found, in words.
    ///
    /// # Errors
    ///
    /// When a delivery would fail.
    fn check(&mut self) -> Result<String, DeliveryError>;
}

/// Opens a destination.
///
/// # Errors
///
/// When its settings cannot be used.
pub fn open(config: &DestinationConfig, state: &Path) -> Result<Box<dyn Destination>, DeliveryError> {
    match &config.kind {
        #[cfg(feature = "files")]
        Kind::Files(settings) => Ok(Box::new(files::Files::new(config, settings, state)?)),
        #[cfg(feature = "bulk")]
        Kind::Bulk(settings) => Ok(Box::new(bulk::Bulk::new(config, settings, state)?)),
        #[cfg(feature = "ipfix")]
        Kind::Ipfix(settings) => Ok(Box::new(ipfix::Ipfix::new(config, settings))),
        #[cfg(feature = "syslog")]
        Kind::Syslog(settings) => Ok(Box::new(syslog::Syslog::new(config, settings)?)),
    }
}

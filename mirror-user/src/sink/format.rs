//! Formats of records.

/// Format of records.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line, with the field names of the Elastic Common Schema
    #[default]
    Ndjson,
    /// The mirrored packets themselves, each with its tunnel identity in a comment
    Pcapng,
}

impl Format {
    /// Name on the command line and extension of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Pcapng => "pcapng",
        }
    }
}

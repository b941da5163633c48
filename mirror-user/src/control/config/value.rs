//! Values that options take.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;

use crate::nic::parse_list;

/// A list of numbers and ranges: `0-3,8`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct List(pub Vec<usize>);

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-' | ' '));
        match parse_list(text) {
            list if valid && !list.is_empty() => Ok(Self(list)),
            _ => Err(format!("{text:?} is no list of numbers such as 0-3,8")),
        }
    }
}

impl TryFrom<String> for List {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A time such as `50us`, `5m` or `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HumanDuration(pub Duration);

impl FromStr for HumanDuration {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum XdpModeOption {
    /// Native where the driver can, else generic
    #[default]
    Auto,
    /// In the driver
    Native,
    /// In the network stack, for any driver
    Generic,
}

/// Something that can be had, or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Where it is to be had
    #[default]
    Auto,
    /// Ask for it, and say so where it is not to be had
    On,
    /// Never
    Off,
}

/// Level of the XDP program's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EbpfLog {
    /// No log; the program is loaded without it
    #[default]
    Off,
    /// What goes wrong
    Error,
    /// And what is odd
    Warn,
    /// And what is worth knowing
    Info,
    /// And each packet's verdict
    Debug,
    /// And each step
    Trace,
}

impl From<EbpfLog> for LevelFilter {
    fn from(level: EbpfLog) -> Self {
        match level {
            EbpfLog::Off => Self::OFF,
            EbpfLog::Error => Self::ERROR,
            EbpfLog::Warn => Self::WARN,
            EbpfLog::Info => Self::INFO,
            EbpfLog::Debug => Self::DEBUG,
            EbpfLog::Trace => Self::TRACE,
        }
    }
}

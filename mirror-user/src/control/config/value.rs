//! Values that options take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use serde::de::{self, Deserializer};
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

/// A number of 64 bits, decimal or hexadecimal with `0x`; in a file, a number or a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            // `from_str_radix` takes a sign.
            Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
            Some(_) => None,
            None => text.parse().ok().filter(|_| !text.starts_with('+')),
        };
        let problem = || format!("{text:?} is no number of at most 64 bits, such as 12345 or 0x3039");
        number.map(Self).ok_or_else(problem)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Seed;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, or a string such as \"0x3039\"")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Seed, E> {
                Ok(Seed(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Seed, E> {
                u64::try_from(number).map(Seed).map_err(|_| E::custom(format!("{number} is below 0")))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seed, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hexadecimal() {
        #[derive(Deserialize)]
        struct File {
            seed: Seed,
        }

        let read = |value: &str| toml::from_str::<File>(&format!("seed = {value}")).map(|file| file.seed.0);
        for (text, number) in [("0", 0), ("12345", 12345), ("0x3039", 12345), ("0XfF", 255)] {
            assert_eq!(text.parse(), Ok(Seed(number)), "{text}");
            assert_eq!(read(&format!("\"{text}\"")).unwrap(), number, "{text}");
        }
        assert_eq!("18446744073709551615".parse(), Ok(Seed(u64::MAX)));
        assert_eq!("0xffffffffffffffff".parse(), Ok(Seed(u64::MAX)));
        assert_eq!((read("12345").unwrap(), read("0x3039").unwrap()), (12345, 12345));
        for text in ["", "0x", "x3039", "-1", "+1", "0x+1", "18446744073709551616", "0x10000000000000000"] {
            let error = text.parse::<Seed>().unwrap_err();
            assert!(error.contains(&format!("{text:?} is no number of at most 64 bits")), "{error}");
        }
        assert!(read("-1").unwrap_err().to_string().contains("-1 is below 0"));
        assert!(read("1.5").unwrap_err().to_string().contains("expected a number"));
    }
}

//! Values of options: how they are written in a configuration file and on the command line, and errors that name them.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use ipnet::IpNet;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

/// A value that an option cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: {problem}")]
pub struct ValueError {
    /// The option, as the command line names it.
    pub key: &'static str,
    /// The problem, and the remedy.
    pub problem: String,
}

impl ValueError {
    /// An error of the option `key`.
    pub fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

/// A list of numbers and ranges: `0-3,8`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct List(pub Vec<usize>);

impl From<List> for String {
    fn from(list: List) -> Self {
        let numbers: Vec<Self> = list.0.iter().map(ToString::to_string).collect();
        numbers.join(",")
    }
}

/// The numbers of a list such as `0-3,8`, as sysfs writes them; parts that are none are left out.
pub fn parse_list(text: &str) -> Vec<usize> {
    text.split(',')
        .filter_map(|part| {
            let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
        })
        .flatten()
        .collect()
}

impl FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '-' | ' '));
        match parse_list(text) {
            list if valid && !list.is_empty() => Ok(Self(list)),
            _ => Err(format!("{text:?} is not a list of numbers such as 0-3,8")),
        }
    }
}

impl TryFrom<String> for List {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Times such as `50us`, `5m` or `1h 30m`.
pub mod duration {
    use std::time::Duration;

    use serde::de::{self, Deserialize as _, Deserializer};
    use serde::ser::Serializer;

    /// Reads a time.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(text: &str) -> Result<Duration, String> {
        let problem = |_| format!("{text:?} is not a time such as 50us, 5m or \"1h 30m\"");
        humantime::parse_duration(text).map_err(problem)
    }

    /// Reads a time of a configuration file.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }

    /// Writes a time as it can be read.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*time))
    }
}

/// Sizes in bytes such as `256MiB` or `1GB`.
pub mod size {
    use bytesize::ByteSize;
    use serde::de::{Deserialize as _, Deserializer};
    use serde::ser::Serializer;

    /// Reads a size.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(text: &str) -> Result<u64, String> {
        let problem = |_| format!("{text:?} is not a size such as 256MiB or 1GB");
        text.parse().map(|size: ByteSize| size.as_u64()).map_err(problem)
    }

    /// Reads a size of a configuration file: a string, or a number of bytes.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        ByteSize::deserialize(deserializer).map(|size| size.as_u64())
    }

    /// Writes a size in the largest unit that it is a whole number of.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(bits, _)| *bytes > 0 && bytes.trailing_zeros() >= *bits) {
            Some((bits, unit)) => serializer.collect_str(&format_args!("{}{unit}", bytes >> bits)),
            None => serializer.serialize_u64(*bytes),
        }
    }
}

/// Reads a whole number for the command line.
///
/// # Errors
///
/// When it is none, or does not fit.
pub fn whole_number<T: FromStr + TryFrom<u64>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| match text.parse() {
        Ok(number) if T::try_from(number).is_err() => format!("{text} is too large"),
        _ => format!("{text:?} is not a whole number"),
    })
}

/// Reads an address or an address prefix for the command line.
///
/// # Errors
///
/// When it is none.
pub fn prefix(text: &str) -> Result<IpNet, String> {
    let problem = |_| format!("{text:?} is not an address prefix such as 10.0.0.0/8 or fd00::/8");
    text.parse().map_err(problem)
}

/// A number of 64 bits, decimal or hexadecimal with `0x`; in a file, a number or a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Seed(pub u64);

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        format!("{:#x}", seed.0)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            // `from_str_radix` takes a sign.
            Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
            Some(_) => None,
            None => text.parse().ok().filter(|_| !text.starts_with('+')),
        };
        let problem = || format!("{text:?} is not a number of at most 64 bits, such as 12345 or 0x3039");
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

/// Use of a feature that is not available everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Switch {
    /// Use it where it is available
    #[default]
    Auto,
    /// Ask for it, and say so where it is not available
    On,
    /// Do not use it
    Off,
}

/// Way in which packets get their receive times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Timestamps {
    /// The XDP program reads the clock for every packet
    Exact,
    /// It reads the clock for every packet at low rates, and for fewer as packets follow each other more closely
    #[default]
    Batched,
}

/// Level of the XDP program's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EbpfLog {
    /// No log; the program is loaded without it
    #[default]
    Off,
    /// Errors
    Error,
    /// Warnings as well
    Warn,
    /// Information as well
    Info,
    /// The verdict on each packet as well
    Debug,
    /// Each step as well
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_value_is_told_with_an_example() {
        assert_eq!(whole_number::<u16>("4789"), Ok(4789));
        assert_eq!(whole_number::<u16>("65536"), Err("65536 is too large".to_owned()));
        assert_eq!(whole_number::<u8>("x"), Err("\"x\" is not a whole number".to_owned()));
        assert_eq!(whole_number::<u32>("-1"), Err("\"-1\" is not a whole number".to_owned()));
        assert_eq!(size::parse("1KiB"), Ok(1024));
        assert!(size::parse("foo").unwrap_err().contains("such as 256MiB"));
        assert_eq!(prefix("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert!(prefix("10.0.0.0/33").unwrap_err().contains("such as 10.0.0.0/8"));
        assert_eq!(duration::parse("2m"), Ok(Duration::from_secs(120)));
        for text in ["5", "x", ""] {
            assert!(duration::parse(text).unwrap_err().contains("such as 50us, 5m"), "{text}");
        }
    }

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
            assert!(error.contains(&format!("{text:?} is not a number of at most 64 bits")), "{error}");
        }
        assert!(read("-1").unwrap_err().to_string().contains("-1 is below 0"));
        assert!(read("1.5").unwrap_err().to_string().contains("expected a number"));
    }
}

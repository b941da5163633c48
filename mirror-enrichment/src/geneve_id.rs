//! The identity of a Gateway Load Balancer endpoint in packets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// The endpoint id in the GENEVE option of class 0x0108, type 1: 64 bits.
///
/// They are the last 16 of the 17 hexadecimal digits of the endpoint's id, `vpce-0…`, of which the first is 0. AWS does not
/// document this; its sample appliance gwlbtun prints the option so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GeneveId(pub u64);

/// A text that is no [`GeneveId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("neither 16 hexadecimal digits nor an id of at most 64 bits such as vpce-0123456789abcdef0")]
pub struct NoGeneveId;

impl GeneveId {
    /// The number that the hexadecimal digits of an AWS id are, such as `vpce-…` or `eni-…`; [`None`] if they are none, or
    /// more than 64 bits.
    pub fn of_resource(id: &str) -> Option<Self> {
        let (_, digits) = id.rsplit_once('-')?;
        let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_number.then(|| u64::from_str_radix(digits, 16).ok().map(Self))?
    }
}

impl fmt::Display for GeneveId {
    /// 16 lower-case hexadecimal digits.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for GeneveId {
    type Err = NoGeneveId;

    /// Reads 16 hexadecimal digits, or the id of an endpoint.
    fn from_str(text: &str) -> Result<Self, NoGeneveId> {
        if text.starts_with("vpce-") {
            return Self::of_resource(text).ok_or(NoGeneveId);
        }
        if text.len() != 16 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoGeneveId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NoGeneveId)
    }
}

impl Serialize for GeneveId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GeneveId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|problem| de::Error::custom(format_args!("{text:?} is {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read_and_one_is_written() {
        for text in ["123456789abcdef0", "123456789ABCDEF0", "vpce-0123456789abcdef0"] {
            let id: GeneveId = text.parse().unwrap();
            assert_eq!(id.to_string(), "123456789abcdef0", "{text}");
        }
        for text in
            ["", "vpce-", "vpce-f123456789abcdef0", "vpce-+1", "123456789abcdef", "eni-0123456789abcdef0"]
        {
            assert_eq!(text.parse::<GeneveId>(), Err(NoGeneveId), "{text}");
        }
    }

    #[test]
    fn ids_of_resources_are_64_bit_numbers() {
        let digits = |id| GeneveId::of_resource(id).map(|id| id.to_string());
        assert_eq!(digits("vpce-0123456789abcdef0").as_deref(), Some("123456789abcdef0"));
        assert_eq!(digits("eni-1a2b3c4d").as_deref(), Some("000000001a2b3c4d"));
        assert_eq!(digits("vpce-f123456789abcdef0"), None, "more than 64 bits");
        assert_eq!(digits("vpce"), None);
    }
}

//! The policy file as it is written: its keys and types are checked, its values are not.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use toml::Spanned;
use toml::value::Datetime;

use super::model::RateLimits;
use super::rule::{Interfaces, VniSource};
use crate::filter_rule::{Direction, FilterAction};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub owner: Spanned<String>,
    #[serde(default)]
    pub account: Vec<Spanned<Account>>,
    #[serde(default)]
    pub target: BTreeMap<Spanned<String>, Target>,
    #[serde(default)]
    pub filter: BTreeMap<Spanned<String>, Filter>,
    #[serde(default)]
    pub rule: Vec<Spanned<Rule>>,
    pub api: Option<Spanned<RateLimits>>,
    #[serde(default)]
    pub instance_types: InstanceTypes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    pub id: Spanned<String>,
    pub role_arn: Option<Spanned<String>>,
    pub external_id: Option<Spanned<String>>,
    pub regions: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub endpoints: Spanned<Vec<Spanned<Endpoint>>>,
    #[serde(default)]
    pub fallback: OneOrMany,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub id: Spanned<String>,
    pub zone: Spanned<String>,
    pub region: Option<Spanned<String>>,
    pub account: Option<Spanned<String>>,
    pub geneve_id: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub rules: Spanned<Vec<Spanned<FilterRule>>>,
    #[serde(default)]
    pub network_services: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterRule {
    pub direction: Direction,
    #[serde(default = "accept")]
    pub action: FilterAction,
    pub protocol: Option<Spanned<NameOrNumber>>,
    pub source: Spanned<String>,
    pub destination: Spanned<String>,
    pub source_ports: Option<Spanned<NameOrNumber>>,
    pub destination_ports: Option<Spanned<NameOrNumber>>,
}

fn accept() -> FilterAction {
    FilterAction::Accept
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub name: Spanned<String>,
    #[serde(default)]
    pub select: Selector,
    #[serde(default)]
    pub interfaces: Interfaces,
    #[serde(default)]
    pub exclude: bool,
    pub target: Option<Spanned<String>>,
    pub filter: Option<Spanned<String>>,
    pub packet_length: Option<Spanned<i64>>,
    pub session_number: Option<Spanned<i64>>,
    pub vni: Option<Spanned<VniSource>>,
    pub tags: Option<Spanned<BTreeMap<Spanned<String>, Spanned<String>>>>,
    pub ends: Option<Spanned<Datetime>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selector {
    pub all: Option<Vec<Selector>>,
    pub any: Option<Spanned<Vec<Selector>>>,
    pub not: Option<Box<Selector>>,
    pub tag: Option<BTreeMap<String, OneOrMany>>,
    pub account: Option<OneOrMany>,
    pub region: Option<OneOrMany>,
    pub zone: Option<OneOrMany>,
    pub vpc: Option<OneOrMany>,
    pub subnet: Option<OneOrMany>,
    pub instance: Option<OneOrMany>,
    pub instance_type: Option<OneOrMany>,
    pub interface: Option<OneOrMany>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct InstanceTypes {
    pub supported: OneOrMany,
    pub unsupported: OneOrMany,
}

/// A string, or a list of them.
#[derive(Default)]
pub(super) struct OneOrMany(pub Vec<Spanned<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The span is only available from outside, before the shape is known.
        let value = Spanned::<Shape>::deserialize(deserializer)?;
        let span = value.span();
        Ok(match value.into_inner() {
            Shape::One(text) => Self(vec![Spanned::new(span, text)]),
            Shape::Many(filter_values) => Self(filter_values),
        })
    }
}

enum Shape {
    One(String),
    Many(Vec<Spanned<String>>),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;
        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Shape, E> {
                Ok(Shape::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Shape, A::Error> {
                let mut filter_values = Vec::new();
                while let Some(text) = sequence.next_element()? {
                    filter_values.push(text);
                }
                Ok(Shape::Many(filter_values))
            }
        }
        deserializer.deserialize_any(ShapeVisitor)
    }
}

/// A name or a number, as text.
pub(super) struct NameOrNumber(pub String);

impl<'de> Deserialize<'de> for NameOrNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = NameOrNumber;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<NameOrNumber, E> {
                Ok(NameOrNumber(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<NameOrNumber, E> {
                Ok(NameOrNumber(number.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

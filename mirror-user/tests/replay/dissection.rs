//! The dissection of a capture by tshark, as a tree.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// tshark's JSON. Its objects have several members of one name, which `serde_json::Value` would lose.
#[derive(Debug)]
pub enum Node {
    /// A field's value.
    Text(String),
    /// A protocol, or the parts of a field.
    Members(Vec<(String, Node)>),
    /// The place of the protocol or field of the same name: bytes from the start of the frame.
    Place(u32),
    /// A number; places are made of them.
    Number(u64),
    /// Anything else.
    Other,
}

/// A protocol of a frame.
#[derive(Debug)]
pub struct Layer {
    /// tshark's name of it.
    pub name: String,
    /// Offset of its header in the frame.
    pub start: u32,
    fields: Node,
}

/// A frame.
#[derive(Debug)]
pub struct Dissection {
    /// Its protocols from the outside in. What an ICMP error quotes is part of ICMP.
    pub layers: Vec<Layer>,
}

/// Dissects each frame of the capture at `path`; [`None`] where there is no tshark.
///
/// Every packet is looked at for itself: nothing is reassembled, and connections are not followed.
pub fn dissect(path: &Path) -> Option<Vec<Dissection>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "json", "-x", "-r"]).arg(path).stdin(Stdio::null());
    for preference in [
        "ip.defragment:FALSE",
        "ipv6.defragment:FALSE",
        "tcp.desegment_tcp_streams:FALSE",
        "tcp.analyze_sequence_numbers:FALSE",
        "tcp.relative_sequence_numbers:FALSE",
    ] {
        command.args(["-o", preference]);
    }
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("SKIPPED: tshark is not installed");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let Printed(frames) = serde_json::from_slice(&output.stdout).unwrap();
    Some(frames.into_iter().map(|frame| Dissection::new(frame.source.layers)).collect())
}

#[derive(Deserialize)]
struct Printed(Vec<Frame>);

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "_source")]
    source: Source,
}

#[derive(Deserialize)]
struct Source {
    layers: Node,
}

impl Dissection {
    fn new(layers: Node) -> Self {
        let mut start = 0;
        let mut found = Vec::new();
        for (name, node) in layers.into_members() {
            match node {
                Node::Place(place) => start = place,
                fields => found.push(Layer { name, start, fields }),
            }
        }
        Self { layers: found }
    }

    /// The first protocol of one of these names.
    pub fn layer(&self, names: &[&str]) -> Option<&Layer> {
        self.layers.iter().find(|layer| names.contains(&layer.name.as_str()))
    }

    /// True where tshark found the frame cut off, by a snap length or by a length field in it.
    pub fn cut_off(&self) -> bool {
        self.layers.iter().any(|layer| {
            ["_ws.short", "_ws.malformed"].iter().any(|mark| layer.name == *mark || layer.has(mark))
        })
    }

    /// Time of the frame since 1970-01-01 00:00:00 UTC.
    pub fn time(&self) -> Duration {
        let frame = self.layer(&["frame"]).unwrap();
        let text = frame.text("frame.time_epoch").unwrap();
        if text.contains('T') {
            // As tshark prints it from 4.2 on.
            return humantime::parse_rfc3339(text).unwrap().duration_since(UNIX_EPOCH).unwrap();
        }
        let (seconds, nanoseconds) = text.split_once('.').unwrap();
        assert_eq!(nanoseconds.len(), 9, "{text}");
        Duration::new(seconds.parse().unwrap(), nanoseconds.parse().unwrap())
    }
}

impl Layer {
    /// The first field called `name`, however deep.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// Every field called `name`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.find(&|candidate| candidate == name).into_iter().filter_map(Node::text).collect()
    }

    /// Every field whose name ends with `suffix`.
    pub fn all_ending_with(&self, suffix: &str) -> Vec<&str> {
        self.fields
            .find(&|candidate| candidate.ends_with(suffix))
            .into_iter()
            .filter_map(Node::text)
            .collect()
    }

    /// True where there is a field or a part called `name`.
    pub fn has(&self, name: &str) -> bool {
        !self.fields.find(&|candidate| candidate == name).is_empty()
    }

    /// The first field called `name` as a number or an address.
    pub fn value<T: FromStr<Err: fmt::Debug>>(&self, name: &str) -> Option<T> {
        self.text(name).map(|text| text.parse().unwrap())
    }

    /// The first field called `name`, which is printed in hexadecimal or decimal.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name).map(|text| match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => text.parse().unwrap(),
        })
    }

    /// The first field called `name` as a truth value.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| matches!(text, "1" | "True" | "true"))
    }
}

impl Node {
    fn into_members(self) -> Vec<(String, Self)> {
        let Self::Members(members) = self else { panic!("not an object: {self:?}") };
        members
    }

    fn text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    fn find(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<&Self> {
        let Self::Members(members) = self else { return Vec::new() };
        members
            .iter()
            .flat_map(|(name, node)| wanted(name).then_some(node).into_iter().chain(node.find(wanted)))
            .collect()
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON of tshark")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Members(members))
    }

    /// Bytes in hexadecimal, place, length, bit mask and type.
    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Node, A::Error> {
        let bytes = array.next_element::<Node>()?;
        let place = array.next_element::<Node>()?;
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(match (bytes, place) {
            (Some(Node::Text(_)), Some(Node::Number(place))) => Node::Place(place.try_into().unwrap()),
            _ => Node::Other,
        })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number))
    }
}

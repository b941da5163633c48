//! The fields that a record may have.
//!
//! A field is a dotted path, as ECS writes it: `source.ip`. A path stands for everything below it: `source` for all of the source.
//! A list is kept whole or not at all.

use std::collections::BTreeMap;

/// Fields that every record has, whatever is listed: without them, a reader could not tell what it has before it.
const ALWAYS: [&str; 6] =
    ["@timestamp", "ecs", "event.dataset", "event.kind", "mirror.privacy", "mirror.sampling_rate"];

/// Objects at the top of the records, for a listed field to begin with.
const TOP: [&str; 20] = [
    "@timestamp",
    "client",
    "cloud",
    "destination",
    "dns",
    "ecs",
    "event",
    "host",
    "http",
    "labels",
    "mirror",
    "network",
    "observer",
    "related",
    "rule",
    "server",
    "source",
    "tls",
    "url",
    "user_agent",
];

/// Reason why a listed field cannot be one; the text continues "field NAME …".
pub(super) fn problem(field: &str) -> Option<&'static str> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'))
    };
    if !field.split('.').all(is_name) {
        return Some("is not a dotted path such as source.ip");
    }
    if !field.split('.').next().is_some_and(|top| TOP.contains(&top)) {
        return Some(
            "is in no record; docs/records of a run show what there is, for example source.ip or mirror.vxlan_vni",
        );
    }
    None
}

/// The fields that are kept, as a tree of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFilter {
    root: Node,
    keeps_all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// What is below and not named is kept.
    keep: bool,
    named: BTreeMap<String, Node>,
}

impl FieldFilter {
    /// Keeps the fields that are `allowed`, all where there is no list; in either case without those that are `denied`.
    pub fn new(allowed: Option<&[String]>, denied: &[&str]) -> Self {
        let mut root = Node { keep: allowed.is_none(), named: BTreeMap::new() };
        for field in allowed.unwrap_or_default() {
            root.set(field, true);
        }
        for field in denied {
            root.set(field, false);
        }
        for field in ALWAYS {
            root.set(field, true);
        }
        Self { root, keeps_all: allowed.is_none() && denied.is_empty() }
    }

    /// `true` if no field is left out.
    pub const fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    /// `true` if a record may have this field, or something below it.
    pub fn allows(&self, field: &str) -> bool {
        let mut node = &self.root;
        for name in field.split('.') {
            match node.named.get(name) {
                Some(below) => node = below,
                None => return node.keep,
            }
        }
        node.keeps_any()
    }

    /// Removes the other fields from the line that `out` has from `start` on: a JSON object without blanks, and a line feed.
    /// Of a line that is not one, nothing stays.
    pub fn apply(&self, start: usize, out: &mut Vec<u8>) {
        if self.keeps_all {
            return;
        }
        let end = out.len();
        let mut line = Line { bytes: out, at: start, end };
        if line.object(&self.root).is_none() {
            out.truncate(end);
            out.extend_from_slice(b"{}");
        }
        out.push(b'\n');
        out.drain(start..end);
    }
}

impl Node {
    /// Says of a field, and of everything below it, whether it is kept.
    fn set(&mut self, field: &str, keep: bool) {
        let mut node = self;
        for name in field.split('.') {
            let inherited = Self { keep: node.keep, named: BTreeMap::new() };
            node = node.named.entry(name.to_owned()).or_insert(inherited);
        }
        *node = Self { keep, named: BTreeMap::new() };
    }

    fn keeps_any(&self) -> bool {
        self.keep || self.named.values().any(Self::keeps_any)
    }
}

/// A line in a buffer, read from front to end while what is kept of it is appended behind.
struct Line<'out> {
    bytes: &'out mut Vec<u8>,
    at: usize,
    end: usize,
}

impl Line<'_> {
    fn peek(&self) -> Option<u8> {
        if self.at < self.end { self.bytes.get(self.at).copied() } else { None }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Reads an object and appends what `node` keeps of it.
    fn object(&mut self, node: &Node) -> Option<()> {
        self.expect(b'{')?;
        self.bytes.push(b'{');
        let empty = self.bytes.len();
        if self.peek()? == b'}' {
            self.at += 1;
            self.bytes.push(b'}');
            return Some(());
        }
        loop {
            let before = self.bytes.len();
            self.member(node, before != empty)?;
            match self.peek()? {
                b',' => self.at += 1,
                _ => break,
            }
        }
        self.expect(b'}')?;
        self.bytes.push(b'}');
        Some(())
    }

    /// Reads a member of an object and appends it, or what is kept of it, behind a comma unless it is the first.
    fn member(&mut self, node: &Node, follows: bool) -> Option<()> {
        let start = self.at;
        self.string()?;
        let name = self.bytes.get(start + 1..self.at - 1)?;
        let below = str::from_utf8(name).ok().and_then(|name| node.named.get(name));
        self.expect(b':')?;
        let value = self.at;
        let before = self.bytes.len();
        if follows {
            self.bytes.push(b',');
        }
        match below {
            Some(below) if self.peek()? == b'{' && !below.named.is_empty() => {
                self.bytes.extend_from_within(start..value);
                let opened = self.bytes.len();
                self.object(below)?;
                if self.bytes.len() == opened + 2 {
                    self.bytes.truncate(before); // nothing is left of it
                }
            }
            below => {
                self.skip()?;
                if below.map_or(node.keep, |below| below.keep) {
                    self.bytes.extend_from_within(start..self.at);
                } else {
                    self.bytes.truncate(before);
                }
            }
        }
        Some(())
    }

    /// Reads a value.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' | b',' if depth == 0 => return Some(()),
                byte => {
                    depth -= usize::from(matches!(byte, b'}' | b']'));
                    self.at += 1;
                }
            }
        }
    }

    /// Reads a string.
    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn filter(allowed: Option<&[&str]>, denied: &[&str]) -> FieldFilter {
        let allowed: Option<Vec<String>> =
            allowed.map(|fields| fields.iter().map(ToString::to_string).collect());
        FieldFilter::new(allowed.as_deref(), denied)
    }

    fn applied(filter: &FieldFilter, line: &str) -> String {
        let mut out = b"before\n".to_vec();
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        filter.apply(7, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("before\n").and_then(|text| text.strip_suffix('\n')).unwrap().to_owned()
    }

    const LINE: &str = concat!(
        r#"{"@timestamp":"t","ecs":{"version":"8"},"event":{"dataset":"d","kind":"k","type":["a","b"]},"#,
        r#""source":{"ip":"10.0.0.1","port":1,"mac":"02"},"destination":{"ip":"10.0.0.2"},"#,
        r#""mirror":{"outer":{"source":{"ip":"1"}},"text":"}],\"\\","sampling_rate":1}}"#
    );

    #[test]
    fn what_is_not_listed_goes() {
        for (allowed, denied, expected) in [
            (None, &[][..], LINE.to_owned()),
            (None, &["source.mac", "mirror"], LINE.replace(r#","mac":"02""#, "").replace(
                r#""mirror":{"outer":{"source":{"ip":"1"}},"text":"}],\"\\","sampling_rate":1}"#,
                r#""mirror":{"sampling_rate":1}"#,
            )),
            (
                Some(&["source", "event.type", "mirror.text"][..]),
                &["source.mac"],
                concat!(
                    r#"{"@timestamp":"t","ecs":{"version":"8"},"event":{"dataset":"d","kind":"k","type":["a","b"]},"#,
                    r#""source":{"ip":"10.0.0.1","port":1},"mirror":{"text":"}],\"\\","sampling_rate":1}}"#
                )
                .to_owned(),
            ),
            (
                Some(&[]),
                &[],
                concat!(
                    r#"{"@timestamp":"t","ecs":{"version":"8"},"event":{"dataset":"d","kind":"k"},"#,
                    r#""mirror":{"sampling_rate":1}}"#
                )
                .to_owned(),
            ),
            (
                Some(&["mirror.outer.source.ip", "source.ip", "source.ip.more"]),
                &[],
                concat!(
                    r#"{"@timestamp":"t","ecs":{"version":"8"},"event":{"dataset":"d","kind":"k"},"#,
                    r#""source":{"ip":"10.0.0.1"},"mirror":{"outer":{"source":{"ip":"1"}},"sampling_rate":1}}"#
                )
                .to_owned(),
            ),
        ] {
            assert_eq!(applied(&filter(allowed, denied), LINE), expected, "{allowed:?} {denied:?}");
        }
    }

    #[test]
    fn allows_what_may_be_there() {
        let filter = filter(Some(&["source.ip", "network"]), &["network.direction"]);
        for (field, allowed) in [
            ("source.ip", true),
            ("source", true),
            ("source.port", false),
            ("network.type", true),
            ("network.direction", false),
            ("destination", false),
            ("ecs.version", true),
            ("mirror.vxlan_vni", false),
        ] {
            assert_eq!(filter.allows(field), allowed, "{field}");
        }
    }

    #[test]
    fn of_what_is_no_record_nothing_stays() {
        let filter = filter(Some(&["a"]), &[]);
        for line in [
            "",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":\"x",
            "{\"a\":\"x\\",
            "{a:1}",
            "[1]",
            "10.0.0.1",
        ] {
            assert_eq!(applied(&filter, line), "{}", "{line}");
        }
    }

    #[test]
    fn fields_that_cannot_be_are_named() {
        assert_eq!(problem("source.ip"), None);
        assert_eq!(problem("mirror.source.tcp.flags"), None);
        for field in ["", "source..ip", ".ip", "source ip", "source.*"] {
            assert!(problem(field).unwrap().contains("dotted path"), "{field}");
        }
        for field in ["soruce.ip", "ip", "vxlan_vni"] {
            assert!(problem(field).unwrap().contains("in no record"), "{field}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                // Records have no empty objects, and a filter leaves none.
                prop::collection::btree_map("[a-d]", inner, 1..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same by way of a tree of values, told by the paths.
    fn expected(value: &Value, allowed: &[String], path: &str) -> Option<Value> {
        let within = |field: &str, path: &str| path == field || path.starts_with(&format!("{field}."));
        if !path.is_empty() && allowed.iter().any(|field| within(field, path)) {
            return Some(value.clone());
        }
        let Value::Object(members) = value else { return None };
        let mut kept = Map::new();
        for (name, member) in members {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if let Some(member) = expected(member, allowed, &below) {
                kept.insert(name.clone(), member);
            }
        }
        (!kept.is_empty() || path.is_empty()).then_some(Value::Object(kept))
    }

    proptest! {
        #[test]
        fn keeps_what_a_walk_over_the_values_keeps(
            members in prop::collection::btree_map("[a-d]", value(), 0..4),
            allowed in prop::collection::vec("[a-d](\\.[a-d]){0,3}", 0..5),
        ) {
            let value = Value::Object(members.into_iter().collect());
            let kept = applied(&FieldFilter::new(Some(&allowed), &[]), &value.to_string());
            let kept: Value = serde_json::from_str(&kept).unwrap();
            prop_assert_eq!(kept, expected(&value, &allowed, "").unwrap_or_else(|| json!({})));
        }
    }
}

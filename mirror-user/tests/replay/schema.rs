//! The Elastic Common Schema, and whether a record keeps to it.
//!
//! It is looked for in `MIRROR_SCHEMAS`, and without that in `shared/schemas` beside the workspace.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;
use serde_json::Value;

/// The fields of the schema.
#[derive(Debug, Deserialize)]
pub struct Schema {
    fields: BTreeMap<String, Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    #[serde(rename = "type")]
    kind: String,
    /// The values that there may be; any without it.
    #[serde(alias = "allowed")]
    expected: Option<Vec<String>>,
    /// `array` if the field is always one.
    #[serde(default)]
    normalize: Vec<String>,
}

impl Schema {
    /// The schema in its file; [`None`], and a word about it, where that is absent.
    pub fn ecs() -> Option<Self> {
        let folder = env::var_os("MIRROR_SCHEMAS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas"),
            PathBuf::from,
        );
        let path = folder.join("ecs-8.17.0.json");
        let Ok(json) = fs::read(&path) else {
            println!(
                "SKIPPED: {} is absent; set MIRROR_SCHEMAS to the folder of the schemas",
                path.display()
            );
            return None;
        };
        Some(serde_json::from_slice(&json).unwrap())
    }

    /// What of a record is not as the schema says. Everything under `mirror` is the program's own.
    pub fn faults(&self, record: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, value) in record.as_object().unwrap() {
            if name != "mirror" {
                self.check(name, value, &mut faults);
            }
        }
        faults
    }

    fn check(&self, name: &str, value: &Value, faults: &mut Vec<String>) {
        let field = self.fields.get(name).filter(|field| field.kind != "object" || !self.has_members(name));
        match (field, value) {
            (Some(field), Value::Array(values)) if field.is_array() => {
                faults.extend(values.iter().filter_map(|value| field.fault(name, value)));
            }
            (Some(field), _) if field.is_array() => faults.push(format!("{name} is no array: {value}")),
            (Some(field), _) => faults.extend(field.fault(name, value)),
            (None, Value::Object(members)) => {
                for (member, value) in members {
                    self.check(&format!("{name}.{member}"), value, faults);
                }
            }
            (None, _) => faults.push(format!("{name} is no field of the schema")),
        }
    }

    /// `true` if the schema has fields within the object `name`.
    fn has_members(&self, name: &str) -> bool {
        self.fields.keys().any(|field| field.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }
}

impl Field {
    fn is_array(&self) -> bool {
        self.normalize.iter().any(|normalized| normalized == "array")
    }

    fn fault(&self, name: &str, value: &Value) -> Option<String> {
        let has_type = match self.kind.as_str() {
            "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            "long" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "float" | "scaled_float" => value.is_number(),
            // With keywords as its values.
            "object" => value.as_object().is_some_and(|object| object.values().all(Value::is_string)),
            _ => value.is_string(),
        };
        if !has_type {
            return Some(format!("{name} is not of type {}: {value}", self.kind));
        }
        let is_expected = |expected: &Vec<String>| expected.iter().any(|known| value == known);
        let unexpected = self.expected.as_ref().is_some_and(|expected| !is_expected(expected));
        unexpected.then(|| format!("{name} has no value of the schema: {value}"))
    }
}

#[test]
fn faults_are_found() {
    let Some(schema) = Schema::ecs() else { return };
    let record = serde_json::json!({
        "source": { "ip": "10.0.0.1", "port": "1", "instance": { "id": "i-1" } },
        "network": { "direction": "up" },
        "labels": { "env": { "a": "b" } },
        "host": { "ip": ["10.0.0.1", "x"], "id": "i-1" },
        "event": { "category": ["weather"], "type": "end", "kind": "event" },
        "mirror": { "anything": 1 },
    });
    let faults = schema.faults(&record);
    for expected in [
        "source.port is",
        "source.instance.id is no",
        "network.direction has",
        "labels is",
        "host.ip is",
        "event.category has",
        "event.type is no array",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}: {faults:?}");
    }
    assert_eq!(faults.len(), 7, "{faults:?}");
}

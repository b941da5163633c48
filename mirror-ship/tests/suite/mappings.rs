//! Every record of every mapping against its schema.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use mirror_ship::community_id::community_id;
use mirror_ship::ecs;
use mirror_ship::ocsf::Version;
use mirror_ship::table::{Leaf, Record, write_json};
use mirror_spool::sample::Samples;
use mirror_spool::{Application, Evidence, Flow};
use serde_json::Value;

/// A schema; none, and a line that says so, where the folder is absent.
fn schema(name: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas").join(name);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(error) => {
            println!("SKIPPED: {}: {error}", path.display());
            None
        }
    }
}

/// Records of every sort as JSON.
fn documents(table: &[Leaf]) -> Vec<Value> {
    let mut samples = Samples::new(1);
    (0..3000)
        .map(|row| {
            let mut flow = samples.next_flow();
            if row % 7 == 0 {
                let application = Application {
                    domain: Some((Evidence::Dns, "_weird name\".x")),
                    tls_version: Some(0xfefd),
                    server_name: Some("a\u{7}b"),
                    http_method: Some("GET"),
                    http_status: Some(200),
                    user_agent: Some("curl/8"),
                    domain_mismatch: true,
                    ..flow.application
                };
                flow = Flow { application, vlans: [Some(1), Some(2)], ..flow };
            }
            let community_id = community_id(&flow);
            let record = Record { flow, sequence: 1, row, run: 7, community_id };
            let mut text = Vec::new();
            write_json(table, &record, &mut text);
            serde_json::from_slice(&text).unwrap()
        })
        .collect()
}

/// A check against OCSF: attributes, types, enumerations, requirements, constraints.
struct Ocsf {
    schema: Value,
    profiles: BTreeSet<String>,
}

impl Ocsf {
    fn object(&self, path: &str, definition: &Value, value: &Value) -> Result<(), String> {
        let members = value.as_object().ok_or_else(|| format!("{path} is no object"))?;
        let attributes = definition["attributes"].as_object().unwrap();
        for (name, attribute) in attributes {
            let profile = attribute["profile"].as_str();
            let applies = profile.is_none_or(|profile| self.profiles.contains(profile));
            if applies && attribute["requirement"] == "required" && !members.contains_key(name) {
                return Err(format!("{path}.{name} is required"));
            }
        }
        for (constraint, names) in definition["constraints"].as_object().into_iter().flatten() {
            let count = names
                .as_array()
                .unwrap()
                .iter()
                .filter(|name| members.contains_key(name.as_str().unwrap()))
                .count();
            let holds = match constraint.as_str() {
                "at_least_one" => count >= 1,
                "just_one" => count == 1,
                other => return Err(format!("the constraint {other} is not known")),
            };
            if !holds {
                return Err(format!("{path}: {constraint} of {names}"));
            }
        }
        for (name, value) in members {
            let path = format!("{path}.{name}");
            let attribute = attributes.get(name).ok_or_else(|| format!("{path} is not in the schema"))?;
            match value {
                Value::Array(values) if attribute["array"] == true => {
                    values.iter().try_for_each(|value| self.value(&path, attribute, value))?;
                }
                value if attribute["array"] != true => self.value(&path, attribute, value)?,
                _ => return Err(format!("{path} is no list")),
            }
        }
        Ok(())
    }

    fn value(&self, path: &str, attribute: &Value, value: &Value) -> Result<(), String> {
        if let Some(object) = attribute["object"].as_str() {
            // Anything may be unmapped.
            return if object == "object" {
                Ok(())
            } else {
                self.object(path, &self.schema["objects"][object], value)
            };
        }
        let kind = attribute["type"].as_str().unwrap();
        let base = self.schema["types"][kind]["type"].as_str().unwrap_or(kind);
        let text = value.as_str().unwrap_or_default();
        let fits = match base {
            "integer_t" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            "long_t" => value.is_i64(),
            "boolean_t" => value.is_boolean(),
            "string_t" => value.is_string(),
            _ => false,
        };
        let is_well_formed = match kind {
            "ip_t" => text.parse::<IpAddr>().is_ok(),
            "port_t" => value.as_u64().is_some_and(|port| port <= 65_535),
            "hostname_t" => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
            _ => true,
        };
        // The compiled schema tells the base event's value of these two.
        let is_class = path.ends_with("].class_uid") || path.ends_with("].category_uid");
        let is_listed = match attribute["enum"].as_object() {
            Some(values) if !is_class => values.contains_key(&value.to_string()),
            _ => true,
        };
        if fits && is_well_formed && is_listed {
            Ok(())
        } else {
            Err(format!("{path}: {value} is no {kind}"))
        }
    }
}

fn check_ocsf(version: Version, file: &str, number: &str) {
    let Some(schema) = schema(file) else { return };
    let mut checker = Ocsf { schema, profiles: BTreeSet::new() };
    let class = checker.schema["classes"]["network_activity"].clone();
    let documents = documents(version.table());
    for document in &documents {
        checker.profiles = document["metadata"]["profiles"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|profile| profile.as_str().unwrap().to_owned())
            .collect();
        checker.object("[4001]", &class, document).unwrap_or_else(|error| panic!("{error}\n{document:#}"));
        assert_eq!((&document["class_uid"], &document["category_uid"]), (&4001.into(), &4.into()));
        assert_eq!(document["metadata"]["version"], number);
        let activity = document["activity_id"].as_i64().unwrap();
        assert_eq!(document["type_uid"], 400_100 + activity);
    }
    // Every field occurs, so that every one was checked.
    let have = |path: &str| {
        documents.iter().any(|document| {
            !document.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or(&Value::Null).is_null()
        })
    };
    let never: Vec<_> = version.table().iter().map(|leaf| leaf.path).filter(|path| !have(path)).collect();
    assert_eq!(never, Vec::<&str>::new());
    // The check itself notices.
    for (pointer, wrong) in [
        ("/metadata/version", Value::Null),
        ("/activity_id", 77.into()),
        ("/src_endpoint/ip", "10.0.0.300".into()),
        ("/connection_info", serde_json::json!({"protocol_num": 6})),
        ("/src_endpoint", serde_json::json!({"port": 6})),
        ("/made_up", 1.into()),
    ] {
        let mut document = documents[1].clone();
        if wrong.is_null() {
            document["metadata"].as_object_mut().unwrap().remove("version");
        } else if let Some(place) = document.pointer_mut(pointer) {
            *place = wrong;
        } else {
            document["made_up"] = wrong;
        }
        assert!(checker.object("[4001]", &class, &document).is_err(), "{pointer}");
    }
}

#[test]
fn ocsf_1_1_is_as_its_schema_says() {
    check_ocsf(Version::V1_1, "ocsf-1.1.0.json", "1.1.0");
}

#[test]
fn ocsf_1_3_is_as_its_schema_says() {
    check_ocsf(Version::V1_3, "ocsf-1.3.0.json", "1.3.0");
}

#[test]
fn ocsf_1_8_is_as_its_schema_says() {
    check_ocsf(Version::V1_8, "ocsf-1.8.0.json", "1.8.0");
}

/// Fields with their paths, lists as they are.
fn leaves(path: &str, value: &Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                leaves(&if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, value, out);
            }
        }
        value => out.push((path.to_owned(), value.clone())),
    }
}

#[test]
fn ecs_is_as_its_schema_says() {
    let Some(schema) = schema("ecs-8.17.0.json") else { return };
    let mut seen = BTreeSet::new();
    for document in documents(ecs::FLOW) {
        let mut found = Vec::new();
        leaves("", &document, &mut found);
        for (path, value) in found {
            seen.insert(path.clone());
            let field = &schema["fields"][&path];
            if path.starts_with("mirror.") {
                continue;
            }
            assert!(field.is_object(), "{path} is no field of ECS");
            let is_list =
                field["normalize"].as_array().is_some_and(|normal| normal.contains(&"array".into()));
            assert_eq!(value.is_array(), is_list, "{path}");
            let values = if let Value::Array(values) = value { values } else { vec![value] };
            for value in values {
                if let Some(allowed) = field["allowed"].as_array() {
                    assert!(allowed.contains(&value), "{path}: {value}");
                }
                let fits = match field["type"].as_str().unwrap() {
                    "long" => value.is_i64(),
                    "boolean" => value.is_boolean(),
                    "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
                    _ => value.is_string(),
                };
                assert!(fits, "{path}: {value}");
            }
        }
    }
    let never: Vec<_> = ecs::FLOW.iter().map(|leaf| leaf.path).filter(|path| !seen.contains(*path)).collect();
    // The samples have neither of these.
    assert_eq!(never, ["host.name", "mirror.pseudonym_key"]);
}

/// Fields of one object follow each other; otherwise JSON and structures would have it twice.
#[test]
fn objects_of_a_table_are_whole() {
    for table in [ecs::FLOW, Version::V1_1.table(), Version::V1_3.table(), Version::V1_8.table()] {
        let mut closed: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = Vec::new();
        for leaf in table {
            let mut objects: Vec<&str> =
                leaf.path.match_indices('.').map(|(end, _)| &leaf.path[..end]).collect();
            objects.push(leaf.path);
            for object in &objects {
                assert!(!closed.contains(object), "{object} is in two places");
            }
            closed.extend(open.iter().filter(|object| !objects.contains(object)));
            open = objects;
        }
    }
}

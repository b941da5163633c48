use std::fs;

use super::*;
use crate::geneve_id::GeneveId;

/// The sample of docs/sessions.md.
fn documented() -> String {
    let text = include_str!("../../../docs/sessions.md");
    let (_, section) = text.split_once("## The enrichment map").unwrap();
    let (_, sample) = section.split_once("```json\n").unwrap();
    sample.split_once("```").unwrap().0.to_owned()
}

fn error(json: &str) -> String {
    parse(json.as_bytes(), Path::new("map.json")).unwrap_err().to_string()
}

#[test]
fn the_documented_map_is_one_and_is_written_as_documented() {
    let map = parse(documented().as_bytes(), Path::new("")).unwrap();
    let [session] = map.sessions.as_slice() else { panic!("{map:?}") };
    assert_eq!(session.endpoint_ids, [GeneveId(0xaaaa_aaaa_aaaa_aaaa)].into());
    assert_eq!(session.addresses, ["10.0.1.17".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(session.tags["env"], "prod");
    assert_eq!(map.vpcs[0].networks.len(), 2);
    let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    assert_eq!(value(&serde_json::to_string(&map).unwrap()), value(&documented()));
}

#[test]
fn what_may_be_left_out_is_left_out_and_unknown_keys_are_ignored() {
    let json = r#"{"version": 1, "colour": "red", "sessions": [{"vni": 7, "account": "1", "region": "r",
        "session": "tms-1", "session_number": 1, "interface": "eni-1", "weight": 3}]}"#;
    let map = parse(json.as_bytes(), Path::new("")).unwrap();
    assert_eq!((map.sessions.len(), map.owner, map.vpcs.len()), (1, None, 0));
    assert!(map.sessions[0].endpoint_ids.is_empty() && map.sessions[0].instance.is_none());
}

#[test]
fn another_version_is_refused_by_name() {
    for (version, found) in [("2", "version 2"), ("0", "version 0"), ("\"1\"", "version \"1\"")] {
        let error = error(&format!("{{\"version\": {version}, \"sessions\": 3}}"));
        assert!(error.contains("map.json has") && error.contains(found), "{error}");
        assert!(error.contains("reads version 1: use programs of one release"), "{error}");
    }
}

#[test]
fn errors_name_file_entry_and_field() {
    let second = |change: &str, to: &str| {
        let sample = documented();
        let (head, session) = sample.split_once("    {\n").unwrap();
        let (session, tail) = session.split_once("\n    }").unwrap();
        let changed = session.replacen(change, to, 1);
        assert_ne!(session, changed, "{change}");
        error(&format!("{head}{{{session}}},{{{changed}}}{tail}"))
    };
    let long = format!("\"vpc\": \"{}\"", "v".repeat(129));
    for (change, to, expected) in [
        ("7704161", "\"a\"", "sessions[1].vni: invalid type: string \"a\", expected u32"),
        ("7704161", "16777216", "sessions[1].vni: 16777216 exceeds 24 bits"),
        (
            "aaaaaaaaaaaaaaaa",
            "aaaa",
            "sessions[1].endpoint_ids[0]: \"aaaa\" is neither 16 hexadecimal digits",
        ),
        ("10.0.1.17", "10.0.1", "sessions[1].addresses[0]: invalid IP address"),
        ("\"account\"", "\"acount\"", "sessions[1]: missing field `account`"),
        ("\"prod\"", "1", "sessions[1].tags.env: invalid type: integer `1`, expected a string"),
        ("\"vpc\": \"vpc-0123456789abcdef0\"", &long, "sessions[1].vpc: is longer than 128 bytes"),
    ] {
        let error = second(change, to);
        assert!(error.starts_with("the enrichment map map.json: ") && error.contains(expected), "{error}");
        assert!(error.ends_with("docs/sessions.md describes the format"), "{error}");
    }
    for json in ["", "{", "[]", "{}", "{\"version\": 1}", "{\"version\": 1, \"sessions\": []} x"] {
        assert!(error(json).starts_with("the enrichment map map.json: "), "{json}");
    }
}

#[test]
fn a_file_is_read_with_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("map.json");
    let missing = read(&path).unwrap_err().to_string();
    assert!(missing.contains("map.json; `mirror-sessions map` writes one"), "{missing}");
    fs::write(&path, documented()).unwrap();
    let content = read(&path).unwrap();
    assert_eq!((content.map.sessions.len(), content.bytes), (1, documented().len() as u64));
    assert_eq!(content.modified, fs::metadata(&path).unwrap().modified().ok());
}

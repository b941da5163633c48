//! Records enriched by a map: the program with `--enrichment`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::golden;
use crate::program::{Replayed, command, replay};
use crate::schema::Schema;

/// A tunnel: endpoint and VNI.
type Tunnel = (String, u64);

fn tunnel(record: &Value) -> Tunnel {
    let mirror = &record["mirror"];
    let vni = mirror["vxlan_vni"].as_u64().or(mirror["geneve_vni"].as_u64());
    (mirror["gwlbe_id"].as_str().unwrap().to_owned(), vni.unwrap())
}

/// The side of a record that is the mirrored interface, by its address.
fn local_side(record: &Value) -> &'static str {
    let is_local = |side: &&str| {
        let address = record[*side]["ip"].as_str().unwrap();
        address.starts_with("10.0.") || address.starts_with("2001:db8::a00:")
    };
    ["source", "destination"].into_iter().find(is_local).unwrap()
}

fn records(replayed: &Replayed) -> Vec<Value> {
    replayed.records.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A map in which every other tunnel of the records is.
fn map(records: &[Value]) -> (Value, BTreeSet<Tunnel>) {
    let all: BTreeSet<Tunnel> = records.iter().map(tunnel).collect();
    let known: BTreeSet<Tunnel> = all.into_iter().step_by(2).collect();
    let sessions: Vec<Value> = known
        .iter()
        .map(|(endpoint, vni)| {
            let own = records.iter().filter(|record| tunnel(record) == (endpoint.clone(), *vni));
            let addresses: BTreeSet<&str> =
                own.map(|record| record[local_side(record)]["ip"].as_str().unwrap()).collect();
            json!({
                "vni": vni,
                "endpoint_ids": [endpoint],
                "account": "111122223333",
                "region": "eu-west-1",
                "session": format!("tms-{vni}"),
                "session_number": 3,
                "interface": format!("eni-{vni}"),
                "addresses": addresses,
                "vpc": format!("vpc-{endpoint}-{vni}"),
                "subnet": "subnet-1",
                "zone": "eu-west-1b",
                "instance": format!("i-{vni}"),
                "instance_type": "c5n.large",
                "tags": { "Name": "web", "env": "prod", "team": "blue" },
            })
        })
        .collect();
    let vpcs: Vec<Value> = known
        .iter()
        .map(|(endpoint, vni)| {
            let networks = ["10.0.0.0/8", "2001:db8::a00:0/112"];
            json!({ "vpc": format!("vpc-{endpoint}-{vni}"), "networks": networks })
        })
        .collect();
    (json!({ "version": 1, "sessions": sessions, "vpcs": vpcs }), known)
}

/// The record without the members that the map gave it.
fn without_enrichment(mut record: Value, plain: &Value) -> Value {
    let members = record.as_object_mut().unwrap();
    for member in ["cloud", "host", "labels"] {
        members.remove(member);
    }
    let mirror = record["mirror"].as_object_mut().unwrap();
    for member in ["session", "interface", "vpc", "subnet"] {
        mirror.remove(member);
    }
    for side in ["source", "destination"] {
        let Some(end) = mirror.get_mut(side).and_then(Value::as_object_mut) else { continue };
        for member in ["account", "instance", "interface", "subnet"] {
            end.remove(member);
        }
        if end.is_empty() {
            mirror.remove(side);
        }
    }
    if let Some(direction) = record["network"].get_mut("direction") {
        *direction = plain["network"]["direction"].clone();
    }
    record
}

fn replay_with(map: Option<&Path>, kinds: &str) -> Replayed {
    let replayed = replay(&[&golden::mixed().capture()], |command| {
        command.args(["--records", kinds]);
        if let Some(map) = map {
            command.arg("--enrichment").arg(map).args(["--enrichment-tag", "env"]);
            command.args(["--enrichment-tag", "none,team"]);
        }
    });
    replayed.succeeded()
}

#[test]
fn each_record_of_a_known_tunnel_says_whose_it_is() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("map.json");
    for kinds in ["packet", "flow"] {
        let plain = records(&replay_with(None, kinds));
        let (map, known) = map(&plain);
        fs::write(&path, map.to_string()).unwrap();
        let replayed = replay_with(Some(&path), kinds);
        let enriched = records(&replayed);
        assert_eq!(enriched.len(), plain.len());
        let (mut of_known, mut unknown) = (0, 0);
        for (record, plain) in enriched.into_iter().zip(&plain) {
            let tunnel = tunnel(&record);
            if known.contains(&tunnel) {
                of_known += 1;
                check(&record, tunnel.1);
            } else {
                let packets = &record["network"]["packets"];
                unknown += if kinds == "flow" { packets.as_u64().unwrap() } else { 1 };
                assert_eq!(&record, plain, "of no known tunnel");
            }
            assert_eq!(without_enrichment(record, plain), *plain, "all else is as it was");
        }
        assert!(of_known > 10 && unknown > 10, "{of_known} {unknown}");
        let facts = &replayed.ledger["enrichment"];
        assert_eq!((&facts["sessions"], &facts["loads"]), (&known.len().into(), &1.into()));
        assert_eq!(facts["unknown"]["packets"], unknown);
        let listed = facts["unknown"]["tunnels"].as_array().unwrap();
        let packets: u64 = listed.iter().map(|tunnel| tunnel["packets"].as_u64().unwrap()).sum();
        assert_eq!(packets, unknown);
        for row in listed {
            let tunnel = (row["gwlbe_id"].as_str().unwrap().to_owned(), row["vni"].as_u64().unwrap());
            assert!(!known.contains(&tunnel), "{row}");
            assert!(row["first_seen"].as_str().unwrap().starts_with("2026-01-01T00:00:00.0000"), "{row}");
        }
        assert!(
            replayed.messages.contains("the enrichment map has no session for the tunnel of endpoint vpce-0")
        );
    }
}

/// Checks what the map says of a record.
fn check(record: &Value, vni: u64) {
    let cloud = json!({
        "provider": "aws",
        "account": { "id": "111122223333" },
        "region": "eu-west-1",
        "availability_zone": "eu-west-1b",
        "instance": { "id": format!("i-{vni}"), "name": "web" },
        "machine": { "type": "c5n.large" },
    });
    assert_eq!(record["cloud"], cloud);
    assert_eq!(record["host"]["id"], format!("i-{vni}"));
    assert_eq!(record["labels"], json!({ "env": "prod", "team": "blue" }));
    let mirror = &record["mirror"];
    assert_eq!(mirror["session"], json!({ "id": format!("tms-{vni}"), "number": 3 }));
    assert_eq!(mirror["interface"]["id"], format!("eni-{vni}"));
    assert_eq!(mirror["subnet"]["id"], "subnet-1");
    let local = local_side(record);
    assert_eq!(mirror[local]["interface"]["id"], format!("eni-{vni}"));
    let remote = if local == "source" { "destination" } else { "source" };
    assert!(mirror[remote].get("interface").is_none());
    if let Some(direction) = record["network"].get("direction") {
        assert_eq!(direction, if local == "source" { "outbound" } else { "inbound" });
    }
}

#[test]
fn records_of_every_kind_keep_to_the_schema() {
    let Some(schema) = Schema::ecs() else { return };
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("map.json");
    let plain = records(&replay_with(None, "both"));
    fs::write(&path, map(&plain).0.to_string()).unwrap();
    let enriched = records(&replay_with(Some(&path), "both"));
    assert!(enriched.iter().any(|record| record.get("labels").is_some()));
    for record in plain.iter().chain(&enriched) {
        assert_eq!(schema.faults(record), Vec::<String>::new(), "{record:#}");
    }
}

#[test]
fn what_a_privacy_rule_takes_away_the_map_does_not_give_back() {
    let directory = TempDir::new().unwrap();
    let [path, config] = ["map.json", "config.toml"].map(|name| directory.path().join(name));
    let plain = records(&replay_with(None, "both"));
    let (map, known) = map(&plain);
    fs::write(&path, map.to_string()).unwrap();
    // By an account that only the map knows.
    let rule = "[[privacy]]\naccount = \"111122223333\"\naddresses = \"mask\"\n[[privacy]]\n";
    fs::write(&config, format!("{rule}[enrichment]\nmap = {path:?}\n")).unwrap();
    let replayed = replay(&[&golden::mixed().capture()], |command| {
        command.args(["--records", "both", "--config"]).arg(&config);
    })
    .succeeded();
    let enriched = records(&replayed);
    assert_eq!(enriched.len(), plain.len());
    let mut treated = 0;
    for (record, plain) in enriched.iter().zip(&plain) {
        if !known.contains(&tunnel(record)) {
            assert_eq!(record, plain, "of another owner");
            continue;
        }
        treated += 1;
        assert_eq!(record["mirror"]["privacy"]["addresses"], "mask", "{record}");
        assert_eq!(record["cloud"]["account"]["id"], "111122223333", "{record}");
        assert!(record["host"].get("ip").is_none(), "{record}");
        let addresses = ["source", "destination"].map(|side| plain[side]["ip"].as_str().unwrap());
        let text = record.to_string();
        assert!(addresses.iter().all(|address| !text.contains(&format!("\"{address}\""))), "{record}");
    }
    assert!(treated > 20, "{treated}");
}

#[test]
fn a_map_that_is_none_is_refused_at_the_start() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("map.json");
    let refused = |expected: &str| {
        let replayed = replay(&[&golden::mixed().capture()], |command| {
            command.arg("--enrichment").arg(&path);
        });
        assert_eq!((replayed.code, replayed.records.as_str()), (1, ""), "{}", replayed.messages);
        assert!(replayed.messages.contains(expected), "{}", replayed.messages);
    };
    refused("map.json; `mirror-sessions map` writes one: No such file");
    fs::write(&path, r#"{"version": 3}"#).unwrap();
    refused("map.json has version 3, and this program reads version 1: use programs of one release");
    fs::write(&path, r#"{"version": 1, "sessions": [{"vni": "x"}]}"#).unwrap();
    refused("map.json: sessions[0].vni: invalid type");
}

/// A packet at a time into the program, while the map changes.
#[test]
fn a_map_is_swapped_while_records_are_made() {
    /// Looks at the file are a second apart.
    const SOON: Duration = Duration::from_secs(20);

    let capture = fs::read(golden::sizes().capture()).unwrap();
    let plain = replay(&[&golden::sizes().capture()], |_| {}).succeeded();
    let first: Value = serde_json::from_str(plain.records.lines().next().unwrap()).unwrap();
    let (endpoint, vni) = tunnel(&first);
    let map = |account: &str| {
        let session = json!({
            "vni": vni, "endpoint_ids": [endpoint], "account": account, "region": "eu-west-1",
            "session": "tms-1", "session_number": 1, "interface": "eni-1",
        });
        json!({ "version": 1, "sessions": [session] }).to_string()
    };
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let replace = |content: &str| {
        fs::write(path("next.json"), content).unwrap();
        fs::rename(path("next.json"), path("map.json")).unwrap();
    };
    replace(&map("1"));
    let mut command = command();
    command.arg("--enrichment").arg(path("map.json")).arg("--ledger").arg(path("ledger.json")).arg("-");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(path("log")).unwrap());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let length = 16 + u32::from_le_bytes(capture[32..36].try_into().unwrap()) as usize;
    let packet = &capture[24..24 + length];
    input.write_all(&capture[..24]).unwrap();
    let mut sent = 0;
    let mut account = || {
        sent += 1;
        input.write_all(packet).unwrap();
        let record: Value = serde_json::from_str(&output.next().unwrap().unwrap()).unwrap();
        record["cloud"]["account"]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(account(), "1");
    let wait_for = |mut holds: Box<dyn FnMut() -> bool + '_>| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < SOON, "{}", fs::read_to_string(path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    replace(&map("2"));
    wait_for(Box::new(|| account() == "2"));
    // Broken, and told so: the last good one stays.
    replace("{\"version\": 1");
    let told =
        || fs::read_to_string(path("log")).unwrap().contains("The map as it was before stays in force");
    wait_for(Box::new(told));
    assert_eq!(account(), "2");
    replace(&map("3"));
    wait_for(Box::new(|| account() == "3"));
    drop(input);
    assert!(child.wait().unwrap().success());
    let ledger: Value = serde_json::from_slice(&fs::read(path("ledger.json")).unwrap()).unwrap();
    assert_eq!((&ledger["balanced"], &ledger["recorded"]), (&true.into(), &sent.into()));
    let facts = &ledger["enrichment"];
    assert_eq!((&facts["loads"], &facts["failures"]), (&3.into(), &1.into()), "{facts:#}");
    assert_eq!((&facts["failure"], &facts["unknown"]["packets"]), (&Value::Null, &0.into()), "{facts:#}");
}

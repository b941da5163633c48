use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use mirror_enrichment::{GeneveId, Map, Session, VERSION, Vpc};
use serde_json::Value;

use super::*;
use crate::flow::NetworkDirection;
use crate::number::{EndpointId, Vni};
use crate::packet::Tunnel;

/// A session on the interface with `addresses` in the VPC `vpc`, whose numbers are all `number`.
fn session(number: u32, endpoints: &[u64], addresses: &[&str], vpc: Option<&str>) -> Session {
    Session {
        vni: number,
        endpoint_ids: endpoints.iter().copied().map(GeneveId).collect(),
        endpoint: None,
        account: "123456789012".to_owned(),
        region: "eu-west-1".to_owned(),
        session: format!("tms-{number}"),
        session_number: 7,
        packet_length: None,
        rule: None,
        interface: format!("eni-{number}"),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        vpc: vpc.map(str::to_owned),
        subnet: Some("subnet-1".to_owned()),
        zone: Some("eu-west-1a".to_owned()),
        instance: Some(format!("i-{number}")),
        instance_type: Some("m5.large".to_owned()),
        tags: [("Name", "web \"1\""), ("env", "prod"), ("a.b", "c")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    }
}

fn map(sessions: Vec<Session>) -> Map {
    Map { version: VERSION, sessions, ..Map::default() }
}

fn tunnel(endpoint: Option<u64>, vni: u32, source: Option<[u8; 4]>) -> Tunnel {
    Tunnel {
        endpoint: endpoint.map(EndpointId),
        geneve_vni: Vni::new(0),
        vxlan_vni: Vni::new(vni),
        vxlan_source: source.map(Into::into),
        ..Tunnel::UNKNOWN
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn json(members: &[u8]) -> Value {
    let members = members.strip_suffix(b",").unwrap_or(members);
    serde_json::from_slice(&[b"{", members, b"}"].concat()).unwrap()
}

#[test]
fn a_tunnel_is_found_by_what_tells_it_apart() {
    let shared = |account: &str, first| Session {
        account: account.to_owned(),
        session: format!("tms-{account}"),
        ..session(8, &[1, 2], &[first, "10.0.0.99"], None)
    };
    let index = Index::new(
        map(vec![
            session(7, &[1, 2], &["10.0.0.7"], None),
            shared("a", "10.0.0.1"),
            shared("b", "10.0.0.2"),
            session(9, &[], &["10.0.0.9"], None),
            Session { session: "tms-v6".to_owned(), ..session(10, &[], &["2001:db8::1"], None) },
            session(11, &[], &["10.0.0.11"], None),
            Session { session: "tms-twin".to_owned(), ..session(11, &[], &["10.0.0.11"], None) },
        ]),
        &[],
    )
    .unwrap();
    let (from_7, from_9) = (Some([10, 0, 0, 7]), Some([10, 0, 0, 9]));
    for (tunnel, expected) in [
        (tunnel(Some(1), 7, from_7), Some("tms-7")),
        (tunnel(Some(2), 7, None), Some("tms-7")),
        // Endpoint and VNI say enough: the interface may have got another address since.
        (tunnel(Some(2), 7, from_9), Some("tms-7")),
        // Another account's session with the same VNI and address is not this one.
        (tunnel(Some(3), 7, from_7), None),
        // Without GENEVE there is no endpoint.
        (tunnel(None, 7, from_7), Some("tms-7")),
        (tunnel(None, 7, from_9), None),
        (tunnel(Some(1), 8, Some([10, 0, 0, 1])), Some("tms-a")),
        (tunnel(Some(1), 8, Some([10, 0, 0, 2])), Some("tms-b")),
        (tunnel(Some(1), 8, Some([10, 0, 0, 99])), None),
        (tunnel(Some(1), 8, None), None),
        // The map does not know the endpoint.
        (tunnel(Some(1), 9, from_9), Some("tms-9")),
        (tunnel(Some(1), 9, from_7), None),
        (tunnel(Some(1), 9, None), None),
        (tunnel(Some(1), 10, None), None),
        // Nothing tells which one.
        (tunnel(Some(1), 11, Some([10, 0, 0, 11])), None),
        (tunnel(Some(1), 12, from_7), None),
        (Tunnel { vxlan_vni: None, geneve_vni: Vni::new(7), ..tunnel(Some(1), 0, None) }, Some("tms-7")),
        (Tunnel { vxlan_vni: None, geneve_vni: None, ..tunnel(Some(1), 0, None) }, None),
    ] {
        let found = index.find(&tunnel).map(|entry| entry.session().session.as_str());
        assert_eq!(found, expected, "{tunnel:?}");
    }
}

#[test]
fn the_members_of_an_entry_are_those_of_the_map() {
    let tags = ["a.b", "missing", "env"].map(str::to_owned);
    let index =
        Index::new(map(vec![session(7, &[1], &["10.0.0.7", "fd00::7"], Some("vpc-1"))]), &tags).unwrap();
    let entry = &index.entries()[0];
    let cloud_and_host = serde_json::json!({
        "cloud": {
            "provider": "aws",
            "account": { "id": "123456789012" },
            "region": "eu-west-1",
            "availability_zone": "eu-west-1a",
            "instance": { "id": "i-7", "name": "web \"1\"" },
            "machine": { "type": "m5.large" },
        },
        "host": { "id": "i-7", "name": "web \"1\"", "type": "m5.large", "ip": ["10.0.0.7", "fd00::7"] },
        "labels": { "a_b": "c", "env": "prod" },
    });
    assert_eq!(json(&entry.record), cloud_and_host);
    let mirror = serde_json::json!({
        "session": { "id": "tms-7", "number": 7 },
        "interface": { "id": "eni-7" },
        "vpc": { "id": "vpc-1" },
        "subnet": { "id": "subnet-1" },
    });
    assert_eq!(json(&entry.mirror), mirror);
    let end = serde_json::json!({
        "account": { "id": "123456789012" },
        "instance": { "id": "i-7", "name": "web \"1\"" },
        "interface": { "id": "eni-7" },
        "subnet": { "id": "subnet-1" },
    });
    assert_eq!(json(&entry.end), end);

    let bare = Session {
        vpc: None,
        subnet: None,
        zone: None,
        instance: None,
        instance_type: None,
        ..session(7, &[1], &[], None)
    };
    let index = Index::new(map(vec![bare]), &[]).unwrap();
    let entry = &index.entries()[0];
    let cloud =
        serde_json::json!({ "provider": "aws", "account": { "id": "123456789012" }, "region": "eu-west-1" });
    assert_eq!(json(&entry.record), serde_json::json!({ "cloud": cloud }));
    assert!(json(&entry.mirror).get("vpc").is_none() && json(&entry.end).get("instance").is_none());
}

#[test]
fn what_a_record_has_no_room_for_is_left_out_and_counted_or_refused() {
    let keys: Vec<String> = (0..50).map(|number| format!("key-{number}")).collect();
    let tags = keys.iter().map(|key| (key.clone(), "ü".repeat(300)));
    let tagged = Session { tags: tags.collect(), ..session(7, &[1], &["10.0.0.7"], None) };
    let index = Index::new(map(vec![tagged]), &keys).unwrap();
    let entry = &index.entries()[0];
    assert!(entry.record.len() + entry.mirror.len() + 2 * entry.end.len() <= LONGEST);
    let record = json(&entry.record);
    let labels = record["labels"].as_object().unwrap();
    assert!(labels.len() > 5 && labels.contains_key("key-0"), "{labels:?}");
    assert_eq!(labels["key-0"].as_str().unwrap().chars().count(), 256, "EC2 has no longer values");
    assert_eq!(index.labels_left_out + labels.len() as u64, 50);

    let long = Session { account: "\u{1}".repeat(1000), ..session(7, &[1], &[], None) };
    let (entry, bytes) = Index::new(map(vec![session(6, &[], &[], None), long]), &keys).unwrap_err();
    assert!(entry == 1 && bytes > LONGEST);
}

#[test]
fn ends_are_known_within_a_vpc() {
    let index = Index::new(
        map(vec![
            session(1, &[1], &["10.0.0.1"], Some("vpc-1")),
            session(2, &[1], &["10.0.0.2", "2001:db8::2"], Some("vpc-1")),
            session(3, &[1], &["10.0.0.1"], Some("vpc-2")),
            session(4, &[1], &["10.0.0.1", "10.0.0.2"], None),
            session(5, &[1], &["10.0.0.5"], None),
        ]),
        &[],
    )
    .unwrap();
    let neighbour = |entry: usize, of: &str| {
        index.neighbour(&index.entries()[entry], address(of)).map(|entry| entry.session().session.as_str())
    };
    assert_eq!(neighbour(0, "10.0.0.1"), Some("tms-1"));
    assert_eq!(neighbour(0, "10.0.0.2"), Some("tms-2"));
    assert_eq!(neighbour(0, "::ffff:10.0.0.2"), Some("tms-2"));
    assert_eq!(neighbour(0, "2001:db8::2"), Some("tms-2"));
    assert_eq!(neighbour(0, "10.0.0.3"), None);
    assert_eq!(neighbour(2, "10.0.0.1"), Some("tms-3"), "VPCs may have the same addresses");
    assert_eq!(neighbour(2, "10.0.0.2"), None);
    assert_eq!(neighbour(3, "10.0.0.2"), Some("tms-4"), "its own, where its VPC is not known");
    assert_eq!(neighbour(4, "10.0.0.1"), None);
}

#[test]
fn directions_are_across_the_border_of_the_vpc() {
    use NetworkDirection::{External, Inbound, Internal, Outbound};

    let sessions = vec![
        session(1, &[1], &["10.0.0.1"], Some("vpc-1")),
        session(2, &[1], &["10.0.0.1", "203.0.113.9"], Some("vpc-2")),
    ];
    let networks = ["10.0.0.0/16", "2001:db8::/56"].map(|network| network.parse().unwrap()).to_vec();
    let vpcs = ["vpc-1", "vpc-9"].map(|vpc| Vpc { vpc: vpc.to_owned(), networks: networks.clone() }).to_vec();
    let index = Index::new(Map { vpcs, ..map(sessions) }, &[]).unwrap();
    for (entry, source, destination, direction) in [
        (0, "10.0.0.1", "10.0.9.9", Internal),
        (0, "10.0.0.1", "10.1.0.1", Outbound),
        (0, "10.1.0.1", "10.0.0.1", Inbound),
        (0, "10.1.0.1", "8.8.8.8", External),
        (0, "2001:db8::5", "2001:db8:1::5", Outbound),
        (0, "fe80::1", "ff02::1", Internal),
        (0, "10.0.0.1", "169.254.169.254", Internal),
        (0, "10.0.0.1", "224.0.0.1", Internal),
        // Networks that are not known: private addresses are inside, and those that the map has.
        (1, "10.0.0.1", "10.1.0.1", Internal),
        (1, "10.0.0.1", "8.8.8.8", Outbound),
        (1, "203.0.113.9", "8.8.8.8", Outbound),
        (1, "8.8.8.8", "203.0.113.9", Inbound),
    ] {
        let (entry, ends) = (&index.entries()[entry], [address(source), address(destination)]);
        let found =
            index.direction(entry, ends, ends.map(|address| index.neighbour(entry, address).is_some()));
        assert_eq!(found, direction, "{source} to {destination}");
    }
}

#[test]
fn owners_are_told_to_privacy_rules() {
    use crate::privacy::Identities as _;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("map.json");
    let write = |vni| {
        let text = serde_json::to_string(&map(vec![session(vni, &[1], &[], None)])).unwrap();
        fs::write(&path, text).unwrap();
    };
    write(7);
    let enrichment = Arc::new(Enrichment::load(path.clone(), Vec::new()).unwrap());
    let owners = Owners::new(&enrichment);
    let owner = owners.of(&tunnel(Some(1), 7, None)).unwrap();
    assert_eq!((owner.account.as_str(), owner.tags["env"].as_str()), ("123456789012", "prod"));
    assert!(owners.of(&tunnel(Some(1), 8, None)).is_none());
    let version = owners.version();
    write(8);
    enrichment.refresh();
    assert_ne!(owners.version(), version);
    assert!(owners.of(&tunnel(Some(1), 7, None)).is_none() && owners.of(&tunnel(Some(1), 8, None)).is_some());
}

#[test]
fn a_map_is_swapped_and_a_broken_one_keeps_the_last_good_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("map.json");
    let text = |number| serde_json::to_string(&map(vec![session(number, &[1], &[], None)])).unwrap();
    fs::write(&path, text(7)).unwrap();
    let enrichment = Arc::new(Enrichment::load(path.clone(), Vec::new()).unwrap());
    let mut reader = Reader::new(&enrichment);
    let mut vni_known = || {
        let lookup = reader.batch();
        [7, 8].map(|vni| lookup.index.find(&tunnel(Some(1), vni, None)).is_some())
    };
    assert_eq!(vni_known(), [true, false]);
    enrichment.refresh();
    let facts = enrichment.snapshot();
    assert_eq!((facts.loads, facts.failures, facts.failure), (1, 0, None), "nothing has changed");
    assert_eq!((facts.sessions, facts.bytes), (1, text(7).len() as u64));
    assert!(facts.age_seconds.unwrap() < 60);

    let next = directory.path().join("next.json");
    fs::write(&next, text(8)).unwrap();
    fs::rename(&next, &path).unwrap();
    enrichment.refresh();
    assert_eq!(vni_known(), [false, true], "renamed over the other");

    for (content, expected) in
        [(Some("{\"version\": 2}"), "version 2"), (Some("{"), "EOF"), (None, "cannot read")]
    {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let before = enrichment.snapshot().failures;
        enrichment.refresh();
        enrichment.refresh();
        let facts = enrichment.snapshot();
        assert_eq!((facts.loads, facts.failures), (2, before + 1), "counted once");
        assert!(facts.failure.unwrap().contains(expected), "{expected}");
        assert_eq!(vni_known(), [false, true], "the last good one");
    }
    fs::write(&path, text(7)).unwrap();
    enrichment.refresh();
    let facts = enrichment.snapshot();
    assert_eq!((facts.loads, facts.failures, facts.failure), (3, 3, None));
    assert_eq!(vni_known(), [true, false]);
}

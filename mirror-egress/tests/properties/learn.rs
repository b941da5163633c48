//! Learned rules: as text they compile, and they allow what was seen and nothing else.

use std::net::IpAddr;

use mirror_egress::learn::{LearnOptions, Learner, Scope};
use mirror_egress::{Action, Amount, Connection, EgressDefault, EgressRule, Engine, Identity, Time};
use proptest::prelude::*;
use proptest::sample::select;

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    egress: Vec<EgressRule>,
    egress_default: EgressDefault,
}

fn compile(text: &str) -> Engine {
    let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(file.egress_default.action, Action::Alert);
    let default = EgressDefault { action: Action::Deny, ..file.egress_default };
    Engine::compile(&file.egress, default).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const TIME: Time = Time(1_795_000_000_000_000_000);

fn once() -> Amount {
    Amount { records: 1, packets: 10, bytes: 1000, first: TIME, last: TIME }
}

fn learn(options: LearnOptions, connections: &[Connection<'_>]) -> (String, Learner) {
    let mut learner = Learner::new(options);
    for connection in connections {
        learner.observe(connection, &once());
    }
    (learner.clone().propose().to_string(), learner)
}

/// Connections from a small world, so that rules have something in common.
fn connection() -> impl Strategy<Value = Connection<'static>> {
    let names = vec![
        "a.x.com", "b.x.com", "c.x.com", "d.x.com", "x.com", "a.co.uk", "b.co.uk", "c.co.uk", "B.X.COM.",
    ];
    let addresses =
        vec!["192.0.2.0", "192.0.2.1", "192.0.2.2", "2001:db8::1", "::ffff:192.0.2.3", "203.0.113.9"];
    let address = select(addresses).prop_map(|text| text.parse::<IpAddr>().unwrap());
    let what = (
        address,
        select(vec![
            (6, Some(443)),
            (6, Some(444)),
            (6, Some(445)),
            (6, Some(80)),
            (17, Some(443)),
            (1, None),
        ]),
        proptest::option::of(select(names.clone())),
        proptest::option::weighted(0.3, select(names)),
    );
    (select(vec!["111111111111", "222222222222", "333333333333"]), what).prop_map(
        |(account, (destination, (protocol, port), claimed, answered))| Connection {
            source: Identity { account: Some(account), ..Identity::default() },
            claimed,
            answered,
            ..Connection::to(destination, port, protocol)
        },
    )
}

/// The combination that decides: names where there are any, else the address.
fn key(connection: &Connection<'_>) -> (Option<String>, u8, Option<u16>, Vec<String>, Option<IpAddr>) {
    let normal = |name: &str| name.trim_end_matches('.').to_lowercase();
    let names: Vec<_> = [connection.claimed, connection.answered].into_iter().flatten().map(normal).collect();
    let address = names.is_empty().then(|| connection.destination.to_canonical());
    let account = connection.source.account.map(str::to_owned);
    (account, connection.protocol, connection.port, names, address)
}

proptest! {
    #[test]
    fn what_was_seen_is_allowed_and_the_rest_is_not(
        seen in proptest::collection::vec(connection(), 0..60),
        others in proptest::collection::vec(connection(), 60),
    ) {
        let (text, _) = learn(LearnOptions { wildcard_from: 0, ..LearnOptions::default() }, &seen);
        let engine = compile(&text);
        for connection in &seen {
            prop_assert_eq!(engine.judge(connection, TIME).action, Action::Allow, "{}\n{}", connection, text);
        }
        // A connection is allowed where each of its names was seen, or its address without any name.
        let keys: Vec<_> = seen.iter().map(key).collect();
        for connection in &others {
            let (account, protocol, port, names, _) = key(connection);
            let cell = || keys.iter().filter(|key| key.0 == account && key.1 == protocol && key.2 == port);
            let address = connection.destination.to_canonical();
            let expected = cell().any(|key| key.4 == Some(address))
                || (!names.is_empty() && names.iter().all(|name| cell().any(|key| key.3.contains(name))));
            let allowed = engine.judge(connection, TIME).action == Action::Allow;
            prop_assert_eq!(allowed, expected, "{}\n{}", connection, text);
        }
    }

    #[test]
    fn with_wildcards_all_that_was_seen_is_allowed(
        seen in proptest::collection::vec(connection(), 0..60),
        scope in select(vec![Scope::Everyone, Scope::Account]),
    ) {
        let (text, _) = learn(LearnOptions { wildcard_from: 3, scope, ..LearnOptions::default() }, &seen);
        let engine = compile(&text);
        for connection in &seen {
            prop_assert_eq!(engine.judge(connection, TIME).action, Action::Allow, "{}\n{}", connection, text);
        }
        prop_assert!(!text.contains("*.co.uk") && !text.contains("*.com"));
        let other = Connection { claimed: Some("a.y.com"), ..Connection::to("198.51.100.1".parse().unwrap(), Some(443), 6) };
        prop_assert_eq!(engine.judge(&other, TIME).action, Action::Deny);
    }
}

fn to(account: &'static str, port: u16, name: Option<&'static str>) -> Connection<'static> {
    let source = Identity { account: Some(account), ..Identity::default() };
    Connection { source, claimed: name, ..Connection::to("192.0.2.1".parse().unwrap(), Some(port), 6) }
}

#[test]
fn what_is_alike_is_one_rule() {
    let (a, b) = ("111111111111", "222222222222");
    let mut seen = Vec::new();
    for account in [a, b] {
        for port in [443, 8443] {
            for name in ["www.example.com", "api.example.com"] {
                seen.push(to(account, port, Some(name)));
                seen.push(Connection { protocol: 17, ..to(account, port, Some(name)) });
            }
        }
    }
    seen.push(to(a, 53, None));
    let (text, _) = learn(LearnOptions::default(), &seen);
    let expected = r#"# Learned from 17 records, 170 packets, 17000 bytes, last seen 2026-11-18.
# The first of it was seen on 2026-11-18.

[egress_default]
action = "alert"

# 16 records, 160 packets, 16000 bytes, last seen 2026-11-18
[[egress]]
name = "learned-1"
accounts = ["111111111111", "222222222222"]
domains = [
    "api.example.com", # 8 records, 80 packets, 8000 bytes, last seen 2026-11-18
    "www.example.com", # 8 records, 80 packets, 8000 bytes, last seen 2026-11-18
]
ports = [443, 8443]
protocols = ["tcp", "udp"]
action = "allow"

# 1 records, 10 packets, 1000 bytes, last seen 2026-11-18
[[egress]]
name = "learned-2"
accounts = ["111111111111"]
networks = ["192.0.2.1/32"]
ports = [53]
protocols = ["tcp"]
action = "allow"
"#;
    assert_eq!(text, expected);
}

#[test]
fn what_is_left_out_is_told() {
    let account = "111111111111";
    let seen = [
        to(account, 443, Some("a.example.com")),
        Connection { mismatch: true, ..to(account, 443, Some("evil\n[[egress]]")) },
        Connection { source: Identity::default(), ..to(account, 443, Some("b.example.com")) },
        Connection { port: None, ..to(account, 443, None) },
        to(account, 443, Some("c.example.com")),
    ];
    let (text, learner) = learn(LearnOptions { capacity: 2, ..LearnOptions::default() }, &seen);
    let left_out = *learner.propose().left_out();
    for amount in [left_out.contradicted, left_out.unknown_source, left_out.no_port, left_out.no_room] {
        assert_eq!(amount, once());
    }
    assert!(text.contains(r"claimed evil\n[[egress]], which DNS contradicts"), "{text}");
    let engine = compile(&text);
    assert_eq!(engine.len(), 1);
    assert_eq!(
        seen.map(|connection| engine.judge(&connection, TIME).action == Action::Allow),
        [true, false, false, false, false]
    );
}

#[test]
fn where_no_source_is_known_rules_are_for_everyone() {
    let seen = [Connection { source: Identity::default(), ..to("", 443, Some("a.example.com")) }];
    let (text, _) = learn(LearnOptions::default(), &seen);
    assert!(!text.contains("accounts"));
    assert_eq!(compile(&text).judge(&seen[0], TIME).action, Action::Allow);
}

use std::net::Ipv4Addr;

use super::*;
use crate::connection::Identity;
use crate::error::{EgressError, Fault};
use crate::explain::{Miss, NameMiss};
use crate::rule::EgressRule;

const DAY: u64 = 86_400_000_000_000;
const NOW: Time = Time(20_000 * DAY);

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    egress: Vec<EgressRule>,
    #[serde(default)]
    egress_default: EgressDefault,
}

fn compile(text: &str) -> Result<Engine, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    Engine::compile(&file.egress, file.egress_default).map_err(|error| error.to_string())
}

fn connection() -> Connection<'static> {
    Connection::to(Ipv4Addr::new(192, 0, 2, 1).into(), Some(443), 6)
}

/// The documented example, as it stands in the documentation of the rules.
#[test]
fn the_documented_rules_do_what_they_say() {
    let text: String = include_str!("../rule.rs")
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
        .collect();
    let engine = compile(&text).unwrap();
    let tags = [("team", "payments"), ("env", "prod")];
    let payments = Identity { account: Some("111122223333"), tags: &tags, ..Identity::default() };
    let bank = Connection {
        source: payments,
        claimed: Some("API.bank.example"),
        application: Some("tls"),
        ..connection()
    };
    let ftp =
        Connection { port: Some(21), claimed: Some("ftp.partner.example"), source: payments, ..connection() };
    let in_2027 = Date::new(2027, 1, 31).unwrap().end();
    let before = Time(in_2027.0 - 1);
    for (connection, now, expected) in [
        (bank, NOW, (Action::Allow, "payments to the bank", Reason::Rule)),
        (
            Connection { undecodable: true, ..bank },
            NOW,
            (Action::Alert, "payments to the bank", Reason::Undecodable),
        ),
        (Connection { port: Some(444), ..bank }, NOW, (Action::Alert, "egress-default", Reason::Default)),
        (Connection { application: None, ..bank }, NOW, (Action::Alert, "egress-default", Reason::Default)),
        (
            Connection { source: Identity { tags: &tags[1..], ..payments }, ..bank },
            NOW,
            (Action::Alert, "egress-default", Reason::Default),
        ),
        (ftp, before, (Action::Allow, "migration of the old reports", Reason::Rule)),
        (ftp, in_2027, (Action::Deny, "no file transfer", Reason::Rule)),
    ] {
        let verdict = engine.judge(&connection, now);
        assert_eq!(
            (verdict.action, engine.rule_name(verdict.rule), verdict.reason),
            expected,
            "{connection:?}"
        );
    }
    let lapsed = Finding::Lapsed {
        rule: 1,
        name: "migration of the old reports".to_owned(),
        until: Date::new(2027, 1, 31).unwrap(),
    };
    assert_eq!(engine.findings(before), []);
    assert_eq!(engine.findings(in_2027), [lapsed]);
    assert!(engine.rule_description(Some(2)).unwrap().starts_with("Contract"));
}

/// The table in the crate's documentation, line by line: claimed, answered, mismatch; allow, deny.
#[test]
fn names_count_by_what_the_rule_does() {
    let (inside, outside, no_name) = (Some("a.example.com"), Some("evil.example"), Some("not a name"));
    let address = Some("192.0.2.1");
    for (claimed, answered, mismatch, allows, denies) in [
        (inside, None, false, true, true),
        (outside, None, false, false, false),
        (None, inside, false, true, true),
        (None, outside, false, false, false),
        (inside, inside, false, true, true),
        (inside, outside, false, false, true),
        (outside, inside, false, false, true),
        (outside, outside, false, false, false),
        (None, None, false, false, false),
        (inside, None, true, false, true),
        (inside, inside, true, false, true),
        (inside, outside, true, false, true),
        (outside, inside, true, false, true),
        (outside, outside, true, false, false),
        (no_name, None, false, false, false),
        (no_name, inside, false, false, true),
        (inside, no_name, false, false, true),
        (address, None, false, false, false),
        (address, inside, false, true, true),
    ] {
        let connection = Connection { claimed, answered, mismatch, ..connection() };
        for (action, other, applies) in
            [("allow", "deny", allows), ("deny", "allow", denies), ("alert", "allow", denies)]
        {
            let engine = compile(&format!(
                "[egress_default]\naction = \"{other}\"\n[[egress]]\naction = \"{action}\"\ndomains = [\"*.example.com\"]"
            ))
            .unwrap();
            let verdict = engine.judge(&connection, NOW);
            let expected = if applies { Some(0) } else { None };
            assert_eq!(verdict.rule, expected, "{action}: {claimed:?} {answered:?} {mismatch}");
            assert_eq!(verdict.action.name(), if applies { action } else { other });
        }
    }
}

#[test]
fn the_first_rule_that_applies_decides() {
    let engine = compile(
        r#"
        [egress_default]
        action = "deny"
        [[egress]]
        name = "bad"
        domains = ["bad.example.com"]
        action = "deny"
        [[egress]]
        name = "good"
        domains = ["*.example.com", "example.com"]
        action = "allow"
        [[egress]]
        name = "late"
        domains = ["a.example.com"]
        action = "alert"
        [[egress]]
        name = "resolver"
        networks = ["192.0.2.53", "2001:db8::53"]
        ports = [53]
        action = "allow"
        "#,
    )
    .unwrap();
    let name = |name| Connection { claimed: Some(name), ..connection() };
    for (connection, expected) in [
        (name("bad.example.com."), "bad"),
        (name("x.bad.example.com"), "good"),
        (name("a.example.com"), "good"),
        (name("EXAMPLE.com"), "good"),
        (name("example.org"), "egress-default"),
        (Connection::to("192.0.2.53".parse().unwrap(), Some(53), 17), "resolver"),
        (Connection::to("::ffff:192.0.2.53".parse().unwrap(), Some(53), 17), "resolver"),
        (Connection::to("2001:db8::53".parse().unwrap(), Some(53), 6), "resolver"),
        (Connection::to("2001:db8::53".parse().unwrap(), None, 58), "egress-default"),
    ] {
        assert_eq!(engine.rule_name(engine.judge(&connection, NOW).rule), expected, "{connection:?}");
    }
}

/// Peculiarities make an action more severe, never milder; a rule's own word goes before the default's.
#[test]
fn peculiarities_of_a_connection() {
    let engine = compile(
        r#"
        [egress_default]
        action = "alert"
        no_name = "deny"
        ech = "alert"
        mismatch = "alert"
        [[egress]]
        networks = ["10.0.0.0/8"]
        no_name = "allow"
        undecodable = "deny"
        action = "allow"
        [[egress]]
        networks = ["192.0.2.0/24"]
        action = "allow"
        [[egress]]
        networks = ["203.0.113.0/24"]
        action = "deny"
        "#,
    )
    .unwrap();
    let to = |text: &str| Connection::to(text.parse().unwrap(), Some(443), 6);
    let named = |text| Connection { claimed: Some("example.com"), ..to(text) };
    for (connection, expected) in [
        (to("10.0.0.1"), (Action::Allow, Reason::Rule)),
        (Connection { undecodable: true, ..to("10.0.0.1") }, (Action::Deny, Reason::Undecodable)),
        (to("192.0.2.1"), (Action::Deny, Reason::NoName)),
        (Connection { claimed: Some("192.0.2.1:443"), ..to("192.0.2.1") }, (Action::Deny, Reason::NoName)),
        (Connection { answered: Some("example.com"), ..to("192.0.2.1") }, (Action::Allow, Reason::Rule)),
        (Connection { undecodable: true, ..named("192.0.2.1") }, (Action::Allow, Reason::Rule)),
        (Connection { ech: true, ..named("192.0.2.1") }, (Action::Alert, Reason::Ech)),
        (Connection { mismatch: true, ech: true, ..named("192.0.2.1") }, (Action::Alert, Reason::Mismatch)),
        (Connection { ech: true, ..to("203.0.113.1") }, (Action::Deny, Reason::Rule)),
        (named("198.51.100.1"), (Action::Alert, Reason::Default)),
        (to("198.51.100.1"), (Action::Deny, Reason::NoName)),
    ] {
        let verdict = engine.judge(&connection, NOW);
        assert_eq!((verdict.action, verdict.reason), expected, "{connection:?}");
    }
}

#[test]
fn an_exception_counts_to_the_end_of_its_day() {
    let rules = "[[egress]]\ndomains = [\"*\"]\nuntil = 2026-11-28\naction = \"allow\"\n[[egress]]\naction = \"deny\"\n";
    let engine = compile(rules).unwrap();
    let connection = Connection { claimed: Some("example.com"), ..connection() };
    let end = Date::new(2026, 11, 28).unwrap().end();
    for (now, expected) in [
        (Time(0), Action::Allow),
        (Time(end.0 - 1), Action::Allow),
        (end, Action::Deny),
        (Time(u64::MAX), Action::Deny),
    ] {
        assert_eq!(engine.judge(&connection, now).action, expected, "{now:?}");
    }
    let explanation = engine.explain(&connection, end);
    assert_eq!(explanation.traces[0].outcome.to_string(), "has lapsed on 2026-11-28");
    assert_eq!(explanation.traces[1].outcome, Outcome::Applies);
    assert_eq!(explanation.rule_name, "egress-2");
}

#[test]
fn an_explanation_names_each_key_that_does_not_hold() {
    let engine = compile(
        r#"
        [[egress]]
        name = "a"
        accounts = ["111122223333"]
        vpcs = ["vpc-01234567"]
        subnets = ["subnet-01234567"]
        tags = { env = ["prod"], team = ["a", "b"] }
        source_networks = ["10.0.0.0/8"]
        domains = ["example.com"]
        networks = ["203.0.113.0/24"]
        ports = ["1-80"]
        protocols = ["udp"]
        applications = ["quic"]
        action = "allow"
        [[egress]]
        domains = ["example.com"]
        action = "allow"
        [[egress]]
        ports = [443]
        action = "deny"
        [[egress]]
        action = "alert"
        "#,
    )
    .unwrap();
    let connection = Connection {
        source: Identity { tags: &[("team", "b")], ..Identity::default() },
        claimed: Some("example.com"),
        answered: Some("evil.example"),
        ..connection()
    };
    let explanation = engine.explain(&connection, NOW);
    assert_eq!(explanation.verdict, engine.judge(&connection, NOW));
    assert_eq!(explanation.traces.len(), 3, "the last rule is not looked at");
    let Outcome::Misses(misses) = &explanation.traces[0].outcome else { panic!("{explanation:?}") };
    for miss in [
        Miss::Key("accounts"),
        Miss::Key("vpcs"),
        Miss::Key("subnets"),
        Miss::Key("source_networks"),
        Miss::Key("networks"),
        Miss::Key("ports"),
        Miss::Key("protocols"),
        Miss::Key("applications"),
        Miss::Tag("env".to_owned()),
        Miss::Domains(NameMiss::OnlyOne),
    ] {
        assert!(misses.contains(&miss), "{miss:?} in {misses:?}");
    }
    assert_eq!(misses.len(), 10, "all but the tag that holds");
    for (claimed, answered, mismatch, expected) in [
        (None, None, false, NameMiss::NoName),
        (Some("a.example"), None, false, NameMiss::Other),
        (Some("a b"), None, false, NameMiss::Invalid),
        (Some("example.com"), Some("example.com"), true, NameMiss::Contradicted),
        (Some("a.example"), None, true, NameMiss::Other),
    ] {
        let connection = Connection { claimed, answered, mismatch, ..connection };
        let outcome = &engine.explain(&connection, NOW).traces[1].outcome;
        assert_eq!(*outcome, Outcome::Misses(vec![Miss::Domains(expected)]), "{claimed:?}");
    }
}

#[test]
fn faults_name_rule_key_value_and_remedy() {
    for (line, expected) in [
        (
            "accounts = [\"11112222333\"]",
            "number 2: accounts \"11112222333\" is no account: write its 12 digits",
        ),
        ("vpcs = [\"vpc-0123\"]", "vpcs \"vpc-0123\" is no VPC: write vpc-"),
        ("vpcs = [\"subnet-01234567\"]", "is no VPC"),
        ("subnets = [\"subnet-0123456g\"]", "subnets \"subnet-0123456g\" is no subnet"),
        ("source_networks = [\"10.0.0.0/33\"]", "source_networks \"10.0.0.0/33\" is no network"),
        ("networks = [\"10.0.0.1/8\"]", "networks \"10.0.0.1/8\" has bits behind its prefix"),
        ("networks = [\"::ffff:10.0.0.0/104\"]", "is IPv4, written as IPv6"),
        ("networks = [\"::ffff:10.0.0.1\"]", "is IPv4, written as IPv6"),
        ("networks = [\"example.com\"]", "is no network"),
        ("domains = [\"www.*.com\"]", "domains \"www.*.com\" has a * that is not its whole first label"),
        ("domains = [\"*example.com\"]", "has a * that"),
        ("domains = [\"*.\"]", "is no domain"),
        ("domains = [\"\"]", "is no domain"),
        ("domains = [\"a b\"]", "is no domain: write it as www.example.com"),
        ("domains = [\"192.0.2.1\"]", "is an address: put it into networks"),
        ("ports = [65536]", "ports \"65536\" is no port"),
        ("ports = [-1]", "is no port"),
        ("ports = [\"443-80\"]", "ends before it begins"),
        ("ports = [\"+1\"]", "is no port"),
        ("ports = [\"1-2-3\"]", "is no port"),
        ("ports = [true]", "expected a port such as 443"),
        ("protocols = [\"TCP\"]", "protocols \"TCP\" is no protocol"),
        ("protocols = [\"256\"]", "is no protocol"),
        ("applications = [\"https\"]", "applications \"https\" is no application: write dhcp, dns, http"),
        ("domains = []", "number 2: domains is empty"),
        ("tags = { team = [] }", "number 2: tags is empty"),
        ("tags = { \"\" = [\"a\"] }", "tags \"\" is empty, longer than 256"),
        ("name = \"a\"", "number 2: name \"a\" is that of number 1 too"),
        ("name = \"a\\nb\"", "control characters"),
        ("domains = [\"a.example\"]\nno_name = \"alert\"", "number 2: no_name has no effect beside domains"),
        ("port = [1]", "unknown field `port`"),
        ("until = 2027-02-30", "line 6"),
        ("until = 2027-02-03T10:00:00", "line 6"),
    ] {
        let error = compile(&format!(
            "[[egress]]\nname = \"a\"\naction = \"allow\"\n[[egress]]\naction = \"deny\"\n{line}\n"
        ));
        let error = error.err().unwrap_or_else(|| panic!("{line} is taken"));
        assert!(error.contains(expected), "{line}: {error}");
    }
    assert!(compile("[[egress]]\n").err().unwrap().contains("missing field `action`"));
    assert!(compile("[egress_default]\nalert_burst = 0").err().unwrap().contains("alert_burst is 0"));
    assert!(compile("[egress_default]\naction = \"drop\"").err().unwrap().contains("unknown variant"));
    let rules = vec![EgressRule::default(); 100_001];
    let error = Engine::compile(&rules, EgressDefault::default()).unwrap_err();
    assert_eq!(error, EgressError::TooManyRules { rules: 100_001, limit: 100_000 });
    let tag = |number: u32| EgressRule {
        tags: [(format!("key{number}"), vec!["a".to_owned()])].into(),
        ..EgressRule::default()
    };
    let rules: Vec<_> = (0..33).map(tag).collect();
    assert!(Engine::compile(&rules[..32], EgressDefault::default()).is_ok());
    let error = Engine::compile(&rules, EgressDefault::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("[[egress]] number 33: with tags \"key32\", rules have more than 32"),
        "{error}"
    );
    let network = EgressRule { networks: Some(vec!["1.2.3.4/0".to_owned()]), ..EgressRule::default() };
    let error = Engine::compile(&[network], EgressDefault::default()).unwrap_err();
    let value = "1.2.3.4/0".to_owned();
    assert_eq!(error, EgressError::Value { rule: 1, key: "networks", value, fault: Fault::HostBits });
}

#[test]
fn rules_behind_one_for_everything_are_told() {
    let engine =
        compile("[[egress]]\nports = [1]\naction = \"deny\"\n[[egress]]\naction = \"deny\"\n[[egress]]\nname = \"x\"\naction = \"allow\"")
            .unwrap();
    assert_eq!(engine.findings(NOW), [Finding::Unreached { rule: 3, name: "x".to_owned(), by: 2 }]);
    let engine =
        compile("[[egress]]\naction = \"deny\"\nuntil = 2200-01-01\n[[egress]]\naction = \"deny\"").unwrap();
    assert_eq!(engine.findings(NOW), []);
}

#[test]
fn without_rules_the_default_holds() {
    let engine = compile("").unwrap();
    assert!(engine.is_empty());
    let verdict = engine.judge(&connection(), NOW);
    assert_eq!(verdict, Verdict { action: Action::Allow, rule: None, reason: Reason::Default });
    assert_eq!(engine.explain(&connection(), NOW).traces, []);
}

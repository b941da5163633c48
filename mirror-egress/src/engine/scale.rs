//! The cost of a judgement, by the number of rules.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::connection::Identity;
use crate::rule::EgressRule;

const NOW: Time = Time(0);

fn connection() -> Connection<'static> {
    Connection::to(Ipv4Addr::new(192, 0, 2, 1).into(), Some(443), 6)
}

/// A rule per name, network (both kinds), port and account, so many of them.
fn scattered(rules: u32) -> Engine {
    let rules: Vec<EgressRule> = (0..rules)
        .map(|number| {
            let mut rule = EgressRule { action: Action::ALL[number as usize % 3], ..EgressRule::default() };
            let account = format!("{:012}", number / 7);
            match number % 4 {
                0 => rule.domains = Some(vec![format!("*.host{number}.example{}.com", number % 100)]),
                1 => {
                    rule.networks = Some(vec![Ipv4Addr::from(0x0a00_0000 + number * 16).to_string() + "/28"]);
                }
                2 => {
                    let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) + (u128::from(number) << 64));
                    rule.networks = Some(vec![format!("{address}/64")]);
                }
                _ => {
                    rule.accounts = Some(vec![account]);
                    rule.ports = Some(vec![crate::rule::Port::Number(i64::from(number % 65_536))]);
                }
            }
            rule
        })
        .collect();
    Engine::compile(&rules, EgressDefault::default()).unwrap()
}

/// Connections that hit a late rule of each kind, and one that hits none.
fn samples(number: u32, check: &mut impl FnMut(Connection<'_>, Option<u32>)) {
    let number = number / 4 * 4;
    let name = format!("a.host{number}.example{}.com", number % 100);
    check(Connection { claimed: Some(&name), answered: Some(&name), ..connection() }, Some(number));
    let address = Ipv4Addr::from(0x0a00_0000 + (number + 1) * 16 + 3);
    check(Connection { destination: address.into(), ..connection() }, Some(number + 1));
    let address = Ipv6Addr::from((0x2001_0db8_u128 << 96) + (u128::from(number + 2) << 64) + 9);
    check(Connection { destination: address.into(), ..connection() }, Some(number + 2));
    let account = format!("{:012}", (number + 3) / 7);
    let source = Identity { account: Some(&account), ..Identity::default() };
    let port = u16::try_from((number + 3) % 65_536).unwrap();
    check(Connection { source, port: Some(port), ..connection() }, Some(number + 3));
    check(Connection { port: Some(0), claimed: Some("host.example"), ..connection() }, None);
}

/// The cost is that of the words of sets that are looked at; lookups in hash tables and tries do not grow.
#[test]
fn ten_thousand_rules_cost_what_ten_do() {
    let most = |rules: u32, among: &[u32]| {
        let engine = scattered(rules);
        let mut most = 0;
        for &number in among {
            samples(number, &mut |connection, expected| {
                let mut steps = 0;
                let verdict = engine.judge_counting(&connection, NOW, &mut steps);
                assert_eq!(verdict.rule, expected, "{connection:?}");
                most = most.max(steps);
            });
        }
        most
    };
    let few = most(12, &[8]);
    let many = most(10_000, &[8, 5000, 9996]);
    assert!(few >= 1);
    assert!(many <= few + 8, "10,000 rules take {many} steps, 12 take {few}");
}

/// Measures: `cargo test --release --package mirror-egress -- --ignored --nocapture timing`.
#[test]
#[ignore = "a measurement"]
fn timing() {
    use std::time::Instant;
    for rules in [12, 100, 1_000, 10_000, 100_000] {
        let begin = Instant::now();
        let engine = scattered(rules);
        let compiled = begin.elapsed();
        for (kind, label) in ["name", "IPv4", "IPv6", "account and port", "none"].iter().enumerate() {
            let mut best = f64::MAX;
            for _ in 0..5 {
                let mut place = 0;
                samples(rules - 4, &mut |connection, _| {
                    if place == kind {
                        let begin = Instant::now();
                        for _ in 0..20_000 {
                            std::hint::black_box(engine.judge(std::hint::black_box(&connection), NOW));
                        }
                        best = best.min(begin.elapsed().as_secs_f64() * 1e9 / 20_000.0);
                    }
                    place += 1;
                });
            }
            println!("{rules:>6} rules, compiled in {compiled:?}, {label}: {best:.0} ns");
        }
    }
    let domains = (0..10_000).map(|number| format!("*.a{number}.example.com")).collect();
    let rule = EgressRule { domains: Some(domains), ..EgressRule::default() };
    let engine = Engine::compile(&[rule], EgressDefault::default()).unwrap();
    let connection = Connection { claimed: Some("b.a9999.example.com"), ..connection() };
    let begin = Instant::now();
    for _ in 0..100_000 {
        std::hint::black_box(engine.judge(std::hint::black_box(&connection), NOW));
    }
    println!("one rule of 10,000 names: {:.0} ns", begin.elapsed().as_secs_f64() * 1e9 / 100_000.0);
}

/// One rule may have many names; each is found, and others are not.
#[test]
fn a_rule_of_ten_thousand_names() {
    let domains = (0..10_000).map(|number| format!("a{number}.example{}.com", number % 37)).collect();
    let rule = EgressRule { domains: Some(domains), action: Action::Deny, ..EgressRule::default() };
    let engine = Engine::compile(&[rule], EgressDefault::default()).unwrap();
    for number in 0..10_000 {
        let name = format!("a{number}.example{}.com", number % 37);
        let connection = Connection { claimed: Some(&name), ..connection() };
        assert_eq!(engine.judge(&connection, NOW).rule, Some(0));
        let name = format!("a{number}.example{}.com", (number + 1) % 37);
        let connection = Connection { claimed: Some(&name), ..connection };
        assert_eq!(engine.judge(&connection, NOW).rule, None);
    }
}

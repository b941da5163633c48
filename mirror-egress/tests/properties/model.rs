//! The engine against a model that looks at one rule after the other, as the documentation words it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use mirror_egress::rule::Port;
use mirror_egress::{Action, Connection, Date, EgressDefault, EgressRule, Engine, Identity, Time};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const ACCOUNTS: [&str; 3] = ["111111111111", "222222222222", "333333333333"];
const VPCS: [&str; 3] = ["vpc-00000001", "vpc-00000002", "vpc-00000003"];
const SUBNETS: [&str; 2] = ["subnet-00000001", "subnet-00000002"];
const PROTOCOLS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("1", 1)];
const APPLICATIONS: [&str; 3] = ["tls", "http", "dns"];
const VALUES: [&str; 3] = ["", "a", "b"];
const NAMES: [&str; 7] = ["com", "a.com", "b.a.com", "c.b.a.com", "x.com", "b.x.com", "ba.com"];
const NETWORKS: [&str; 12] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/31",
    "10.0.0.1/32",
    "10.0.0.2/32",
    "128.0.0.0/1",
    "255.255.255.255/32",
    "::/0",
    "2001:db8::/32",
    "2001:db8::1/128",
    "::/96",
    "8000::/1",
];
const ADDRESSES: [&str; 12] = [
    "0.0.0.0",
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.255.255.255",
    "255.255.255.255",
    "::",
    "::1",
    "2001:db8::1",
    "2001:db8::2",
    "ffff::",
    "::ffff:10.0.0.1",
];

/// A list for a key that most rules leave out.
fn some<T: Clone + std::fmt::Debug + 'static>(values: Vec<T>) -> impl Strategy<Value = Option<Vec<T>>> {
    let most = values.len().min(3);
    proptest::option::weighted(0.3, subsequence(values, 1..=most))
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn action() -> impl Strategy<Value = Action> {
    select(Action::ALL.to_vec())
}

fn rule() -> impl Strategy<Value = EgressRule> {
    let patterns = NAMES.iter().flat_map(|name| [(*name).to_owned(), format!("*.{name}")]);
    let patterns: Vec<String> = patterns.chain(["*".to_owned()]).collect();
    let ports =
        [Port::Number(0), Port::Number(443), Port::Text("80-443".into()), Port::Text("444-65535".into())];
    let protocols: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
    let tag = || proptest::option::weighted(0.2, subsequence(texts(&VALUES), 1..=2));
    let who = (
        some(texts(&ACCOUNTS)),
        some(texts(&VPCS)),
        some(texts(&SUBNETS)),
        some(texts(&NETWORKS)),
        tag(),
        tag(),
    );
    let what = (
        some(patterns),
        some(texts(&NETWORKS)),
        some(ports.to_vec()),
        some(texts(&protocols)),
        some(texts(&APPLICATIONS)),
    );
    let until =
        proptest::option::weighted(0.2, (1_u8..=28).prop_map(|day| Date::new(2026, 11, day).unwrap()));
    let peculiar = || proptest::option::weighted(0.3, action());
    (who, what, action(), until, peculiar(), peculiar()).prop_map(
        |(
            (accounts, vpcs, subnets, source_networks, env, team),
            (domains, networks, ports, protocols, applications),
            action,
            until,
            no_name,
            mismatch,
        )| {
            let tags = [("env", env), ("team", team)];
            EgressRule {
                accounts,
                vpcs,
                subnets,
                source_networks,
                tags: tags.into_iter().filter_map(|(key, values)| Some((key.to_owned(), values?))).collect(),
                no_name: no_name.filter(|_| domains.is_none()),
                domains,
                networks,
                ports,
                protocols,
                applications,
                action,
                until,
                mismatch,
                ..EgressRule::default()
            }
        },
    )
}

type Tags = Vec<(&'static str, &'static str)>;

fn connection() -> impl Strategy<Value = (Connection<'static>, Tags)> {
    let address = || select(ADDRESSES.to_vec()).prop_map(|text| text.parse::<IpAddr>().unwrap());
    let near = |values: &[&'static str]| proptest::option::weighted(0.8, select(values.to_vec()));
    let source = (near(&ACCOUNTS), near(&VPCS), near(&SUBNETS), proptest::option::of(address()));
    let names = [&NAMES[..], &["d.c.b.a.com", "A.COM.", "org", "no name", "10.0.0.1"]].concat();
    let tags = (near(&VALUES), near(&VALUES)).prop_map(|(env, team)| {
        [("env", env), ("other", Some("a")), ("team", team)]
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect::<Tags>()
    });
    let what = (
        address(),
        proptest::option::weighted(0.9, select(vec![0, 1, 79, 80, 81, 442, 443, 444, 65_535])),
        select(vec![6, 17, 1, 47]),
        near(&["tls", "http", "dns", "other"]),
        proptest::option::of(select(names.clone())),
        proptest::option::of(select(names)),
        proptest::bool::weighted(0.2),
    );
    (source, tags, what).prop_map(|((account, vpc, subnet, source), tags, what)| {
        let (destination, port, protocol, application, claimed, answered, mismatch) = what;
        let connection = Connection {
            source: Identity { account, vpc, subnet, tags: &[], address: source },
            destination,
            port,
            protocol,
            application,
            claimed,
            answered,
            mismatch,
            undecodable: false,
            ech: false,
        };
        (connection, tags)
    })
}

/// `true` if a key that is left out, or one of its entries, holds.
fn holds<T>(values: Option<&Vec<T>>, is_one: impl Fn(&T) -> bool) -> bool {
    values.is_none_or(|values| values.iter().any(is_one))
}

fn equals(value: Option<&str>) -> impl Fn(&String) -> bool {
    move |entry| value == Some(entry.as_str())
}

fn v4_where_it_is(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn in_network(network: &str, address: IpAddr) -> bool {
    let (first, length) = network.split_once('/').unwrap();
    let length: u32 = length.parse().unwrap();
    match (first.parse().unwrap(), v4_where_it_is(address)) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            let differ: u32 = u32::from(first) ^ u32::from(address);
            differ.leading_zeros() >= length
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            let differ: u128 = u128::from(first) ^ u128::from(address);
            differ.leading_zeros() >= length
        }
        _ => false,
    }
}

fn in_domains(domains: &[String], name: &str) -> bool {
    let name = name.trim_end_matches('.').to_lowercase();
    domains.iter().any(|pattern| match pattern.strip_prefix('*') {
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix),
        None => name == *pattern,
    })
}

fn applies(rule: &EgressRule, connection: &Connection<'_>, now: Time) -> bool {
    let source = &connection.source;
    let names: Vec<&str> = [connection.claimed, connection.answered]
        .into_iter()
        .flatten()
        .filter(|name| *name != "10.0.0.1")
        .collect();
    let domains = rule.domains.as_ref().is_none_or(|domains| {
        let valid = |name: &&&str| !name.contains(' ');
        match rule.action {
            Action::Allow => {
                !names.is_empty()
                    && !connection.mismatch
                    && names.iter().all(|name| valid(&name) && in_domains(domains, name))
            }
            _ => names.iter().filter(valid).any(|name| in_domains(domains, name)),
        }
    });
    let in_range = |port: &Port| match port {
        Port::Number(number) => connection.port.map(i64::from) == Some(*number),
        Port::Text(range) => {
            let (first, last) = range.split_once('-').unwrap();
            connection
                .port
                .is_some_and(|port| port >= first.parse().unwrap() && port <= last.parse().unwrap())
        }
    };
    let protocol = |name: &String| PROTOCOLS.contains(&(name.as_str(), connection.protocol));
    let tags = rule.tags.iter().all(|(key, values)| {
        source.tags.iter().any(|(name, value)| name == key && values.iter().any(|one| one == value))
    });
    domains
        && tags
        && holds(rule.accounts.as_ref(), equals(source.account))
        && holds(rule.vpcs.as_ref(), equals(source.vpc))
        && holds(rule.subnets.as_ref(), equals(source.subnet))
        && holds(rule.source_networks.as_ref(), |net| {
            source.address.is_some_and(|address| in_network(net, address))
        })
        && holds(rule.networks.as_ref(), |net| in_network(net, connection.destination))
        && holds(rule.ports.as_ref(), in_range)
        && holds(rule.protocols.as_ref(), protocol)
        && holds(rule.applications.as_ref(), equals(connection.application))
        && rule.until.is_none_or(|until| now < until.end())
}

/// The rule that decides and its action, made more severe by what the connection lacks.
fn model(
    rules: &[EgressRule],
    default: &EgressDefault,
    connection: &Connection<'_>,
    now: Time,
) -> (Option<usize>, Action) {
    let rule = rules.iter().position(|rule| applies(rule, connection, now));
    let stated = rule.map(|index| &rules[index]);
    let mut action = stated.map_or(default.action, |rule| rule.action);
    let is_name = |name: Option<&str>| name.is_some_and(|name| !name.contains(' ') && name != "10.0.0.1");
    if !is_name(connection.claimed) && !is_name(connection.answered) {
        action = action.max(stated.and_then(|rule| rule.no_name).unwrap_or(default.no_name));
    }
    if connection.mismatch {
        action = action.max(stated.and_then(|rule| rule.mismatch).unwrap_or(default.mismatch));
    }
    (rule, action)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Some 10,000 rules and as many connections in all.
    #[test]
    fn the_engine_judges_as_the_model_does(
        rules in proptest::collection::vec(rule(), 0..50),
        repeat in prop_oneof![8 => Just(1_usize), 1 => Just(5)],
        connections in proptest::collection::vec(connection(), 25),
        actions in [action(), action(), action()],
        day in 1_u8..=30,
    ) {
        let [action, no_name, mismatch] = actions;
        let default = EgressDefault { action, no_name, mismatch, ..EgressDefault::default() };
        // Rules that never apply in front, so that sets of several blocks are compared as well.
        let never = EgressRule { networks: Some(vec!["192.0.2.1/32".into()]), ..EgressRule::default() };
        let rules: Vec<_> = std::iter::repeat_n(never, (repeat - 1) * 1040).chain(rules).collect();
        let engine = Engine::compile(&rules, default).unwrap();
        let now = Date::new(2026, 11, day).unwrap().end();
        for (connection, tags) in &connections {
            let connection = Connection { source: Identity { tags, ..connection.source }, ..*connection };
            let expected = model(&rules, &default, &connection, now);
            let verdict = engine.judge(&connection, now);
            let rule = verdict.rule.map(|rule| rule as usize);
            prop_assert_eq!((rule, verdict.action), expected, "{:?}", connection);
            let explanation = engine.explain(&connection, now);
            prop_assert_eq!(explanation.verdict, verdict);
            prop_assert_eq!(explanation.traces.len(), rule.map_or(rules.len(), |rule| rule + 1));
            for trace in &explanation.traces {
                let holds = applies(&rules[trace.rule as usize], &connection, now);
                prop_assert_eq!(trace.outcome == mirror_egress::explain::Outcome::Applies, holds);
            }
        }
    }

    /// Networks of any length at any place, and addresses at their edges.
    #[test]
    fn networks_begin_and_end_where_they_say(
        networks in proptest::collection::vec((any::<u32>(), any::<u128>(), 0..=32_u8, 0..=128_u8), 1..20),
    ) {
        let networks: Vec<IpNet> = networks
            .into_iter()
            .flat_map(|(v4, v6, short, long)| {
                // What would be IPv4 written as IPv6 is refused.
                let v6 = Ipv6Addr::from(v6 | 1 << 127);
                [
                    IpNet::new(Ipv4Addr::from(v4).into(), short).unwrap().trunc(),
                    IpNet::new(v6.into(), long).unwrap().trunc(),
                ]
            })
            .collect();
        let rules: Vec<EgressRule> = networks
            .iter()
            .map(|network| EgressRule { networks: Some(vec![network.to_string()]), ..EgressRule::default() })
            .collect();
        let engine = Engine::compile(&rules, EgressDefault::default()).unwrap();
        for network in &networks {
            let beside = |address: IpAddr, up: bool| match address {
                IpAddr::V4(v4) if up => Ipv4Addr::from(u32::from(v4).wrapping_add(1)).into(),
                IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4).wrapping_sub(1)).into(),
                IpAddr::V6(v6) if up => Ipv6Addr::from(u128::from(v6).wrapping_add(1)).into(),
                IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6).wrapping_sub(1)).into(),
            };
            let (first, last) = (network.network(), network.broadcast());
            for address in [first, last, beside(first, false), beside(last, true)] {
                let expected = networks.iter().position(|network| in_network(&network.to_string(), address));
                let verdict = engine.judge(&Connection::to(address, None, 1), Time(0));
                prop_assert_eq!(verdict.rule.map(|rule| rule as usize), expected, "{}", address);
            }
        }
    }
}

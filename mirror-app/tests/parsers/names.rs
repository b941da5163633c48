//! Names for addresses: what is known, for how long, and what contradicts it.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mirror_app::dns::write::{self, Data, Record};
use mirror_app::dns::{Flags, Message, RecordType};
use mirror_app::names::{Finding, Limits, Names};
use proptest::collection::vec;
use proptest::prelude::*;

const SCOPE: u64 = 7;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A response without an error, of answers `(owner, ttl, data)`.
fn response(question: &str, answers: &[(&str, u32, Data<'_>)]) -> Message {
    let answers: Vec<_> =
        answers.iter().map(|(name, ttl, data)| Record { name, ttl: *ttl, data: data.clone() }).collect();
    let message = write::Message {
        id: 1,
        flags: Flags(0x8180),
        questions: &[(question, RecordType::A)],
        answers: &answers,
        edns: None,
    };
    let mut bytes = Vec::new();
    message.append_to(&mut bytes).unwrap();
    Message::parse(&bytes).unwrap()
}

fn address(name: &str, ttl: u32, address: &str) -> Message {
    response(name, &[(name, ttl, Data::Address(ip(address)))])
}

/// A cache whose limits suit a test, with a client `10.0.0.1` that is known since 0.
struct Known {
    names: Names,
}

impl Known {
    fn new() -> Self {
        let names = Names::new(Limits { ceiling: at(7200), settled: at(1000), ..Limits::default() });
        Self { names }
    }

    fn learn(&self, message: &Message, now: u64) {
        self.names.learn(SCOPE, ip("10.0.0.1"), message, at(now));
    }

    fn name_of(&self, server: &str, now: u64) -> Option<String> {
        self.names.name_of(SCOPE, ip("10.0.0.1"), ip(server), at(now)).map(|name| name.to_string())
    }

    fn check(&self, server: &str, claimed: &str, now: u64) -> Finding {
        self.names.check(SCOPE, ip("10.0.0.1"), ip(server), claimed, at(now))
    }
}

#[test]
fn a_name_is_known_to_its_client_alone() {
    let known = Known::new();
    known.learn(&address("WWW.example.com", 300, "192.0.2.1"), 0);
    assert_eq!(known.name_of("192.0.2.1", 10).as_deref(), Some("www.example.com"));
    assert_eq!(known.name_of("::ffff:192.0.2.1", 10).as_deref(), Some("www.example.com"));
    assert_eq!(known.name_of("192.0.2.2", 10), None);
    assert_eq!(known.names.name_of(SCOPE + 1, ip("10.0.0.1"), ip("192.0.2.1"), at(10)), None);
    assert_eq!(known.names.name_of(SCOPE, ip("10.0.0.2"), ip("192.0.2.1"), at(10)), None);
}

#[test]
fn times_to_live_have_a_floor_and_a_ceiling() {
    let known = Known::new();
    known.learn(&address("short", 1, "192.0.2.1"), 0);
    known.learn(&address("middle", 300, "192.0.2.2"), 0);
    known.learn(&address("long", i32::MAX as u32, "192.0.2.3"), 0);
    // The first bit means that it must not be used again.
    known.learn(&address("none", u32::MAX, "192.0.2.4"), 0);
    for (server, last) in [("192.0.2.1", 60), ("192.0.2.2", 300), ("192.0.2.3", 7200), ("192.0.2.4", 60)] {
        assert!(known.name_of(server, last).is_some(), "{server}");
        assert_eq!(known.name_of(server, last + 1), None, "{server}");
    }
}

#[test]
fn aliases_lead_to_the_name_that_was_asked_for() {
    let known = Known::new();
    let answers = [
        ("cdn.example.net", 60, Data::Address(ip("192.0.2.1"))),
        ("b.example", 100, Data::Alias("cdn.example.net")),
        ("a.example", 300, Data::Alias("b.example")),
        ("unrelated.example", 300, Data::Address(ip("192.0.2.9"))),
    ];
    known.learn(&response("a.example", &answers), 0);
    assert_eq!(known.name_of("192.0.2.1", 0).as_deref(), Some("a.example"));
    // An answer to another question than the one that was asked is not believed.
    assert_eq!(known.name_of("192.0.2.9", 0), None);
    for claimed in ["a.example", "b.example", "cdn.example.net"] {
        assert_eq!(known.check("192.0.2.1", claimed, 5000), Finding::Agrees, "{claimed}");
    }
    let loops = [("x", 9, Data::Alias("y")), ("y", 9, Data::Alias("x"))];
    known.learn(&response("x", &loops), 0);
    assert_eq!(known.check("192.0.2.7", "x", 5000), Finding::Unknown);
}

#[test]
fn claims_are_judged_by_what_is_known() {
    let known = Known::new();
    known.learn(&address("first.example", 7200, "192.0.2.200"), 0);
    for now in [0, 1000, 2000] {
        known.learn(&address("good.example", 300, "192.0.2.1"), now);
        known.learn(&address("other.example", 300, "192.0.2.2"), now);
    }
    known.learn(&address("host.corp.example", 300, "192.0.2.3"), 2000);
    let cases = [
        ("the answer", "192.0.2.1", "good.example", 2100, Finding::Agrees),
        ("an old answer", "192.0.2.1", "good.example", 9000, Finding::Agrees),
        ("another address", "192.0.2.2", "good.example", 2100, Finding::OtherAddress),
        ("an address of nothing", "192.0.2.99", "good.example", 2100, Finding::OtherAddress),
        ("too old to contradict", "192.0.2.99", "good.example", 2301, Finding::Unknown),
        ("client not known long enough", "192.0.2.99", "good.example", 999, Finding::Unknown),
        ("older answers may still be used", "192.0.2.99", "first.example", 7199, Finding::Unknown),
        ("all answers are known", "192.0.2.99", "first.example", 7200, Finding::OtherAddress),
        ("no answer of its family", "2001:db8::1", "good.example", 2100, Finding::Unknown),
        ("name that was not asked for", "192.0.2.2", "front.example", 2100, Finding::OtherName),
        ("the same, too old", "192.0.2.2", "front.example", 2301, Finding::Unknown),
        ("neither is known", "192.0.2.99", "front.example", 2100, Finding::Unknown),
        ("a short name, completed", "192.0.2.3", "host", 2100, Finding::Agrees),
        ("the end of a name", "192.0.2.3", "corp.example", 2100, Finding::OtherName),
    ];
    for (case, server, claimed, now, expected) in cases {
        assert_eq!(known.check(server, claimed, now), expected, "{case}");
        let contradicts = known.names.contradicts(SCOPE, ip("10.0.0.1"), ip(server), claimed, at(now));
        assert_eq!(contradicts, expected.is_mismatch(), "{case}");
    }
    assert_eq!(
        known.names.check(SCOPE, ip("10.0.0.2"), ip("192.0.2.2"), "good.example", at(2100)),
        Finding::Unknown
    );
}

#[test]
fn services_elsewhere_leave_a_name_open() {
    let known = Known::new();
    known.learn(&address("first.example", 60, "192.0.2.200"), 0);
    let hint = Data::Other(RecordType::HTTPS, b"\0\x01\0\0\x04\0\x04\xc0\0\x02\x05");
    known.learn(&response("hinted.example", &[("hinted.example", 300, hint)]), 2000);
    assert_eq!(known.check("192.0.2.5", "hinted.example", 2001), Finding::Agrees);
    assert_eq!(known.check("192.0.2.6", "hinted.example", 2001), Finding::OtherAddress);
    let alias = Data::Other(RecordType::HTTPS, b"\0\0\x04pool\x07example\0");
    known.learn(&response("_8443._https.www.example", &[("_8443._https.www.example", 300, alias)]), 2000);
    known.learn(&address("pool.example", 300, "192.0.2.7"), 2000);
    assert_eq!(known.check("192.0.2.7", "www.example", 2001), Finding::Unknown);
}

#[test]
fn nothing_is_learnt_from_queries_failures_and_multicast() {
    let known = Known::new();
    let answer = [Record { name: "a", ttl: 60, data: Data::Address(ip("192.0.2.1")) }];
    for flags in [0x0100, 0x8183, 0x8182] {
        let message = write::Message {
            id: 1,
            flags: Flags(flags),
            questions: &[("a", RecordType::A)],
            answers: &answer,
            edns: None,
        };
        let mut bytes = Vec::new();
        message.append_to(&mut bytes).unwrap();
        known.learn(&Message::parse(&bytes).unwrap(), 0);
    }
    assert_eq!(known.name_of("192.0.2.1", 0), None);
    let counters = known.names.counters();
    assert_eq!((counters.learnt, counters.ignored, counters.entries, counters.bytes), (0, 3, 0, 0));
}

#[test]
fn the_oldest_goes_first_and_a_gap_is_remembered() {
    // Each of the 32 shards has room for ten entries.
    let names = Names::new(Limits { entries: 320, settled: at(1000), ..Limits::default() });
    let client = ip("10.0.0.1");
    for number in 0..100_u64 {
        let message = address(&format!("name-{number}.example"), 3600, &format!("192.0.2.{number}"));
        names.learn(SCOPE, client, &message, at(2000 + number));
    }
    let known =
        |number: u64| names.name_of(SCOPE, client, ip(&format!("192.0.2.{number}")), at(2100)).is_some();
    assert_eq!(
        (0..100).map(known).collect::<Vec<_>>(),
        (0..100).map(|number| number >= 95).collect::<Vec<_>>()
    );
    let counters = names.counters();
    assert_eq!((counters.learnt, counters.entries, counters.evicted), (100, 10, 190));
    // The client was known for long, but the answers that would tell were forgotten just now.
    assert_eq!(names.check(SCOPE, client, ip("192.0.2.99"), "name-98.example", at(3000)), Finding::Unknown);
}

#[test]
fn memory_is_given_back_when_its_time_is_over() {
    let limits = Limits { kept: at(100), ceiling: at(100), ..Limits::default() };
    let names = Names::new(limits);
    for number in 0..1000_u64 {
        let message = address(&format!("name-{number}.example"), 60, "192.0.2.1");
        names.learn(SCOPE, ip("10.0.0.1"), &message, at(number));
        names.learn(SCOPE, ip("10.0.0.1"), &address("often.example", 60, "192.0.2.2"), at(number));
    }
    let counters = names.counters();
    // What was learnt in the last 100 seconds, and the names of one address.
    assert!((100..=110).contains(&counters.entries), "{counters:?}");
    assert_eq!((counters.evicted, counters.expired > 850), (0, true), "{counters:?}");
}

#[test]
fn workers_share_what_one_learns() {
    let names = Arc::new(Names::new(Limits::default()));
    let workers: Vec<_> = (0..4_u8)
        .map(|worker| {
            let names = Arc::clone(&names);
            thread::spawn(move || {
                for number in 0..200_u8 {
                    let server = IpAddr::from([192, 0, worker, number]);
                    let message = address(&format!("{worker}-{number}"), 60, &server.to_string());
                    names.learn(SCOPE, IpAddr::from([10, 0, 0, number]), &message, at(0));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    for (worker, number) in (0..4_u8).flat_map(|worker| (0..200_u8).map(move |number| (worker, number))) {
        let server = IpAddr::from([192, 0, worker, number]);
        let name = names.name_of(SCOPE, IpAddr::from([10, 0, 0, number]), server, at(1));
        assert_eq!(name.as_deref(), Some(format!("{worker}-{number}").as_str()));
    }
}

proptest! {
    /// Whatever is learnt, limits hold, and when all is forgotten nothing is accounted for any more.
    #[test]
    fn accounts_balance(
        learnt in vec((0_u8..6, 0_u8..40, 0_u8..20, any::<bool>(), 0_u64..50), 1..400),
        entries in 0_usize..60,
        bytes in 0_usize..20_000,
    ) {
        let limits = Limits { entries: entries * 32, bytes: bytes * 32, kept: at(200), ceiling: at(200), ..Limits::default() };
        let names = Names::new(limits);
        let mut now = 0;
        for (client, name, server, aliased, passed) in learnt {
            now += passed;
            let name = "x".repeat(usize::from(name) + 1);
            let server = Data::Address(IpAddr::from([192, 0, 2, server]));
            let message = if aliased {
                response(&name, &[(&name, 60, Data::Alias("alias.example")), ("alias.example", 60, server)])
            } else {
                response(&name, &[(&name, 60, server)])
            };
            names.learn(SCOPE, IpAddr::from([10, 0, 0, client]), &message, at(now));
            let counters = names.counters();
            prop_assert!(counters.entries <= limits.entries as u64 && counters.bytes <= limits.bytes as u64);
            prop_assert_eq!(counters.entries == 0, counters.bytes == 0);
        }
    }
}

//! Properties of plans for random policies and random observations.

use std::collections::{BTreeMap, BTreeSet};

use mirror_sessions::apply::{ApplyOptions, apply};
use mirror_sessions::limits;
use mirror_sessions::observation::Observation;
use mirror_sessions::ownership::{self, Owned};
use mirror_sessions::plan::Change;
use mirror_sessions::policy::Policy;
use mirror_sessions::policy::filter;
use mirror_sessions::resource::{Filter, InstanceState, Session, Tags, Target};
use proptest::prelude::*;

use crate::fake_ec2::FakeEc2;
use crate::support::{add_instance, connect, plan_of, policy, tags as tag_map, unlimited};

const OWNER: &str = "inspection";

/// Policies with one to three rules over a few tags, targets and filters.
fn policies() -> impl Strategy<Value = String> {
    let rule = (
        prop_oneof![
            Just("{}"),
            Just("{ tag = { role = \"web\" } }"),
            Just("{ not = { tag = { role = \"db\" } } }"),
            Just("{ tag = { role = \"d*\" } }")
        ],
        prop_oneof![3 => Just(false), 1 => Just(true)],
        prop_oneof![Just("near"), Just("shared")],
        prop_oneof![Just("all"), Just("web")],
        prop_oneof![Just("deterministic"), Just("aws")],
        1_u16..4,
        proptest::option::of(1..=limits::MAX_ENDPOINT_PACKET_LENGTH),
        any::<bool>(),
    );
    proptest::collection::vec(rule, 1..4).prop_map(|rules| {
        let mut text = String::from(
            r#"owner = "inspection"
[[account]]
id = "111111111111"
regions = ["eu-west-1"]
[target.near]
endpoints = [{ id = "vpce-0a", zone = "eu-west-1a" }]
[target.shared]
fallback = "tmt-0f"
endpoints = [{ id = "tmt-0f", zone = "eu-west-1b" }]
[filter.web]
network_services = ["amazon-dns"]
rules = [
    { direction = "ingress", protocol = "tcp", source = "0.0.0.0/0", destination = "10.0.0.0/8", destination_ports = 443 },
    { direction = "egress", source = "10.0.0.0/8", destination = "0.0.0.0/0" },
]
"#,
        );
        for (index, (select, exclude, target, filter, vni, number, length, primary)) in rules.into_iter().enumerate() {
            text += &format!("[[rule]]\nname = \"r{index}\"\nselect = {select}\n");
            if primary {
                text += "interfaces = \"primary\"\n";
            }
            if exclude {
                text += "exclude = true\n";
                continue;
            }
            text += &format!("target = \"{target}\"\nfilter = \"{filter}\"\nvni = \"{vni}\"\nsession_number = {number}\n");
            if let Some(length) = length {
                text += &format!("packet_length = {length}\n");
            }
        }
        text
    })
}

/// Instances with one to three interfaces, with sessions of this owner and of others, filters and targets of both.
fn observations() -> impl Strategy<Value = Observation> {
    let instance = (
        prop_oneof![Just("m5.large"), Just("t2.micro")],
        prop_oneof![4 => Just(InstanceState::Running), 1 => Just(InstanceState::Stopped)],
        proptest::option::of(prop_oneof![Just("web"), Just("db"), Just("dns")]),
        1_usize..4,
        proptest::sample::subsequence(vec!["eu-west-1a", "eu-west-1b", "eu-west-1c"], 1),
    );
    let session = (0_usize..8, 0_usize..4, any::<bool>(), 1_u16..5, 1_u32..6, proptest::option::of(1_u16..9));
    let rule_change = proptest::option::of(0_u16..3);
    (
        proptest::collection::vec(instance, 0..6),
        proptest::collection::vec(session, 0..12),
        proptest::collection::vec((any::<bool>(), rule_change), 0..3),
        any::<bool>(),
    )
        .prop_map(|(instances, sessions, filters, own_target)| {
            build(instances, sessions, filters, own_target)
        })
}

type InstanceShape = (&'static str, InstanceState, Option<&'static str>, usize, Vec<&'static str>);
type SessionShape = (usize, usize, bool, u16, u32, Option<u16>);

fn build(
    instances: Vec<InstanceShape>,
    sessions: Vec<SessionShape>,
    filters: Vec<(bool, Option<u16>)>,
    own_target: bool,
) -> Observation {
    let mut observation = Observation { complete: true, ..Observation::default() };
    for (index, (kind, state, role, count, zone)) in instances.into_iter().enumerate() {
        let names: Vec<String> = (0..count).map(|number| format!("eni-{index}-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let role: Tags = role.map(|role| ("role".to_owned(), role.to_owned())).into_iter().collect();
        add_instance(&mut observation, &format!("i-{index}"), kind, &names, role);
        observation.instances.get_mut(&format!("i-{index}").as_str().into()).unwrap().state = state;
        for name in names {
            observation.interfaces.get_mut(&name.into()).unwrap().zone = zone[0].to_owned();
        }
    }
    for (index, (own, change)) in filters.into_iter().enumerate() {
        let mut wanted = filter::Filter::all();
        if let Some(number) = change {
            wanted.rules[0].number = number + 1;
        }
        let rules = wanted.rules.into_iter().enumerate();
        let filter = Filter {
            id: format!("tmf-{index}").as_str().into(),
            rules: rules
                .map(|(number, rule)| (format!("tmfr-{index}-{number}").as_str().into(), rule))
                .collect(),
            network_services: BTreeSet::new(),
            tags: if own {
                tag_map([(ownership::OWNER_TAG, OWNER), (ownership::FILTER_TAG, "all")])
            } else {
                Tags::new()
            },
        };
        observation.filters.insert(filter.id.clone(), filter);
    }
    let shared = Target { id: "tmt-0f".into(), endpoint: Some("vpce-0f".into()), tags: Tags::new() };
    observation.targets.insert(shared.id.clone(), shared);
    if own_target {
        let own = Target {
            id: "tmt-01".into(),
            endpoint: Some("vpce-0a".into()),
            tags: tag_map([(ownership::OWNER_TAG, OWNER)]),
        };
        observation.targets.insert(own.id.clone(), own);
    }
    let interfaces: Vec<_> = observation.interfaces.keys().cloned().collect();
    let filters: Vec<_> = observation.filters.keys().cloned().collect();
    for (index, (interface, filter, own, number, vni, length)) in sessions.into_iter().enumerate() {
        let (Some(interface), Some(filter)) = (interfaces.get(interface), filters.get(filter)) else {
            continue;
        };
        let same: Vec<&Session> =
            observation.sessions.values().filter(|other| other.interface == *interface).collect();
        if same.len() >= limits::SESSIONS_PER_INTERFACE || same.iter().any(|other| other.number == number) {
            continue; // the API does not allow such a state
        }
        let session = Session {
            id: format!("tms-{index}").as_str().into(),
            interface: interface.clone(),
            target: "tmt-0f".into(),
            filter: filter.clone(),
            number,
            packet_length: length,
            vni,
            description: String::new(),
            tags: if own { tag_map([(ownership::OWNER_TAG, OWNER)]) } else { Tags::new() },
        };
        observation.sessions.insert(session.id.clone(), session);
    }
    observation
}

/// Applies the plan of `policy` for an observation; returns the observation after it, and the number of failed changes.
fn apply_plan(
    policy: &Policy,
    observation: &Observation,
    shape: impl FnOnce(&FakeEc2),
) -> (Observation, usize) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fake_ec2 = FakeEc2::new(observation.clone());
        shape(&fake_ec2);
        let connection = connect(fake_ec2, unlimited());
        let options = ApplyOptions { dry_run: false, superseded: &|_| false };
        let outcome = apply(&connection, &plan_of(policy, observation), options).await;
        (connection.api.observation(), outcome.failed.len())
    })
}

/// The resources of other owners.
fn unowned(observation: &Observation) -> (Vec<Session>, Vec<Filter>, Vec<Target>) {
    fn of<Id, T: Owned + Clone>(all: &BTreeMap<Id, T>) -> Vec<T> {
        all.values().filter(|thing| !thing.owned_by(OWNER)).cloned().collect()
    }
    (of(&observation.sessions), of(&observation.filters), of(&observation.targets))
}

fn within_limits(observation: &Observation) -> Result<(), TestCaseError> {
    for interface in observation.interfaces.keys() {
        let numbers: Vec<u16> = observation
            .sessions
            .values()
            .filter(|session| session.interface == *interface)
            .map(|session| session.number)
            .collect();
        prop_assert!(numbers.len() <= limits::SESSIONS_PER_INTERFACE);
        prop_assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "numbers are unique");
    }
    prop_assert!(observation.filters.values().all(|filter| filter.rules.len() <= limits::RULES_PER_FILTER));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_applied_plan_leaves_nothing_to_do(text in policies(), observation in observations()) {
        let policy = policy(&text);
        let (after, failed) = apply_plan(&policy, &observation, |_| {});
        prop_assert_eq!(failed, 0);
        let again = plan_of(&policy, &after);
        prop_assert!(again.changes.is_empty(), "{}", again);
        prop_assert_eq!(again.counts.missing, again.problems.iter().filter(|problem| problem.resource.starts_with("eni-")).count());
        prop_assert_eq!(again.counts.orphaned, 0);
        within_limits(&after)?;
    }

    #[test]
    fn resources_of_other_owners_stay_as_they_are(text in policies(), observation in observations()) {
        let (after, _) = apply_plan(&policy(&text), &observation, |_| {});
        prop_assert_eq!(unowned(&observation), unowned(&after));
    }

    #[test]
    fn failures_and_retries_end_in_the_same_state(text in policies(), observation in observations(), every in 2_u64..6) {
        let policy = policy(&text);
        let (expected, _) = apply_plan(&policy, &observation, |_| {});
        let (mut after, _) = apply_plan(&policy, &observation, |fake_ec2| fake_ec2.state().fail_every = Some(every));
        for _ in 0..3 {
            after = apply_plan(&policy, &after, |_| {}).0;
        }
        prop_assert!(plan_of(&policy, &after).changes.is_empty());
        prop_assert_eq!(after.sessions.len(), expected.sessions.len());
        prop_assert_eq!(after.filters.len(), expected.filters.len());
        prop_assert_eq!(after.targets.len(), expected.targets.len());
    }

    #[test]
    fn virtual_network_ids_of_an_account_and_region_are_distinct(text in policies(), observation in observations()) {
        let policy = policy(&text.replace("vni = \"aws\"", ""));
        let (after, _) = apply_plan(&policy, &observation, |_| {});
        let (own, foreign): (Vec<&Session>, Vec<&Session>) = after.sessions.values().partition(|session| session.owned_by(OWNER));
        let mut seen: BTreeSet<u32> = foreign.iter().map(|session| session.vni).collect();
        for session in own {
            prop_assert!(seen.insert(session.vni), "{} twice", session.vni);
        }
    }

    #[test]
    fn pruning_only_deletes_and_never_desired_sessions(text in policies(), observation in observations()) {
        let policy = policy(&text);
        let account_region = plan_of(&policy, &observation);
        let wanted = account_region.counts.present;
        let whole = mirror_sessions::plan::Plan {
            version: 1, owner: OWNER.to_owned(), policy: String::new(), account_regions: vec![account_region], unobserved: vec![],
        };
        let prune = whole.prune();
        prop_assert!(prune.account_regions[0].changes.iter().all(Change::prunes));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (after, failed) = runtime.block_on(async {
            let connection = connect(FakeEc2::new(observation.clone()), unlimited());
            let options = ApplyOptions { dry_run: false, superseded: &|_| false };
            let outcome = apply(&connection, &prune.account_regions[0], options).await;
            (connection.api.observation(), outcome.failed)
        });
        prop_assert!(failed.is_empty(), "{:?}", failed);
        prop_assert_eq!(plan_of(&policy, &after).counts.present, wanted);
    }
}

//! Plans carried out in an account in memory, on simulated time.

use std::time::{Duration, Instant};

use mirror_sessions::apply::{Options, Outcome, apply};
use mirror_sessions::connection::Connection;
use mirror_sessions::limits;
use mirror_sessions::observe::{Scope, Touched, observe};
use mirror_sessions::observed::{InstanceState, Observed, Tags};
use mirror_sessions::plan::{Change, PlacePlan};
use mirror_sessions::policy::{Policy, Rates};

use crate::memory::Memory;
use crate::support::{add_instance, connect, plan_of, policy, unlimited};

const POLICY: &str = r#"
owner = "inspection"
[[account]]
id = "111111111111"
regions = ["eu-west-1"]
[target.near]
endpoints = [{ id = "vpce-0a", zone = "eu-west-1a" }]
[[rule]]
name = "everything"
target = "near"
"#;

const MAKE: Options<'_> = Options { dry_run: false, superseded: &|_| false };

fn world(instances: usize) -> Observed {
    let mut observed = Observed { complete: true, ..Observed::default() };
    for number in 0..instances {
        add_instance(
            &mut observed,
            &format!("i-{number:05}"),
            "m5.large",
            &[&format!("eni-{number:05}")],
            Tags::new(),
        );
    }
    observed
}

async fn look(connection: &Connection<&'static Memory>) -> Observed {
    observe(connection, "inspection", &Scope::Everything).await.unwrap()
}

async fn reconcile(connection: &Connection<&'static Memory>, policy: &Policy) -> (PlacePlan, Outcome) {
    let plan = plan_of(policy, &look(connection).await);
    let outcome = apply(connection, &plan, MAKE).await;
    (plan, outcome)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_interfaces() {
    let policy = policy(POLICY);
    let memory = Memory::new(world(limits::SESSIONS_PER_ACCOUNT));
    // EC2's own buckets for changing calls (Request throttling for the Amazon EC2 API).
    memory.state().writes = (50.0, 5.0);
    let connection = connect(memory, Rates::default());
    let observed = look(&connection).await;

    let start = Instant::now();
    let plan = plan_of(&policy, &observed);
    let text = plan.to_string();
    let planning = start.elapsed();
    println!("planned {} changes in {planning:?}", plan.changes.len());
    assert!(planning < Duration::from_secs(1), "{planning:?}");
    assert_eq!(plan.changes.len(), limits::SESSIONS_PER_ACCOUNT + 1 + 1 + 4);
    assert_eq!(text.lines().count(), plan.changes.len() + 1);

    let simulated = tokio::time::Instant::now();
    let outcome = apply(&connection, &plan, MAKE).await;
    let minutes = simulated.elapsed().as_secs_f64() / 60.0;
    println!("carried out in {minutes:.1} simulated minutes");
    assert_eq!(outcome.done.len(), plan.changes.len());
    let calls = connection.api.state().calls.clone();
    assert!(
        !calls.keys().any(|(_, outcome)| outcome == "RequestLimitExceeded"),
        "never throttled: {calls:?}"
    );
    assert!(minutes < 45.0, "{minutes}");
    assert!(plan_of(&policy, &look(&connection).await).changes.is_empty());

    // One more than the account can have is a problem, and no call.
    add_instance(&mut connection.api.state().observed, "i-more", "m5.large", &["eni-more"], Tags::new());
    let full = plan_of(&policy, &look(&connection).await);
    assert!(full.changes.is_empty());
    assert_eq!(full.problems.len(), 1, "{full}");
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_and_does_not_fail() {
    let policy = policy(POLICY);
    let memory = Memory::new(world(200));
    memory.state().writes = (10.0, 5.0);
    let eager = Rates { writes_per_second: 50.0, write_burst: 50, ..unlimited() };
    let connection = connect(memory, eager);
    let (plan, outcome) = reconcile(&connection, &policy).await;
    assert_eq!(outcome.done.len(), plan.changes.len(), "{:?}", outcome.failed);
    let throttled = connection
        .api
        .state()
        .calls
        .iter()
        .filter(|((_, code), _)| code == "RequestLimitExceeded")
        .map(|(_, count)| count)
        .sum::<usize>();
    assert!(throttled > 0);
    assert!(throttled < 200, "the rate gives way: {throttled}");
}

#[tokio::test(start_paused = true)]
async fn what_was_made_and_lost_is_not_made_twice() {
    let policy = policy(POLICY);
    let memory = Memory::new(world(5));
    // Every third call fails, half of those after the work was done.
    memory.state().fail_every = Some(3);
    let connection = connect(memory, unlimited());
    let (_, outcome) = reconcile(&connection, &policy).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let observed = connection.api.observed();
    assert_eq!((observed.sessions.len(), observed.filters.len(), observed.targets.len()), (5, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn eventual_consistency_is_waited_for() {
    let policy = policy(POLICY);
    let memory = Memory::new(world(3));
    memory.state().visible_after = Duration::from_secs(5);
    let connection = connect(memory, unlimited());
    let (_, outcome) = reconcile(&connection, &policy).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert!(
        plan_of(&policy, &look(&connection).await).changes.is_empty(),
        "what was made shows when apply returns"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_outlived_its_resource_is_replaced() {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(world(2)), unlimited());
    reconcile(&connection, &policy).await;
    // Somebody deletes everything; EC2 remembers the tokens of what there was.
    connection.api.change(|state| {
        state.observed.sessions.clear();
        state.observed.filters.clear();
        state.observed.targets.clear();
    });
    let (_, outcome) = reconcile(&connection, &policy).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let (again, _) = reconcile(&connection, &policy).await;
    assert!(again.changes.is_empty(), "{again}");
    assert_eq!(connection.api.observed().sessions.len(), 2);
}

#[tokio::test]
async fn a_number_that_was_taken_meanwhile_makes_way_for_the_next() {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(world(1)), unlimited());
    let plan = plan_of(&policy, &look(&connection).await);
    let theirs = mirror_sessions::observed::Session {
        id: "tms-theirs".into(),
        interface: "eni-00000".into(),
        target: "tmt-theirs".into(),
        filter: "tmf-theirs".into(),
        number: 1,
        packet_length: None,
        vni: 9,
        description: String::new(),
        tags: Tags::new(),
    };
    connection.api.state().observed.sessions.insert(theirs.id.clone(), theirs);
    let outcome = apply(&connection, &plan, MAKE).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let numbers: Vec<u16> =
        connection.api.observed().sessions.values().map(|session| session.number).collect();
    assert_eq!(numbers, [2, 1]);
    assert!(plan_of(&policy, &look(&connection).await).changes.is_empty());
}

#[tokio::test]
async fn a_dry_run_asks_and_changes_nothing() {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(world(2)), unlimited());
    let plan = plan_of(&policy, &look(&connection).await);
    let outcome = apply(&connection, &plan, Options { dry_run: true, ..MAKE }).await;
    assert_eq!(outcome.done.len(), 2, "the target and the filter would be allowed");
    assert_eq!(outcome.skipped.len(), 6, "rules and sessions need them");
    assert!(connection.api.observed().filters.is_empty());
}

#[tokio::test]
async fn changes_to_an_interface_that_was_looked_at_again_are_left_out() {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(world(2)), unlimited());
    let plan = plan_of(&policy, &look(&connection).await);
    let superseded = |interface: &mirror_sessions::id::InterfaceId| interface.as_str() == "eni-00001";
    let outcome = apply(&connection, &plan, Options { superseded: &superseded, ..MAKE }).await;
    assert_eq!(outcome.skipped.len(), 1);
    assert_eq!(connection.api.observed().sessions.len(), 1);
}

#[tokio::test]
async fn an_event_looks_at_nothing_else() {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(world(50)), unlimited());
    connection.api.state().page = 7;
    reconcile(&connection, &policy).await;
    connection.api.state().observed.instances.get_mut(&"i-00007".into()).unwrap().state =
        InstanceState::Stopped;
    connection.api.state().calls.clear();

    let touched = Touched { instances: ["i-00007".into()].into(), interfaces: Default::default() };
    let observed = observe(&connection, "inspection", &Scope::Touched(touched.clone())).await.unwrap();
    assert_eq!(observed.interfaces.len(), 1);
    assert_eq!(observed.sessions.len(), 1);
    let calls: usize = connection.api.state().calls.values().sum();
    assert!(calls <= 10, "{:?}", connection.api.state().calls);
    let plan = plan_of(&policy, &observed);
    assert!(matches!(&plan.changes[..], [Change::DeleteSession { .. }]), "{plan}");

    // An interface that has left the instance since then is found by the session's description.
    connection.api.change(|state| {
        state.observed.interfaces.get_mut(&"eni-00007".into()).unwrap().attachment = None;
    });
    let observed = observe(&connection, "inspection", &Scope::Touched(touched)).await.unwrap();
    let plan = plan_of(&policy, &observed);
    assert!(plan.to_string().contains("the interface is not attached to an instance"), "{plan}");
}

#[tokio::test]
async fn every_page_is_read() {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(world(23)), unlimited());
    connection.api.state().page = 5;
    reconcile(&connection, &policy).await;
    let observed = look(&connection).await;
    assert_eq!((observed.interfaces.len(), observed.instances.len(), observed.sessions.len()), (23, 23, 23));
}

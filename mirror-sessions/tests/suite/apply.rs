//! Applying plans to EC2 in memory, in simulated time.

use std::time::{Duration, Instant};

use mirror_sessions::apply::{ApplyOptions, ApplyOutcome, apply};
use mirror_sessions::connection::Connection;
use mirror_sessions::limits;
use mirror_sessions::observation::{Affected, Observation, Scope};
use mirror_sessions::observe::observe;
use mirror_sessions::plan::{AccountRegionPlan, Change};
use mirror_sessions::policy::{Policy, RateLimits};
use mirror_sessions::resource::{InstanceState, Session, Tags};

use crate::fake_ec2::FakeEc2;
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

const APPLY: ApplyOptions<'_> = ApplyOptions { dry_run: false, superseded: &|_| false };

fn initial_observation(instances: usize) -> Observation {
    let mut observation = Observation { complete: true, ..Observation::default() };
    for number in 0..instances {
        add_instance(
            &mut observation,
            &format!("i-{number:05}"),
            "m5.large",
            &[&format!("eni-{number:05}")],
            Tags::new(),
        );
    }
    observation
}

async fn observe_all(connection: &Connection<&'static FakeEc2>) -> Observation {
    observe(connection, "inspection", &Scope::Everything).await.unwrap()
}

async fn reconcile(
    connection: &Connection<&'static FakeEc2>,
    policy: &Policy,
) -> (AccountRegionPlan, ApplyOutcome) {
    let plan = plan_of(policy, &observe_all(connection).await);
    let outcome = apply(connection, &plan, APPLY).await;
    (plan, outcome)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_interfaces() {
    let policy = policy(POLICY);
    let fake_ec2 = FakeEc2::new(initial_observation(limits::SESSIONS_PER_ACCOUNT));
    // EC2's own buckets for changing calls (Request throttling for the Amazon EC2 API).
    fake_ec2.state().writes = (50.0, 5.0);
    let connection = connect(fake_ec2, RateLimits::default());
    let observation = observe_all(&connection).await;

    let start = Instant::now();
    let plan = plan_of(&policy, &observation);
    let text = plan.to_string();
    let planning = start.elapsed();
    println!("planned {} changes in {planning:?}", plan.changes.len());
    assert!(planning < Duration::from_secs(1), "{planning:?}");
    assert_eq!(plan.changes.len(), limits::SESSIONS_PER_ACCOUNT + 1 + 1 + 4);
    assert_eq!(text.lines().count(), plan.changes.len() + 1);

    let simulated = tokio::time::Instant::now();
    let outcome = apply(&connection, &plan, APPLY).await;
    let minutes = simulated.elapsed().as_secs_f64() / 60.0;
    println!("applied in {minutes:.1} simulated minutes");
    assert_eq!(outcome.done.len(), plan.changes.len());
    let calls = connection.api.state().calls.clone();
    assert!(
        !calls.keys().any(|(_, outcome)| outcome == "RequestLimitExceeded"),
        "never throttled: {calls:?}"
    );
    assert!(minutes < 45.0, "{minutes}");
    assert!(plan_of(&policy, &observe_all(&connection).await).changes.is_empty());

    // One more than the quota is a problem, without a call.
    add_instance(&mut connection.api.state().observation, "i-more", "m5.large", &["eni-more"], Tags::new());
    let full = plan_of(&policy, &observe_all(&connection).await);
    assert!(full.changes.is_empty());
    assert_eq!(full.problems.len(), 1, "{full}");
}

#[tokio::test(start_paused = true)]
async fn throttling_slows_down_and_does_not_fail() {
    let policy = policy(POLICY);
    let fake_ec2 = FakeEc2::new(initial_observation(200));
    fake_ec2.state().writes = (10.0, 5.0);
    let eager = RateLimits { writes_per_second: 50.0, write_burst: 50, ..unlimited() };
    let connection = connect(fake_ec2, eager);
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
async fn resources_of_lost_answers_are_not_created_twice() {
    let policy = policy(POLICY);
    let fake_ec2 = FakeEc2::new(initial_observation(5));
    // Every third call fails, half of those after the change.
    fake_ec2.state().fail_every = Some(3);
    let connection = connect(fake_ec2, unlimited());
    let (_, outcome) = reconcile(&connection, &policy).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let observation = connection.api.observation();
    assert_eq!((observation.sessions.len(), observation.filters.len(), observation.targets.len()), (5, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn eventual_consistency_is_waited_for() {
    let policy = policy(POLICY);
    let fake_ec2 = FakeEc2::new(initial_observation(3));
    fake_ec2.state().visible_after = Duration::from_secs(5);
    let connection = connect(fake_ec2, unlimited());
    let (_, outcome) = reconcile(&connection, &policy).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert!(
        plan_of(&policy, &observe_all(&connection).await).changes.is_empty(),
        "created resources are visible when apply returns"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_outlived_its_resource_is_replaced() {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(initial_observation(2)), unlimited());
    reconcile(&connection, &policy).await;
    // Somebody deletes everything; EC2 remembers the client tokens.
    connection.api.change(|state| {
        state.observation.sessions.clear();
        state.observation.filters.clear();
        state.observation.targets.clear();
    });
    let (_, outcome) = reconcile(&connection, &policy).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let (again, _) = reconcile(&connection, &policy).await;
    assert!(again.changes.is_empty(), "{again}");
    assert_eq!(connection.api.observation().sessions.len(), 2);
}

#[tokio::test]
async fn the_next_number_is_used_if_one_was_taken_meanwhile() {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(initial_observation(1)), unlimited());
    let plan = plan_of(&policy, &observe_all(&connection).await);
    let foreign = Session {
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
    connection.api.state().observation.sessions.insert(foreign.id.clone(), foreign);
    let outcome = apply(&connection, &plan, APPLY).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let numbers: Vec<u16> =
        connection.api.observation().sessions.values().map(|session| session.number).collect();
    assert_eq!(numbers, [2, 1]);
    assert!(plan_of(&policy, &observe_all(&connection).await).changes.is_empty());
}

#[tokio::test]
async fn a_dry_run_asks_and_changes_nothing() {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(initial_observation(2)), unlimited());
    let plan = plan_of(&policy, &observe_all(&connection).await);
    let outcome = apply(&connection, &plan, ApplyOptions { dry_run: true, ..APPLY }).await;
    assert_eq!(outcome.done.len(), 2, "the target and the filter would be allowed");
    assert_eq!(outcome.skipped.len(), 6, "rules and sessions need them");
    assert!(connection.api.observation().filters.is_empty());
}

#[tokio::test]
async fn changes_to_an_interface_that_an_event_had_reconciled_are_skipped() {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(initial_observation(2)), unlimited());
    let plan = plan_of(&policy, &observe_all(&connection).await);
    let superseded = |interface: &mirror_sessions::id::InterfaceId| interface.as_str() == "eni-00001";
    let outcome = apply(&connection, &plan, ApplyOptions { superseded: &superseded, ..APPLY }).await;
    assert_eq!(outcome.skipped.len(), 1);
    assert_eq!(connection.api.observation().sessions.len(), 1);
}

#[tokio::test]
async fn an_event_reads_only_the_affected_resources() {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(initial_observation(50)), unlimited());
    connection.api.state().page_size = 7;
    reconcile(&connection, &policy).await;
    connection.api.state().observation.instances.get_mut(&"i-00007".into()).unwrap().state =
        InstanceState::Stopped;
    connection.api.state().calls.clear();

    let affected = Affected { instances: ["i-00007".into()].into(), interfaces: Default::default() };
    let observation = observe(&connection, "inspection", &Scope::Affected(affected.clone())).await.unwrap();
    assert_eq!(observation.interfaces.len(), 1);
    assert_eq!(observation.sessions.len(), 1);
    let calls: usize = connection.api.state().calls.values().sum();
    assert!(calls <= 10, "{:?}", connection.api.state().calls);
    let plan = plan_of(&policy, &observation);
    assert!(matches!(&plan.changes[..], [Change::DeleteSession { .. }]), "{plan}");

    // An interface that was detached from the instance since is found by the session's description.
    connection.api.change(|state| {
        state.observation.interfaces.get_mut(&"eni-00007".into()).unwrap().attachment = None;
    });
    let observation = observe(&connection, "inspection", &Scope::Affected(affected)).await.unwrap();
    let plan = plan_of(&policy, &observation);
    assert!(plan.to_string().contains("the interface is not attached to an instance"), "{plan}");
}

#[tokio::test]
async fn every_page_is_read() {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(initial_observation(23)), unlimited());
    connection.api.state().page_size = 5;
    reconcile(&connection, &policy).await;
    let observation = observe_all(&connection).await;
    assert_eq!(
        (observation.interfaces.len(), observation.instances.len(), observation.sessions.len()),
        (23, 23, 23)
    );
}

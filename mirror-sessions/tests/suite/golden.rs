//! Plans as text, compared with files in `tests/golden`. `UPDATE_GOLDEN=1` rewrites them, to be reviewed before they are
//! committed.

use std::path::Path;

use mirror_sessions::observation::Observation;
use mirror_sessions::plan::{AccountRegionPlan, Plan, SessionCounts, Unobserved, VERSION};
use mirror_sessions::resource::{Filter, InstanceState, Session, Tags, Target};
use mirror_sessions::{ownership, vni};
use serde_json::json;

use crate::fake_ec2::FakeEc2;
use crate::support::{account_region, add_instance, connect, plan_of, policy, tags as tag_map, unlimited};

const POLICY: &str = r#"
owner = "inspection"

[[account]]
id = "111111111111"
regions = ["eu-west-1"]

[target.central]
fallback = "vpce-0b"
endpoints = [
    { id = "vpce-0a", zone = "eu-west-1a" },
    { id = "vpce-0b", zone = "eu-west-1b" },
]

[target.nearby]
endpoints = [{ id = "vpce-0a", zone = "eu-west-1a" }]

[filter.web]
network_services = ["amazon-dns"]
rules = [
    { direction = "ingress", protocol = "tcp", source = "0.0.0.0/0", destination = "10.0.0.0/8", destination_ports = 443 },
    { direction = "egress", action = "reject", source = "10.0.0.0/8", destination = "10.0.0.0/8" },
]

[[rule]]
name = "no bastions"
exclude = true
select = { tag = { role = "bastion" } }

[[rule]]
name = "campaign"
target = "central"
ends = 2026-11-20T00:00:00Z
select = { tag = { role = "*" } }

[[rule]]
name = "web"
target = "central"
filter = "web"
packet_length = 128
session_number = 10
interfaces = "primary"
tags = { team = "security" }
select = { all = [{ tag = { role = "web*" } }, { not = { vpc = "vpc-9" } }] }

[[rule]]
name = "databases"
target = "nearby"
vni = "aws"
select = { any = [{ tag = { role = "db" } }, { instance_type = "r5.*" }] }
"#;

fn compare(name: &str, account_region: AccountRegionPlan) {
    compare_text(name, &shown(account_region));
}

fn shown(account_region: AccountRegionPlan) -> Plan {
    Plan {
        version: VERSION,
        owner: "inspection".to_owned(),
        policy: "digest".to_owned(),
        account_regions: vec![account_region],
        unobserved: vec![],
    }
}

fn compare_text(name: &str, plan: &Plan) {
    let found = format!("{plan}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found, golden, "{name}");
    let saved = serde_json::to_string(plan).unwrap();
    assert_eq!(&serde_json::from_str::<Plan>(&saved).unwrap(), plan, "a saved plan is read back");
}

fn role(role: &str) -> Tags {
    tag_map([("role", role)])
}

fn initial_observation() -> Observation {
    let mut observation = Observation { complete: true, ..Observation::default() };
    add_instance(&mut observation, "i-web", "m5.large", &["eni-web-0", "eni-web-1"], role("web-1"));
    add_instance(&mut observation, "i-db", "m5.xlarge", &["eni-db"], role("db"));
    add_instance(&mut observation, "i-cache", "r5.large", &["eni-cache"], Tags::new());
    add_instance(&mut observation, "i-bastion", "m5.large", &["eni-bastion"], role("bastion"));
    add_instance(&mut observation, "i-plain", "m5.large", &["eni-plain"], Tags::new());
    observation
}

/// The observation after its plan was applied.
async fn after_apply(observation: Observation) -> Observation {
    let policy = policy(POLICY);
    let connection = connect(FakeEc2::new(observation), unlimited());
    let plan = plan_of(&policy, &connection.api.observation());
    let options = mirror_sessions::apply::ApplyOptions { dry_run: false, superseded: &|_| false };
    let outcome = mirror_sessions::apply::apply(&connection, &plan, options).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    connection.api.observation()
}

#[test]
fn from_nothing() {
    compare("from_nothing", plan_of(&policy(POLICY), &initial_observation()));
}

#[tokio::test]
async fn as_wanted() {
    compare("as_wanted", plan_of(&policy(POLICY), &after_apply(initial_observation()).await));
}

#[tokio::test]
async fn drift() {
    let mut observation = after_apply(initial_observation()).await;
    let web =
        observation.sessions.values_mut().find(|session| session.interface.as_str() == "eni-web-0").unwrap();
    web.packet_length = None;
    web.number = 3;
    web.vni = 5;
    web.description = "changed by hand".to_owned();
    web.tags.insert("team".to_owned(), "other".to_owned());
    web.tags.insert("mirror-sessions:old".to_owned(), "x".to_owned());
    web.tags.insert("cost-centre".to_owned(), "kept".to_owned());
    let filter = observation
        .filters
        .values_mut()
        .find(|filter| filter.tags.get(ownership::FILTER_TAG).is_some_and(|name| name == "web"))
        .unwrap();
    let mut rules = filter.rules.values_mut();
    rules.next().unwrap().destination_ports = None;
    rules.next().unwrap().number = 7;
    filter.network_services.clear();
    compare("drift", plan_of(&policy(POLICY), &observation));
}

#[tokio::test]
async fn prune() {
    let mut observation = after_apply(initial_observation()).await;
    observation.instances.get_mut(&"i-db".into()).unwrap().state = InstanceState::Stopped;
    observation.interfaces.remove(&"eni-cache".into());
    observation.interfaces.get_mut(&"eni-web-0".into()).unwrap().tags = role("bastion");
    compare("prune", plan_of(&policy(POLICY), &observation));
}

#[tokio::test]
async fn what_no_rule_uses_any_more() {
    let observation = after_apply(initial_observation()).await;
    let smaller = POLICY.replace("filter = \"web\"", "").replace("vpce-0a", "vpce-0d");
    compare("unused", plan_of(&policy(&smaller), &observation));
}

#[test]
fn problems() {
    let mut observation = initial_observation();
    add_instance(&mut observation, "i-old", "t2.micro", &["eni-old"], role("web"));
    add_instance(&mut observation, "i-full", "m5.large", &["eni-full"], role("web"));
    add_instance(&mut observation, "i-far", "m5.large", &["eni-far"], role("db"));
    add_instance(&mut observation, "i-fallback", "m5.large", &["eni-fallback"], role("web"));
    observation.interfaces.get_mut(&"eni-far".into()).unwrap().zone = "eu-west-1c".to_owned();
    observation.interfaces.get_mut(&"eni-fallback".into()).unwrap().zone = "eu-west-1c".to_owned();
    for number in 1..=3 {
        add_foreign_session(&mut observation, "eni-full", number);
    }
    compare("problems", plan_of(&policy(POLICY), &observation));
}

/// A mirror target can send to an endpoint, which only Describe shows.
#[test]
fn a_packet_length_that_does_not_fit_through_a_target_is_a_problem() {
    let text = POLICY.replace("packet_length = 128", "packet_length = 8465").replace("vpce-0a", "tmt-0a");
    let text = text.replace("vpce-", "tmt-");
    let mut observation = initial_observation();
    let problem = "packet_length 8465 does not fit through the Gateway Load Balancer endpoint of tmt-0a";
    for (endpoint, told) in [(Some("vpce-0a".into()), true), (None, false)] {
        let target = Target { id: "tmt-0a".into(), endpoint, tags: Tags::new() };
        observation.targets.insert(target.id.clone(), target);
        let plan = shown(plan_of(&policy(&text), &observation)).to_string();
        assert_eq!(plan.contains(problem), told, "{plan}");
        assert_eq!(plan.contains("leaves 8464; set that or less"), told, "{plan}");
    }
}

#[test]
fn resources_of_other_owners_are_left_alone() {
    let mut observation = initial_observation();
    // Their session numbers and virtual network ids are skipped.
    add_foreign_session(&mut observation, "eni-web-0", 10);
    let first = vni::candidates(&account_region().account, &"eni-web-0".into()).next().unwrap();
    observation.sessions.values_mut().next().unwrap().vni = first;
    let target = Target { id: "tmt-other".into(), endpoint: Some("vpce-0a".into()), tags: Tags::new() };
    observation.targets.insert(target.id.clone(), target);
    let filter = Filter {
        id: "tmf-other".into(),
        rules: Default::default(),
        network_services: Default::default(),
        tags: tag_map([(ownership::OWNER_TAG, "another"), (ownership::FILTER_TAG, "web")]),
    };
    observation.filters.insert(filter.id.clone(), filter);
    compare("others", plan_of(&policy(POLICY), &observation));
}

#[test]
fn an_account_and_region_that_was_not_observed() {
    let plan = Plan {
        version: VERSION,
        owner: "inspection".to_owned(),
        policy: "digest".to_owned(),
        account_regions: vec![],
        unobserved: vec![Unobserved {
            account_region: account_region(),
            error: "AssumeRole: AccessDenied: no".to_owned(),
        }],
    };
    compare_text("unobserved", &plan);
}

#[test]
fn the_keys_of_a_saved_plan() {
    let plan = Plan {
        unobserved: vec![Unobserved { account_region: account_region(), error: "no".to_owned() }],
        ..shown(AccountRegionPlan {
            account_region: account_region(),
            changes: vec![],
            problems: vec![],
            counts: SessionCounts::default(),
        })
    };
    let place = json!({"account": "111111111111", "region": "eu-west-1", "changes": [], "problems": [],
        "census": {"desired": 0, "present": 0, "missing": 0, "orphaned": 0}});
    let unseen = json!({"account": "111111111111", "region": "eu-west-1", "error": "no"});
    let saved = json!({"version": 1, "owner": "inspection", "policy": "digest", "places": [place], "unseen": [unseen]});
    assert_eq!(serde_json::to_value(&plan).unwrap(), saved);
    assert_eq!(serde_json::from_value::<Plan>(saved).unwrap(), plan);
}

fn add_foreign_session(observation: &mut Observation, interface: &str, number: u16) {
    let session = Session {
        id: format!("tms-other-{number}").as_str().into(),
        interface: interface.into(),
        target: "tmt-other".into(),
        filter: "tmf-other".into(),
        number,
        packet_length: None,
        vni: u32::from(number),
        description: String::new(),
        tags: Tags::new(),
    };
    observation.sessions.insert(session.id.clone(), session);
}

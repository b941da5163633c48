//! Plans as text, compared with files in `tests/golden`. `UPDATE_GOLDEN=1` writes them anew, to be read before they
//! are committed.

use std::path::Path;

use mirror_sessions::observed::{Filter, InstanceState, Observed, Session, Tags, Target};
use mirror_sessions::plan::{PlacePlan, Plan, Unseen, VERSION};
use mirror_sessions::{tags, vni};

use crate::memory::Memory;
use crate::support::{add_instance, connect, place, plan_of, policy, tags as tag_map, unlimited};

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

fn compare(name: &str, place: PlacePlan) {
    compare_text(name, &shown(place));
}

fn shown(place: PlacePlan) -> Plan {
    Plan {
        version: VERSION,
        owner: "inspection".to_owned(),
        policy: "digest".to_owned(),
        places: vec![place],
        unseen: vec![],
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
    assert_eq!(&serde_json::from_str::<Plan>(&saved).unwrap(), plan, "a plan survives being saved");
}

fn role(role: &str) -> Tags {
    tag_map([("role", role)])
}

fn world() -> Observed {
    let mut observed = Observed { complete: true, ..Observed::default() };
    add_instance(&mut observed, "i-web", "m5.large", &["eni-web-0", "eni-web-1"], role("web-1"));
    add_instance(&mut observed, "i-db", "m5.xlarge", &["eni-db"], role("db"));
    add_instance(&mut observed, "i-cache", "r5.large", &["eni-cache"], Tags::new());
    add_instance(&mut observed, "i-bastion", "m5.large", &["eni-bastion"], role("bastion"));
    add_instance(&mut observed, "i-plain", "m5.large", &["eni-plain"], Tags::new());
    observed
}

/// The world after its plan was carried out.
async fn settled(observed: Observed) -> Observed {
    let policy = policy(POLICY);
    let connection = connect(Memory::new(observed), unlimited());
    let plan = plan_of(&policy, &connection.api.observed());
    let options = mirror_sessions::apply::Options { dry_run: false, superseded: &|_| false };
    let outcome = mirror_sessions::apply::apply(&connection, &plan, options).await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    connection.api.observed()
}

#[test]
fn from_nothing() {
    compare("from_nothing", plan_of(&policy(POLICY), &world()));
}

#[tokio::test]
async fn as_wanted() {
    compare("as_wanted", plan_of(&policy(POLICY), &settled(world()).await));
}

#[tokio::test]
async fn drift() {
    let mut observed = settled(world()).await;
    let web =
        observed.sessions.values_mut().find(|session| session.interface.as_str() == "eni-web-0").unwrap();
    web.packet_length = None;
    web.number = 3;
    web.vni = 5;
    web.description = "changed by hand".to_owned();
    web.tags.insert("team".to_owned(), "other".to_owned());
    web.tags.insert("mirror-sessions:old".to_owned(), "x".to_owned());
    web.tags.insert("cost-centre".to_owned(), "kept".to_owned());
    let filter = observed
        .filters
        .values_mut()
        .find(|filter| filter.tags.get(tags::FILTER).is_some_and(|name| name == "web"))
        .unwrap();
    let mut rules = filter.rules.values_mut();
    rules.next().unwrap().destination_ports = None;
    rules.next().unwrap().number = 7;
    filter.network_services.clear();
    compare("drift", plan_of(&policy(POLICY), &observed));
}

#[tokio::test]
async fn reap() {
    let mut observed = settled(world()).await;
    observed.instances.get_mut(&"i-db".into()).unwrap().state = InstanceState::Stopped;
    observed.interfaces.remove(&"eni-cache".into());
    observed.interfaces.get_mut(&"eni-web-0".into()).unwrap().tags = role("bastion");
    compare("reap", plan_of(&policy(POLICY), &observed));
}

#[tokio::test]
async fn what_no_rule_uses_any_more() {
    let observed = settled(world()).await;
    let smaller = POLICY.replace("filter = \"web\"", "").replace("vpce-0a", "vpce-0d");
    compare("unused", plan_of(&policy(&smaller), &observed));
}

#[test]
fn problems() {
    let mut observed = world();
    add_instance(&mut observed, "i-old", "t2.micro", &["eni-old"], role("web"));
    add_instance(&mut observed, "i-full", "m5.large", &["eni-full"], role("web"));
    add_instance(&mut observed, "i-far", "m5.large", &["eni-far"], role("db"));
    add_instance(&mut observed, "i-fallback", "m5.large", &["eni-fallback"], role("web"));
    observed.interfaces.get_mut(&"eni-far".into()).unwrap().zone = "eu-west-1c".to_owned();
    observed.interfaces.get_mut(&"eni-fallback".into()).unwrap().zone = "eu-west-1c".to_owned();
    for number in 1..=3 {
        add_foreign_session(&mut observed, "eni-full", number);
    }
    compare("problems", plan_of(&policy(POLICY), &observed));
}

/// A mirror target may stand for an endpoint, which only its description tells.
#[test]
fn what_does_not_fit_through_a_target_is_a_problem() {
    let text = POLICY.replace("packet_length = 128", "packet_length = 8465").replace("vpce-0a", "tmt-0a");
    let text = text.replace("vpce-", "tmt-");
    let mut observed = world();
    let problem = "packet_length 8465 does not fit through the Gateway Load Balancer endpoint of tmt-0a";
    for (endpoint, told) in [(Some("vpce-0a".into()), true), (None, false)] {
        let target = Target { id: "tmt-0a".into(), endpoint, tags: Tags::new() };
        observed.targets.insert(target.id.clone(), target);
        let plan = shown(plan_of(&policy(&text), &observed)).to_string();
        assert_eq!(plan.contains(problem), told, "{plan}");
        assert_eq!(plan.contains("leaves 8464; set that or less"), told, "{plan}");
    }
}

#[test]
fn what_others_made_is_left_alone() {
    let mut observed = world();
    // Their numbers and virtual network ids are passed over.
    add_foreign_session(&mut observed, "eni-web-0", 10);
    let first = vni::candidates(&place().account, &"eni-web-0".into()).next().unwrap();
    observed.sessions.values_mut().next().unwrap().vni = first;
    let target = Target { id: "tmt-other".into(), endpoint: Some("vpce-0a".into()), tags: Tags::new() };
    observed.targets.insert(target.id.clone(), target);
    let filter = Filter {
        id: "tmf-other".into(),
        rules: Default::default(),
        network_services: Default::default(),
        tags: tag_map([(tags::OWNER, "another"), (tags::FILTER, "web")]),
    };
    observed.filters.insert(filter.id.clone(), filter);
    compare("others", plan_of(&policy(POLICY), &observed));
}

#[test]
fn a_place_that_was_not_observed() {
    let plan = Plan {
        version: VERSION,
        owner: "inspection".to_owned(),
        policy: "digest".to_owned(),
        places: vec![],
        unseen: vec![Unseen { place: place(), error: "AssumeRole: AccessDenied: no".to_owned() }],
    };
    compare_text("unseen", &plan);
}

fn add_foreign_session(observed: &mut Observed, interface: &str, number: u16) {
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
    observed.sessions.insert(session.id.clone(), session);
}

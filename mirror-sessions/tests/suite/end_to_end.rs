//! The program against a moto server: accounts, roles, queues, faults, crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::moto::{Account, HUB, MEMBER, Moto, REGION, Running, start};

/// A policy for these accounts that mirrors everything but bastions.
fn policy(accounts: &[(&str, &Account)]) -> String {
    let mut text = String::from(
        "owner = \"inspection\"\n[api]\nreads_per_second = 1000.0\nread_burst = 1000\nwrites_per_second = 1000.0\nwrite_burst = 1000\n",
    );
    let mut endpoints = String::new();
    for (id, account) in accounts {
        text += &format!("[[account]]\nid = \"{id}\"\nregions = [\"{REGION}\"]\n");
        if *id != HUB {
            text +=
                &format!("role_arn = \"arn:aws:iam::{id}:role/mirror-sessions\"\nexternal_id = \"secret\"\n");
        }
        endpoints +=
            &format!("{{ id = \"{}\", zone = \"{REGION}a\", account = \"{id}\" }},", account.endpoint);
    }
    text + &format!(
        "[target.near]\nendpoints = [{endpoints}]\n\
         [[rule]]\nname = \"no bastions\"\nexclude = true\nselect = {{ tag = {{ role = \"bastion\" }} }}\n\
         [[rule]]\nname = \"everything\"\ntarget = \"near\"\nselect = {{ tag = {{ role = \"*\" }} }}\n"
    )
}

/// The sessions of the account, in a form in which two runs can be compared.
async fn state(account: &Account) -> Vec<String> {
    let mut all: Vec<String> = account
        .sessions()
        .await
        .iter()
        .map(|session| {
            let mut tags: Vec<_> =
                session.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
            tags.sort_unstable();
            format!(
                "{:?} {:?} {:?} {:?} {:?}",
                session.network_interface_id(),
                session.session_number(),
                session.virtual_network_id(),
                session.packet_length(),
                tags
            )
        })
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn the_extension_is_checked_with_boto3() {
    let Some(moto) = start() else { return };
    let output = moto.script("check_boto3.py");
    let (out, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("checks passed"), "{out}{log}");
}

#[test]
fn the_extension_is_checked_with_the_aws_cli() {
    let Some(moto) = start() else { return };
    let vpc = moto.aws_json(&["ec2", "create-vpc", "--cidr-block", "10.0.0.0/16"]);
    let vpc = vpc["Vpc"]["VpcId"].as_str().unwrap();
    let subnet = moto.aws_json(&["ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", "10.0.0.0/24"]);
    let subnet = subnet["Subnet"]["SubnetId"].as_str().unwrap();
    let interface = moto.aws_json(&["ec2", "create-network-interface", "--subnet-id", subnet]);
    let interface = interface["NetworkInterface"]["NetworkInterfaceId"].as_str().unwrap();
    let endpoint = moto.aws_json(&[
        "ec2",
        "create-vpc-endpoint",
        "--vpc-id",
        vpc,
        "--vpc-endpoint-type",
        "GatewayLoadBalancer",
        "--service-name",
        "com.amazonaws.vpce.eu-west-1.vpce-svc-1",
        "--subnet-ids",
        subnet,
    ]);
    let endpoint = endpoint["VpcEndpoint"]["VpcEndpointId"].as_str().unwrap();
    let target = moto.aws_json(&[
        "ec2",
        "create-traffic-mirror-target",
        "--gateway-load-balancer-endpoint-id",
        endpoint,
    ]);
    let target = target["TrafficMirrorTarget"]["TrafficMirrorTargetId"].as_str().unwrap();
    let filter = moto.aws_json(&["ec2", "create-traffic-mirror-filter", "--description", "cli"]);
    let filter = filter["TrafficMirrorFilter"]["TrafficMirrorFilterId"].as_str().unwrap();
    let rule = moto.aws_json(&[
        "ec2",
        "create-traffic-mirror-filter-rule",
        "--traffic-mirror-filter-id",
        filter,
        "--traffic-direction",
        "egress",
        "--rule-number",
        "1",
        "--rule-action",
        "accept",
        "--protocol",
        "17",
        "--destination-port-range",
        "FromPort=53,ToPort=53",
        "--source-cidr-block",
        "10.0.0.0/8",
        "--destination-cidr-block",
        "0.0.0.0/0",
    ]);
    assert_eq!(
        rule["TrafficMirrorFilterRule"]["DestinationPortRange"],
        json!({"FromPort": 53, "ToPort": 53})
    );
    let create = [
        "ec2",
        "create-traffic-mirror-session",
        "--network-interface-id",
        interface,
        "--traffic-mirror-target-id",
        target,
        "--traffic-mirror-filter-id",
        filter,
        "--session-number",
        "5",
        "--virtual-network-id",
        "77",
        "--client-token",
        "once",
        "--tag-specifications",
        "ResourceType=traffic-mirror-session,Tags=[{Key=a,Value=b}]",
    ];
    let mut dry = create.to_vec();
    dry.push("--dry-run");
    let refused = moto.aws(&dry);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("DryRunOperation"));
    let session = moto.aws_json(&create)["TrafficMirrorSession"].clone();
    assert_eq!((&session["VirtualNetworkId"], &session["SessionNumber"]), (&json!(77), &json!(5)));
    assert_eq!(
        moto.aws_json(&create)["TrafficMirrorSession"]["TrafficMirrorSessionId"],
        session["TrafficMirrorSessionId"],
        "the token"
    );
    let id = session["TrafficMirrorSessionId"].as_str().unwrap();
    let found = moto.aws_json(&[
        "ec2",
        "describe-traffic-mirror-sessions",
        "--filters",
        "Name=virtual-network-id,Values=77",
    ]);
    assert_eq!(found["TrafficMirrorSessions"][0]["Tags"], json!([{"Key": "a", "Value": "b"}]));
    let busy = moto.aws(&["ec2", "delete-traffic-mirror-filter", "--traffic-mirror-filter-id", filter]);
    assert!(String::from_utf8_lossy(&busy.stderr).contains("TrafficMirrorFilterInUse"));
    moto.aws_json(&["ec2", "delete-traffic-mirror-session", "--traffic-mirror-session-id", id]);
    moto.aws_json(&["ec2", "delete-traffic-mirror-filter", "--traffic-mirror-filter-id", filter]);
    moto.aws_json(&["ec2", "delete-traffic-mirror-target", "--traffic-mirror-target-id", target]);
    let left = moto.aws_json(&["ec2", "describe-traffic-mirror-filters"]);
    assert_eq!(left["TrafficMirrorFilters"], json!([]));
}

#[tokio::test]
async fn two_accounts_by_their_roles() {
    let Some(moto) = start() else { return };
    let (hub, member) = (moto.account(HUB, REGION).await, moto.account(MEMBER, REGION).await);
    let instances = hub.launch(3, "web", "m5.large").await;
    hub.launch(1, "bastion", "m5.large").await;
    member.launch(2, "db", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub), (MEMBER, &member)]));
    moto.set(&json!({"page": 2}));

    moto.run(&["plan", "--exit-code"], 5);
    let text = moto.run(&["reconcile"], 0);
    assert!(text.contains("+ session on eni-") && text.ends_with("17 done, 0 skipped, 0 failed\n"), "{text}");
    assert_eq!((hub.sessions().await.len(), member.sessions().await.len()), (3, 2));
    let plan = moto.run(&["plan", "--exit-code"], 0);
    assert!(plan.contains("0 to make, 0 to change, 0 to delete; 5 sessions are there"), "{plan}");
    moto.run(&["reconcile"], 0);

    let filters = member.filters().await;
    let rules = (filters[0].ingress_filter_rules().len(), filters[0].egress_filter_rules().len());
    assert_eq!((filters.len(), rules), (1, (2, 2)), "IPv4 and IPv6 both ways");

    let list: Vec<Value> = serde_json::from_str(&moto.run(&["list", "--json"], 0)).unwrap();
    let accounts: Vec<&str> = list.iter().map(|row| row["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, [HUB, HUB, HUB, MEMBER, MEMBER]);
    let vnis: BTreeSet<u64> = list.iter().map(|row| row["vni"].as_u64().unwrap()).collect();
    assert_eq!(vnis.len(), 5);
    let table = moto.run(&["list"], 0);
    assert!(table.starts_with("ACCOUNT ") && table.lines().count() == 6, "{table}");
    let shown = moto.run(&["show", &instances[0]], 0);
    assert!(shown.contains("rule        everything") && shown.contains(&instances[0]), "{shown}");
    moto.run(&["show", "i-none"], 1);

    moto.run(&["map", "--output", moto.path("map.json").to_str().unwrap()], 0);
    let map: Value = serde_json::from_slice(&std::fs::read(moto.path("map.json")).unwrap()).unwrap();
    assert_eq!((&map["version"], &map["owner"]), (&json!(1), &json!("inspection")));
    let sessions = map["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 5);
    for entry in sessions {
        assert!(vnis.contains(&entry["vni"].as_u64().unwrap()));
        let digits = entry["endpoint_ids"][0].as_str().unwrap();
        let endpoint = entry["endpoint"].as_str().unwrap();
        assert_eq!(
            u64::from_str_radix(digits, 16).unwrap(),
            u64::from_str_radix(endpoint.strip_prefix("vpce-").unwrap(), 16).unwrap()
        );
        assert!(entry["addresses"][0].as_str().unwrap().starts_with("10."));
        assert!(["web", "db"].contains(&entry["tags"]["role"].as_str().unwrap()));
        assert_eq!(entry["rule"], "everything");
    }
}

#[tokio::test]
async fn an_account_that_fails_does_not_stop_the_others() {
    let Some(moto) = start() else { return };
    let (hub, member) = (moto.account(HUB, REGION).await, moto.account(MEMBER, REGION).await);
    hub.launch(2, "web", "m5.large").await;
    member.launch(2, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub), (MEMBER, &member)]));
    moto.set(&json!({"faults": [{"account": MEMBER, "action": "DescribeInstances", "code": "UnauthorizedOperation", "status": 403, "probability": 1}]}));
    let metrics = moto.path("metrics.prom");
    let text = moto.run(&["--metrics", metrics.to_str().unwrap(), "reconcile"], 3);
    assert!(text.contains("! not observed: DescribeInstances: UnauthorizedOperation"), "{text}");
    assert_eq!((hub.sessions().await.len(), member.sessions().await.len()), (2, 0));
    let metrics = std::fs::read_to_string(metrics).unwrap();
    for line in [
        "mirror_sessions_desired{account=\"123456789012\",region=\"eu-west-1\"} 2",
        "mirror_sessions_present{account=\"123456789012\",region=\"eu-west-1\"} 2",
        "mirror_sessions_missing{account=\"123456789012\",region=\"eu-west-1\"} 0",
        "mirror_sessions_orphaned{account=\"123456789012\",region=\"eu-west-1\"} 0",
        "mirror_sessions_unseen{account=\"222222222222\",region=\"eu-west-1\"} 1",
        "mirror_sessions_api_calls_total{operation=\"DescribeInstances\",code=\"UnauthorizedOperation\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // A list of what can be observed has the exit code of a partial result.
    moto.run(&["list"], 3);
}

#[tokio::test]
async fn a_saved_plan_is_applied_unless_it_is_out_of_date() {
    let Some(moto) = start() else { return };
    let hub = moto.account(HUB, REGION).await;
    hub.launch(2, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub)]));
    let plan = moto.path("plan.json");
    let plan = plan.to_str().unwrap();
    moto.run(&["plan", "--output", plan], 0);
    let dry = moto.run(&["apply", "--dry-run", plan], 0);
    assert!(dry.ends_with("2 would be allowed, 6 skipped, 0 failed\n"), "{dry}");
    assert!(hub.filters().await.is_empty());

    let late = hub.launch(1, "web", "m5.large").await;
    moto.run(&["apply", plan], 4);
    assert!(hub.sessions().await.is_empty());

    moto.run(&["plan", "--output", plan], 0);
    moto.run(&["apply", plan], 0);
    assert_eq!(hub.sessions().await.len(), 3);
    moto.run(&["apply", plan], 4);
    std::fs::write(plan, "{}").unwrap();
    moto.run(&["apply", plan], 1);

    // The session of the stopped instance is pruned; the missing session is left to reconcile.
    hub.ec2.stop_instances().instance_ids(&late[0]).send().await.unwrap();
    hub.launch(1, "web", "m5.large").await;
    let pruned: Value = serde_json::from_str(&moto.run(&["reap", "--json"], 0)).unwrap();
    assert_eq!(pruned["places"][0]["done"][0]["reason"], format!("instance {} is stopped", late[0]));
    assert_eq!(hub.sessions().await.len(), 2);

    // The sessions of a rule that has ended are deleted.
    let text = policy(&[(HUB, &hub)]);
    moto.policy(&text.replace("name = \"everything\"", "name = \"everything\"\nends = 2020-01-01T00:00:00Z"));
    moto.run(&["reap"], 0);
    assert!(
        hub.sessions().await.is_empty() && hub.filters().await.is_empty() && hub.targets().await.is_empty()
    );
}

#[tokio::test]
async fn throttling_and_server_errors_are_survived() {
    let Some(moto) = start() else { return };
    let hub = moto.account(HUB, REGION).await;
    hub.launch(60, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub)]).replace("writes_per_second = 1000.0", "writes_per_second = 100.0"));
    moto.set(&json!({"rate": {"reads": [100, 20], "writes": [30, 30]}, "faults": [
        {"code": "RequestLimitExceeded", "status": 503, "probability": 0.1},
        {"code": "InternalError", "status": 500, "probability": 0.1},
        {"code": "Unavailable", "status": 503, "probability": 0.1},
    ]}));
    let metrics = moto.path("metrics.prom");
    moto.run(&["--metrics", metrics.to_str().unwrap(), "reconcile"], 0);
    moto.set(&json!({"rate": null, "faults": []}));
    let sessions = hub.sessions().await;
    let interfaces: BTreeSet<_> =
        sessions.iter().map(|session| session.network_interface_id().unwrap()).collect();
    assert_eq!((sessions.len(), interfaces.len()), (60, 60));
    assert_eq!((hub.filters().await.len(), hub.targets().await.len()), (1, 1));
    moto.run(&["plan", "--exit-code"], 0);
    let metrics = std::fs::read_to_string(metrics).unwrap();
    for code in ["RequestLimitExceeded", "InternalError", "Unavailable"] {
        assert!(metrics.contains(&format!("code=\"{code}\"")), "{code}\n{metrics}");
    }
}

#[tokio::test]
async fn killed_in_the_middle_it_goes_on_where_it_was() {
    let Some(moto) = start() else { return };
    let hub = moto.account(HUB, REGION).await;
    hub.launch(60, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub)]));
    // Slow enough that a busy machine sees the program in the middle of its work.
    moto.set(&json!({"delay": 0.3}));
    for at in [5, 20, 40] {
        let child = moto.program(&["reconcile"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut child = Running(child);
        let start = Instant::now();
        while hub.sessions().await.len() < at {
            assert!(start.elapsed() < Duration::from_secs(60), "no {at} sessions");
            assert!(child.0.try_wait().unwrap().is_none(), "it ended before it could be killed");
        }
        drop(child); // SIGKILL
        let found = hub.sessions().await.len();
        assert!((at..60).contains(&found), "killed in the middle: {found}");
    }
    moto.set(&json!({"delay": 0.0}));
    moto.run(&["reconcile"], 0);
    let after_crashes = state(&hub).await;
    assert_eq!((hub.filters().await.len(), hub.targets().await.len()), (1, 1));
    moto.run(&["plan", "--exit-code"], 0);

    // The same from nothing, undisturbed.
    for session in hub.sessions().await {
        hub.ec2
            .delete_traffic_mirror_session()
            .traffic_mirror_session_id(session.traffic_mirror_session_id().unwrap())
            .send()
            .await
            .unwrap();
    }
    moto.run(&["reconcile"], 0);
    assert_eq!(state(&hub).await, after_crashes);
    assert_eq!(after_crashes.len(), 60);
}

#[tokio::test]
async fn a_refused_instance_type_is_learnt() {
    let Some(moto) = start() else { return };
    let hub = moto.account(HUB, REGION).await;
    hub.launch(1, "web", "m5.large").await;
    hub.launch(1, "web", "m5.xlarge").await;
    moto.policy(&policy(&[(HUB, &hub)]));
    moto.set(&json!({"unsupported_types": ["m5.xlarge"]}));
    let learnt = moto.path("learnt.json");
    let learnt = learnt.to_str().unwrap();
    moto.run(&["--learnt", learnt, "reconcile"], 3);
    let types: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(learnt).unwrap()).unwrap();
    assert_eq!(types.keys().collect::<Vec<_>>(), ["m5.xlarge"]);
    let text = moto.run(&["--learnt", learnt, "reconcile"], 0);
    assert!(text.contains("m5.xlarge cannot be a source: the API said"), "{text}");
    assert_eq!(hub.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_check_reports_what_is_missing() {
    let Some(moto) = start() else { return };
    let hub = moto.account(HUB, REGION).await;
    hub.launch(1, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub)]));
    moto.run(&["reconcile"], 0);
    let text = moto.run(&["check"], 0);
    assert!(text.contains("13 of 13 changing calls are allowed"), "{text}");
    assert!(text.contains("quota of sessions: 1 of 10000") && text.contains("is available"), "{text}");
    assert!(text.contains("set packet_length = 8464"), "{text}");
    assert!(!text.contains("AWS does not list"), "{text}");
    hub.launch(1, "web", "z9.large").await;
    let text = moto.run(&["check"], 0);
    assert!(text.contains("advice") && text.contains("AWS does not list z9.large as sources"), "{text}");

    moto.set(&json!({"denied": ["DeleteTrafficMirrorSession"]}));
    hub.launch(1, "web", "t2.micro").await;
    let text = policy(&[(HUB, &hub)]).replace(&hub.endpoint, "vpce-0123456789abcdef0");
    moto.policy(&text);
    let findings: Vec<Value> = serde_json::from_str(&moto.run(&["check", "--json"], 5)).unwrap();
    let faults: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["level"] == "fault")
        .map(|finding| finding["finding"].as_str().unwrap())
        .collect();
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].contains("t2.micro cannot be a source"), "{faults:?}");
    assert!(faults[1].contains("is not in this account and region"), "{faults:?}");
    assert!(faults[2].contains("allow ec2:DeleteTrafficMirrorSession"), "{faults:?}");
    assert_eq!(hub.sessions().await.len(), 1, "a check changes nothing");
}

/// Deploys a template of `init`.
fn deploy(moto: &Moto, stack: &str, template: &str, environment: &[(&str, &str)]) {
    let file = moto.path(&format!("{stack}.json"));
    std::fs::write(&file, template).unwrap();
    let body = format!("file://{}", file.display());
    let mut arguments = vec![
        "cloudformation",
        "create-stack",
        "--stack-name",
        stack,
        "--template-body",
        &body,
        "--capabilities",
        "CAPABILITY_NAMED_IAM",
    ];
    arguments.extend(["--region", REGION]);
    let output = moto.aws_as(&arguments, environment);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn from_an_event_to_a_session_within_a_second() {
    let Some(moto) = start() else { return };
    let (hub, member) = (moto.account(HUB, REGION).await, moto.account(MEMBER, REGION).await);
    moto.policy(&policy(&[(HUB, &hub), (MEMBER, &member)]));
    deploy(&moto, "hub", &moto.run(&["init", "hub"], 0), &[]);
    let member_keys = moto.keys(MEMBER).await;
    let member_keys: Vec<(&str, &str)> =
        member_keys.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let template = moto.run(&["init", "member", MEMBER, "--hub-account", HUB, "--hub-region", REGION], 0);
    deploy(&moto, "member", &template, &member_keys);
    let outputs = moto.aws_json(&["cloudformation", "describe-stacks", "--stack-name", "hub"]);
    let output = |key: &str| {
        let outputs = outputs["Stacks"][0]["Outputs"].as_array().unwrap();
        let found = outputs.iter().find(|output| output["OutputKey"] == key).unwrap();
        found["OutputValue"].as_str().unwrap().to_owned()
    };
    let (queue, dead_letters) = (output("QueueUrl"), output("DeadLetterUrl"));

    let (metrics, map) = (moto.path("metrics.prom"), moto.path("map.json"));
    let log = std::fs::File::create(moto.path("log")).unwrap();
    let watch = moto
        .program(&[
            "--log-format",
            "json",
            "--metrics",
            metrics.to_str().unwrap(),
            "watch",
            "--interval",
            "3600",
            "--queue-url",
            &queue,
            "--dead-letter-url",
            &dead_letters,
            "--map",
            map.to_str().unwrap(),
        ])
        .stderr(log)
        .spawn()
        .unwrap();
    let mut watch = Running(watch);
    let start = Instant::now();
    while !metrics.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "the first reconcile");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // In the program's own account, and forwarded from another one.
    for (name, account, key) in [("own", &hub, "testing"), ("forwarded", &member, member_keys[0].1)] {
        let notify = |instance: &str, state: &str| {
            moto.put_event(key, &json!({"instance-id": instance, "state": state}));
        };
        let instances = account.launch(1, "web", "m5.large").await;
        let start = Instant::now();
        notify(&instances[0], "running");
        account.wait_for_sessions(1, Duration::from_secs(5)).await;
        let took = start.elapsed();
        println!("{name}: from the event to the session in {took:?}");
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        account.ec2.stop_instances().instance_ids(&instances[0]).send().await.unwrap();
        notify(&instances[0], "stopped");
        account.wait_for_sessions(0, Duration::from_secs(5)).await;
        // The same interface after a restart of the instance: another client token.
        account.ec2.start_instances().instance_ids(&instances[0]).send().await.unwrap();
        notify(&instances[0], "running");
        account.wait_for_sessions(1, Duration::from_secs(5)).await;
    }

    let sqs = aws_sdk_sqs::Client::new(&hub.config);
    let left = async |url: &str| {
        use aws_sdk_sqs::types::QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible,
        };
        let names = [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible];
        let answer = sqs
            .get_queue_attributes()
            .queue_url(url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .unwrap();
        names.iter().map(|name| answer.attributes().unwrap()[name].parse::<u32>().unwrap()).sum::<u32>()
    };
    // The last session exists before its event is done: the map is written after it.
    let start = Instant::now();
    while left(&queue).await > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} events are not done", left(&queue).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // An event costs the same few calls, however large the account is.
    let before = moto.calls("DescribeNetworkInterfaces");
    let quiet = hub.launch(1, "bastion", "m5.large").await;
    moto.put_event("testing", &json!({"instance-id": quiet[0], "state": "running"}));

    // A message that is not an event goes to the dead-letter queue; an irrelevant event is deleted.
    sqs.send_message().queue_url(&queue).message_body("not an event").send().await.unwrap();
    moto.put_event("testing", &json!({}));
    let start = Instant::now();
    while left(&queue).await > 0 || left(&dead_letters).await == 0 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "queue {} dead {}",
            left(&queue).await,
            left(&dead_letters).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let dead = sqs.receive_message().queue_url(&dead_letters).send().await.unwrap();
    assert_eq!(dead.messages()[0].body(), Some("not an event"));

    assert!(moto.calls("DescribeNetworkInterfaces") - before <= 2, "one for the plan and one for the map");

    // The map follows the events.
    let map: Value = serde_json::from_slice(&std::fs::read(map).unwrap()).unwrap();
    let accounts: Vec<&str> =
        map["sessions"].as_array().unwrap().iter().map(|entry| entry["account"].as_str().unwrap()).collect();
    assert_eq!(accounts.len(), 2, "{accounts:?}");

    // On SIGTERM it ends by itself, with its metrics written.
    std::process::Command::new("kill").arg("-TERM").arg(watch.0.id().to_string()).status().unwrap();
    assert!(watch.0.wait().unwrap().success());
    let metrics = std::fs::read_to_string(metrics).unwrap();
    for line in [
        "mirror_sessions_events_total{outcome=\"done\"} 7",
        "mirror_sessions_events_total{outcome=\"poison\"} 1",
        "mirror_sessions_events_total{outcome=\"ignored\"} 1",
        "mirror_sessions_event_lag_seconds_count 7",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    for line in std::fs::read_to_string(moto.path("log")).unwrap().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// A state change as EventBridge writes it.
fn state_change(account: &str, instance: &str, state: &str) -> Value {
    json!({
        "version": "0",
        "id": "7bf73129-1428-4cd3-a780-95db273d1602",
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "account": account,
        "time": "2026-11-21T00:00:00Z",
        "region": REGION,
        "resources": [format!("arn:aws:ec2:{REGION}:{account}:instance/{instance}")],
        "detail": {"instance-id": instance, "state": state},
    })
}

#[tokio::test]
async fn one_event_from_a_file_or_standard_input() {
    let Some(moto) = start() else { return };
    let hub = moto.account(HUB, REGION).await;
    let instances = hub.launch(2, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub)]));
    let file = moto.path("event.json");
    std::fs::write(&file, state_change(HUB, &instances[0], "running").to_string()).unwrap();
    moto.run(&["reconcile", "--event", file.to_str().unwrap()], 0);
    let sessions = hub.sessions().await;
    assert_eq!(sessions.len(), 1, "only what the event is about");
    assert!(sessions[0].description().unwrap().ends_with(&instances[0]));

    // As a batch of Lambda, with an event of an account that the policy does not have.
    let bodies =
        [state_change(HUB, &instances[1], "running"), state_change("999999999999", "i-9", "running")];
    let records = bodies.map(|body| json!({"messageId": "1", "body": body.to_string()}));
    let mut child = moto
        .program(&["reconcile", "--event", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!({"Records": records}).to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(hub.sessions().await.len(), 2);

    std::fs::write(&file, "not an event").unwrap();
    moto.run(&["reconcile", "--event", file.to_str().unwrap()], 1);
}

/// Lambda's runtime interface: hands out `events` one after the other, and returns what was answered to each.
fn lambda(listener: &TcpListener, events: &[String]) -> Vec<String> {
    let mut answers = Vec::new();
    let mut pending = events.iter().enumerate();
    while answers.len() < events.len() {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut request = String::new();
        reader.read_line(&mut request).unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (id, event) = if request.contains("/next ") {
            pending.next().map(|(index, event)| (format!("request-{index}"), event.as_str())).unwrap()
        } else {
            answers.push(request.split(' ').nth(1).unwrap().to_owned());
            (String::new(), "{}")
        };
        let length = event.len();
        write!(&stream, "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{event}").unwrap();
    }
    answers
}

#[tokio::test]
async fn as_a_lambda_function() {
    let Some(moto) = start() else { return };
    if std::process::Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: curl is missing, which Lambda's runtime has");
        return;
    }
    let hub = moto.account(HUB, REGION).await;
    let instances = hub.launch(2, "web", "m5.large").await;
    moto.policy(&policy(&[(HUB, &hub)]));
    let root = moto.files.path();
    let bootstrap = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/lambda/bootstrap");
    std::fs::copy(bootstrap, root.join("bootstrap")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mirror-sessions"), root.join("mirror-sessions")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = std::process::Command::new(root.join("bootstrap"));
    let function = moto
        .environment(&mut command)
        .env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string())
        .env("LAMBDA_TASK_ROOT", root)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let function = Running(function);
    let records = |body: &str| json!({"Records": [{"messageId": "1", "body": body}]}).to_string();
    let events = [
        records(&state_change(HUB, &instances[0], "running").to_string()),
        records("not an event"),
        json!({"detail-type": "Scheduled Event"}).to_string(),
    ];
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(lambda(&listener, &events)));
    let answers = receiver.recv_timeout(Duration::from_secs(60)).expect("three answers in a minute");
    drop(function);
    let path = |index: usize, end: &str| format!("/2018-06-01/runtime/invocation/request-{index}/{end}");
    assert_eq!(answers, [path(0, "response"), path(1, "error"), path(2, "response")]);
    assert_eq!(hub.sessions().await.len(), 2, "the schedule asks for everything");
}

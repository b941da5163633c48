//! Parsing of policies, and all faults with their lines and remedies.

use mirror_sessions::filter_rule::Direction;
use mirror_sessions::policy::filter::Filter;
use mirror_sessions::policy::{self, Destination, Interfaces, RuleAction, VniSource};

const WHOLE: &str = r#"
owner = "inspection"

[[account]]
id = "111111111111"
role_arn = "arn:aws:iam::111111111111:role/mirror-sessions"
external_id = "secret"
regions = ["eu-west-1", "us-east-1"]

[[account]]
id = "222222222222"
regions = ["eu-west-1"]

[target.central]
fallback = "vpce-0b"
endpoints = [
    { id = "vpce-0a", zone = "eu-west-1a", account = "111111111111" },
    { id = "vpce-0b", zone = "eu-west-1b" },
    { id = "tmt-0c", zone = "use1-az1", region = "us-east-1", geneve_id = "0123456789abcdef" },
]

[filter.web]
network_services = ["amazon-dns"]
rules = [
    { direction = "ingress", protocol = "tcp", source = "0.0.0.0/0", destination = "10.0.0.0/8", destination_ports = 443 },
    { direction = "ingress", action = "reject", source = "::/0", destination = "::/0" },
    { direction = "egress", protocol = 17, source = "10.0.0.0/8", destination = "0.0.0.0/0", source_ports = "1024-65535" },
]

[[rule]]
name = "no bastions"
exclude = true
select = { tag = { role = ["bastion", "jump-*"] } }

[[rule]]
name = "web"
target = "central"
filter = "web"
interfaces = "primary"
packet_length = 128
session_number = 10
vni = "aws"
tags = { team = "security" }
ends = 2030-01-31T18:00:00+01:00
select = { any = [{ vpc = "vpc-1" }, { not = { account = "1*" } }], subnet = ["subnet-1", "subnet-2"] }

[[rule]]
name = "the rest"
target = "central"

[api]
writes_per_second = 2.5

[instance_types]
supported = "m7i.*"
"#;

#[test]
fn a_whole_policy() {
    let policy = policy::parse("policy.toml", WHOLE).unwrap();
    assert_eq!(policy.account_regions().count(), 3);
    assert_eq!(policy.digest.len(), 64);
    assert!((policy.rate_limits.writes_per_second - 2.5).abs() < f64::EPSILON);
    assert_eq!(policy.rate_limits.write_burst, policy::RateLimits::default().write_burst);
    let central = &policy.targets["central"];
    assert_eq!(central.fallback, [Destination::Endpoint("vpce-0b".into())]);
    assert_eq!(central.endpoints[2].geneve_id, Some(0x0123_4567_89ab_cdef));
    assert_eq!(central.endpoints[2].destination, Destination::MirrorTarget("tmt-0c".into()));
    let web = &policy.filters["web"];
    let numbers: Vec<_> = web.rules.iter().map(|rule| (rule.direction, rule.number)).collect();
    assert_eq!(numbers, [(Direction::Ingress, 100), (Direction::Ingress, 200), (Direction::Egress, 100)]);
    assert_eq!(web.rules[0].to_string(), "ingress 100 accept protocol 6 0.0.0.0/0 -> 10.0.0.0/8 port 443");
    assert_eq!(policy.filters["all"], Filter::all());
    let [bastions, web, rest] = &policy.rules[..] else { panic!("three rules") };
    assert!(matches!(bastions.action, RuleAction::Exclude));
    assert_eq!(web.interfaces, Interfaces::Primary);
    let RuleAction::Mirror(mirror) = &web.action else { panic!("web mirrors") };
    assert_eq!((mirror.packet_length, mirror.session_number, mirror.vni), (Some(128), 10, VniSource::Aws));
    assert_eq!(mirror.ends.unwrap().unix_timestamp(), 1_896_109_200);
    let RuleAction::Mirror(mirror) = &rest.action else { panic!("the rest mirrors") };
    assert_eq!((&*mirror.filter, mirror.session_number, mirror.vni), ("all", 1, VniSource::Deterministic));
}

#[test]
fn zones_first_then_the_fallback_of_the_same_account_and_region() {
    let policy = policy::parse("policy.toml", WHOLE).unwrap();
    let central = &policy.targets["central"];
    let account_region = |account: &str, region: &str| mirror_sessions::id::AccountRegion {
        account: account.into(),
        region: region.into(),
    };
    let to = |account: &str, region: &str, name: &str, id: &str| {
        central.destination(&account_region(account, region), [name, id]).map(ToString::to_string)
    };
    assert_eq!(to("111111111111", "eu-west-1", "eu-west-1a", "euw1-az3").as_deref(), Some("vpce-0a"));
    assert_eq!(
        to("222222222222", "eu-west-1", "eu-west-1a", "euw1-az3").as_deref(),
        Some("vpce-0b"),
        "0a is not for it"
    );
    assert_eq!(to("111111111111", "eu-west-1", "eu-west-1c", "euw1-az1").as_deref(), Some("vpce-0b"));
    assert_eq!(
        to("111111111111", "us-east-1", "us-east-1d", "use1-az1").as_deref(),
        Some("tmt-0c"),
        "by zone id"
    );
    assert_eq!(to("111111111111", "us-east-1", "us-east-1e", "use1-az2"), None, "the fallback is elsewhere");
}

/// The faults of a policy, as text.
fn faults_of(text: &str) -> String {
    policy::parse("policy.toml", text).unwrap_err().to_string()
}

#[test]
fn every_fault_names_its_line_and_remedy() {
    let accounts = "owner = \"o\"\n[[account]]\nid = \"111111111111\"\nregions = [\"eu-west-1\"]\n";
    let target = "[target.t]\nendpoints = [{ id = \"vpce-0a\", zone = \"eu-west-1a\" }]\n";
    let cases: &[(&str, String, &str)] = &[
        (
            "owner",
            "owner = \"\"\n[[account]]\nid = \"111111111111\"\nregions = [\"eu-west-1\"]\n".into(),
            "policy.toml:1: owner is empty or longer than 64 characters: give a short name, such as \"inspection\"",
        ),
        (
            "no accounts",
            "owner = \"o\"\n".into(),
            "policy.toml:1: there are no accounts: add an [[account]] with an id and regions",
        ),
        (
            "account id",
            "owner = \"o\"\n[[account]]\nid = \"1\"\nregions = [\"eu-west-1\"]\n".into(),
            "policy.toml:3: \"1\" is not an account id: write its 12 digits in quotes",
        ),
        (
            "account twice",
            format!("{accounts}[[account]]\nid = \"111111111111\"\nregions = [\"eu-west-1\"]\n"),
            "policy.toml:6: account 111111111111 stands here twice: merge the two entries",
        ),
        (
            "role",
            format!("{accounts}role_arn = \"arn:aws:iam::2:role/x\"\n"),
            "policy.toml:5: \"arn:aws:iam::2:role/x\" is not the ARN of a role in account 111111111111: write arn:aws:iam::111111111111:role/NAME",
        ),
        (
            "external id",
            format!("{accounts}external_id = \"x\"\n"),
            "policy.toml:5: external_id without role_arn: add the role, or remove the external id",
        ),
        (
            "region",
            "owner = \"o\"\n[[account]]\nid = \"111111111111\"\nregions = [\"Ireland\"]\n".into(),
            "policy.toml:4: \"Ireland\" is not a region: write it as AWS does, such as \"eu-west-1\"",
        ),
        (
            "unknown key",
            format!("{accounts}regoins = []\n"),
            "policy.toml:5: unknown field `regoins`, expected one of `id`, `role_arn`, `external_id`, `regions`: see the description of the policy in docs/sessions.md",
        ),
        ("not TOML", format!("{accounts}id = = 3\n"), "policy.toml:5: "),
        (
            "endpoint",
            format!("{accounts}[target.t]\nendpoints = [{{ id = \"eni-1\", zone = \"eu-west-1a\" }}]\n"),
            "policy.toml:6: \"eni-1\" is neither a Gateway Load Balancer endpoint nor a mirror target: write its id, vpce-… or tmt-…",
        ),
        (
            "zone",
            format!("{accounts}[target.t]\nendpoints = [{{ id = \"vpce-0a\", zone = \"euw1-az1\" }}]\n"),
            "policy.toml:6: zone \"euw1-az1\" does not say its region: add region = \"…\", or write the zone's name, such as \"eu-west-1a\"",
        ),
        (
            "zone twice",
            format!(
                "{accounts}[target.t]\nendpoints = [\n  {{ id = \"vpce-0a\", zone = \"eu-west-1a\" }},\n  {{ id = \"vpce-0b\", zone = \"eu-west-1a\" }},\n]\n"
            ),
            "policy.toml:8: target \"t\" has two endpoints for zone eu-west-1a and the same account: keep one, or tell them apart with account",
        ),
        (
            "endpoint's account",
            format!(
                "{accounts}[target.t]\nendpoints = [{{ id = \"vpce-0a\", zone = \"eu-west-1a\", account = \"3\" }}]\n"
            ),
            "policy.toml:6: account \"3\" is not in this policy: add it as an [[account]], or remove it here",
        ),
        (
            "fallback",
            format!("{accounts}{target}fallback = [\"vpce-0b\"]\n"),
            "policy.toml:7: the fallback \"vpce-0b\" is not an endpoint of target \"t\": name one of its endpoints",
        ),
        (
            "no target",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\n"),
            "policy.toml:7: rule \"r\" does not say where to mirror to: add target = \"…\", or exclude = true",
        ),
        (
            "unknown target",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"x\"\n"),
            "policy.toml:9: there is no target \"x\": add [target.x], or use one of: t",
        ),
        (
            "unknown filter",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\nfilter = \"x\"\n"),
            "policy.toml:10: there is no filter \"x\": add [filter.x], or use one of: all",
        ),
        (
            "length",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\npacket_length = 9000\n"),
            "policy.toml:10: packet_length 9000 does not fit through a Gateway Load Balancer endpoint, and target \"t\" has \
             one: its MTU of 8500 bytes, less 36 for the headers in front of each frame (IPv4 20, UDP 8, VXLAN 8), leaves \
             8464: write 8464 or less",
        ),
        (
            "length, one byte too many",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\npacket_length = 8465\n"),
            "policy.toml:10: packet_length 8465 does not fit through a Gateway Load Balancer endpoint, and target \"t\" has \
             one: its MTU of 8500 bytes, less 36 for the headers in front of each frame (IPv4 20, UDP 8, VXLAN 8), leaves \
             8464: write 8464 or less",
        ),
        (
            "length of a session",
            format!(
                "{accounts}{}[[rule]]\nname = \"r\"\ntarget = \"t\"\npacket_length = 8501\n",
                target.replace("vpce-", "tmt-")
            ),
            "policy.toml:10: packet_length 8501 is out of range: write a number from 1 to 8500",
        ),
        (
            "number",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\nsession_number = 0\n"),
            "policy.toml:10: session_number 0 is out of range: write a number from 1 to 32766",
        ),
        (
            "ends",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\nends = 2030-01-31\n"),
            "policy.toml:10: ends is not a time with date and offset: write it as 2030-01-31T18:00:00Z",
        ),
        (
            "names",
            format!(
                "{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\n[[rule]]\nname = \"r\"\ntarget = \"t\"\n"
            ),
            "policy.toml:11: two rules have the name \"r\": rename one",
        ),
        (
            "exclude",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\nexclude = true\ntarget = \"t\"\n"),
            "policy.toml:10: rule \"r\" excludes, so target means nothing: remove target, or remove exclude = true",
        ),
        (
            "tags",
            format!(
                "{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\ntags = {{ \"aws:x\" = \"y\" }}\n"
            ),
            "policy.toml:10: the tag \"aws:x\" has a reserved prefix: choose another key",
        ),
        (
            "any",
            format!("{accounts}{target}[[rule]]\nname = \"r\"\ntarget = \"t\"\nselect = {{ any = [] }}\n"),
            "policy.toml:10: any = [] selects nothing: name the alternatives, or remove it",
        ),
        (
            "built-in",
            format!("{accounts}[filter.all]\nrules = []\n"),
            "policy.toml:5: the filter \"all\" is built in: give this filter another name",
        ),
        (
            "no rules",
            format!("{accounts}[filter.f]\nrules = []\n"),
            "policy.toml:6: filter \"f\" has no rules, and would mirror nothing: add a rule, or use the filter \"all\"",
        ),
        (
            "too many rules",
            format!(
                "{accounts}[filter.f]\nrules = [{}]\n",
                "{ direction = \"egress\", source = \"::/0\", destination = \"::/0\" },".repeat(11)
            ),
            "policy.toml:6: filter \"f\" has 11 rules, and AWS allows 10: merge some",
        ),
        (
            "network",
            format!(
                "{accounts}[filter.f]\nrules = [{{ direction = \"egress\", source = \"10.0.0.1/8\", destination = \"::/0\" }}]\n"
            ),
            "policy.toml:6: 10.0.0.1/8 has bits beyond its prefix: write 10.0.0.0/8",
        ),
        (
            "families",
            format!(
                "{accounts}[filter.f]\nrules = [{{ direction = \"egress\", source = \"10.0.0.0/8\", destination = \"::/0\" }}]\n"
            ),
            "policy.toml:6: source and destination are of different IP versions: write one rule for IPv4 and one for IPv6",
        ),
        (
            "ports",
            format!(
                "{accounts}[filter.f]\nrules = [{{ direction = \"egress\", source = \"::/0\", destination = \"::/0\", source_ports = \"9-1\" }}]\n"
            ),
            "policy.toml:6: \"9-1\" is not a port or a range: write \"443\" or \"1024-65535\"",
        ),
        (
            "ports of what",
            format!(
                "{accounts}[filter.f]\nrules = [{{ direction = \"egress\", source = \"::/0\", destination = \"::/0\", source_ports = 9 }}]\n"
            ),
            "policy.toml:6: ports without TCP or UDP: add protocol = \"tcp\" or \"udp\", or remove the ports",
        ),
        (
            "protocol",
            format!(
                "{accounts}[filter.f]\nrules = [{{ direction = \"egress\", protocol = \"ftp\", source = \"::/0\", destination = \"::/0\" }}]\n"
            ),
            "policy.toml:6: \"ftp\" is not a protocol: write tcp, udp, icmp, icmpv6 or a number from 0 to 255, or leave it out for all",
        ),
        (
            "rates",
            format!("{accounts}[api]\nwrites_per_second = 0.0\n"),
            "policy.toml:5: a rate of [api] is not above zero: write rates and bursts above 0",
        ),
    ];
    for (name, text, expected) in cases {
        let found = faults_of(text);
        assert!(found.starts_with(expected), "{name}:\nexpected {expected}\nfound    {found}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let faults = policy::parse("p", "owner = \"\"\n[[account]]\nid = \"1\"\nregions = []\n").unwrap_err();
    let lines: Vec<usize> = faults.faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 3, 4]);
}

#[cfg(feature = "aws")]
#[test]
fn the_program_prints_faults_and_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.toml");
    let validate = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mirror-sessions"));
        command.arg("--policy").arg(&file).arg("validate").output().unwrap()
    };
    std::fs::write(&file, WHOLE).unwrap();
    let output = validate();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3 rules for 2 accounts, 3 accounts and regions\n");
    assert_eq!(output.status.code(), Some(0));
    std::fs::write(&file, WHOLE.replace("\"web\"\ninterfaces", "\"wed\"\ninterfaces")).unwrap();
    let output = validate();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(
        printed.ends_with("there is no filter \"wed\": add [filter.wed], or use one of: all, web\n"),
        "{printed}"
    );
    assert_eq!(output.status.code(), Some(2));
}

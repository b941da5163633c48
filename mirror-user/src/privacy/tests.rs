use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;

use super::key::tests::PUBLISHED;
use super::policy::check;
use super::*;
use crate::number::{EndpointId, Vni};
use crate::packet::Tunnel;
use crate::rules::{ApplicationKinds, RecordKind, Recording};

#[derive(serde::Deserialize)]
struct File {
    #[serde(default)]
    privacy: Vec<PrivacyRule>,
}

fn rules(text: &str) -> Result<Vec<PrivacyRule>, String> {
    toml::from_str(text).map(|file: File| file.privacy).map_err(|error| error.to_string())
}

/// The text of the first fault, and of what caused it.
fn fault(text: &str, knows_owners: bool) -> String {
    let faults = rules(text).and_then(|rules| {
        Privacy::load(&rules, knows_owners).map(drop).map_err(|error| crate::error::chain(&error).to_string())
    });
    faults.unwrap_err()
}

#[test]
fn reads_the_documented_form() {
    let text: String = include_str!("rule.rs")
        .lines()
        .skip_while(|line| *line != "//! ```toml")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//!").to_owned() + "\n")
        .collect();
    let selectors = check(&rules(&text).unwrap(), true).unwrap();
    assert_eq!(selectors[0].to_string(), "account 123456789012");
    assert_eq!(selectors[1].to_string(), "every packet");
}

#[test]
fn what_is_wrong_is_named_with_its_rule_or_line() {
    for (lines, expected) in [
        (
            "gwlbe_id = \"vpce-0123\"",
            "[[privacy]] number 2: gwlbe_id \"vpce-0123\" is neither vpce-0 with 16",
        ),
        ("vni = 16777216", "number 2: vni 16777216 exceeds 24 bits"),
        ("account = \"1234\"", "number 2: account \"1234\" is not the 12 digits"),
        ("snap_length = 151", "number 2: snap_length 151 is below 152"),
        ("addresses = \"hide\"", "expected one of `keep`, `mask`, `pseudonym`"),
        ("names = \"mask\"", "expected one of `keep`, `hash`, `drop`"),
        ("ipv4_prefix = 16", "number 2: ipv4_prefix is for masks"),
        ("addresses = \"mask\"\nipv4_prefix = 33", "ipv4_prefix 33 is more than the 32 bits"),
        ("addresses = \"mask\"\nipv6_prefix = 129", "ipv6_prefix 129 is more than the 128 bits"),
        ("addresses = \"pseudonym\"", "key_file is missing"),
        ("names = \"hash\"", "key_file is missing"),
        ("key_file = \"x\"", "key_file has no use"),
        ("addresses = \"mask\"\nkey_id = \"1\"", "key_id names no key"),
        ("names = \"hash\"\nkey_file = \"x\"\nkey_id = \"a b\"", "key_id \"a b\" is not 1 to 32"),
        ("names = \"hash\"\nkey_file = \"x\"\nkey_id = \"\"", "key_id \"\" is not 1 to 32"),
        ("fields = [\"soruce.ip\"]", "fields \"soruce.ip\" is in no record"),
        (
            "names = \"hash\"\nkey_file = \"/missing/key\"",
            "number 2: cannot read the key file /missing/key: No such file",
        ),
        ("key = \"0123\"", "unknown field `key`"),
    ] {
        let error = fault(&format!("[[privacy]]\nvni = 1\n[[privacy]]\n{lines}\n"), true);
        assert!(error.contains(expected), "{lines}: {error}");
    }
}

#[test]
fn rules_that_cannot_do_as_they_say_are_refused() {
    let account = "[[privacy]]\naccount = \"123456789012\"\n";
    assert!(
        fault(account, false).contains("number 1: account can match nothing, as there is no enrichment map")
    );
    let tags = "[[privacy]]\nvni = 1\n[[privacy]]\ntags = { env = \"prod\" }\n";
    assert!(fault(tags, false).contains("number 2: tags can match nothing"));
    assert!(fault(account, true).contains("number 1 goes by account or tags"));
    assert!(
        fault(&format!("{account}[[privacy]]\nvni = 1\n"), true).contains("end the list with a rule without")
    );
    let unreachable = "[[privacy]]\n[[privacy]]\nvni = 1\n";
    assert!(
        fault(unreachable, false).contains("number 2 is never reached, since number 1 is for every packet")
    );
}

fn tunnel(endpoint: u64, vni: u32) -> Tunnel {
    Tunnel { endpoint: Some(EndpointId(endpoint)), vxlan_vni: Vni::new(vni), ..Tunnel::UNKNOWN }
}

/// A map in which the owner of a tunnel is told by its VNI, until it changes.
struct Map(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Identities for Map {
    fn version(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn of(&self, tunnel: &Tunnel) -> Option<Identity> {
        let vni = tunnel.vxlan_vni?.get();
        let tags = [("env".to_owned(), if vni % 2 == 0 { "prod" } else { "test" }.to_owned())].into();
        let account = if self.version() == 0 { "123456789012" } else { "210987654321" }.to_owned();
        (vni < 10).then_some(Identity { account, tags })
    }
}

/// The first 24 bits that the rule for a tunnel leaves of an address tell the rules of these tests apart.
fn shown(privacy: &mut WorkerPrivacy, tunnel: &Tunnel) -> Option<String> {
    Some(privacy.of(tunnel)?.address(IpAddr::from([255; 4])).to_string())
}

#[test]
fn the_first_rule_that_matches_decides_alone() {
    let text = "
        [[privacy]]
        vni = 7
        addresses = \"mask\"
        ipv4_prefix = 1
        [[privacy]]
        gwlbe_id = \"vpce-00000000000000001\"
        vni = 7
        addresses = \"mask\"
        ipv4_prefix = 2
        [[privacy]]
        gwlbe_id = \"0000000000000001\"
        addresses = \"mask\"
        ipv4_prefix = 3
    ";
    let privacy = Privacy::load(&rules(text).unwrap(), false).unwrap();
    let mut worker = WorkerPrivacy::new(&privacy, None);
    // Found, and remembered.
    for _ in 0..2 {
        for (endpoint, vni, expected) in
            [(1, 7, Some("128.0.0.0")), (2, 7, Some("128.0.0.0")), (1, 8, Some("224.0.0.0")), (2, 8, None)]
        {
            assert_eq!(shown(&mut worker, &tunnel(endpoint, vni)).as_deref(), expected, "{endpoint} {vni}");
        }
    }
    let geneve_only = Tunnel { geneve_vni: Vni::new(7), ..Tunnel::UNKNOWN };
    assert_eq!(shown(&mut worker, &geneve_only).as_deref(), Some("128.0.0.0"));
    assert!(!worker.limits_packets());
}

#[test]
fn owners_are_asked_for_once_and_again_when_the_map_changes() {
    let text = "
        [[privacy]]
        account = \"123456789012\"
        tags = { env = \"prod\" }
        addresses = \"mask\"
        ipv4_prefix = 1
        [[privacy]]
        tags = { env = \"prod\" }
        addresses = \"mask\"
        ipv4_prefix = 2
        [[privacy]]
        addresses = \"mask\"
        ipv4_prefix = 3
    ";
    let privacy = Privacy::load(&rules(text).unwrap(), true).unwrap();
    let version = std::sync::Arc::default();
    let mut worker = WorkerPrivacy::new(&privacy, Some(Box::new(Map(std::sync::Arc::clone(&version)))));
    let mut of = |vni| shown(&mut worker, &tunnel(1, vni)).unwrap();
    assert_eq!([of(2), of(3), of(10)], ["128.0.0.0", "224.0.0.0", "224.0.0.0"]);
    version.store(1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!([of(2), of(3), of(10)], ["192.0.0.0", "224.0.0.0", "224.0.0.0"]);
}

#[test]
fn rules_limit_what_is_recorded() {
    let text =
        "[[privacy]]\nvni = 1\nrecords = [\"flow\"]\nsnap_length = 200\npayload = false\n[[privacy]]\n";
    let privacy = Privacy::load(&rules(text).unwrap(), false).unwrap();
    assert!(privacy.limits_packets());
    let mut worker = WorkerPrivacy::new(&privacy, None);
    let applications = ApplicationKinds::of(&[RecordKind::Flow]);
    let limited =
        Recording { packets: false, flows: true, applications, snap_length: Some(200), payload: false };
    assert_eq!(worker.of(&tunnel(1, 1)).unwrap().limit(), limited);
    assert_eq!(worker.of(&tunnel(1, 1)).unwrap().name("a.example"), None, "names come from payload");
    assert_eq!(worker.of(&tunnel(1, 2)).unwrap().limit(), Recording::default());
    assert_eq!(worker.of(&tunnel(1, 2)).unwrap().name("a.example").as_deref(), Some("a.example"));
    let other = Recording { flows: false, snap_length: Some(300), ..Recording::default() };
    let both = Recording { flows: false, ..limited };
    assert_eq!(limited.and(other), both);
    assert_eq!(other.and(Recording::default()), other);
}

#[test]
fn a_tunnel_of_an_attackers_choice_is_forgotten_in_time() {
    let privacy = Privacy::load(&rules("[[privacy]]\nvni = 1\n").unwrap(), false).unwrap();
    let mut worker = WorkerPrivacy::new(&privacy, None);
    for number in 0..200_000 {
        assert!(worker.of(&tunnel(number, 2)).is_none());
    }
    assert!(worker.of(&tunnel(0, 1)).is_some());
    assert!(worker.remembered() <= 1 << 16);
}

#[test]
fn a_key_of_the_wrong_mode_is_told_with_its_rule() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("privacy.key");
    fs::write(&path, PUBLISHED).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let text = format!("[[privacy]]\naddresses = \"pseudonym\"\nkey_file = {:?}\n", path.to_str().unwrap());
    let error = fault(&text, false);
    assert!(error.contains("[[privacy]] number 1: the key file") && error.contains("mode 0640"), "{error}");
}

#[test]
fn names_that_tell_an_address_go_with_the_addresses() {
    let shown = |text: &str, name: &str| {
        let privacy = Privacy::load(&rules(text).unwrap(), false).unwrap();
        let mut worker = WorkerPrivacy::new(&privacy, None);
        worker.of(&tunnel(1, 1)).unwrap().name(name).is_some()
    };
    for name in
        ["1.2.0.192.in-addr.arpa", "8.b.d.0.1.0.0.2.IP6.ARPA.", "192.0.2.1", "2001:db8::1", "[2001:db8::1]"]
    {
        assert!(!shown("[[privacy]]\naddresses = \"mask\"\n", name), "{name}");
        assert!(shown("[[privacy]]\nmacs = false\n", name), "{name}");
    }
    assert!(shown("[[privacy]]\naddresses = \"mask\"\n", "in-addr.example.com"));
}

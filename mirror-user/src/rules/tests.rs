use std::net::{IpAddr, Ipv4Addr};

use mirror_common::tunnel::kind;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::number::EndpointId;

fn tunnel(endpoint: Option<u64>, geneve_vni: Option<u32>, vxlan_vni: Option<u32>) -> Tunnel {
    Tunnel {
        outer_source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        outer_destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        geneve_vni: geneve_vni.map(|vni| Vni::new(vni).unwrap()),
        vxlan_vni: vxlan_vni.map(|vni| Vni::new(vni).unwrap()),
        vxlan_source: None,
        endpoint: endpoint.map(EndpointId),
        attachment: None,
        cookie: None,
    }
}

/// A rule that is told apart from others by its snap length.
fn rule(endpoint: Option<u64>, vni: Option<u32>, snap_length: u32) -> Rule {
    let gwlbe_id = endpoint.map(|endpoint| format!("{endpoint:016x}"));
    Rule { gwlbe_id, vni, snap_length: Some(snap_length), ..Rule::default() }
}

#[test]
fn the_most_specific_rule_decides() {
    let rules = [
        rule(None, None, 200),
        rule(None, Some(7), 201),
        rule(Some(1), None, 202),
        rule(Some(1), Some(7), 203),
        rule(Some(0), None, 204),
        rule(None, Some(0), 205),
    ];
    let cases = [
        (tunnel(Some(1), Some(0), Some(7)), 203),
        (tunnel(Some(1), Some(7), None), 203),
        (tunnel(Some(1), Some(7), Some(8)), 202),
        (tunnel(Some(1), Some(0), None), 202),
        (tunnel(Some(2), Some(0), Some(7)), 201),
        (tunnel(None, None, Some(7)), 201),
        (tunnel(None, Some(7), None), 201),
        (tunnel(None, Some(7), Some(8)), 200),
        (tunnel(Some(2), Some(7), Some(8)), 200),
        (tunnel(Some(0), Some(0), Some(7)), 204),
        (tunnel(Some(2), Some(0), None), 205),
        (tunnel(None, None, Some(0)), 205),
        (tunnel(None, None, None), 200),
    ];
    let rules = Rules::new(&rules, Recording::default()).unwrap();
    for (tunnel, expected) in cases {
        assert_eq!(rules.resolve(&tunnel).snap_length, Some(expected), "{tunnel:?}");
    }
}

#[test]
fn a_rule_decides_alone() {
    let rules = [
        Rule { payload: Some(false), ..rule(Some(1), None, 200) },
        Rule { gwlbe_id: Some("0000000000000001".to_owned()), vni: Some(7), ..Rule::default() },
    ];
    let default = Recording { snap_length: Some(300), ..Recording::default() };
    let rules = Rules::new(&rules, default).unwrap();
    assert_eq!(rules.resolve(&tunnel(Some(1), None, Some(7))), default);
    let other = rules.resolve(&tunnel(Some(1), None, Some(8)));
    assert_eq!(other, Recording { snap_length: Some(200), payload: false, ..default });
}

#[test]
fn without_rules_everything_is_as_by_default() {
    let default = Recording { flows: false, snap_length: Some(300), ..Recording::default() };
    let rules = Rules::new(&[], default).unwrap();
    assert_eq!(rules.kinds, 0);
    assert_eq!(rules.resolve(&tunnel(Some(1), Some(2), Some(3))), default);
    assert_eq!(rules.rest(), default);
    assert!(rules.snap_lengths().is_empty());
}

#[test]
fn the_kernel_gets_only_the_snap_lengths_that_it_needs() {
    let without = Rule { vni: Some(7), payload: Some(false), ..Rule::default() };
    let default = Recording { snap_length: Some(300), ..Recording::default() };
    let snap_lengths = |rules: &[Rule]| {
        let mut lengths = Rules::new(rules, default).unwrap().snap_lengths();
        lengths.sort_by_key(|(key, _)| key.to_bytes());
        lengths
    };
    let key = |endpoint, vni| TunnelKey::new(endpoint, vni).unwrap();
    assert_eq!(snap_lengths(std::slice::from_ref(&without)), []);
    assert_eq!(snap_lengths(&[without.clone(), rule(Some(1), None, 300)]), []);
    // A rule that truncates as by default is passed as well: it may be an exception from another one.
    let mut expected = [(key(None, Some(7)), Some(300)), (key(Some(1), None), None)];
    expected.sort_by_key(|(key, _)| key.to_bytes());
    assert_eq!(snap_lengths(&[without.clone(), rule(Some(1), None, 0)]), expected);
    assert_eq!(snap_lengths(&[without, rule(None, None, 200)]), [(key(None, Some(7)), Some(300))]);
}

proptest! {
    /// As a search through all rules does, from the most to the least specific.
    #[test]
    fn finds_what_a_search_finds(
        named in vec((of(0..6_u64), of(0..6_u32)), 0..40),
        endpoint in of(0..8_u64),
        geneve_vni in of(0..8_u32),
        vxlan_vni in of(0..8_u32),
    ) {
        let mut stated: Vec<Rule> = Vec::new();
        for ((endpoint, vni), snap_length) in named.into_iter().zip(1000..) {
            let rule = rule(endpoint, vni, snap_length);
            if !stated.iter().any(|other| (&other.gwlbe_id, other.vni) == (&rule.gwlbe_id, rule.vni)) {
                stated.push(rule);
            }
        }
        let rules = Rules::new(&stated, Recording::default()).unwrap();
        let vni = vxlan_vni.or(geneve_vni);
        let searched = [(endpoint, vni), (endpoint, None), (None, vni), (None, None)]
            .map(|(endpoint, vni)| rule(endpoint, vni, 0))
            .into_iter()
            .find_map(|wanted| {
                stated.iter().find(|rule| (&rule.gwlbe_id, rule.vni) == (&wanted.gwlbe_id, wanted.vni))
            });
        let expected = searched.and_then(|rule| rule.snap_length);
        let resolved = rules.resolve(&tunnel(endpoint, geneve_vni, vxlan_vni));
        prop_assert_eq!(resolved.snap_length, expected);
        let kinds = rules.by_tunnel.keys().fold(0, |kinds, key| kinds | key.kind());
        prop_assert_eq!(rules.kinds, kinds);
        prop_assert_eq!(kinds & !(kind::ENDPOINT_AND_VNI | kind::ENDPOINT | kind::VNI), 0);
    }
}

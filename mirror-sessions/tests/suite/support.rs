//! What the tests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use mirror_sessions::connection::Connection;
use mirror_sessions::desired::desire;
use mirror_sessions::id::Place;
use mirror_sessions::instance_types::InstanceTypes;
use mirror_sessions::observed::{Attachment, Instance, InstanceState, Interface, Observed, Tags};
use mirror_sessions::pace::Pace;
use mirror_sessions::plan::{self, PlacePlan};
use mirror_sessions::policy::{self, Policy, Rates};
use time::OffsetDateTime;

use crate::memory::Memory;

/// 2026-11-21T00:00:00Z.
pub const NOW: i64 = 1_795_219_200;

pub fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

pub fn place() -> Place {
    Place { account: "111111111111".into(), region: "eu-west-1".into() }
}

pub fn policy(text: &str) -> Policy {
    policy::read("policy.toml", text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The plan for one place.
pub fn plan_of(policy: &Policy, observed: &Observed) -> PlacePlan {
    let types = InstanceTypes::new(policy.instance_types.clone(), BTreeMap::new());
    plan::plan(&desire(policy, &types, &place(), observed, now()), observed)
}

/// A connection to an account in memory. `'static`, as the API's own are.
pub fn connect(memory: Memory, rates: Rates) -> Connection<&'static Memory> {
    let api: &'static Memory = Box::leak(Box::new(memory));
    Connection { place: place(), api, pace: Pace::new(rates, Arc::default()) }
}

/// Rates that never hold anything up.
pub fn unlimited() -> Rates {
    Rates { reads_per_second: 1e9, read_burst: 1_000_000, writes_per_second: 1e9, write_burst: 1_000_000 }
}

pub fn tags<const N: usize>(tags: [(&str, &str); N]) -> Tags {
    tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// An instance and its interfaces, all in zone `eu-west-1a`.
pub fn add_instance(observed: &mut Observed, id: &str, instance_type: &str, interfaces: &[&str], tags: Tags) {
    let instance = Instance {
        id: id.into(),
        instance_type: instance_type.to_owned(),
        state: InstanceState::Running,
        launched: NOW - 3600,
        tags,
    };
    for (index, interface) in interfaces.iter().enumerate() {
        let attachment = Attachment { instance: id.into(), primary: index == 0, since: NOW - 3600 };
        let interface = Interface {
            id: (*interface).into(),
            attachment: Some(attachment),
            kind: "interface".to_owned(),
            vpc: "vpc-1".to_owned(),
            subnet: "subnet-1".to_owned(),
            zone: "eu-west-1a".to_owned(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            tags: Tags::new(),
        };
        observed.interfaces.insert(interface.id.clone(), interface);
    }
    observed.instances.insert(instance.id.clone(), instance);
}

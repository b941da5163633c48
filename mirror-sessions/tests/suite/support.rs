//! Helpers of the tests: a policy's plan, a connection to EC2 in memory, instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use mirror_sessions::connection::Connection;
use mirror_sessions::desired::evaluate;
use mirror_sessions::id::AccountRegion;
use mirror_sessions::instance_types::InstanceTypes;
use mirror_sessions::observation::Observation;
use mirror_sessions::plan::{self, AccountRegionPlan};
use mirror_sessions::policy::{self, Policy, RateLimits};
use mirror_sessions::rate_limit::RateLimiter;
use mirror_sessions::resource::{Attachment, Instance, InstanceState, Interface, Tags};
use time::OffsetDateTime;

use crate::fake_ec2::FakeEc2;

/// 2026-11-21T00:00:00Z.
pub const NOW: i64 = 1_795_219_200;

pub fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW).unwrap()
}

pub fn account_region() -> AccountRegion {
    AccountRegion { account: "111111111111".into(), region: "eu-west-1".into() }
}

pub fn policy(text: &str) -> Policy {
    policy::parse("policy.toml", text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The plan for one account and region.
pub fn plan_of(policy: &Policy, observation: &Observation) -> AccountRegionPlan {
    let types = InstanceTypes::new(policy.instance_types.clone(), BTreeMap::new());
    plan::plan(&evaluate(policy, &types, &account_region(), observation, now()), observation)
}

/// A connection to EC2 in memory, which lives for ever, as the trait asks for.
pub fn connect(fake_ec2: FakeEc2, rate_limits: RateLimits) -> Connection<&'static FakeEc2> {
    let api: &'static FakeEc2 = Box::leak(Box::new(fake_ec2));
    Connection {
        account_region: account_region(),
        api,
        rate_limiter: RateLimiter::new(rate_limits, Arc::default()),
    }
}

/// Rate limits that never delay a call.
pub fn unlimited() -> RateLimits {
    RateLimits {
        reads_per_second: 1e9,
        read_burst: 1_000_000,
        writes_per_second: 1e9,
        write_burst: 1_000_000,
    }
}

pub fn tags<const N: usize>(tags: [(&str, &str); N]) -> Tags {
    tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// An instance and its interfaces, all in zone `eu-west-1a`.
pub fn add_instance(
    observation: &mut Observation,
    id: &str,
    instance_type: &str,
    interfaces: &[&str],
    tags: Tags,
) {
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
            interface_type: "interface".to_owned(),
            vpc: "vpc-1".to_owned(),
            subnet: "subnet-1".to_owned(),
            zone: "eu-west-1a".to_owned(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            tags: Tags::new(),
        };
        observation.interfaces.insert(interface.id.clone(), interface);
    }
    observation.instances.insert(instance.id.clone(), instance);
}

//! `mirror-sessions`: the traffic mirror sessions of a whole organisation, kept to a policy.

pub mod api;
pub mod apply;
pub mod connection;
pub mod desired;
pub mod ec2;
pub mod file;
pub mod id;
pub mod instance_types;
pub mod limits;
pub mod metrics;
pub mod observe;
pub mod observed;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod tags;
pub mod vni;

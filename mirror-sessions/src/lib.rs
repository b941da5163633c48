//! `mirror-sessions`: the traffic mirror sessions of a whole organisation, kept to a policy.

pub mod desired;
pub mod file;
pub mod id;
pub mod instance_types;
pub mod limits;
pub mod observed;
pub mod plan;
pub mod policy;
pub mod tags;
pub mod vni;

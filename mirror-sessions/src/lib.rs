//! `mirror-sessions`: the traffic mirror sessions of a whole organisation, kept to a policy.

pub mod api;
pub mod apply;
pub mod check;
pub mod connection;
pub mod desired;
pub mod ec2;
pub mod event;
pub mod file;
pub mod id;
pub mod init;
pub mod instance_types;
pub mod limits;
pub mod list;
pub mod manager;
pub mod map;
pub mod metrics;
pub mod observe;
pub mod observed;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod sqs;
pub mod tags;
pub mod vni;
pub mod watch;

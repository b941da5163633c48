//! Tests of `mirror-sessions`, as one program because linking the SDK takes long.
//!
//! - [`policy`]: parsing policies, and their faults.
//! - [`golden`]: plans as text.
//! - [`properties`]: properties of plans for random policies and observations.
//! - [`apply`]: applying plans to EC2 in memory.
//! - [`templates`]: the CloudFormation templates, and their permissions.
//! - `end_to_end`: the program against a moto server.
//! - [`fake_ec2`], `moto`, [`support`]: EC2 in memory, the moto server, helpers.

mod apply;
#[cfg(feature = "aws")]
mod end_to_end;
mod fake_ec2;
mod golden;
#[cfg(feature = "aws")]
mod moto;
mod policy;
mod properties;
mod support;
mod templates;

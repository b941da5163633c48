//! Ids of AWS resources, each kind a type of its own, so that one cannot be taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident,)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id in AWS's notation.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    )+};
}

ids! {
    /// An AWS account: 12 digits.
    AccountId,
    /// A region, such as `eu-west-1`.
    Region,
    /// An elastic network interface, `eni-…`.
    InterfaceId,
    /// An instance, `i-…`.
    InstanceId,
    /// A Gateway Load Balancer endpoint, `vpce-…`.
    EndpointId,
    /// A traffic mirror target, `tmt-…`.
    TargetId,
    /// A traffic mirror filter, `tmf-…`.
    FilterId,
    /// A rule of a traffic mirror filter, `tmfr-…`.
    FilterRuleId,
    /// A traffic mirror session, `tms-…`.
    SessionId,
}

/// One account in one region: the unit of API access, observation and planning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountRegion {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl fmt::Display for AccountRegion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.account, self.region)
    }
}

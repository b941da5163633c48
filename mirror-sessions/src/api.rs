//! The part of the EC2 API that this program uses, as a trait: paged Describe calls, and one call for every change.
//! The module `ec2` implements it with the AWS SDK; the tests implement it in memory.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;

use serde::Serialize;

use crate::api_error::ApiError;
use crate::filter_rule::FilterRule;
use crate::id::{EndpointId, FilterId, FilterRuleId, InterfaceId, Region, SessionId, TargetId};
use crate::policy::Account;
use crate::resource::{Endpoint, Filter, Instance, Interface, Session, Tags, Target};

/// A filter of a Describe call: resources that match any of its values are returned. At most [`MAX_FILTER_VALUES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeFilter {
    /// The filter's name in the EC2 API.
    pub name: &'static str,
    /// The values.
    pub values: Vec<String>,
}

/// Maximum number of values in a filter of a Describe call (EC2 API reference, `Filter`).
pub const MAX_FILTER_VALUES: usize = 200;

/// One page of a Describe call's answer.
#[derive(Clone, Debug, Default)]
pub struct Page<T> {
    /// Resources on this page.
    pub items: Vec<T>,
    /// Token of the next page; `None` on the last page.
    pub next_token: Option<String>,
}

/// A changing call. The client token of a call follows from its `Debug` text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Write {
    /// `CreateTrafficMirrorTarget`.
    CreateTarget {
        /// The endpoint that the target sends to.
        endpoint: EndpointId,
        /// Its tags.
        tags: Tags,
    },
    /// `CreateTrafficMirrorFilter`.
    CreateFilter {
        /// Its tags.
        tags: Tags,
    },
    /// `CreateTrafficMirrorFilterRule`.
    CreateFilterRule {
        /// The filter.
        filter: FilterId,
        /// The rule.
        rule: FilterRule,
    },
    /// `ModifyTrafficMirrorFilterRule`.
    ModifyFilterRule {
        /// The rule.
        id: FilterRuleId,
        /// The rule as it is, which shows the fields to remove.
        from: FilterRule,
        /// The rule as it should be.
        to: FilterRule,
    },
    /// `DeleteTrafficMirrorFilterRule`.
    DeleteFilterRule {
        /// The rule.
        id: FilterRuleId,
    },
    /// `ModifyTrafficMirrorFilterNetworkServices`.
    ModifyNetworkServices {
        /// The filter.
        filter: FilterId,
        /// Services to add.
        add: BTreeSet<String>,
        /// Services to remove.
        remove: BTreeSet<String>,
    },
    /// `CreateTrafficMirrorSession`.
    CreateSession {
        /// The source: the interface whose packets it mirrors.
        interface: InterfaceId,
        /// The target.
        target: TargetId,
        /// The filter.
        filter: FilterId,
        /// The session number.
        number: u16,
        /// Bytes of each packet that are mirrored; `None` for whole packets.
        packet_length: Option<u16>,
        /// The virtual network id; `None` lets AWS choose one.
        vni: Option<u32>,
        /// Its description.
        description: String,
        /// Its tags.
        tags: Tags,
    },
    /// `ModifyTrafficMirrorSession`; a property that is `None` stays as it is.
    ModifySession {
        /// The session.
        id: SessionId,
        /// The target.
        target: Option<TargetId>,
        /// The filter.
        filter: Option<FilterId>,
        /// The session number.
        number: Option<u16>,
        /// Bytes of each packet that are mirrored; `Some(None)` for whole packets.
        packet_length: Option<Option<u16>>,
        /// The virtual network id.
        vni: Option<u32>,
        /// Its description.
        description: Option<String>,
    },
    /// `CreateTags`.
    SetTags {
        /// The resource.
        resource: String,
        /// The tags to set.
        tags: Tags,
    },
    /// `DeleteTags`.
    RemoveTags {
        /// The resource.
        resource: String,
        /// Keys of the tags to remove.
        keys: BTreeSet<String>,
    },
    /// `DeleteTrafficMirrorSession`.
    DeleteSession {
        /// The session.
        id: SessionId,
    },
    /// `DeleteTrafficMirrorFilter`.
    DeleteFilter {
        /// The filter.
        id: FilterId,
    },
    /// `DeleteTrafficMirrorTarget`.
    DeleteTarget {
        /// The target.
        id: TargetId,
    },
}

impl Write {
    /// Name of the operation in the EC2 API.
    pub const fn operation(&self) -> &'static str {
        match self {
            Self::CreateTarget { .. } => "CreateTrafficMirrorTarget",
            Self::CreateFilter { .. } => "CreateTrafficMirrorFilter",
            Self::CreateFilterRule { .. } => "CreateTrafficMirrorFilterRule",
            Self::ModifyFilterRule { .. } => "ModifyTrafficMirrorFilterRule",
            Self::DeleteFilterRule { .. } => "DeleteTrafficMirrorFilterRule",
            Self::ModifyNetworkServices { .. } => "ModifyTrafficMirrorFilterNetworkServices",
            Self::CreateSession { .. } => "CreateTrafficMirrorSession",
            Self::ModifySession { .. } => "ModifyTrafficMirrorSession",
            Self::SetTags { .. } => "CreateTags",
            Self::RemoveTags { .. } => "DeleteTags",
            Self::DeleteSession { .. } => "DeleteTrafficMirrorSession",
            Self::DeleteFilter { .. } => "DeleteTrafficMirrorFilter",
            Self::DeleteTarget { .. } => "DeleteTrafficMirrorTarget",
        }
    }

    /// Returns true if the call deletes a resource. Such a call has succeeded if the resource no longer exists.
    pub const fn is_delete(&self) -> bool {
        matches!(
            self,
            Self::DeleteFilterRule { .. }
                | Self::DeleteSession { .. }
                | Self::DeleteFilter { .. }
                | Self::DeleteTarget { .. }
        )
    }
}

/// Options of a changing call.
#[derive(Clone, Copy, Debug)]
pub struct CallOptions<'token> {
    /// Client token of a Create call: a second call with the same token creates nothing. At most 64 characters.
    pub client_token: &'token str,
    /// DryRun of the API: change nothing, and answer whether the call would be allowed.
    pub dry_run: bool,
}

/// The EC2 API of one account in one region.
pub trait Api: fmt::Debug + Send + Sync + 'static {
    /// `DescribeNetworkInterfaces`.
    fn interfaces(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Interface>, ApiError>> + Send;

    /// `DescribeInstances`.
    fn instances(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Instance>, ApiError>> + Send;

    /// `DescribeTrafficMirrorSessions`.
    fn sessions(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Session>, ApiError>> + Send;

    /// `DescribeTrafficMirrorFilters`, with their rules.
    fn filters(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Filter>, ApiError>> + Send;

    /// `DescribeTrafficMirrorTargets`.
    fn targets(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Target>, ApiError>> + Send;

    /// `DescribeVpcEndpoints`.
    fn endpoints(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Endpoint>, ApiError>> + Send;

    /// `DescribeAvailabilityZones`: names and ids of the zones.
    fn zones(&self) -> impl Future<Output = Result<Vec<(String, String)>, ApiError>> + Send;

    /// Makes a changing call; returns the id of the resource. With DryRun, `Ok` means that the call would be allowed.
    fn write(
        &self,
        write: &Write,
        options: CallOptions<'_>,
    ) -> impl Future<Output = Result<String, ApiError>> + Send;
}

/// Access to the API of several accounts.
pub trait Cloud: fmt::Debug + Send + Sync + 'static {
    /// The API of one account in one region.
    type Api: Api;

    /// Assumes the account's role, and checks that the credentials belong to that account.
    fn connect(
        &self,
        account: &Account,
        region: &Region,
    ) -> impl Future<Output = Result<Self::Api, ApiError>> + Send;
}

/// A resource that a paged Describe call returns.
pub trait Describe: Sized {
    /// Name of the operation in the EC2 API.
    const OPERATION: &'static str;

    /// Reads one page.
    fn page<A: Api>(
        api: &A,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> impl Future<Output = Result<Page<Self>, ApiError>> + Send;
}

macro_rules! describe {
    ($($resource:ty: $method:ident, $operation:literal;)+) => {$(
        impl Describe for $resource {
            const OPERATION: &'static str = $operation;

            fn page<A: Api>(
                api: &A,
                filter: Option<&DescribeFilter>,
                next_token: Option<String>,
            ) -> impl Future<Output = Result<Page<Self>, ApiError>> + Send {
                api.$method(filter, next_token)
            }
        }
    )+};
}

describe! {
    Interface: interfaces, "DescribeNetworkInterfaces";
    Instance: instances, "DescribeInstances";
    Session: sessions, "DescribeTrafficMirrorSessions";
    Filter: filters, "DescribeTrafficMirrorFilters";
    Target: targets, "DescribeTrafficMirrorTargets";
    Endpoint: endpoints, "DescribeVpcEndpoints";
}

/// Ids as values of a filter.
pub(crate) fn filter_values<T: ToString>(ids: impl IntoIterator<Item = T>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

//! What is asked of EC2: a few paged reads, and one call for every write. The official SDK is behind it, and in
//! tests an account in memory.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;

use serde::Serialize;

use crate::id::{AccountId, EndpointId, FilterId, FilterRuleId, InterfaceId, Region, SessionId, TargetId};
use crate::observed::{Filter, Instance, Interface, Session, Tags, Target};
use crate::policy::Account;
use crate::policy::filter::FilterRule;

/// Values of one EC2 filter; what matches any of them is returned. At most [`MAX_FILTER_VALUES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Only {
    /// The filter's name in the EC2 API.
    pub name: &'static str,
    /// The values.
    pub values: Vec<String>,
}

/// Values that one filter of a Describe call can have (EC2 API reference, `Filter`).
pub const MAX_FILTER_VALUES: usize = 200;

/// One page of an answer.
#[derive(Clone, Debug, Default)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Token of the next page, if there is one.
    pub next: Option<String>,
}

/// A Gateway Load Balancer endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its type; `GatewayLoadBalancer` for one that can be a target.
    pub kind: String,
    /// Its state; `available` when it can be used.
    pub state: String,
    /// Its network interfaces.
    pub interfaces: Vec<InterfaceId>,
}

/// A change, with every reference resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Write {
    /// `CreateTrafficMirrorTarget`.
    CreateTarget {
        /// The endpoint that it stands for.
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
        /// What it says, to know which of its fields are to be removed.
        from: FilterRule,
        /// What it is to say.
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
        /// Services to mirror from now on.
        add: BTreeSet<String>,
        /// Services to leave out.
        remove: BTreeSet<String>,
    },
    /// `CreateTrafficMirrorSession`.
    CreateSession {
        /// The interface whose packets it mirrors.
        interface: InterfaceId,
        /// Where to.
        target: TargetId,
        /// What.
        filter: FilterId,
        /// Its number.
        number: u16,
        /// Bytes mirrored of each packet; without a number, all.
        packet_length: Option<u16>,
        /// Its virtual network id; without one, AWS chooses.
        vni: Option<u32>,
        /// Its description.
        description: String,
        /// Its tags.
        tags: Tags,
    },
    /// `ModifyTrafficMirrorSession`; what is `None` stays.
    ModifySession {
        /// The session.
        id: SessionId,
        /// Where to.
        target: Option<TargetId>,
        /// What.
        filter: Option<FilterId>,
        /// Its number.
        number: Option<u16>,
        /// Bytes mirrored of each packet; `Some(None)` for all.
        packet_length: Option<Option<u16>>,
        /// Its virtual network id.
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
        /// Their keys.
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

    /// Whether it deletes something, so that it has succeeded where that is gone already.
    pub const fn deletes(&self) -> bool {
        matches!(
            self,
            Self::DeleteFilterRule { .. }
                | Self::DeleteSession { .. }
                | Self::DeleteFilter { .. }
                | Self::DeleteTarget { .. }
        )
    }
}

/// How a write is made.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'token> {
    /// Client token of a Create call: a second call with the same token makes nothing new. At most 64 characters.
    pub token: &'token str,
    /// Only ask whether it would be allowed: the API's own DryRun.
    pub dry_run: bool,
}

/// The EC2 API of one account in one region.
pub trait Api: fmt::Debug + Send + Sync + 'static {
    /// `DescribeNetworkInterfaces`.
    fn interfaces(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> impl Future<Output = Result<Page<Interface>, ApiError>> + Send;

    /// `DescribeInstances`.
    fn instances(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> impl Future<Output = Result<Page<Instance>, ApiError>> + Send;

    /// `DescribeTrafficMirrorSessions`.
    fn sessions(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> impl Future<Output = Result<Page<Session>, ApiError>> + Send;

    /// `DescribeTrafficMirrorFilters`, with their rules.
    fn filters(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> impl Future<Output = Result<Page<Filter>, ApiError>> + Send;

    /// `DescribeTrafficMirrorTargets`.
    fn targets(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> impl Future<Output = Result<Page<Target>, ApiError>> + Send;

    /// `DescribeVpcEndpoints`.
    fn endpoints(
        &self,
        only: Option<&Only>,
        page: Option<String>,
    ) -> impl Future<Output = Result<Page<Endpoint>, ApiError>> + Send;

    /// `DescribeAvailabilityZones`: names and ids.
    fn zones(&self) -> impl Future<Output = Result<Vec<(String, String)>, ApiError>> + Send;

    /// Makes a change; returns the id of what it is about. With DryRun, `Ok` means that it would be allowed.
    fn write(
        &self,
        write: &Write,
        manner: Manner<'_>,
    ) -> impl Future<Output = Result<String, ApiError>> + Send;
}

/// Gives access to accounts.
pub trait Cloud: fmt::Debug + Send + Sync + 'static {
    /// Access to one account in one region.
    type Api: Api;

    /// Opens it: assumes the account's role, and makes sure that the credentials are of that account.
    fn connect(
        &self,
        account: &Account,
        region: &Region,
    ) -> impl Future<Output = Result<Self::Api, ApiError>> + Send;
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ApiError {
    /// The operation.
    pub operation: &'static str,
    /// What kind of failure it is.
    pub kind: ApiErrorKind,
    /// The error code, such as `RequestLimitExceeded`.
    pub code: String,
    /// The words that came with it.
    pub message: String,
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// Too many calls: slow down and try again.
    Throttled,
    /// The service or the way to it failed: try again.
    Transient,
    /// The answer is no.
    Refused,
}

impl ApiError {
    /// Whether the thing that the call is about does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code.ends_with(".NotFound")
    }

    /// Whether the permission is missing.
    pub fn is_denied(&self) -> bool {
        matches!(&*self.code, "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException")
    }

    /// Whether a session was refused because of the type of the interface's instance. EC2 answers
    /// `NetworkInterfaceNotSupported`, "eni-… must be attached to a supported instance"; its documentation has no code
    /// for that, so the words decide where it is another one.
    pub fn is_unsupported_source(&self) -> bool {
        let words = self.message.to_ascii_lowercase();
        let about_type = words.contains("instance type") || words.contains("instance-type");
        let by_words = about_type
            && (self.code.starts_with("Unsupported")
                || words.contains("not supported")
                || words.contains("unsupported"));
        let by_code = self.code == "NetworkInterfaceNotSupported" && words.contains("supported instance");
        self.kind == ApiErrorKind::Refused && (by_code || by_words)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, code, message, .. } = self;
        write!(formatter, "{operation}: {code}: {message}")?;
        if self.is_denied() {
            write!(
                formatter,
                " (allow ec2:{operation} to the role; `mirror-sessions init` prints a policy that does)"
            )?;
        }
        Ok(())
    }
}

/// An account that is known by its id.
pub(crate) fn wrong_account(expected: &AccountId, found: &str) -> ApiError {
    ApiError {
        operation: "GetCallerIdentity",
        kind: ApiErrorKind::Refused,
        code: "WrongAccount".to_owned(),
        message: format!(
            "the credentials are of account {found}, and the policy says {expected}: correct its id or its role_arn"
        ),
    }
}

/// Ids as values of a filter.
pub(crate) fn texts<T: ToString>(ids: impl IntoIterator<Item = T>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

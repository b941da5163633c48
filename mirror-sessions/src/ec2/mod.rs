//! EC2 through the AWS SDK. The SDK neither retries nor limits the rate: [`rate_limit`](crate::rate_limit) does both,
//! and counts every call.

mod from_sdk;
mod page;
mod write;

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{ProvideCredentials as _, SharedCredentialsProvider};

use crate::api::{Api, CallOptions, Cloud, DescribeFilter, Page, Write};
use crate::api_error::{ApiError, ApiErrorKind};
use crate::error::chain;
use crate::id::{AccountId, Region};
use crate::policy::Account;
use crate::resource::{Endpoint, Filter, Instance, Interface, Session, Target};
use crate::sdk_error::api_error;
use page::{page_call, read_page};

/// Timeout of one attempt of a call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Session name of assumed roles, which CloudTrail shows.
const ROLE_SESSION_NAME: &str = "mirror-sessions";

/// AWS, with the credentials of the environment.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// Reads the environment: credentials, endpoint URLs (such as `AWS_ENDPOINT_URL_EC2`) and the default region.
    pub async fn from_environment() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts.build());
        Self { config: config.load().await }
    }

    /// The SDK configuration, for clients of other services.
    pub const fn config(&self) -> &SdkConfig {
        &self.config
    }

    async fn config_for(&self, account: &Account, region: &Region) -> Result<SdkConfig, ApiError> {
        let region = aws_config::Region::new(region.as_str().to_owned());
        let mut config = self.config.to_builder().region(region.clone());
        if let Some(role) = &account.role_arn {
            let mut provider = AssumeRoleProvider::builder(role)
                .configure(&self.config)
                .session_name(ROLE_SESSION_NAME)
                .region(region);
            if let Some(external_id) = &account.external_id {
                provider = provider.external_id(external_id);
            }
            let provider = provider.build().await;
            // Requested here once, so that a role that cannot be assumed is reported as such.
            provider.provide_credentials().await.map_err(|error| ApiError {
                operation: "AssumeRole",
                kind: ApiErrorKind::Refused,
                code: "AssumeRoleFailed".to_owned(),
                message: format!(
                    "{role}: {} (check the role's trust policy and the external id)",
                    chain(&error)
                ),
            })?;
            config = config.credentials_provider(SharedCredentialsProvider::new(provider));
        }
        Ok(config.build())
    }
}

impl Cloud for Aws {
    type Api = Ec2;

    async fn connect(&self, account: &Account, region: &Region) -> Result<Ec2, ApiError> {
        let config = self.config_for(account, region).await?;
        let identity = aws_sdk_sts::Client::new(&config)
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| api_error("GetCallerIdentity", &error))?;
        let found = identity.account().unwrap_or_default();
        if found != account.id.as_str() {
            return Err(wrong_account(&account.id, found));
        }
        let ec2 = aws_sdk_ec2::config::Builder::from(&config).retry_config(RetryConfig::disabled());
        Ok(Ec2 { client: Client::from_conf(ec2.build()) })
    }
}

/// The EC2 API of one account in one region.
#[derive(Clone, Debug)]
pub struct Ec2 {
    client: Client,
}

impl Api for Ec2 {
    async fn interfaces(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Interface>, ApiError> {
        let call = page_call!(self.client.describe_network_interfaces(), filter, next_token);
        read_page(call, |page| (page.network_interfaces, page.next_token), from_sdk::interface).await
    }

    async fn instances(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Instance>, ApiError> {
        let call = page_call!(self.client.describe_instances(), filter, next_token);
        read_page(
            call,
            |page| (Some(from_sdk::instances(page.reservations)), page.next_token),
            from_sdk::instance,
        )
        .await
    }

    async fn sessions(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Session>, ApiError> {
        let call = page_call!(self.client.describe_traffic_mirror_sessions(), filter, next_token);
        read_page(call, |page| (page.traffic_mirror_sessions, page.next_token), from_sdk::session).await
    }

    async fn filters(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Filter>, ApiError> {
        let call = page_call!(self.client.describe_traffic_mirror_filters(), filter, next_token);
        read_page(call, |page| (page.traffic_mirror_filters, page.next_token), from_sdk::filter).await
    }

    async fn targets(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Target>, ApiError> {
        let call = page_call!(self.client.describe_traffic_mirror_targets(), filter, next_token);
        read_page(call, |page| (page.traffic_mirror_targets, page.next_token), from_sdk::target).await
    }

    async fn endpoints(
        &self,
        filter: Option<&DescribeFilter>,
        next_token: Option<String>,
    ) -> Result<Page<Endpoint>, ApiError> {
        let call = page_call!(self.client.describe_vpc_endpoints(), filter, next_token);
        read_page(call, |page| (page.vpc_endpoints, page.next_token), from_sdk::endpoint).await
    }

    async fn zones(&self) -> Result<Vec<(String, String)>, ApiError> {
        let answer = self.client.describe_availability_zones().send().await;
        let answer = answer.map_err(|error| api_error("DescribeAvailabilityZones", &error))?;
        Ok(answer.availability_zones().iter().filter_map(from_sdk::zone).collect())
    }

    async fn write(&self, write: &Write, options: CallOptions<'_>) -> Result<String, ApiError> {
        match write::write(&self.client, write, options).await {
            // The answer of DryRun for a call that would be allowed.
            Err(error) if options.dry_run && error.code == "DryRunOperation" => Ok(String::new()),
            other => other,
        }
    }
}

/// The error for credentials of another account than the policy names.
fn wrong_account(expected: &AccountId, found: &str) -> ApiError {
    ApiError {
        operation: "GetCallerIdentity",
        kind: ApiErrorKind::Refused,
        code: "WrongAccount".to_owned(),
        message: format!(
            "the credentials are of account {found}, and the policy says {expected}: correct its id or its role_arn"
        ),
    }
}

//! EC2 through the official SDK. Retries and pace are not the SDK's but [`Pace`](crate::pace::Pace)'s, which counts
//! every call.

mod read;
mod write;

use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::api::{Api, ApiError, ApiErrorKind, Cloud, Endpoint, Manner, Only, Page, Write, wrong_account};
use crate::id::Region;
use crate::observed::{Filter, Instance, Interface, Session, Target};
use crate::policy::Account;

/// One attempt of a call takes no longer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Establishing a connection takes no longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How roles see who assumed them, in CloudTrail.
const ROLE_SESSION_NAME: &str = "mirror-sessions";

/// AWS, with the credentials of the environment.
#[derive(Debug)]
pub struct Aws {
    config: SdkConfig,
}

impl Aws {
    /// Reads the environment: credentials, endpoints (`AWS_ENDPOINT_URL_EC2` and kin), and a default region.
    pub async fn from_environment() -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).timeout_config(timeouts.build());
        Self { config: config.load().await }
    }

    /// The configuration, for the other services.
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
            // Asked for once here, so that a role that cannot be assumed is known for what it is.
            provider.provide_credentials().await.map_err(|error| ApiError {
                operation: "AssumeRole",
                kind: ApiErrorKind::Refused,
                code: "AssumeRoleFailed".to_owned(),
                message: format!(
                    "{role}: {} (check the role's trust policy and the external id)",
                    DisplayErrorContext(&error)
                ),
            })?;
            config = config.credentials_provider(
                aws_credential_types::provider::SharedCredentialsProvider::new(provider),
            );
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
            .map_err(|error| failure("GetCallerIdentity", &error))?;
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
        only: Option<&Only>,
        page: Option<String>,
    ) -> Result<Page<Interface>, ApiError> {
        read::interfaces(&self.client, only, page).await
    }

    async fn instances(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Instance>, ApiError> {
        read::instances(&self.client, only, page).await
    }

    async fn sessions(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Session>, ApiError> {
        read::sessions(&self.client, only, page).await
    }

    async fn filters(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Filter>, ApiError> {
        read::filters(&self.client, only, page).await
    }

    async fn targets(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Target>, ApiError> {
        read::targets(&self.client, only, page).await
    }

    async fn endpoints(&self, only: Option<&Only>, page: Option<String>) -> Result<Page<Endpoint>, ApiError> {
        read::endpoints(&self.client, only, page).await
    }

    async fn zones(&self) -> Result<Vec<(String, String)>, ApiError> {
        read::zones(&self.client).await
    }

    async fn write(&self, write: &Write, manner: Manner<'_>) -> Result<String, ApiError> {
        match write::write(&self.client, write, manner).await {
            // This is how DryRun says yes.
            Err(error) if manner.dry_run && error.code == "DryRunOperation" => Ok(String::new()),
            other => other,
        }
    }
}

/// Codes with which AWS services ask for fewer calls.
const THROTTLED: [&str; 6] = [
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "Throttling",
    "ThrottlingException",
];

/// What an error of the SDK means.
pub(crate) fn failure<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> ApiError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.code().map_or_else(|| name_of(error, status), str::to_owned);
    let kind = if THROTTLED.contains(&&*code) || status == 429 {
        ApiErrorKind::Throttled
    } else if status >= 500
        || matches!(
            error,
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_)
        )
    {
        ApiErrorKind::Transient
    } else {
        ApiErrorKind::Refused
    };
    let message = error.message().map_or_else(|| DisplayErrorContext(error).to_string(), str::to_owned);
    ApiError { operation, kind, code, message }
}

/// A name for an error that came without a code.
fn name_of<E>(error: &SdkError<E, HttpResponse>, status: u16) -> String {
    match error {
        SdkError::TimeoutError(_) => "Timeout".to_owned(),
        SdkError::DispatchFailure(_) => "NotSent".to_owned(),
        SdkError::ConstructionFailure(_) => "NotBuilt".to_owned(),
        _ => format!("Http{status}"),
    }
}

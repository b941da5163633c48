//! Connections to the API of one account and region, and to those of all accounts and regions of a policy.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::api::{Api, CallOptions, Cloud, Describe, DescribeFilter, MAX_FILTER_VALUES, Write};
use crate::api_error::{ApiError, ApiErrorKind};
use crate::id::AccountRegion;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::rate_limit::{CallKind, RateLimiter};

/// The API of one account in one region, with its rate limit.
#[derive(Debug)]
pub struct Connection<A> {
    /// The account and region.
    pub account_region: AccountRegion,
    /// The API.
    pub api: A,
    /// The rate limiter of all calls to it.
    pub rate_limiter: RateLimiter,
}

impl<A: Api> Connection<A> {
    /// Reads all resources of a type.
    ///
    /// # Errors
    ///
    /// The first call that fails for good.
    pub async fn describe<R: Describe>(&self) -> Result<Vec<R>, ApiError> {
        self.describe_pages(None).await
    }

    /// Reads the resources of a type for which the EC2 filter `name` has one of these values, however many they are;
    /// none for no values.
    ///
    /// # Errors
    ///
    /// The first call that fails for good.
    pub async fn describe_matching<R: Describe>(
        &self,
        name: &'static str,
        values: Vec<String>,
    ) -> Result<Vec<R>, ApiError> {
        let mut items = Vec::new();
        for values in values.chunks(MAX_FILTER_VALUES) {
            let filter = DescribeFilter { name, values: values.to_vec() };
            items.extend(self.describe_pages(Some(&filter)).await?);
        }
        Ok(items)
    }

    /// Reads every page of a Describe call.
    async fn describe_pages<R: Describe>(&self, filter: Option<&DescribeFilter>) -> Result<Vec<R>, ApiError> {
        let mut items = Vec::new();
        let mut next_token = None;
        loop {
            let read_page = || R::page(&self.api, filter, next_token.clone());
            let page = self.rate_limiter.call(CallKind::Read, R::OPERATION, read_page).await?;
            items.extend(page.items);
            next_token = page.next_token.filter(|token| !token.is_empty());
            if next_token.is_none() {
                return Ok(items);
            }
        }
    }

    /// Reads the zones: names and ids.
    ///
    /// # Errors
    ///
    /// The call, if it fails for good.
    pub async fn zones(&self) -> Result<Vec<(String, String)>, ApiError> {
        let read = || self.api.zones();
        self.rate_limiter.call(CallKind::Read, "DescribeAvailabilityZones", read).await
    }

    /// Makes a changing call; returns the id of the resource.
    ///
    /// # Errors
    ///
    /// The call, if it fails for good.
    pub async fn write(&self, write: &Write, options: CallOptions<'_>) -> Result<String, ApiError> {
        let call = || self.api.write(write, options);
        self.rate_limiter.call(CallKind::Write, write.operation(), call).await
    }
}

/// Connections to the accounts and regions of a policy, opened when they are first needed.
#[derive(Debug)]
pub struct Connections<C: Cloud> {
    /// The policy.
    pub policy: Policy,
    /// Metrics of the program, which count the calls.
    pub metrics: Arc<Metrics>,
    cloud: C,
    open: Mutex<HashMap<AccountRegion, Arc<Connection<C::Api>>>>,
}

impl<C: Cloud> Connections<C> {
    /// Connections for `policy`, none of them open yet.
    pub fn new(policy: Policy, cloud: C, metrics: Arc<Metrics>) -> Self {
        Self { policy, metrics, cloud, open: Mutex::default() }
    }

    /// The connection to an account and region of the policy.
    ///
    /// # Errors
    ///
    /// When the policy does not have the account, its role cannot be assumed, or the credentials belong to another
    /// account.
    pub async fn get(&self, account_region: &AccountRegion) -> Result<Arc<Connection<C::Api>>, ApiError> {
        if let Some(connection) = self.open.lock().await.get(account_region) {
            return Ok(connection.clone());
        }
        let account =
            self.policy.account(&account_region.account).ok_or_else(|| not_in_policy(account_region))?;
        let api = self.cloud.connect(account, &account_region.region).await?;
        let rate_limiter = RateLimiter::new(self.policy.rate_limits, self.metrics.clone());
        let connection = Arc::new(Connection { account_region: account_region.clone(), api, rate_limiter });
        let mut open = self.open.lock().await;
        Ok(open.entry(account_region.clone()).or_insert(connection).clone())
    }
}

fn not_in_policy(account_region: &AccountRegion) -> ApiError {
    ApiError {
        operation: "AssumeRole",
        kind: ApiErrorKind::Refused,
        code: "NotInPolicy".to_owned(),
        message: format!("account {} is not in the policy: add it as an [[account]]", account_region.account),
    }
}

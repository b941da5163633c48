//! An open way to one account and region, and all of them together.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::api::{Api, ApiError, ApiErrorKind, Cloud, MAX_FILTER_VALUES, Only, Page};
use crate::id::Place;
use crate::metrics::Metrics;
use crate::pace::{Kind, Pace};
use crate::policy::Policy;

/// Access to the API of one account in one region, with the pace that is kept there.
#[derive(Debug)]
pub struct Connection<A> {
    /// Where it leads to.
    pub place: Place,
    /// The API there.
    pub api: A,
    /// How fast it is called.
    pub pace: Pace,
}

impl<A: Api> Connection<A> {
    /// Every page of an answer.
    ///
    /// # Errors
    ///
    /// What kept the pages from being read.
    pub async fn all<T, F: Future<Output = Result<Page<T>, ApiError>>>(
        &self,
        operation: &'static str,
        mut read: impl FnMut(Option<String>) -> F,
    ) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        let mut next = None;
        loop {
            let page = self.pace.call(Kind::Read, operation, || read(next.clone())).await?;
            items.extend(page.items);
            next = page.next.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(items);
            }
        }
    }

    /// Every page of the answers about these values of an EC2 filter, however many they are; nothing for none.
    ///
    /// # Errors
    ///
    /// What kept the pages from being read.
    pub async fn only<T, F: Future<Output = Result<Page<T>, ApiError>>>(
        &self,
        operation: &'static str,
        name: &'static str,
        values: Vec<String>,
        read: impl Fn(Only, Option<String>) -> F,
    ) -> Result<Vec<T>, ApiError> {
        let mut items = Vec::new();
        for values in values.chunks(MAX_FILTER_VALUES) {
            let only = Only { name, values: values.to_vec() };
            items.extend(self.all(operation, |page| read(only.clone(), page)).await?);
        }
        Ok(items)
    }
}

/// The accounts and regions of a policy, opened when they are first needed.
#[derive(Debug)]
pub struct Fleet<C: Cloud> {
    /// The policy.
    pub policy: Policy,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    cloud: C,
    open: Mutex<HashMap<Place, Arc<Connection<C::Api>>>>,
}

impl<C: Cloud> Fleet<C> {
    /// The accounts and regions of `policy`.
    pub fn new(policy: Policy, cloud: C, metrics: Arc<Metrics>) -> Self {
        Self { policy, metrics, cloud, open: Mutex::default() }
    }

    /// The connection to a place of the policy.
    ///
    /// # Errors
    ///
    /// When the policy does not have the account, its role cannot be assumed, or the credentials are of another
    /// account.
    pub async fn connection(&self, place: &Place) -> Result<Arc<Connection<C::Api>>, ApiError> {
        if let Some(connection) = self.open.lock().await.get(place) {
            return Ok(connection.clone());
        }
        let account = self.policy.account(&place.account).ok_or_else(|| not_in_policy(place))?;
        let api = self.cloud.connect(account, &place.region).await?;
        let pace = Pace::new(self.policy.rates, self.metrics.clone());
        let connection = Arc::new(Connection { place: place.clone(), api, pace });
        let mut open = self.open.lock().await;
        Ok(open.entry(place.clone()).or_insert(connection).clone())
    }
}

fn not_in_policy(place: &Place) -> ApiError {
    ApiError {
        operation: "AssumeRole",
        kind: ApiErrorKind::Refused,
        code: "NotInPolicy".to_owned(),
        message: format!("account {} is not in the policy: add it as an [[account]]", place.account),
    }
}

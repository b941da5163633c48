//! Continuous operation: events are processed at once, and a full reconcile every few minutes finds what they miss.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::api::Cloud;
use crate::api_error::ApiError;
use crate::enrichment_map::EnrichmentMap;
use crate::error::chain;
use crate::event::{self, Event};
use crate::id::AccountRegion;
use crate::metrics::EventOutcome;
use crate::observation::{Affected, Scope};
use crate::queue::{Message, Queue};
use crate::random;
use crate::reconciler::Reconciler;

/// Maximum deviation of the time between full reconciles, as a fraction of the interval, so that several programs do not
/// stay in step.
const JITTER: f64 = 0.2;
/// Time to wait after the queue could not be read.
const QUEUE_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Files that `watch` keeps up to date.
#[derive(Clone, Debug, Default)]
pub struct OutputFiles {
    /// The enrichment map.
    pub map: Option<PathBuf>,
    /// The metrics.
    pub metrics: Option<PathBuf>,
}

/// The continuous operation of a reconciler.
pub struct Watch<'a, C: Cloud, Q> {
    reconciler: &'a Reconciler<C>,
    queue: Option<&'a Q>,
    interval: Duration,
    files: OutputFiles,
    map: Mutex<EnrichmentMap>,
}

impl<'a, C: Cloud, Q: Queue> Watch<'a, C, Q> {
    /// Full reconciles every `interval`, and events from the queue, if there is one.
    pub fn new(
        reconciler: &'a Reconciler<C>,
        queue: Option<&'a Q>,
        interval: Duration,
        files: OutputFiles,
    ) -> Self {
        let map = Mutex::new(EnrichmentMap::new(reconciler.policy()));
        Self { reconciler, queue, interval, files, map }
    }

    /// Runs until `stop` is ready; work in progress is finished.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = tokio::sync::watch::channel(false);
        tokio::join!(
            async {
                stop.await;
                tracing::info!("stopping when the work in progress is finished");
                stopping.send_replace(true);
            },
            self.reconcile_periodically(stopped.clone()),
            self.process_events(stopped),
        );
    }

    async fn reconcile_periodically(&self, mut stopped: tokio::sync::watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let start = Instant::now();
            let summary = self.reconciler.reconcile(OffsetDateTime::now_utc(), false).await;
            tracing::info!(
                changes = summary.done(),
                failed = summary.failed(),
                seconds = start.elapsed().as_secs_f64(),
                "full reconcile finished"
            );
            if self.files.map.is_some() {
                self.rebuild_map().await;
            }
            self.write_metrics();
            let factor = 1.0 + JITTER * (2.0 * random::unit() - 1.0);
            tokio::select! {
                () = sleep_until(start + self.interval.mul_f64(factor)) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
    }

    async fn process_events(&self, mut stopped: tokio::sync::watch::Receiver<bool>) {
        let Some(queue) = self.queue else { return };
        while !*stopped.borrow() {
            let received = tokio::select! {
                received = queue.receive() => received,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            match received {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => self.process_messages(queue, messages).await,
                Err(error) => {
                    tracing::error!(code = error.code, %error, "the queue cannot be read");
                    sleep(QUEUE_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Processes a batch of messages, with one reconcile per account and region, and deletes those that are done.
    async fn process_messages(&self, queue: &Q, messages: Vec<Message>) {
        let metrics = self.reconciler.metrics();
        let mut by_account_region: BTreeMap<AccountRegion, Vec<(Message, Event)>> = BTreeMap::new();
        let mut finished = Vec::new();
        for message in messages {
            match event::parse_one(&message.body) {
                Ok(event) if self.is_relevant(&event) => {
                    by_account_region.entry(event.account_region.clone()).or_default().push((message, event));
                }
                Ok(_) => {
                    metrics.event(EventOutcome::Ignored, None);
                    finished.push(message);
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), body = message.body, "a message is not an event: it is for the dead-letter queue");
                    metrics.event(EventOutcome::Poison, None);
                    if let Err(error) = queue.move_to_dead_letters(&message).await {
                        tracing::error!(code = error.code, %error, "the message cannot be moved to the dead-letter queue; it will be delivered again");
                    }
                }
            }
        }
        let reconciles = by_account_region.into_iter().map(|(account_region, events)| async move {
            let result = self.reconcile_events(&account_region, &events).await;
            (account_region, events, result)
        });
        for (account_region, events, result) in futures_util::future::join_all(reconciles).await {
            let outcome = match &result {
                Ok(()) => EventOutcome::Done,
                Err(error) => {
                    tracing::error!(%account_region, code = error.code, %error, "the event failed; it will be delivered again");
                    EventOutcome::Failed
                }
            };
            let now = OffsetDateTime::now_utc();
            for (message, event) in events {
                let lag = event.time.map(|time| (now - time).as_seconds_f64());
                metrics.event(outcome, lag.filter(|_| result.is_ok()));
                if result.is_ok() {
                    finished.push(message);
                }
            }
        }
        if !finished.is_empty()
            && let Err(error) = queue.delete(&finished).await
        {
            tracing::error!(code = error.code, %error, "processed messages cannot be deleted; they will be delivered again");
        }
        self.write_metrics();
    }

    /// Returns true if an event affects something that can be mirrored, in an account and region of the policy.
    fn is_relevant(&self, event: &Event) -> bool {
        !event.affected.is_empty() && self.reconciler.policy().covers(&event.account_region)
    }

    /// Reconciles the resources that the events affect, and updates the map with the result.
    async fn reconcile_events(
        &self,
        account_region: &AccountRegion,
        events: &[(Message, Event)],
    ) -> Result<(), ApiError> {
        let mut affected = Affected::default();
        for (_, event) in events {
            affected.merge(event.affected.clone());
        }
        let (plan, outcome) = self
            .reconciler
            .reconcile_affected(account_region, &affected, OffsetDateTime::now_utc(), false)
            .await?;
        for problem in &plan.problems {
            tracing::warn!(%account_region, resource = problem.resource, "{}", problem.problem);
        }
        if self.files.map.is_some() {
            let observation = self
                .reconciler
                .observe_account_region(account_region, &Scope::Affected(affected.clone()))
                .await?;
            let mut map = self.map.lock().await;
            map.replace_affected(account_region, &observation, &affected);
            self.write_map(&map);
        }
        outcome.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    async fn rebuild_map(&self) {
        let observations = self.reconciler.observe().await;
        let interfaces = self.reconciler.endpoint_interfaces().await;
        let mut map = self.map.lock().await;
        map.set_endpoint_interfaces(interfaces);
        for (account_region, observation) in &observations.account_regions {
            map.replace(account_region, observation);
        }
        self.write_map(&map);
    }

    fn write_map(&self, map: &EnrichmentMap) {
        let Some(path) = &self.files.map else { return };
        if let Err(error) = map.write(path, OffsetDateTime::now_utc()) {
            tracing::error!(path = %path.display(), error = %chain(&error), "the map cannot be written");
        }
    }

    fn write_metrics(&self) {
        let Some(path) = &self.files.metrics else { return };
        if let Err(error) = self.reconciler.metrics().write(path) {
            tracing::error!(path = %path.display(), error = %chain(&error), "the metrics cannot be written");
        }
    }
}

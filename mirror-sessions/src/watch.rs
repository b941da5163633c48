//! Keeps the policy as things happen: events make it quick, a full reconcile every few minutes makes it right.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::api::{ApiError, Cloud};
use crate::event::{self, Event};
use crate::id::Place;
use crate::manager::Manager;
use crate::map::EnrichmentMap;
use crate::metrics::EventOutcome;
use crate::observe::{Scope, Touched};
use crate::sqs::{Message, Queue};

/// A full reconcile comes this part of the interval earlier or later, so that several managers drift apart.
const JITTER: f64 = 0.2;
/// Pause after the queue could not be read.
const QUEUE_PAUSE: Duration = Duration::from_secs(5);

/// What `watch` keeps beside the sessions.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The enrichment map.
    pub map: Option<PathBuf>,
    /// The metrics.
    pub metrics: Option<PathBuf>,
}

/// Keeps the accounts of a manager to their policy until told to stop.
pub struct Watch<'a, C: Cloud, Q> {
    manager: &'a Manager<C>,
    queue: Option<&'a Q>,
    interval: Duration,
    files: Files,
    map: Mutex<EnrichmentMap>,
}

impl<'a, C: Cloud, Q: Queue> Watch<'a, C, Q> {
    /// Watches with a full reconcile every `interval`; without a queue, with nothing else.
    pub fn new(manager: &'a Manager<C>, queue: Option<&'a Q>, interval: Duration, files: Files) -> Self {
        let map = Mutex::new(EnrichmentMap::new(&manager.fleet().policy));
        Self { manager, queue, interval, files, map }
    }

    /// Runs until `stop` is ready; what is under way then is finished.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let (done, stopped) = tokio::sync::watch::channel(false);
        tokio::join!(
            async {
                stop.await;
                tracing::info!("stopping: what is under way is finished first");
                done.send_replace(true);
            },
            self.reconcile_regularly(stopped.clone()),
            self.follow_events(stopped),
        );
    }

    async fn reconcile_regularly(&self, mut stopped: tokio::sync::watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let start = Instant::now();
            let summary = self.manager.reconcile(OffsetDateTime::now_utc(), false).await;
            tracing::info!(
                changes = summary.done(),
                failed = summary.failed(),
                seconds = start.elapsed().as_secs_f64(),
                "reconciled everything"
            );
            if self.files.map.is_some() {
                self.renew_map().await;
            }
            self.write_metrics();
            let factor = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
            tokio::select! {
                () = sleep_until(start + self.interval.mul_f64(factor)) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
    }

    async fn follow_events(&self, mut stopped: tokio::sync::watch::Receiver<bool>) {
        let Some(queue) = self.queue else { return };
        while !*stopped.borrow() {
            let received = tokio::select! {
                received = queue.receive() => received,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            match received {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => self.work(queue, messages).await,
                Err(error) => {
                    tracing::error!(code = error.code, %error, "the queue cannot be read");
                    sleep(QUEUE_PAUSE).await;
                }
            }
        }
    }

    /// Does the work of a batch of messages, each place once, and deletes those whose work is done.
    async fn work(&self, queue: &Q, messages: Vec<Message>) {
        let metrics = &self.manager.fleet().metrics;
        let mut by_place: BTreeMap<Place, Vec<(Message, Event)>> = BTreeMap::new();
        let mut finished = Vec::new();
        for message in messages {
            match event::read_one(&message.body) {
                Ok(event) if self.concerns(&event) => {
                    by_place.entry(event.place.clone()).or_default().push((message, event));
                }
                Ok(_) => {
                    metrics.event(EventOutcome::Ignored, None);
                    finished.push(message);
                }
                Err(error) => {
                    tracing::error!(%error, body = message.body, "a message cannot be read and is set aside");
                    metrics.event(EventOutcome::Poison, None);
                    if let Err(error) = queue.set_aside(&message).await {
                        tracing::error!(code = error.code, %error, "the message cannot be set aside; it comes again");
                    }
                }
            }
        }
        let places = by_place.into_iter().map(|(place, events)| async move {
            let result = self.react(&place, &events).await;
            (place, events, result)
        });
        for (place, events, result) in futures::future::join_all(places).await {
            let outcome = match &result {
                Ok(()) => EventOutcome::Done,
                Err(error) => {
                    tracing::error!(%place, code = error.code, %error, "the work of an event failed; it comes again");
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
            tracing::error!(code = error.code, %error, "messages cannot be deleted; they come again");
        }
        self.write_metrics();
    }

    /// Whether an event is about something that can be mirrored, in a place of the policy.
    fn concerns(&self, event: &Event) -> bool {
        event.touched != Touched::default()
            && self.manager.fleet().policy.places().any(|place| place == event.place)
    }

    /// Brings what the events are about to the policy, and the map to what is there then.
    async fn react(&self, place: &Place, events: &[(Message, Event)]) -> Result<(), ApiError> {
        let mut touched = Touched::default();
        for (_, event) in events {
            touched.merge(event.touched.clone());
        }
        let (plan, outcome) =
            self.manager.reconcile_touched(place, &touched, OffsetDateTime::now_utc(), false).await?;
        for problem in &plan.problems {
            tracing::warn!(%place, resource = problem.resource, "{}", problem.problem);
        }
        if self.files.map.is_some() {
            let observed = self.manager.look(place, &Scope::Touched(touched.clone())).await?;
            let mut map = self.map.lock().await;
            map.replace_touched(place, &observed, &touched);
            self.write_map(&map);
        }
        outcome.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    async fn renew_map(&self) {
        let world = self.manager.observe().await;
        let interfaces = self.manager.endpoint_interfaces().await;
        let mut map = self.map.lock().await;
        map.endpoint_interfaces(interfaces);
        for (place, observed) in &world.places {
            map.replace(place, observed);
        }
        self.write_map(&map);
    }

    fn write_map(&self, map: &EnrichmentMap) {
        let Some(path) = &self.files.map else { return };
        if let Err(error) = map.write(path, OffsetDateTime::now_utc()) {
            tracing::error!(path = %path.display(), %error, "the map cannot be written");
        }
    }

    fn write_metrics(&self) {
        let Some(path) = &self.files.metrics else { return };
        if let Err(error) = self.manager.fleet().metrics.write(path) {
            tracing::error!(path = %path.display(), %error, "the metrics cannot be written");
        }
    }
}

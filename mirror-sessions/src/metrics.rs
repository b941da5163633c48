//! What an operator watches, in the text format of Prometheus.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use time::OffsetDateTime;

use crate::file::write_atomically;
use crate::id::Place;
use crate::plan::PlacePlan;

/// Account and region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlaceLabels {
    account: String,
    region: String,
}

/// Operation of the API and its outcome: `ok`, or an error code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    code: String,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: &'static str,
}

/// Every metric of the program.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    desired: Family<PlaceLabels, Gauge>,
    present: Family<PlaceLabels, Gauge>,
    missing: Family<PlaceLabels, Gauge>,
    orphaned: Family<PlaceLabels, Gauge>,
    problems: Family<PlaceLabels, Gauge>,
    unseen: Family<PlaceLabels, Gauge>,
    calls: Family<CallLabels, Counter>,
    events: Family<EventLabels, Counter>,
    event_lag: Histogram,
    reconciled: Gauge<f64, AtomicU64>,
}

/// What became of an event, in [`Metrics::event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// What it is about is as the policy wants.
    Done,
    /// It is about nothing that the policy looks after.
    Ignored,
    /// The work failed; it comes again.
    Failed,
    /// It cannot be read, and was set aside.
    Poison,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mirror_sessions");
        let mut gauge = |name: &str, help: &str| {
            let family = Family::<PlaceLabels, Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let desired = gauge("desired", "Interfaces that the policy wants mirrored");
        let present = gauge("present", "Interfaces that the policy wants mirrored and that have a session");
        let missing = gauge("missing", "Interfaces that the policy wants mirrored and that have no session");
        let orphaned = gauge("orphaned", "Sessions of this owner that nothing wants");
        let problems = gauge("problems", "Wishes of the policy that cannot be met");
        let unseen = gauge("unseen", "1 where the account and region could not be observed, else 0");
        let calls = Family::<CallLabels, Counter>::default();
        registry.register("api_calls", "Calls to the API by operation and outcome", calls.clone());
        let events = Family::<EventLabels, Counter>::default();
        registry.register("events", "Events by what became of them", events.clone());
        let event_lag = Histogram::new(exponential_buckets(0.1, 2.0, 14));
        registry.register_with_unit(
            "event_lag",
            "From an event to the end of the work",
            Unit::Seconds,
            event_lag.clone(),
        );
        let reconciled = Gauge::default();
        registry.register_with_unit(
            "last_reconcile_timestamp",
            "When everything was last looked at",
            Unit::Seconds,
            reconciled.clone(),
        );
        Self {
            registry,
            desired,
            present,
            missing,
            orphaned,
            problems,
            unseen,
            calls,
            events,
            event_lag,
            reconciled,
        }
    }
}

fn labels(place: &Place) -> PlaceLabels {
    PlaceLabels { account: place.account.to_string(), region: place.region.to_string() }
}

impl Metrics {
    /// Notes what a full observation of a place found, after `made` of its missing sessions were made and `deleted` of
    /// its orphaned ones deleted.
    pub fn place(&self, plan: &PlacePlan, made: usize, deleted: usize) {
        let labels = labels(&plan.place);
        let set = |family: &Family<PlaceLabels, Gauge>, count: usize| {
            family.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.desired, plan.census.desired);
        set(&self.present, plan.census.present + made);
        set(&self.missing, plan.census.missing.saturating_sub(made));
        set(&self.orphaned, plan.census.orphaned.saturating_sub(deleted));
        set(&self.problems, plan.problems.len());
        set(&self.unseen, 0);
    }

    /// Notes that a place could not be observed.
    pub fn unseen(&self, place: &Place) {
        self.unseen.get_or_create(&labels(place)).set(1);
    }

    /// Counts a call to the API; without an error code it succeeded.
    pub fn call(&self, operation: &'static str, error_code: Option<&str>) {
        let code = error_code.unwrap_or("ok").to_owned();
        self.calls.get_or_create(&CallLabels { operation, code }).inc();
    }

    /// Counts an event; `lag_seconds` from when it happened to now, where it says when.
    pub fn event(&self, outcome: EventOutcome, lag_seconds: Option<f64>) {
        let outcome = match outcome {
            EventOutcome::Done => "done",
            EventOutcome::Ignored => "ignored",
            EventOutcome::Failed => "failed",
            EventOutcome::Poison => "poison",
        };
        self.events.get_or_create(&EventLabels { outcome }).inc();
        if let Some(seconds) = lag_seconds {
            self.event_lag.observe(seconds.max(0.0));
        }
    }

    /// Notes the time of a full reconcile.
    pub fn reconciled(&self, now: OffsetDateTime) {
        self.reconciled.set(now.unix_timestamp() as f64);
    }

    /// All metrics as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Replaces a file by the metrics as text, for the textfile collector of node_exporter.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_atomically(path, self.text().as_bytes())
    }
}

//! Metrics, in the text format of Prometheus.

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
use crate::id::AccountRegion;
use crate::plan::AccountRegionPlan;

/// Account and region.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountRegionLabels {
    account: String,
    region: String,
}

/// API operation and result: `ok`, or an error code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    operation: &'static str,
    code: String,
}

/// Outcome of an event, as a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: &'static str,
}

/// Every metric of the program.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    desired: Family<AccountRegionLabels, Gauge>,
    present: Family<AccountRegionLabels, Gauge>,
    missing: Family<AccountRegionLabels, Gauge>,
    orphaned: Family<AccountRegionLabels, Gauge>,
    problems: Family<AccountRegionLabels, Gauge>,
    unobserved: Family<AccountRegionLabels, Gauge>,
    calls: Family<CallLabels, Counter>,
    events: Family<EventLabels, Counter>,
    event_lag: Histogram,
    reconciled: Gauge<f64, AtomicU64>,
}

/// Outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// The resources that it affects have been reconciled.
    Done,
    /// It affects nothing that the policy covers.
    Ignored,
    /// Reconciling failed; the event will be delivered again.
    Failed,
    /// It could not be parsed, and was moved to the dead-letter queue.
    Poison,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mirror_sessions");
        let mut gauge = |name: &str, help: &str| {
            let family = Family::<AccountRegionLabels, Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let desired = gauge("desired", "Interfaces that the policy requires to be mirrored");
        let present =
            gauge("present", "Interfaces that the policy requires to be mirrored and that have a session");
        let missing =
            gauge("missing", "Interfaces that the policy requires to be mirrored and that have no session");
        let orphaned = gauge("orphaned", "Sessions of this owner that the policy does not require");
        let problems = gauge("problems", "Requirements of the policy that cannot be met");
        let unobserved = gauge("unseen", "1 if the account and region could not be observed, else 0");
        let calls = Family::<CallLabels, Counter>::default();
        registry.register("api_calls", "API calls by operation and result", calls.clone());
        let events = Family::<EventLabels, Counter>::default();
        registry.register("events", "Events by outcome", events.clone());
        let event_lag = Histogram::new(exponential_buckets(0.1, 2.0, 14));
        registry.register_with_unit(
            "event_lag",
            "Time from an event to the end of its processing",
            Unit::Seconds,
            event_lag.clone(),
        );
        let reconciled = Gauge::default();
        registry.register_with_unit(
            "last_reconcile_timestamp",
            "Time of the last full reconcile",
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
            unobserved,
            calls,
            events,
            event_lag,
            reconciled,
        }
    }
}

fn labels(account_region: &AccountRegion) -> AccountRegionLabels {
    AccountRegionLabels {
        account: account_region.account.to_string(),
        region: account_region.region.to_string(),
    }
}

impl Metrics {
    /// Sets the gauges of an account and region after a full observation, after which `created` of its missing sessions were
    /// created and `deleted` of its orphaned ones were deleted.
    pub fn set_account_region(&self, plan: &AccountRegionPlan, created: usize, deleted: usize) {
        let labels = labels(&plan.account_region);
        let set = |family: &Family<AccountRegionLabels, Gauge>, count: usize| {
            family.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.desired, plan.counts.desired);
        set(&self.present, plan.counts.present + created);
        set(&self.missing, plan.counts.missing.saturating_sub(created));
        set(&self.orphaned, plan.counts.orphaned.saturating_sub(deleted));
        set(&self.problems, plan.problems.len());
        set(&self.unobserved, 0);
    }

    /// Records that an account and region could not be observed.
    pub fn unobserved(&self, account_region: &AccountRegion) {
        self.unobserved.get_or_create(&labels(account_region)).set(1);
    }

    /// Counts an API call; `None` for one that succeeded.
    pub fn call(&self, operation: &'static str, error_code: Option<&str>) {
        let code = error_code.unwrap_or("ok").to_owned();
        self.calls.get_or_create(&CallLabels { operation, code }).inc();
    }

    /// Counts an event; `lag_seconds` is the time since it occurred, if known.
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

    /// Records the time of a full reconcile.
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

    /// Replaces a file with the metrics as text, for the textfile collector of node_exporter.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_atomically(path, self.text().as_bytes())
    }
}

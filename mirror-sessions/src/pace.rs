//! How fast the API is called, and how often again: a token bucket for reads and one for writes, whose rate gives way
//! when the API throttles and comes back after, and retries with full jitter.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::api::{ApiError, ApiErrorKind};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::policy::Rates;

/// Calls of one request at most, the first included.
const ATTEMPTS: u32 = 12;
/// The pause before the first retry is up to this.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The rate never falls below this part of the configured one.
const LOWEST_RATE: f64 = 0.05;
/// Each call that is not throttled brings back this part of the configured rate.
const RECOVERY: f64 = 0.005;
/// The rate is halved at most once in this time: the calls under way at the same moment are throttled together.
const HALVING_INTERVAL: Duration = Duration::from_secs(1);

/// Which bucket a call draws from; EC2 has separate ones too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Describe call.
    Read,
    /// A call that changes something.
    Write,
}

/// Paces the calls to one account and region.
#[derive(Debug)]
pub struct Pace {
    reads: Bucket,
    writes: Bucket,
    metrics: Arc<Metrics>,
}

impl Pace {
    /// Paces with these rates, and counts into `metrics`.
    pub fn new(rates: Rates, metrics: Arc<Metrics>) -> Self {
        Self {
            reads: Bucket::new(rates.reads_per_second, rates.read_burst),
            writes: Bucket::new(rates.writes_per_second, rates.write_burst),
            metrics,
        }
    }

    /// Makes a call as soon as its bucket has a token, and again while it fails in a way that may pass.
    ///
    /// # Errors
    ///
    /// The answer, if it is no; else the last failure.
    pub async fn call<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        kind: Kind,
        operation: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, ApiError> {
        let bucket = match kind {
            Kind::Read => &self.reads,
            Kind::Write => &self.writes,
        };
        let mut attempt = 0;
        loop {
            sleep(bucket.take()).await;
            let result = call().await;
            self.metrics.call(operation, result.as_ref().err().map(|error| error.code.as_str()));
            let error = match result {
                Ok(answer) => {
                    bucket.recover();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            attempt += 1;
            match error.kind {
                ApiErrorKind::Refused => {
                    bucket.recover();
                    return Err(error);
                }
                ApiErrorKind::Throttled => bucket.yield_half(),
                ApiErrorKind::Transient => {}
            }
            if attempt == ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(operation, code = error.code, attempt, "call failed, trying again");
            sleep(pause(attempt, fastrand::f64())).await;
        }
    }
}

/// The pause before retry number `attempt`, from 1; `random` from 0 to 1.
fn pause(attempt: u32, random: f64) -> Duration {
    let ceiling = FIRST_PAUSE.saturating_mul(1 << (attempt - 1).min(16)).min(LONGEST_PAUSE);
    ceiling.mul_f64(random)
}

/// A token bucket with a rate that adapts.
#[derive(Debug)]
struct Bucket {
    /// The configured rate, in tokens per second.
    full_rate: f64,
    capacity: f64,
    state: Mutex<BucketState>,
}

#[derive(Debug)]
struct BucketState {
    rate: f64,
    /// Below zero where callers wait.
    tokens: f64,
    filled: Instant,
    halved: Option<Instant>,
}

impl Bucket {
    fn new(rate: f64, burst: u32) -> Self {
        let capacity = f64::from(burst);
        let state = BucketState { rate, tokens: capacity, filled: Instant::now(), halved: None };
        Self { full_rate: rate, capacity, state: Mutex::new(state) }
    }

    /// Takes a token, and says how long to wait until it is there.
    fn take(&self) -> Duration {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let gained = now.duration_since(state.filled).as_secs_f64() * state.rate;
        state.tokens = (state.tokens + gained).min(self.capacity) - 1.0;
        state.filled = now;
        Duration::from_secs_f64((-state.tokens).max(0.0) / state.rate)
    }

    fn yield_half(&self) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        if state.halved.is_some_and(|halved| now.duration_since(halved) < HALVING_INTERVAL) {
            return;
        }
        state.halved = Some(now);
        state.rate = (state.rate / 2.0).max(self.full_rate * LOWEST_RATE);
        state.tokens = state.tokens.min(0.0);
    }

    fn recover(&self) {
        let mut state = lock(&self.state);
        state.rate = (state.rate + self.full_rate * RECOVERY).min(self.full_rate);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn pace(rate: f64, burst: u32) -> Pace {
        let rates =
            Rates { reads_per_second: rate, read_burst: burst, writes_per_second: rate, write_burst: burst };
        Pace::new(rates, Arc::default())
    }

    fn error(kind: ApiErrorKind) -> ApiError {
        ApiError { operation: "Test", kind, code: "Code".to_owned(), message: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_to_the_rate() {
        let pace = pace(10.0, 5);
        let start = Instant::now();
        for _ in 0..5 {
            pace.call(Kind::Read, "Test", async || Ok(())).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            pace.call(Kind::Read, "Test", async || Ok(())).await.unwrap();
        }
        let elapsed = start.elapsed().as_secs_f64();
        assert!((2.0..2.1).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_slows_down_and_success_speeds_up_again() {
        let pace = pace(10.0, 1);
        let throttled = Cell::new(3);
        let answer = pace
            .call(Kind::Write, "Test", async || {
                if throttled.get() > 0 {
                    throttled.set(throttled.get() - 1);
                    return Err(error(ApiErrorKind::Throttled));
                }
                Ok(7)
            })
            .await;
        assert_eq!(answer, Ok(7));
        let slow = lock(&pace.writes.state).rate;
        assert!(slow < 10.0, "{slow}");
        for _ in 0..300 {
            pace.call(Kind::Write, "Test", async || Ok(())).await.unwrap();
        }
        assert!((lock(&pace.writes.state).rate - 10.0).abs() < f64::EPSILON);
        assert!((lock(&pace.reads.state).rate - 10.0).abs() < f64::EPSILON, "reads are not slowed by writes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_and_a_failure_is_not_retried_for_ever() {
        for (kind, expected) in [(ApiErrorKind::Refused, 1), (ApiErrorKind::Transient, ATTEMPTS)] {
            let calls = Cell::new(0);
            let answer: Result<(), _> = pace(1000.0, 10)
                .call(Kind::Read, "Test", async || {
                    calls.set(calls.get() + 1);
                    Err(error(kind))
                })
                .await;
            assert_eq!(answer, Err(error(kind)));
            assert_eq!(calls.get(), expected);
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(pause(1, 1.0), FIRST_PAUSE);
        assert_eq!(pause(2, 1.0), FIRST_PAUSE * 2);
        assert_eq!(pause(30, 1.0), LONGEST_PAUSE);
        assert_eq!(pause(3, 0.0), Duration::ZERO);
    }
}

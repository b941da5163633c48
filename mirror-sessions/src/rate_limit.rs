//! Rate limit and retries of API calls: a token bucket for reads and one for writes, whose rate is halved when the API
//! throttles and then recovers, and retries with exponential backoff and full jitter.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::api_error::{ApiError, ApiErrorKind};
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::policy::RateLimits;
use crate::random;

/// Maximum attempts of a call, the first included.
const MAX_ATTEMPTS: u32 = 12;
/// Upper bound of the backoff before the first retry; it doubles with each further one.
const BASE_BACKOFF: Duration = Duration::from_millis(200);
/// Maximum backoff.
const MAX_BACKOFF: Duration = Duration::from_secs(20);
/// Lower bound of the rate, as a fraction of the configured one.
const MIN_RATE_FRACTION: f64 = 0.05;
/// Fraction of the configured rate that each call without throttling restores.
const RECOVERY_FRACTION: f64 = 0.005;
/// Minimum time between two halvings of the rate: calls in flight at the same time are throttled together.
const HALVING_INTERVAL: Duration = Duration::from_secs(1);

/// Kind of a call. Each has its own token bucket, as in EC2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A Describe call.
    Read,
    /// A changing call.
    Write,
}

/// Rate limiter of the calls to one account and region.
#[derive(Debug)]
pub struct RateLimiter {
    reads: TokenBucket,
    writes: TokenBucket,
    metrics: Arc<Metrics>,
}

impl RateLimiter {
    /// A rate limiter with these limits, which counts the calls in `metrics`.
    pub fn new(rate_limits: RateLimits, metrics: Arc<Metrics>) -> Self {
        Self {
            reads: TokenBucket::new(rate_limits.reads_per_second, rate_limits.read_burst),
            writes: TokenBucket::new(rate_limits.writes_per_second, rate_limits.write_burst),
            metrics,
        }
    }

    /// Makes a call when its bucket has a token, and retries it after throttling and transient failures.
    ///
    /// # Errors
    ///
    /// A refusal at once; another failure when all attempts have failed.
    pub async fn call<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        kind: CallKind,
        operation: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, ApiError> {
        let bucket = match kind {
            CallKind::Read => &self.reads,
            CallKind::Write => &self.writes,
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
                ApiErrorKind::Throttled => bucket.halve_rate(),
                ApiErrorKind::Transient => {}
            }
            if attempt == MAX_ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(operation, code = error.code, attempt, "call failed, trying again");
            sleep(backoff(attempt, random::unit())).await;
        }
    }
}

/// The backoff before retry number `attempt`, counted from 1; `random` is from 0 to 1.
fn backoff(attempt: u32, random: f64) -> Duration {
    let ceiling = BASE_BACKOFF.saturating_mul(1 << (attempt - 1).min(16)).min(MAX_BACKOFF);
    ceiling.mul_f64(random)
}

/// A token bucket with an adaptive rate.
#[derive(Debug)]
struct TokenBucket {
    /// The configured rate, in tokens per second.
    configured_rate: f64,
    capacity: f64,
    state: Mutex<TokenBucketState>,
}

#[derive(Debug)]
struct TokenBucketState {
    rate: f64,
    /// Negative while callers wait.
    tokens: f64,
    filled: Instant,
    halved: Option<Instant>,
}

impl TokenBucket {
    fn new(rate: f64, burst: u32) -> Self {
        let capacity = f64::from(burst);
        let state = TokenBucketState { rate, tokens: capacity, filled: Instant::now(), halved: None };
        Self { configured_rate: rate, capacity, state: Mutex::new(state) }
    }

    /// Takes a token; returns the time to wait until it is available.
    fn take(&self) -> Duration {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let gained = now.duration_since(state.filled).as_secs_f64() * state.rate;
        state.tokens = (state.tokens + gained).min(self.capacity) - 1.0;
        state.filled = now;
        Duration::from_secs_f64((-state.tokens).max(0.0) / state.rate)
    }

    fn halve_rate(&self) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        if state.halved.is_some_and(|halved| now.duration_since(halved) < HALVING_INTERVAL) {
            return;
        }
        state.halved = Some(now);
        state.rate = (state.rate / 2.0).max(self.configured_rate * MIN_RATE_FRACTION);
        state.tokens = state.tokens.min(0.0);
    }

    fn recover(&self) {
        let mut state = lock(&self.state);
        state.rate = (state.rate + self.configured_rate * RECOVERY_FRACTION).min(self.configured_rate);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rate_limiter(rate: f64, burst: u32) -> RateLimiter {
        let rate_limits = RateLimits {
            reads_per_second: rate,
            read_burst: burst,
            writes_per_second: rate,
            write_burst: burst,
        };
        RateLimiter::new(rate_limits, Arc::default())
    }

    fn error(kind: ApiErrorKind) -> ApiError {
        ApiError { operation: "Test", kind, code: "Code".to_owned(), message: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_keeps_to_the_rate() {
        let rate_limiter = rate_limiter(10.0, 5);
        let start = Instant::now();
        for _ in 0..5 {
            rate_limiter.call(CallKind::Read, "Test", async || Ok(())).await.unwrap();
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            rate_limiter.call(CallKind::Read, "Test", async || Ok(())).await.unwrap();
        }
        let elapsed = start.elapsed().as_secs_f64();
        assert!((2.0..2.1).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_slows_down_and_success_speeds_up_again() {
        let rate_limiter = rate_limiter(10.0, 1);
        let throttled = Cell::new(3);
        let answer = rate_limiter
            .call(CallKind::Write, "Test", async || {
                if throttled.get() > 0 {
                    throttled.set(throttled.get() - 1);
                    return Err(error(ApiErrorKind::Throttled));
                }
                Ok(7)
            })
            .await;
        assert_eq!(answer, Ok(7));
        let slow = lock(&rate_limiter.writes.state).rate;
        assert!(slow < 10.0, "{slow}");
        for _ in 0..300 {
            rate_limiter.call(CallKind::Write, "Test", async || Ok(())).await.unwrap();
        }
        assert!((lock(&rate_limiter.writes.state).rate - 10.0).abs() < f64::EPSILON);
        assert!(
            (lock(&rate_limiter.reads.state).rate - 10.0).abs() < f64::EPSILON,
            "reads are not slowed by writes"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_and_a_failure_is_not_retried_for_ever() {
        for (kind, expected) in [(ApiErrorKind::Refused, 1), (ApiErrorKind::Transient, MAX_ATTEMPTS)] {
            let calls = Cell::new(0);
            let answer: Result<(), _> = rate_limiter(1000.0, 10)
                .call(CallKind::Read, "Test", async || {
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
        assert_eq!(backoff(1, 1.0), BASE_BACKOFF);
        assert_eq!(backoff(2, 1.0), BASE_BACKOFF * 2);
        assert_eq!(backoff(30, 1.0), MAX_BACKOFF);
        assert_eq!(backoff(3, 0.0), Duration::ZERO);
    }
}

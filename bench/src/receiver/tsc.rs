//! The time stamp counter.
#![expect(unsafe_code, reason = "the time stamp counter has no safe interface")]

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// The time stamp counter, or nanoseconds where there is none.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has the instruction, which reads a register.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    {
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Ticks of the time stamp counter in a nanosecond; measured once, against the monotonic clock.
pub fn ticks_per_nanosecond() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    *RATE.get_or_init(|| {
        let (start, first) = (Instant::now(), ticks());
        thread::sleep(Duration::from_millis(50));
        let (elapsed, passed) = (start.elapsed(), ticks() - first);
        passed as f64 / elapsed.as_nanos() as f64
    })
}
